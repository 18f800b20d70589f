"""From a teacher and recordings to a student's bundle: label, train, quantize, calibrate, judge, write.

Every stage leaves its result in the work folder and is skipped when it is there, so a run can be killed at any time and
given again. The same inputs, machine type and library versions give the same model file, to the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle.writer import BundleContents, check_place, to_json, write_bundle
from convert.compute.order import check_alike, chief_first, farewell, together
from convert.compute.replicas import Replicas
from convert.compute.students import preset
from convert.datasets.pairs import Recording, find_recordings
from convert.distil.assemble import MOST_JUDGED, Assembly, Compared, check_fits
from convert.distil.train import Distillation, DistilPlan, windows_of_labels
from convert.labels.travelling_plan import chosen_plan
from convert.micro.package import with_micro
from convert.simulate.recordings import varied_recordings
from convert.teacher.hard_labels import hard_labels
from convert.teacher.open import CheckpointOptions, Teacher, open_teacher
from convert.teacher.patients import tokens
from convert.teacher.place import Brought, brought_by, kept_files
from convert.teacher.soft_labels import Crew, LabelPlan, Labels, label
from convert.teacher.split import Met, met_among, parts_of
from firmware_bridge.errors import InputError, UsageError

SHARES = {"test": 0.12, "calibration": 0.12, "validation": 0.06}
"""Shares of the patients; the rest trains. Each part gets at least one."""

MIN_PATIENTS = 4

VARIED_SECONDS = 20.0
"""Length of each simulated ECG of any shape."""


@dataclass(frozen=True, slots=True)
class DistilConfig:
    """One distillation.

    Attributes:
        teacher: A checkpoint, a folder of ``anyecg finetune`` or a foundation bundle.
        data: Folders of recordings; the names of those after the first begin with their folder's.
        checkpoint: What a checkpoint does not say of itself.
        labels: Folder of laboratory results; ``None`` for none.
        compare: Other recordings on which student and teacher are compared, a window every five seconds and sixteen of
            each at most; ``None`` for none.
        preset: Size of the student.
        name: Of the bundle; ``None`` for one made of teacher and preset.
        fs_hz: Rate of CSV and MATLAB recordings that do not say it.
        windows: Which windows are labelled.
        plan: How the student is trained.
        varied: Simulated ECGs of every shape that are added to the training, on which the student only imitates.
        scheduler: Who labels, as :class:`convert.teacher.soft_labels.Crew` takes it.
        label_plan: File that says how labels are made of results; ``None`` for the teacher's own, or the kit's.
    """

    teacher: Path
    data: Path | tuple[Path, ...]
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    labels: Path | None = None
    compare: Path | None = None
    preset: str = "micro"
    name: str | None = None
    fs_hz: float | None = None
    windows: LabelPlan = field(default_factory=LabelPlan)
    plan: DistilPlan = field(default_factory=DistilPlan)
    varied: int = 0
    scheduler: str | None = None
    label_plan: Path | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """What a distillation works on.

    Attributes:
        recordings: All of them.
        hard: What the laboratory found in each labelled window, ``(windows, heads)``; ``None`` for nothing.
        part: Part of the split that a patient belongs to; ``None`` draws it.
        data: What these patients are, for the evidence.
        judged: Windows of a part that are judged at most.
        met: Patients whom the teacher has met.
        kept: Files that the bundle keeps of what the teacher brought.
        met_hashes: The same patients and others whom it has met, for the bundle's list.
    """

    recordings: Sequence[Recording]
    hard: Callable[[Labels], NDArray[np.float32]] | None = None
    part: Mapping[str, str] | None = None
    data: str = "held-out patients of the distillation's data"
    judged: int = MOST_JUDGED
    met: Met = field(default_factory=Met)
    kept: Mapping[str, bytes] = field(default_factory=dict)
    met_hashes: Mapping[str, frozenset[bytes]] = field(default_factory=dict)


def convert_micro(
    out: Path, workdir: Path, config: DistilConfig, progress: TextIO | None, replicas: Replicas | None = None
) -> dict[str, Any] | None:
    """Distils a teacher into a student's bundle.

    Args:
        out: Folder of the bundle.
        workdir: Folder of the intermediate files; a second call with the same configuration goes on there.
        config: What to do.
        progress: Stream for progress lines, or ``None``.
        replicas: Who trains; ``None`` for this process alone.

    Returns:
        The validation report; ``None`` where another worker is the chief, who alone writes.

    Raises:
        UsageError: The configuration makes no sense, the work folder belongs to another, or the workers have different
            ones.
        InputError: Teacher, recordings or labels cannot be used.
        BundleError: The teacher's bundle is not what it says.
        CheckFailedError: The student breaks its preset's limits, or two interpreters disagree.
        OutputError: Something cannot be written.
        LinkError: A cluster cannot be reached or lost a shard too often; or another worker is gone.
    """
    check_place(out)
    shown = None if replicas is not None and not replicas.chief else progress
    with together(replicas):
        teacher = chief_first(replicas, 1, lambda: open_teacher(config.teacher, config.checkpoint, workdir))
        return distil(out, workdir, teacher, config, shown, brought_by(config.teacher), replicas)


def distil(
    out: Path,
    workdir: Path,
    teacher: Teacher,
    config: DistilConfig,
    progress: TextIO | None,
    brought: Brought | None = None,
    replicas: Replicas | None = None,
) -> dict[str, Any] | None:
    """As :func:`convert_micro`, with a teacher that is open: any :class:`convert.teacher.open.Teacher`."""
    check_place(out)
    check_fits(preset(config.preset), len(teacher.heads))
    recordings = recordings_of(config)
    brought = brought or Brought()
    chosen = chosen_plan(config.label_plan, brought.plan, "teacher")
    hard = None
    if config.labels is not None:
        hard = partial(hard_labels, config.labels, teacher.heads, recordings, plan=chosen.plan)
    material = Material(
        recordings,
        hard,
        met=met_among(recordings, brought.patients),
        kept=kept_files(chosen, {}),
        met_hashes=brought.patients,
    )
    assembly = _student(workdir, teacher, material, config, progress, replicas)
    report = None
    if replicas is None or replicas.chief:
        contents, report = _built(assembly, material)
        write_bundle(out, with_micro(contents))
    farewell(replicas, 3)
    return report


def distilled(
    workdir: Path, teacher: Teacher, material: Material, config: DistilConfig, progress: TextIO | None
) -> tuple[BundleContents, dict[str, Any]]:
    """The bundle of a student, not yet written, and its validation report.

    Args:
        workdir: Folder of the intermediate files.
        teacher: That is open.
        material: What to work on; of the configuration the places of teacher, data and labels are not read.
        config: What else to do.
        progress: Stream for progress lines, or ``None``.

    Raises:
        As :func:`convert_micro`.
    """
    return _built(_student(workdir, teacher, material, config, progress, None), material)


def _student(
    workdir: Path,
    teacher: Teacher,
    material: Material,
    config: DistilConfig,
    progress: TextIO | None,
    replicas: Replicas | None,
) -> Assembly:
    """The trained student, and what it takes to make a bundle of it."""
    recordings, spec = material.recordings, preset(config.preset)
    crew = Crew(config.scheduler, workdir)
    labels, other = chief_first(
        replicas,
        2,
        lambda: (
            label(workdir, recordings, teacher, config.windows, progress, crew),
            _compared(workdir, teacher, config, progress, crew),
        ),
    )
    hard = np.full((len(labels), len(teacher.heads)), np.nan, np.float32)
    if material.hard is not None:
        hard = material.hard(labels)
    if material.part is None:
        rows = split_patients(recordings, labels, config.plan.seed, material.met)
    else:
        rows = _rows_of(material.part, recordings, labels)
    windows = windows_of_labels(labels, hard)
    key = _key(config, workdir, hard)
    check_alike(replicas, f"{key} {spec.name} {config.plan}")
    parts = {name: windows.take(r) for name, r in rows.items()}
    distillation = Distillation(
        spec, teacher.heads, parts["train"], parts["validation"], workdir, config.plan, progress, key,
        replicas or Replicas(),
    )  # fmt: skip
    trained = distillation.run()
    return Assembly(
        spec, teacher, recordings, parts, trained, config.plan, config.windows, config.name, other, material.data,
        material.judged, met_hashes=material.met_hashes,
    )  # fmt: skip


def _built(assembly: Assembly, material: Material) -> tuple[BundleContents, dict[str, Any]]:
    contents, report = assembly.build()
    return replace(contents, extra={**contents.extra, **material.kept}), report


def recordings_of(config: DistilConfig) -> list[Recording]:
    """All recordings of a configuration; patients of the second and further folders are nobody in the first."""
    first, *more = (config.data,) if isinstance(config.data, Path) else config.data
    found = find_recordings(first, config.fs_hz)
    for number, folder in enumerate(more, 2):
        prefix = f"{number}-{folder.name}"
        theirs = find_recordings(folder, config.fs_hz)
        found += [
            replace(r, name=f"{prefix}/{r.name}", patient=f"{prefix}/{r.patient}", visit=None, identity=token)
            for r, token in zip(theirs, tokens(theirs), strict=True)
        ]
    return found + varied_recordings(config.plan.seed, config.varied, VARIED_SECONDS)


def _compared(
    workdir: Path, teacher: Teacher, config: DistilConfig, progress: TextIO | None, crew: Crew
) -> Compared | None:
    if config.compare is None:
        return None
    recordings = find_recordings(config.compare, config.fs_hz)
    labels = label(workdir / "compare", recordings, teacher, LabelPlan(), progress, crew)
    unknown = np.full((len(labels), len(teacher.heads)), np.nan, np.float32)
    return Compared(recordings, windows_of_labels(labels, unknown))


def _key(config: DistilConfig, workdir: Path, hard: NDArray[np.float32]) -> str:
    """What a training state depends on beside its file's name."""
    plan = {k: v for k, v in asdict(config.plan).items() if not k.endswith("_epochs")}
    digest = hashlib.sha256(to_json(plan) + (workdir / "labels.json").read_bytes() + hard.tobytes())
    return digest.hexdigest()[:12]


