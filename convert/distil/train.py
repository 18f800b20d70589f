"""Training of a student on a teacher's logits and features, and on hard labels where there are any.

This module has the targets and the loss; the training loop is in :mod:`convert.compute.training`. The student's outputs
are the teacher's logits *standardised by head*: an int8 output has only 256 steps, so a head whose logits vary little
would be lost without it. The calibration in the bundle maps back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle.scaling import SPREAD, Scaling, scaling_of
from convert.compute.inference import as_float
from convert.compute.losses import HUBER_AT, huber
from convert.compute.progress import Progress
from convert.compute.qat import FloatOps, QuantOps, Weights, fold, initial_ranges, initial_weights
from convert.compute.replicas import Replicas
from convert.compute.students import StudentSpec, wire
from convert.compute.training import (
    PHASE_NUMBER,
    Parts,
    Phase,
    State,
    Trainer,
    agreed,
    load_state,
    save_state,
    start,
    whole,
)
from convert.datasets.heads import TeacherHead
from convert.datasets.pairs import CONTEXT_SAMPLES, student_stream
from convert.simulate.wearable import Wearable, disturb, drawn
from convert.teacher.soft_labels import Labels
from edge.frontend.stream import window_input_int8
from firmware_bridge.errors import UsageError

F32 = NDArray[np.float32]
I8 = NDArray[np.int8]

BATCH = 96
MIN_STEPS, MIN_BATCH = 8, 8
"""Minimum number of steps in an epoch, for which small data sets get smaller batches; and minimum size of a batch."""

FLOAT_RATE = 4e-3
QUANT_RATE = 4e-4
RANGE_WINDOWS = 512

LOGIT_WEIGHT = 8.0
"""Weight of the distance between standardised logits, relative to the cross-entropy. Where a teacher is almost certain,
the cross-entropy hardly changes with the logit, but the aggregation over windows does. With 0.5 the student of
the demonstration followed its teacher less closely (docs/demo-bundle.md)."""

FEATURE_WEIGHT = 0.3
HARD_WEIGHT = 0.3


class DistilTrainer(Trainer):
    """A :class:`convert.compute.training.Trainer` whose targets are ``[teacher's outputs | hard labels | features]``.

    The weights include a projection from the student's pooled features to the teacher's features. It is not a part of
    the student and is not exported.

    Args:
        spec: The student.
        heads: The teacher's outputs.
        scaling: Standardisation of each head.
        phase: Phase of the training.
        state: State from which the training starts.
        seed: Seed of all random numbers.
        replicas: Workers that train; ``None`` for this process alone.
    """

    def __init__(
        self,
        spec: StudentSpec,
        heads: Sequence[TeacherHead],
        scaling: Scaling,
        phase: Phase,
        state: State,
        seed: int,
        replicas: Replicas | None = None,
    ) -> None:
        super().__init__(spec, [h.is_value for h in heads], phase, state, seed, replicas)
        self._scaling = scaling
        self._slope = np.array([h.slope for h in heads], np.float32)
        self._offset = np.array([h.offset for h in heads], np.float32)

    def _logits(self, x: Any, draw: Any) -> tuple[Any, dict[str, Any]]:
        tf, n = self._tf, len(self._value)
        updates: dict[str, Any] = {}
        if self._phase.kind == "float":
            ops = FloatOps(self._spec, n, self._vars, training=draw is not None, averaged=self._averaged())
            logits, features = wire(self._spec, ops, x)
            updates = ops.updates
        else:
            quant = QuantOps(self._spec, n, self._vars)
            logits, features = wire(self._spec, quant, quant.input(x))
        if "projection/kernel" not in self._vars:
            return tf.reshape(logits, [-1, n]), updates
        flat = tf.reshape(features, [-1, features.shape[-1]])
        projected = tf.matmul(flat, self._vars["projection/kernel"]) + self._vars["projection/bias"]
        return tf.concat([tf.reshape(logits, [-1, n]), projected], axis=1), updates

    def _loss(self, logits: Any, y: Any, replicas: Replicas | None = None) -> Any:
        tf, n, s = self._tf, len(self._value), self._scaling
        z, projected = logits[:, :n], logits[:, n:]
        soft, hard, features = y[:, :n], y[:, n : 2 * n], y[:, 2 * n :]
        value = tf.constant(self._value)
        shown = self._slope * (s.centre + s.scale * z) + self._offset
        target = self._slope * (s.centre + s.scale * soft) + self._offset
        p = tf.sigmoid(target)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=p, logits=shown)
        lost = entropy - tf.nn.sigmoid_cross_entropy_with_logits(labels=p, logits=target)
        apart = huber((z - soft) / SPREAD, HUBER_AT)
        # The mean over rows is the sum of the replicas' shares; hard labels are averaged over the known rows.
        share = 1 if replicas is None else replicas.count
        loss = tf.reduce_mean(tf.where(value, apart, lost * s.weight + LOGIT_WEIGHT * apart)) / share
        loss += HARD_WEIGHT * self._hard(z, shown, hard, replicas)
        if features.shape[-1]:
            loss += FEATURE_WEIGHT * tf.reduce_mean(huber(projected - features, HUBER_AT)) / share
        return loss

    def _hard(self, z: Any, shown: Any, hard: Any, replicas: Replicas | None) -> Any:
        """Return the cross-entropy (Huber loss for values) with the hard labels, over the windows that have them."""
        tf, s = self._tf, self._scaling
        known = tf.cast(~tf.math.is_nan(hard), tf.float32)
        y = tf.where(tf.math.is_nan(hard), tf.zeros_like(hard), hard)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.clip_by_value(y, 0.0, 1.0), logits=shown)
        wanted = ((y - self._offset) / self._slope - s.centre) / s.scale
        each = tf.where(tf.constant(self._value), huber((z - wanted) / SPREAD, HUBER_AT), entropy) * known
        return tf.reduce_mean(tf.reduce_sum(each, 0) / tf.maximum(whole(tf.reduce_sum(known, 0), replicas), 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Labelled windows of one part of a split.

    Attributes:
        labels: Labels of the teacher with the raw contexts, for all parts.
        clean: Student inputs without disturbances, ``(n, 1250)`` int8.
        sd: Standard deviation of each filtered window, ``(n,)``, in the unit of the recording.
        hard: Hard labels, ``(n, heads)`` float32, NaN where unknown.
        rows: Indices of the windows of this part in the other fields.
    """

    labels: Labels
    clean: I8
    sd: NDArray[np.float64]
    hard: F32
    rows: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Windows:
        """Return some of the windows."""
        return Windows(self.labels, self.clean, self.sd, self.hard, self.rows[rows])

    def __len__(self) -> int:
        return len(self.rows)

    def inputs(self) -> I8:
        """Return the model inputs without disturbances, ``(n, 1, 1250, 1)`` int8."""
        return self.clean[self.rows][:, None, :, None]

    def logits(self) -> F32:
        """Return the teacher's logits, ``(n, heads)``."""
        return self.labels.logits[self.rows]


def windows_of_labels(labels: Labels, hard: F32) -> Windows:
    """Filter every labelled window as the device does.

    Args:
        labels: Labels of the teacher.
        hard: Hard labels, ``(n, heads)``.
    """
    n = len(labels)
    clean, sd = np.empty((n, 1250), np.int8), np.empty(n)
    for i in range(n):
        stream = student_stream(labels.context(i))
        clean[i], sd[i] = window_input_int8(stream), stream.std()
    return Windows(labels, clean, sd, hard, np.arange(n))


@dataclass(frozen=True, slots=True)
class DistilPlan:
    """Options of a student's training.

    Attributes:
        seed: Seed of all random numbers.
        float_epochs: Number of epochs in float.
        quant_epochs: Number of epochs of quantization-aware training.
        disturbed: Share of the training windows with disturbances, 0 to 1.
        wearable: Strength of the disturbances.
    """

    seed: int = 1
    float_epochs: int = 30
    quant_epochs: int = 8
    disturbed: float = 0.5
    wearable: Wearable = field(default_factory=Wearable)


@dataclass(frozen=True, slots=True)
class Distilled:
    """Result of a training.

    Attributes:
        folded: Weights of the float student with the normalisation folded.
        quantized: Weights and ranges of the student after quantization-aware training.
        look: Training windows that set the first ranges, z-scores, ``(n, 1, 1250, 1)`` float32.
        scaling: Standardisation of each head.
    """

    folded: Weights
    quantized: Weights
    look: F32
    scaling: Scaling


@dataclass(frozen=True, slots=True)
class Distillation:
    """Training of one student by one teacher.

    Attributes:
        spec: The student.
        heads: The teacher's outputs.
        train: Training windows.
        validation: Windows that select the epoch.
        workdir: Folder of the training states.
        plan: Options of the training.
        progress: Stream for progress lines, or ``None``.
        key: Hash of everything else that a state depends on. It is a part of the file names, so that a restart never
            reads the state of another run.
        replicas: Workers that train; the chief writes the states.
    """

    spec: StudentSpec
    heads: Sequence[TeacherHead]
    train: Windows
    validation: Windows
    workdir: Path
    plan: DistilPlan
    progress: TextIO | None
    key: str = ""
    replicas: Replicas = field(default_factory=Replicas)

    def run(self) -> Distilled:
        """Train the student, resume its training, or read the finished state."""
        spec, n, plan = self.spec, len(self.heads), self.plan
        scaling = scaling_of(self.heads, self.train.logits(), self.train.labels.features[self.train.rows])
        steps = len(self.train) // self._batch()
        first = initial_weights(spec, n, plan.seed) | self._projection(scaling)
        phase = Phase("float", plan.float_epochs, steps, rate=FLOAT_RATE, dropout=0.0)
        trained = self._phase("float", start(first), phase, scaling)
        folded = fold(spec, n, trained)
        look = as_float(self.train.inputs()[:: max(1, len(self.train) // RANGE_WINDOWS)][:RANGE_WINDOWS])
        ranged = initial_ranges(spec, n, folded, look) | {k: v for k, v in trained.items() if k.startswith("proj")}
        phase = Phase("quant", plan.quant_epochs, steps, rate=QUANT_RATE, dropout=0.0)
        quantized = self._phase(f"quant-{plan.float_epochs}", start(ranged), phase, scaling)
        return Distilled(folded, {k: v for k, v in quantized.items() if not k.startswith("proj")}, look, scaling)

    def _batch(self) -> int:
        """Return the number of windows in a step over all replicas, a multiple of their number."""
        alone, count = self._batch_alone(), self.replicas.count
        if count > alone:
            raise UsageError(f"{count} replicas are too many for batches of {alone} windows", "start fewer workers")
        return alone - alone % count

    def _batch_alone(self) -> int:
        return min(BATCH, len(self.train), max(MIN_BATCH, len(self.train) // MIN_STEPS))

    def _projection(self, scaling: Scaling) -> Weights:
        """Return the projection from the student's features to the teacher's; empty for a bundle without features.

        A matrix product with zero columns would end the process with an uncaught exception of oneDNN.
        """
        channels, width = self.spec.blocks[-1].channels, len(scaling.feature_mean)
        if not width:
            return {}
        rng = np.random.default_rng([self.plan.seed, 11])
        kernel = rng.normal(0.0, np.sqrt(1.0 / channels), (channels, width)).astype(np.float32)
        return {"projection/kernel": kernel, "projection/bias": np.zeros(width, np.float32)}

    def _phase(self, name: str, first: State, phase: Phase, scaling: Scaling) -> Weights:
        other = "" if self._batch() == self._batch_alone() else f"-by-{self._batch()}"
        path = self.workdir / f"{self.spec.name}-{name}-{phase.epochs}-{self.key}{other}.npz"
        state = agreed(self.replicas, load_state(path) if path.is_file() else first)
        if state.epoch >= phase.epochs:
            return state.best
        trainer = DistilTrainer(self.spec, self.heads, scaling, phase, state, self.plan.seed, self.replicas)
        held_out = as_float(self.validation.inputs()), self._targets(self.validation, scaling)
        stream = self.progress if self.replicas.chief else None
        total, done = phase.epochs * phase.steps_per_epoch, state.epoch * phase.steps_per_epoch
        bar = Progress(f"distilling ({name})", total, f"batches of {self._batch()}", stream, done)
        note = ""
        while trainer.epoch < phase.epochs:
            batches = self._batches(scaling, [self.plan.seed, PHASE_NUMBER[phase.kind], trainer.epoch])
            each = partial(_show, bar, trainer.epoch * phase.steps_per_epoch, note)
            note = f"(validation loss {trainer.run_epoch(batches, held_out, each):.4f})"
            if self.replicas.chief:
                save_state(path, trainer.state())
        return trainer.state().best

    def _targets(self, windows: Windows, scaling: Scaling) -> F32:
        features = (windows.labels.features[windows.rows] - scaling.feature_mean) / scaling.feature_sd
        parts = [scaling.to_student(windows.logits()), windows.hard[windows.rows], features]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _batches(self, scaling: Scaling, seed: list[int]) -> Iterator[Parts]:
        """Yield the batches of an epoch; every worker draws the same batches and makes its own rows of them."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.train))
        size = self._batch()
        shares = {replica: self.replicas.rows(size, replica) for replica in self.replicas.local()}
        for i in range(0, len(order) - size + 1, size):
            part = self.train.take(order[i : i + size])
            x, y = self._disturbed(part, rng, list(shares.values())), self._targets(part, scaling)
            yield {replica: (as_float(x[rows]), y[rows]) for replica, rows in shares.items()}

    def _disturbed(self, part: Windows, rng: np.random.Generator, mine: Sequence[slice]) -> I8:
        """Return the inputs of a batch. Random numbers are drawn for all rows, but only own rows are disturbed."""
        x = part.inputs().copy()
        for k in np.flatnonzero(rng.random(len(part)) < self.plan.disturbed):
            given = drawn(rng, CONTEXT_SAMPLES)
            if any(rows.start <= k < rows.stop for rows in mine):
                row = int(part.rows[k])
                raw = disturb(part.labels.context(row), float(part.sd[row]), given, self.plan.wearable)
                x[k, 0, :, 0] = window_input_int8(student_stream(raw))
        return x


def _show(bar: Progress, before: int, note: str, done: int) -> None:
    bar.step(before + done, note)
