"""The teacher of the demonstration: a Net1D of CLEF-small's shape, trained on simulated patients.

CLEF-small (Nokia-Bell-Labs/ecg-foundation-model) is the smallest published relative of ECGFounder: 450 thousand
parameters, 29 million multiplications for each window. ECGFounder's own network, 70 times as large, is trained on short
crops of the windows, because the network reads windows of any length and its cost follows the length. The checkpoint
has the format of ECGFounder's own code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.spec import FIRST_STRIDE, FULL_BLOCKS, FULL_FILTERS
from convert.compute.progress import Progress
from convert.compute.qat import Weights
from convert.compute.tf_runtime import load_tensorflow
from convert.compute.training import PHASE_NUMBER, Batch, Loop, Phase, State, load_state, save_state, start
from convert.demo.data import STEP, WINDOWS, TeacherData
from convert.demo.heads import VALUE_CENTRE, VALUE_SCALE, Head, targets
from convert.demo.measurements import COUNT, measurement_targets
from edge.frontend.ecgfounder import WINDOW_SAMPLES

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TeacherPlan:
    """How a teacher is trained.

    Attributes:
        batch: Number of windows of a step.
        rate: Peak learning rate.
        decay: Decoupled weight decay of the kernels.
        crop: Number of samples of a training window, cut at a random place of the ten seconds; ``None`` for all.
        whole: Number of epochs at the end that read whole windows all the same, as the trained network will.
        parts: Number of parts of a pass over the patients. An epoch is one part: after it the state is saved.
        measured: Whether the network also learns the measurements of the ECG (:mod:`convert.demo.measurements`).
        judged: Maximum number of patients on whose windows the epochs are compared.
    """

    batch: int = 48
    rate: float = 2e-3
    decay: float = 2e-2
    crop: int | None = None
    whole: int = 0
    parts: int = 1
    measured: bool = False
    judged: int | None = None

    def with_whole_windows(self) -> TeacherPlan:
        """Return the plan for whole windows, with as many samples in a batch."""
        crop = self.crop or WINDOW_SAMPLES
        return replace(self, crop=None, batch=max(1, self.batch * crop // WINDOW_SAMPLES))


@dataclass(frozen=True, slots=True)
class TeacherShape:
    """Size of the teacher's network, and how it is trained.

    Attributes:
        base_filters: Number of channels of the first convolution.
        ratio: Number of channels inside a block divided by its number of output channels.
        filters: Number of output channels of each stage.
        blocks: Number of blocks of each stage.
        groups_width: Number of channels of a group.
        plan: How it is trained.
        grown_from: Shape with fewer blocks that is trained first, for as many epochs; ``None`` for random weights.
    """

    base_filters: int = 32
    ratio: float = 0.5
    filters: tuple[int, ...] = (32, 64, 64, 128, 128, 256)
    blocks: tuple[int, ...] = (1, 1, 2, 2, 2, 2)
    groups_width: int = 8
    plan: TeacherPlan = TeacherPlan()
    grown_from: str | None = None


SHALLOW_PLAN = TeacherPlan(32, 1e-3, crop=1000, parts=4, measured=True, judged=100)
"""Two seconds hold two beats, and a network that cost a fifth can learn from five times as many windows."""

FULL_PLAN = TeacherPlan(32, 5e-4, crop=1000, whole=1, parts=8, measured=True, judged=100)

_ONE_EACH = (1,) * len(FULL_FILTERS)
_TINY_PLAN = TeacherPlan(16, crop=1000, parts=2, measured=True)

SHAPES = {
    "clef-small": TeacherShape(),
    "ecgfounder": TeacherShape(64, 1.0, FULL_FILTERS, FULL_BLOCKS, 16, FULL_PLAN, "ecgfounder-shallow"),
    "ecgfounder-shallow": TeacherShape(64, 1.0, FULL_FILTERS, _ONE_EACH, 16, SHALLOW_PLAN),
    "tiny": TeacherShape(8, 1.0, (8, 16), (1, 1), 8),
    "tiny-grown": TeacherShape(8, 1.0, (8, 16), (2, 1), 8, replace(_TINY_PLAN, whole=1), "tiny-shallow"),
    "tiny-shallow": TeacherShape(8, 1.0, (8, 16), (1, 1), 8, _TINY_PLAN),
}
"""Shapes by name. ``ecgfounder`` first trains one block of each stage, which costs a third, and grows the others from
it. ``tiny`` trains in seconds, to try out the command, and ``tiny-grown`` in the way of ``ecgfounder``."""


class _Teaching(Loop):
    """The loop of :mod:`convert.compute.training` around a Keras network."""

    def __init__(self, net: Any, is_value: Sequence[bool], phase: Phase, state: State, seed: int) -> None:
        variables = _variables(net)
        for name, variable in variables.items():
            variable.assign(state.weights[name])
        names = [v.path for v in net.core.trainable_variables]
        super().__init__(variables, names, is_value, phase, state, seed)
        self._net = net

    def _logits(self, x: Any, draw: Any) -> tuple[Any, dict[str, Any]]:
        logits, _ = self._net.core(x, training=draw is not None)
        return self._tf.reshape(logits, [-1, len(self._value)]), {}


def _variables(net: Any) -> dict[str, Any]:
    return {v.path: v.value for v in net.core.variables}


def train_teacher(
    path: Path,
    shape: TeacherShape,
    heads: Sequence[Head],
    train: TeacherData,
    validation: TeacherData,
    epochs: int,
    seed: int,
    progress: TextIO | None,
) -> None:
    """Train the teacher, or resume its training, and write the checkpoint. Do nothing if the checkpoint exists.

    Args:
        path: Path of the checkpoint; the state of the training is in the same folder.
        shape: Size of the network, and how it is trained.
        heads: Outputs of the network.
        train: Training data.
        validation: Data that select the epoch.
        epochs: Number of epochs; an epoch reads one window of each patient, or of a part of the patients.
        seed: Seed of all random numbers.
        progress: Stream for progress lines, or ``None``.

    Raises:
        OutputError: The state or the checkpoint cannot be written.
    """
    from convert.checkpoint.writer import write_checkpoint

    if path.is_file():
        return
    smaller: Weights = {}
    if shape.grown_from is not None:
        first = path.with_name(f"teacher-{shape.grown_from}-{epochs}.pth")
        train_teacher(first, SHAPES[shape.grown_from], heads, train, validation, epochs, seed, progress)
        smaller = load_state(first.with_suffix(".npz")).best
    net, steps = _fitted(path.with_suffix(".npz"), shape, heads, train, validation, epochs, seed, progress, smaller)
    write_checkpoint(path, _in_units(net, heads), facts={"epoch": epochs, "step": epochs * steps})


def _fitted(
    kept: Path,
    shape: TeacherShape,
    heads: Sequence[Head],
    train: TeacherData,
    validation: TeacherData,
    epochs: int,
    seed: int,
    progress: TextIO | None,
    smaller: Weights,
) -> tuple[Any, int]:
    """Return the network with its best weights, and the number of steps of an epoch."""
    plan, y = shape.plan, targets(heads, train.labs)
    kinds = [h.kind == "value" for h in heads]
    if plan.measured:
        y = np.concatenate([y, measurement_targets(train.measurements)], axis=1)
        kinds += [True] * COUNT
    net = _net(shape, y.shape[1], seed)
    weights = {k: v.numpy() for k, v in _variables(net).items()}
    state = load_state(kept) if kept.is_file() else start(_grown(weights, smaller) if smaller else weights)
    steps = max(1, len(train.windows) // plan.parts // plan.batch)
    phase = Phase("teacher", epochs, steps, rate=plan.rate, decay=plan.decay, dropout=0.0)
    loop = _Teaching(net, kinds, phase, state, seed)
    held_out = _held_out(heads, validation, y.shape[1], plan)
    bar = Progress("training the teacher", epochs * steps, f"batches of {plan.batch}", progress, loop.epoch * steps)
    note = ""
    while loop.epoch < epochs:
        now = plan if loop.epoch < epochs - plan.whole else plan.with_whole_windows()
        batches = islice(_batches(train.windows, y, now, seed, loop.epoch), steps)
        loss = loop.run_epoch(batches, held_out, partial(_show, bar, loop.epoch * steps, note))
        note = f"(validation loss {loss:.4f})"
        save_state(kept, loop.state())
    best = loop.state().best
    for name, variable in _variables(net).items():
        variable.assign(best[name])
    return net, steps


def _net(shape: TeacherShape, outputs: int, seed: int) -> Any:
    load_tensorflow()
    import keras

    from convert.checkpoint.net1d import Net1D

    keras.utils.set_random_seed(seed)
    net = Net1D(
        1, shape.base_filters, shape.ratio, shape.filters, shape.blocks, 16, 2, shape.groups_width, outputs, True
    )
    if shape.plan.crop is not None:
        _clear_unreached(net, shape.plan.crop)
    return net


def _grown(weights: Weights, smaller: Weights) -> Weights:
    """Return the weights of a network that starts as a smaller one: an added block passes its input on unchanged.

    Args:
        weights: Initial weights of the network by name.
        smaller: Weights of a network with fewer blocks in each stage.
    """
    found = {}
    for name, value in weights.items():
        layer = name.split("/")[0]
        added = layer.endswith("__conv3__conv") and name not in smaller
        found[name] = np.zeros_like(value) if added else smaller.get(name, value)
    return found


def _clear_unreached(net: Any, crop: int) -> None:
    """Set the taps to 0 that only padding meets in a crop: untrained, they would add noise to whole windows."""
    length = -(-crop // FIRST_STRIDE)
    for block in net.spec.blocks():
        layer = net.core.get_layer(f"{block.name}.conv2.conv".replace(".", "__"))
        taps, out = net.spec.kernel_size, -(-length // block.stride)
        left = max(0, (out - 1) * block.stride + taps - length) // 2
        at = np.arange(out)[:, None] * block.stride - left + np.arange(taps)
        reached = ((at >= 0) & (at < length)).any(axis=0)
        layer.kernel.assign(layer.kernel.numpy() * reached[None, :, None, None].astype(np.float32))
        length = out


def _show(bar: Progress, before: int, note: str, done: int) -> None:
    bar.step(before + done, note)


def _batches(windows: NDArray[np.int16], y: F32, plan: TeacherPlan, seed: int, epoch: int) -> Iterator[Batch]:
    """Yield the batches of an epoch: each patient's window, or a crop of it, in the order of the pass."""
    number, part = divmod(epoch, plan.parts)
    rng = np.random.default_rng([seed, PHASE_NUMBER["teacher"], number])
    order = rng.permutation(len(windows))
    which = rng.integers(0, WINDOWS, len(windows))
    n = windows.shape[-1]
    width = n if plan.crop is None else min(plan.crop, n)
    first = rng.integers(0, n - width + 1, len(windows)) if width < n else np.zeros(len(windows), np.int64)
    order = order[part :: plan.parts]
    size = min(plan.batch, len(order))
    for i in range(0, len(order) // size * size, size):
        rows = order[i : i + size]
        x = np.stack([windows[r, which[r], first[r] : first[r] + width] for r in rows])
        yield _float(x), y[rows]


def _held_out(heads: Sequence[Head], data: TeacherData, outputs: int, plan: TeacherPlan) -> Batch:
    """Return one clean and one disturbed window of each patient. The targets of measurements are unknown here."""
    x = data.windows[: plan.judged, :2].reshape(-1, data.windows.shape[-1])
    y = np.repeat(targets(heads, data.labs)[: plan.judged], 2, axis=0)
    return _float(x), np.pad(y, ((0, 0), (0, outputs - len(heads))), constant_values=np.nan)


def _float(windows: NDArray[np.int16]) -> NDArray[np.float32]:
    return (windows.astype(np.float32) * np.float32(STEP))[:, None, :, None]


def _in_units(net: Any, heads: Sequence[Head]) -> dict[str, NDArray[np.float32]]:
    """Return the network's tensors for its heads, with the value outputs scaled back to the unit of the lab."""
    from convert.checkpoint.net1d import to_tensors

    tensors = to_tensors(net)
    weight, bias = tensors["dense.weight"][: len(heads)].copy(), tensors["dense.bias"][: len(heads)].copy()
    for j, head in enumerate(heads):
        if head.kind == "value":
            scale = np.float32(VALUE_SCALE[head.lab])
            weight[j] *= scale
            bias[j] = bias[j] * scale + np.float32(VALUE_CENTRE[head.lab])
    return {**tensors, "dense.weight": weight, "dense.bias": bias}
