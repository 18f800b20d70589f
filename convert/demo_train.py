"""The demonstration's training: float, a rival run, quantization-aware; each resumable on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.demo_data import Cohort
from convert.demo_heads import Head, targets
from convert.progress import Progress
from convert.quantize import Weights, fold, initial_ranges, initial_weights
from convert.students import StudentSpec
from convert.training import PHASE_NUMBER, Batch, Phase, State, Trainer, load_state, save_state, start
from convert.windows import Augmentation, as_float, fixed_windows, random_windows

BATCH = 96
FLOAT_RATE = 4e-3
QUANT_RATE = 4e-4
"""Peak learning rates; the second only has to settle the weights on their grid."""

RANGE_WINDOWS = 512
"""Training windows from which the first activation ranges are read."""

VALIDATION_WINDOWS = 3
RIVAL_SEED = 1_000_000
"""Added to the seed for the second run, which shares nothing with the first but the patients."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What the training leaves.

    Attributes:
        folded: The float student, normalisation folded.
        rival: A second float student, trained from other chance, to tell how far two runs disagree.
        quantized: The quantization-aware student with its ranges.
        look: Training windows for ranges, ``(n, 1, 1250, 1)`` z-scores.
    """

    folded: Weights
    rival: Weights
    quantized: Weights
    look: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Trainee:
    """A student, its heads, its patients and where its states are kept.

    Attributes:
        spec: The student.
        heads: Its outputs.
        train: Training patients.
        validation: Patients that choose the epoch.
        workdir: Folder of the states.
        seed: Seed of everything.
        progress: Stream for progress lines, or ``None``.
    """

    spec: StudentSpec
    heads: tuple[Head, ...]
    train: Cohort
    validation: Cohort
    workdir: Path
    seed: int
    progress: TextIO | None


def train_student(trainee: Trainee, float_epochs: int, quant_epochs: int) -> Trained:
    """Train, or go on training, or read what is already trained.

    Args:
        trainee: What to train, and on whom.
        float_epochs: Passes in float.
        quant_epochs: Passes of quantization-aware training.
    """
    spec, n = trainee.spec, len(trainee.heads)
    steps = max(1, len(trainee.train.streams) // BATCH)
    phase = Phase("float", float_epochs, steps, rate=FLOAT_RATE)
    folded = []
    for name, seed in (("float", trainee.seed), ("rival", trainee.seed + RIVAL_SEED)):
        best = _run(trainee, name, start(initial_weights(spec, n, seed)), phase, seed)
        folded.append(fold(spec, n, best))
    look = _look(trainee)
    ranged = initial_ranges(spec, n, folded[0], look)
    phase = Phase("quant", quant_epochs, steps, rate=QUANT_RATE)
    quantized = _run(trainee, f"quant-{float_epochs}", start(ranged), phase, trainee.seed)
    return Trained(folded[0], folded[1], quantized, look)


def _run(trainee: Trainee, name: str, first: State, phase: Phase, seed: int) -> Weights:
    path = trainee.workdir / f"{trainee.spec.name}-{name}-{phase.epochs}.npz"
    state = load_state(path) if path.is_file() else first
    if state.epoch >= phase.epochs:
        return state.best
    trainer = Trainer(trainee.spec, [h.kind == "value" for h in trainee.heads], phase, state, seed)
    validation = _validation(trainee)
    total, begun = phase.epochs * phase.steps_per_epoch, state.epoch * phase.steps_per_epoch
    bar = Progress(f"training ({name})", total, f"batches of {BATCH}", trainee.progress, begun)
    y = targets(trainee.heads, trainee.train.labs)
    note = ""
    while trainer.epoch < phase.epochs:
        batches = _batches(trainee.train.streams, y, [seed, PHASE_NUMBER[phase.kind], trainer.epoch])
        each: Callable[[int], None] = partial(_show, bar, trainer.epoch * phase.steps_per_epoch, note)
        loss = trainer.run_epoch(batches, validation, each)
        note = f"(validation loss {loss:.4f})"
        save_state(path, trainer.state())
    return trainer.state().best


def _show(bar: Progress, before: int, note: str, done: int) -> None:
    bar.step(before + done, note)


def _batches(streams: NDArray[np.float32], y: NDArray[np.float32], seed: list[int]) -> Iterator[Batch]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(streams))
    size = min(BATCH, len(order))
    for i in range(0, len(order) - size + 1, size):
        rows = order[i : i + size]
        yield as_float(random_windows(streams[rows], rng, Augmentation())), y[rows]


def _validation(trainee: Trainee) -> Batch:
    cohort: Mapping[str, NDArray[np.float64]] = trainee.validation.labs
    x = np.concatenate([fixed_windows(stream, VALIDATION_WINDOWS) for stream in trainee.validation.streams])
    return as_float(x), np.repeat(targets(trainee.heads, cohort), VALIDATION_WINDOWS, axis=0)


def _look(trainee: Trainee) -> NDArray[np.float32]:
    rng = np.random.default_rng([trainee.seed, 4])
    rows = rng.permutation(len(trainee.train.streams))[:RANGE_WINDOWS]
    return as_float(random_windows(trainee.train.streams[rows], rng, None))
