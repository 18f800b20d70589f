"""The teacher of the demonstration: a Net1D of CLEF-small's shape, trained on simulated patients.

CLEF-small (Nokia-Bell-Labs/ecg-foundation-model) is the smallest published relative of ECGFounder: 450 thousand
parameters, 29 million multiplications for each window. The checkpoint has the format of ECGFounder's own code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.progress import Progress
from convert.compute.tf_runtime import load_tensorflow
from convert.compute.training import PHASE_NUMBER, Batch, Loop, Phase, State, load_state, save_state, start
from convert.demo.data import STEP, WINDOWS, TeacherData
from convert.demo.heads import VALUE_CENTRE, VALUE_SCALE, Head, targets

BATCH = 48
RATE = 2e-3
DECAY = 2e-2


@dataclass(frozen=True, slots=True)
class TeacherShape:
    """Size of the teacher's network.

    Attributes:
        base_filters: Number of channels of the first convolution.
        ratio: Number of channels inside a block divided by its number of output channels.
        filters: Number of output channels of each stage.
        blocks: Number of blocks of each stage.
        groups_width: Number of channels of a group.
    """

    base_filters: int = 32
    ratio: float = 0.5
    filters: tuple[int, ...] = (32, 64, 64, 128, 128, 256)
    blocks: tuple[int, ...] = (1, 1, 2, 2, 2, 2)
    groups_width: int = 8


SHAPES = {"clef-small": TeacherShape(), "tiny": TeacherShape(8, 1.0, (8, 16), (1, 1), 8)}
"""Shapes by name. ``tiny`` trains in seconds, to try out the command."""


class _Teaching(Loop):
    """The loop of :mod:`convert.compute.training` around a Keras network."""

    def __init__(self, net: Any, heads: Sequence[Head], phase: Phase, state: State, seed: int) -> None:
        variables = _variables(net)
        for name, variable in variables.items():
            variable.assign(state.weights[name])
        names = [v.path for v in net.core.trainable_variables]
        super().__init__(variables, names, [h.kind == "value" for h in heads], phase, state, seed)
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
        shape: Size of the network.
        heads: Outputs of the network.
        train: Training data.
        validation: Data that select the epoch.
        epochs: Number of epochs; an epoch reads one window of each patient.
        seed: Seed of all random numbers.
        progress: Stream for progress lines, or ``None``.

    Raises:
        OutputError: The state or the checkpoint cannot be written.
    """
    from convert.checkpoint.writer import write_checkpoint

    if path.is_file():
        return
    net = _net(shape, len(heads), seed)
    kept = path.with_suffix(".npz")
    first = start({k: v.numpy() for k, v in _variables(net).items()})
    state = load_state(kept) if kept.is_file() else first
    steps = max(1, len(train.windows) // BATCH)
    phase = Phase("teacher", epochs, steps, rate=RATE, decay=DECAY, dropout=0.0)
    loop = _Teaching(net, heads, phase, state, seed)
    held_out = _held_out(heads, validation)
    bar = Progress("training the teacher", epochs * steps, f"batches of {BATCH}", progress, loop.epoch * steps)
    y, note = targets(heads, train.labs), ""
    while loop.epoch < epochs:
        batches = _batches(train.windows, y, [seed, PHASE_NUMBER["teacher"], loop.epoch])
        loss = loop.run_epoch(batches, held_out, partial(_show, bar, loop.epoch * steps, note))
        note = f"(validation loss {loss:.4f})"
        save_state(kept, loop.state())
    best = loop.state().best
    for name, variable in _variables(net).items():
        variable.assign(best[name])
    write_checkpoint(path, _in_units(net, heads), facts={"epoch": epochs, "step": epochs * steps})


def _net(shape: TeacherShape, outputs: int, seed: int) -> Any:
    load_tensorflow()
    import keras

    from convert.checkpoint.net1d import Net1D

    keras.utils.set_random_seed(seed)
    return Net1D(
        1, shape.base_filters, shape.ratio, shape.filters, shape.blocks, 16, 2, shape.groups_width, outputs, True
    )


def _show(bar: Progress, before: int, note: str, done: int) -> None:
    bar.step(before + done, note)


def _batches(windows: NDArray[np.int16], y: NDArray[np.float32], seed: list[int]) -> Iterator[Batch]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(windows))
    which = rng.integers(0, WINDOWS, len(windows))
    size = min(BATCH, len(order))
    for i in range(0, len(order) - size + 1, size):
        rows = order[i : i + size]
        yield _float(windows[rows, which[rows]]), y[rows]


def _held_out(heads: Sequence[Head], data: TeacherData) -> Batch:
    """Return one clean and one disturbed window of each patient."""
    x = data.windows[:, :2].reshape(-1, data.windows.shape[-1])
    return _float(x), np.repeat(targets(heads, data.labs), 2, axis=0)


def _float(windows: NDArray[np.int16]) -> NDArray[np.float32]:
    return (windows.astype(np.float32) * np.float32(STEP))[:, None, :, None]


def _in_units(net: Any, heads: Sequence[Head]) -> dict[str, NDArray[np.float32]]:
    """Return the network's tensors, with the standardised value outputs scaled back to the unit of the lab."""
    from convert.checkpoint.net1d import to_tensors

    tensors = to_tensors(net)
    weight, bias = tensors["dense.weight"].copy(), tensors["dense.bias"].copy()
    for j, head in enumerate(heads):
        if head.kind == "value":
            scale = np.float32(VALUE_SCALE[head.lab])
            weight[j] *= scale
            bias[j] = bias[j] * scale + np.float32(VALUE_CENTRE[head.lab])
    return {**tensors, "dense.weight": weight, "dense.bias": bias}
