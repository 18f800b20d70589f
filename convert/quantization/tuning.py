"""Tuning by self-distillation: the float model teaches its int8 self on recordings without labels."""

from __future__ import annotations

import hashlib
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from convert.compute.progress import Progress
from convert.quantization.forward import tf
from convert.quantization.network import Network, Op
from convert.quantization.passes import batches, outputs, rounded_outputs
from convert.quantization.records import StepRow, step_row
from convert.quantization.student import Student, targets_of, watched
from edge.process.files import write_atomically
from firmware_bridge.errors import InputError, UsageError

CROP_SAMPLES = 1280
"""Samples of a crop. The network is fully convolutional, and four crops take as long as one window of ten seconds."""

CROPS = 4
"""Crops in one step."""

MEANS_WEIGHT = 0.3
"""Weight of the means of features and blocks in the loss; the outputs have 1."""

LOUD_ERROR = 0.05
"""Error of a crop, relative to the spread of the outputs, above which it counts by its logarithm: otherwise a few crops
with artefacts, whose errors are a hundred times larger, decide every step."""

RATES = (5e-7, 1e-5, 3e-4)
"""Learning rates of weights, biases and ends of ranges.

Adam moves every weight by its rate, and a convolution sums a thousand of them. Noise to signal of a full network that
had .030 before: .083 with 2e-5 for weights, .035 with 1e-6 after 100 steps, .029 with these after 60.
"""

DECAY_STEPS = 300.0
"""Steps after which the rates are half as high. It does not depend on the length of the run, so a run can go on."""

WARM_STEPS = 20
BETAS = (0.9, 0.99)
SAVE_S = 120.0
SEED = 1
MAX_STATE_BYTES = 4 << 30
SPREAD_FLOOR = 1e-4


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """Options of a tuning.

    Attributes:
        minutes: Time to train, minutes; a resumed tuning counts the time of its earlier runs.
        state: File that keeps the state, so that a killed tuning can go on; ``None`` for no file.
        steps: Number of steps instead of ``minutes``. The same number gives the same bytes, resumed or not.
    """

    minutes: float
    state: Path | None = None
    steps: int | None = None


def tune(
    improved: bytes,
    windows: NDArray[np.float32],
    options: TuneOptions,
    stream: TextIO | None = None,
    judges: NDArray[np.float32] | None = None,
    teacher: bytes | None = None,
) -> tuple[bytes, list[StepRow]]:
    """Train the weights, biases and ranges of a model so that its int8 form gives the outputs of its float form.

    Args:
        improved: Result of :func:`convert.quantization.improve`.
        windows: Windows, ``(n, samples)``, with values that the int8 input can hold.
        options: Options.
        stream: Stream for progress lines, or ``None``.
        judges: Windows that judge the result; ``None`` for every eighth of ``windows``, which then are not trained on.
        teacher: The float model whose outputs are right, as calibrated; ``None`` for ``improved``, whose corrected
            biases shift its own float outputs a little.

    Returns:
        The tuned model, or the given one where it is better, and two rows: before and after.

    Raises:
        UsageError: There is neither time nor a step.
        InputError: The state is damaged or belongs to another model or other windows.
    """
    if not (options.minutes > 0 or options.steps):
        raise UsageError("tuning needs minutes or steps", "give a number above zero")
    train = np.arange(len(windows))
    if judges is None and len(windows) > 1:
        judges, train = windows[::8], np.setdiff1d(train, train[::8])
    judging = windows if judges is None else judges
    before, after = Network(improved), Network(improved)
    right = before if teacher is None else Network(teacher)
    exact = outputs(right, judging)
    rows = [step_row("before tuning", exact, rounded_outputs(before, judging))]
    key = hashlib.sha256(improved + (teacher or b"") + windows.tobytes()).hexdigest()
    run = _Run(after, windows[train], key, options, right)
    done = run.train(stream)
    run.student.write()
    rows.append(step_row(f"tuned for {done} steps", exact, rounded_outputs(after, judging)))
    better = rows[1]["noise_to_signal"] < rows[0]["noise_to_signal"]
    return (after.pack() if better else improved), rows


