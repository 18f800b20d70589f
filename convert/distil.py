"""From a teacher and recordings to a student's bundle: label, train, quantize, calibrate, judge, write.

Every stage leaves its result in the work folder and is skipped when it is there, so a run can be killed at any time and
given again. The same inputs, machine type and library versions give the same model file, to the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle_writer import (
    check_place,
    to_json,
    write_bundle,
)
from convert.distil_assemble import Assembly, Compared, check_fits
from convert.distil_heads import TeacherHead
from convert.distil_labels import hard_labels
from convert.distil_records import Recording, find_recordings
from convert.distil_teacher import CheckpointOptions, Teacher, open_teacher
from convert.distil_train import Distillation, DistilPlan, windows_of_labels
from convert.micro import with_micro
from convert.students import preset
from convert.teacher_labels import LabelPlan, Labels, label
from firmware_bridge.errors import InputError, UsageError

VERSION = "0.1.0"

SHARES = {"test": 0.12, "calibration": 0.12, "validation": 0.06}
"""Shares of the patients; the rest trains. Each part gets at least one."""

MIN_PATIENTS = 4


@dataclass(frozen=True, slots=True)
class DistilConfig:
    """One distillation.

    Attributes:
        teacher: A checkpoint or a foundation bundle.
        data: Folder of recordings.
        checkpoint: What a checkpoint does not say of itself.
        labels: Folder of laboratory results; ``None`` for none.
        compare: Other recordings on which student and teacher are compared; ``None`` for none.
        preset: Size of the student.
        name: Of the bundle; ``None`` for one made of teacher and preset.
        fs_hz: Rate of CSV and MATLAB recordings that do not say it.
        windows: Which windows are labelled.
        plan: How the student is trained.
    """

    teacher: Path
    data: Path
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    labels: Path | None = None
    compare: Path | None = None
    preset: str = "micro"
    name: str | None = None
    fs_hz: float | None = None
    windows: LabelPlan = field(default_factory=LabelPlan)
    plan: DistilPlan = field(default_factory=DistilPlan)


def convert_micro(out: Path, workdir: Path, config: DistilConfig, progress: TextIO | None) -> dict[str, Any]:
    """Distils a teacher into a student's bundle.

    Args:
        out: Folder of the bundle.
        workdir: Folder of the intermediate files; a second call with the same configuration goes on there.
        config: What to do.
        progress: Stream for progress lines, or ``None``.

    Returns:
        The validation report.

    Raises:
        UsageError: The configuration makes no sense, or the work folder belongs to another.
        InputError: Teacher, recordings or labels cannot be used.
        BundleError: The teacher's bundle is not what it says.
        CheckFailedError: The student breaks its preset's limits, or two interpreters disagree.
        OutputError: Something cannot be written.
    """
    check_place(out)
    teacher = open_teacher(config.teacher, config.checkpoint, workdir)
    return distil(out, workdir, teacher, config, progress)


def distil(out: Path, workdir: Path, teacher: Teacher, config: DistilConfig, progress: TextIO | None) -> dict[str, Any]:
    """As :func:`convert_micro`, with a teacher that is open: any :class:`convert.distil_teacher.Teacher`."""
    check_place(out)
    spec = preset(config.preset)
    check_fits(spec, len(teacher.heads))
    recordings = find_recordings(config.data, config.fs_hz)
    labels = label(workdir, recordings, teacher, config.windows, progress)
    other = _compared(workdir, teacher, config, progress)
    hard = _hard(config, teacher.heads, recordings, labels)
    rows = split_patients(recordings, labels, config.plan.seed)
    windows = windows_of_labels(labels, hard)
    key = _key(config, workdir, hard)
    parts = {name: windows.take(r) for name, r in rows.items()}
    distillation = Distillation(
        spec, teacher.heads, parts["train"], parts["validation"], workdir, config.plan, progress, key
    )
    trained = distillation.run()
    assembly = Assembly(spec, teacher, recordings, parts, trained, config.plan, config.windows, config.name, other)
    contents, report = assembly.build()
    write_bundle(out, with_micro(contents))
    return report


def _hard(
    config: DistilConfig, heads: Sequence[TeacherHead], recordings: Sequence[Recording], labels: Labels
) -> NDArray[np.float32]:
    if config.labels is None:
        return np.full((len(labels), len(heads)), np.nan, np.float32)
    return hard_labels(config.labels, heads, recordings, labels)


def _compared(workdir: Path, teacher: Teacher, config: DistilConfig, progress: TextIO | None) -> Compared | None:
    if config.compare is None:
        return None
    recordings = find_recordings(config.compare, config.fs_hz)
    labels = label(workdir / "compare", recordings, teacher, config.windows, progress)
    unknown = np.full((len(labels), len(teacher.heads)), np.nan, np.float32)
    return Compared(recordings, windows_of_labels(labels, unknown))


def _key(config: DistilConfig, workdir: Path, hard: NDArray[np.float32]) -> str:
    """What a training state depends on beside its file's name."""
    plan = {k: v for k, v in asdict(config.plan).items() if not k.endswith("_epochs")}
    digest = hashlib.sha256(to_json(plan) + (workdir / "labels.json").read_bytes() + hard.tobytes())
    return digest.hexdigest()[:12]


def split_patients(recordings: Sequence[Recording], labels: Labels, seed: int) -> dict[str, NDArray[np.int64]]:
    """Windows of ``train``, ``validation``, ``calibration`` and ``test``; no patient is in two of them.

    Raises:
        InputError: There are too few patients.
    """
    patient = np.array([recordings[i].patient for i in labels.recording])
    known = np.unique(patient)
    if len(known) < MIN_PATIENTS:
        raise InputError(
            f"usable windows of {len(known)} patients only", f"at least {MIN_PATIENTS}: train, choose, calibrate, test"
        )
    order = np.random.default_rng([seed, 3]).permutation(len(known))
    found: dict[str, NDArray[np.int64]] = {}
    at = 0
    for name, share in SHARES.items():
        count = max(1, round(len(known) * share))
        found[name] = np.flatnonzero(np.isin(patient, known[order[at : at + count]]))
        at += count
    found["train"] = np.flatnonzero(np.isin(patient, known[order[at:]]))
    return found


def check_epochs(plan: DistilPlan) -> None:
    """Refuses plans without training.

    Raises:
        UsageError: An epoch count or the seed makes no sense.
    """
    if plan.float_epochs < 1 or plan.quant_epochs < 1 or plan.seed < 0 or not 0.0 <= plan.disturbed <= 1.0:
        raise UsageError("both trainings need an epoch or more, seeds are not negative, and shares are 0 to 1")
