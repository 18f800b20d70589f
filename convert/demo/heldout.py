"""Held-out patients, on which a teacher and the bundles made from it are judged.

They are the first of the cohort's test part: neither training nor the choice of the epoch used them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.training import save_arrays
from convert.demo.data import STEP, WINDOWS, DataConfig, TeacherData, split, teacher_data
from convert.demo.heads import Head, limit_of
from convert.stats.discrimination import Ranking, ranking
from convert.stats.resampling import Resampler
from edge.frontend.ecgfounder import WINDOW_SAMPLES
from firmware_bridge.errors import InputError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FILE = "heldout.npz"
HELD_OUT = 1000
"""Largest number of patients."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Windows and laboratory results of the patients.

    Attributes:
        windows: Output of the front end ``ecgfounder/1``, ``(patients, WINDOWS, 5000)`` int16, in steps of
            :data:`convert.demo.data.STEP`. The noise of a wearable was added to every second window.
        labels: 0 or 1 for a probability, the laboratory value for a value, ``(patients, heads)`` float32.
        patients: Numbers of the patients in the cohort, ``(patients,)``.
        keys: Keys of the heads.
        kinds: Kinds of the heads, ``probability`` or ``value``.
    """

    windows: NDArray[np.int16]
    labels: F32
    patients: NDArray[np.int64]
    keys: tuple[str, ...]
    kinds: tuple[str, ...]

    def first(self, count: int | None) -> HeldOut:
        """Return the first patients; all of them if ``count`` is ``None``."""
        part = slice(count)
        return replace(self, windows=self.windows[part], labels=self.labels[part], patients=self.patients[part])

    def scores(self, model: Callable[[F32], F32], each: Callable[[int], None] | None = None) -> F64:
        """Return the mean output over the windows of each patient, ``(patients, heads)``.

        Args:
            model: Function from one window of z-scores, ``(5000,)``, to the outputs, ``(heads,)``.
            each: Function called after each patient with the number of patients done.
        """
        out = np.empty(self.labels.shape)
        for i, windows in enumerate(self.windows):
            out[i] = np.mean([model(window.astype(np.float32) * np.float32(STEP)) for window in windows], axis=0)
            if each is not None:
                each(i + 1)
        return out

    def rankings(self, scores: F64, seed: int = 0) -> dict[str, Ranking]:
        """Return how well the outputs for probabilities rank the patients, by head, with the same replicates for all.

        Args:
            scores: Result of :meth:`scores`.
            seed: Seed of the bootstrap over patients.
        """
        resampler = Resampler(self.patients, seed)
        judged = [j for j, kind in enumerate(self.kinds) if kind == "probability"]
        return {self.keys[j]: ranking(scores[:, j], self.labels[:, j] > 0.5, resampler) for j in judged}


def held_out(workdir: Path, config: DataConfig, heads: Sequence[Head], progress: TextIO | None) -> HeldOut:
    """Simulate the patients, or read them from the work folder.

    Args:
        workdir: Folder of the shards, claimed by this configuration.
        config: Options of the cohort.
        heads: Outputs of the teacher.
        progress: Stream for the progress line, or ``None``.

    Raises:
        InputError: A shard is damaged.
        OutputError: A shard cannot be written.
    """
    patients = split(config.patients, config.seed)["test"][:HELD_OUT]
    data: TeacherData = teacher_data(workdir, config, patients, progress)
    labels = np.stack([_labels(head, data.labs) for head in heads], axis=1)
    keys, kinds = tuple(h.key for h in heads), tuple(str(h.kind) for h in heads)
    return HeldOut(data.windows, labels.astype(np.float32), patients, keys, kinds)


def _labels(head: Head, labs: Mapping[str, F64]) -> F64:
    return np.array([limit_of(head, float(value)) for value in labs[head.lab]])


def write_held_out(path: Path, held: HeldOut) -> None:
    """Write the patients as ``.npz``, atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    arrays = {"windows": held.windows, "labels": held.labels, "patients": held.patients, "step": np.float64(STEP)}
    save_arrays(path, {**arrays, "keys": np.array(held.keys), "kinds": np.array(held.kinds)})


def read_held_out(path: Path) -> HeldOut:
    """Read what :func:`write_held_out` wrote.

    Raises:
        InputError: The file is damaged or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            windows, labels, patients = data["windows"], data["labels"], data["patients"]
            keys, kinds, step = (data[name].tolist() for name in ("keys", "kinds", "step"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise InputError(f"{path} has no held-out patients", "give the file of 'train-demo --teacher-only'") from None
    shapes = windows.shape == (len(patients), WINDOWS, WINDOW_SAMPLES), labels.shape == (len(patients), len(keys))
    if not all(shapes) or windows.dtype != np.int16 or step != STEP or len(kinds) != len(keys):
        raise InputError(f"{path} has other held-out patients", "give the file of 'train-demo --teacher-only'")
    return HeldOut(windows, labels, patients, tuple(keys), tuple(kinds))


def macro(rankings: Mapping[str, Ranking]) -> tuple[float, F64]:
    """Return the mean AUROC over the heads that have one, and that of each replicate of the bootstrap.

    Args:
        rankings: Result of :meth:`HeldOut.rankings`.
    """
    known = [r for r in rankings.values() if r.auroc.value is not None]
    if not known:
        return float("nan"), np.full(1, np.nan)
    value = float(np.mean([r.auroc.value for r in known]))
    return value, np.mean([r.auroc_replicates for r in known], axis=0)