class _Run:
    """One tuning: the student, its optimizer and its state."""

    def __init__(
        self,
        network: Network,
        windows: NDArray[np.float32],
        key: str,
        options: TuneOptions,
        teacher: Network | None = None,
    ) -> None:
        self._options, self._key = options, key
        self._blocks = watched(network)
        self._crops = _crops(windows)
        parts = [targets_of(network, self._blocks, crop) for crop in batches(self._crops)]
        self._targets = [np.concatenate(p) for p in zip(*parts, strict=True)]
        if teacher is not None:
            right = [outputs(teacher, crop[:, 0, :, 0]) for crop in batches(self._crops)]
            self._targets[0] = np.concatenate(right).astype(np.float32)
        self._spreads = [np.maximum(t.std(axis=0), SPREAD_FLOOR + 0.1 * t.std(axis=0).mean()) for t in self._targets]
        self.student = Student(network)
        self._variables = self.student.variables
        self._first = [tf.Variable(tf.zeros_like(v)) for v in self._variables]
        self._second = [tf.Variable(tf.zeros_like(v)) for v in self._variables]
        count = len(self.student.weights)
        self._rates = [RATES[0]] * count + [RATES[1]] * count + [RATES[2]]
        self._step = tf.function(self._one_step)
        self._done, self._spent_s, self.losses = 0, 0.0, []  # type: int, float, list[float]

    def train(self, stream: TextIO | None) -> int:
        """Train until the time or the steps are used up, and return the number of steps."""
        self._load()
        started_s = saved_s = time.monotonic()
        earlier_s, limit_s, progress = self._spent_s, self._options.minutes * 60.0, None
        while self._done < self._options.steps if self._options.steps else self._spent_s < limit_s:
            chosen = np.random.default_rng([SEED, self._done]).choice(len(self._crops), CROPS)
            x = self._crops[chosen].reshape(CROPS, 1, -1, 1)
            self.losses.append(float(self._step(x, [t[chosen] for t in self._targets], np.float32(self._done))))
            self._done += 1
            now_s = time.monotonic()
            self._spent_s = earlier_s + now_s - started_s
            total = self._options.steps or max(self._done, int(self._done * limit_s / self._spent_s))
            progress = progress or Progress("tuning", 1, "steps", stream, self._done - 1)
            progress.step(self._done, f"loss {np.mean(self.losses[-20:]):.4f}", total)
            if now_s - saved_s > SAVE_S:
                self._save()
                saved_s = time.monotonic()
        self._save()
        return self._done

    def _one_step(self, x: Any, targets: list[Any], done: Any) -> Any:
        means: dict[int, Any] = {}

        def keep(op: Op, y: Any) -> None:
            if op.output in self._blocks:
                means[op.output] = tf.reduce_mean(y, [1, 2])

        with tf.GradientTape() as tape:
            y = tf.reshape(self.student.run(x, keep), tf.shape(targets[0]))
            found = [y, *(means[i] for i in self._blocks)]
            errors = [
                tf.reduce_mean(((a - b) / s.astype(np.float32)) ** 2, axis=1)
                for a, b, s in zip(found, targets, self._spreads, strict=True)
            ]
            logs = [tf.reduce_mean(tf.math.log(LOUD_ERROR + e)) for e in errors]
            loss = logs[0] + MEANS_WEIGHT * tf.add_n(logs[1:]) / max(1, len(logs) - 1)
        self._adam(tape.gradient(loss, self._variables), done)
        return tf.reduce_mean(errors[0])

    def _adam(self, gradients: list[Any], done: Any) -> None:
        factor = tf.minimum(1.0, (done + 1.0) / WARM_STEPS) / (1.0 + done / DECAY_STEPS)
        correct = tf.sqrt(1.0 - BETAS[1] ** (done + 1.0)) / (1.0 - BETAS[0] ** (done + 1.0))
        for v, g, m, s, rate in zip(self._variables, gradients, self._first, self._second, self._rates, strict=True):
            m.assign(BETAS[0] * m + (1.0 - BETAS[0]) * g)
            s.assign(BETAS[1] * s + (1.0 - BETAS[1]) * g * g)
            v.assign_sub(rate * factor * correct * m / (tf.sqrt(s) + 1e-8))

    def _state(self) -> list[Any]:
        return [*self._variables, *self._first, *self._second]

    def _save(self) -> None:
        if self._options.state is None:
            return
        arrays = {f"v{i}": v.numpy() for i, v in enumerate(self._state())}
        buffer = io.BytesIO()
        np.savez(buffer, key=self._key, done=self._done, spent_s=self._spent_s, **arrays)
        write_atomically(self._options.state, buffer.getvalue())

    def _load(self) -> None:
        path = self._options.state
        if path is None or not path.exists():
            return
        advice = "remove it to tune from the start"
        try:
            if path.stat().st_size > MAX_STATE_BYTES:
                raise InputError(f"{path} is too large for the state of a tuning", advice)
            with np.load(path, allow_pickle=False) as found:
                if str(found["key"]) != self._key:
                    raise InputError(f"{path} belongs to another model or other windows", advice)
                values = [found[f"v{i}"] for i in range(len(self._state()))]
                done, spent_s = int(found["done"]), float(found["spent_s"])
                for variable, value in zip(self._state(), values, strict=True):
                    variable.assign(value)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InputError(f"{path} is not the state of a tuning: {error}", advice) from None
        self._done, self._spent_s = done, spent_s


def _crops(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return crops of windows, spread evenly over each; whole windows where they are not longer."""
    length = windows.shape[1]
    if length <= CROP_SAMPLES:
        return windows
    starts = np.linspace(0, length - CROP_SAMPLES, -(-length // CROP_SAMPLES)).astype(int)
    return np.concatenate([windows[:, s : s + CROP_SAMPLES] for s in starts])