def split_patients(
    recordings: Sequence[Recording], labels: Labels, seed: int, met: Met | None = None
) -> dict[str, NDArray[np.int64]]:
    """Windows of ``train``, ``validation``, ``calibration`` and ``test``; no patient is in two of them.

    Args:
        recordings: The data.
        labels: The labelled windows.
        seed: Of the draw.
        met: Whom the teacher has met: they judge nothing, see :mod:`convert.teacher.split`.

    Raises:
        InputError: There are too few patients, or too few who are new to the teacher.
    """
    patient = np.array([recordings[i].patient for i in labels.recording])
    judging = np.array([not recordings[i].training_only for i in labels.recording])
    known = np.unique(patient[judging])
    if len(known) < MIN_PATIENTS:
        raise InputError(
            f"usable windows of {len(known)} patients only", f"at least {MIN_PATIENTS}: train, choose, calibrate, test"
        )
    parts = parts_of(known, met or Met(), SHARES, seed)
    found = {name: np.flatnonzero(np.isin(patient, some)) for name, some in parts.items()}
    elsewhere = np.isin(patient, np.concatenate(list(parts.values())))
    found["train"] = np.flatnonzero(~elsewhere | ~judging)
    return found


def _rows_of(part: Mapping[str, str], recordings: Sequence[Recording], labels: Labels) -> dict[str, NDArray[np.int64]]:
    of = np.array([part.get(recordings[i].patient, "train") for i in labels.recording])
    found = {name: np.flatnonzero(of == name) for name in ("train", *SHARES)}
    empty = [name for name, rows in found.items() if not len(rows)]
    if empty:
        raise InputError(f"no usable window in the part {empty[0]}", "simulate more patients")
    return found


def check_plan(plan: DistilPlan, varied: int) -> None:
    """Refuses plans without training.

    Raises:
        UsageError: An epoch count, the seed or a number makes no sense.
    """
    if varied < 0:
        raise UsageError(f"{varied} varied ECGs", "give 0 or more")
    if plan.float_epochs < 1 or plan.quant_epochs < 1 or plan.seed < 0 or not 0.0 <= plan.disturbed <= 1.0:
        raise UsageError("both trainings need an epoch or more, seeds are not negative, and shares are 0 to 1")
