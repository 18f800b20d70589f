"""Distil a teacher into a student's bundle: label, train, quantize, calibrate, judge, write.

Every stage keeps its result in the work folder, so an interrupted run resumes when it is started again. The same inputs
give the same bytes of the model file on the same machine type and library versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle.writer import BundleContents, check_place, to_json, write_bundle
from convert.compute.order import check_alike, chief_first, farewell, together
from convert.compute.replicas import Replicas
from convert.compute.students import preset
from convert.datasets.described import RecordingOptions
from convert.datasets.pairs import Recording, find_recordings
from convert.distil.assemble import MAX_JUDGED, VERSION, Assembly, Compared, check_fits
from convert.distil.records import Report
from convert.distil.train import Distillation, DistilPlan, windows_of_labels
from convert.labels.travelling_plan import chosen_plan
from convert.micro.in_bundle import with_micro
from convert.simulate.recordings import varied_recordings
from convert.teacher.hard_labels import check_some_label, hard_labels
from convert.teacher.open import CheckpointOptions, Teacher, open_teacher
from convert.teacher.patients import tokens
from convert.teacher.place import Provenance, kept_files, provenance_of
from convert.teacher.soft_labels import Crew, Labels, WindowPlan, label
from convert.teacher.split import SeenPatients, parts_of, seen_patients
from firmware_bridge.errors import InputError, UsageError

SHARES = {"test": 0.12, "calibration": 0.12, "validation": 0.06}
"""Shares of the patients, at least one patient in each part; the rest is for training."""

MIN_PATIENTS = 4

VARIED_SECONDS = 20.0
"""Length of each simulated ECG of varied shape, seconds."""


@dataclass(frozen=True, slots=True)
class DistilConfig:
    """Options of a distillation.

    Attributes:
        teacher: A checkpoint, a folder of ``anyecg finetune`` or a foundation bundle.
        data: Folders of recordings. Recordings and patients of the second and further folders get the folder's name as
            a prefix.
        checkpoint: Facts that a checkpoint may lack.
        labels: Folder of laboratory results; ``None`` for none.
        compare: Folder of further recordings on which student and teacher are compared, at most sixteen windows of
            each with a hop of 5 s; ``None`` for none.
        preset: Preset of the student.
        name: Name of the bundle; ``None`` to combine the names of teacher and preset.
        options: Options about recordings that do not state their rate, scale or lead.
        windows: Choice of the labelled windows.
        plan: Options of the training.
        varied: Number of simulated ECGs of varied shapes, on which the student only imitates its teacher.
        scheduler: Workers that label, as :class:`convert.teacher.soft_labels.Crew` takes it.
        label_plan: File with the rule that makes labels from results; ``None`` for the teacher's, or the default.
        version: Version of the bundle.
    """

    teacher: Path
    data: Path | tuple[Path, ...]
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    labels: Path | None = None
    compare: Path | None = None
    preset: str = "micro"
    name: str | None = None
    options: RecordingOptions = field(default_factory=RecordingOptions)
    windows: WindowPlan = field(default_factory=WindowPlan)
    plan: DistilPlan = field(default_factory=DistilPlan)
    varied: int = 0
    scheduler: str | None = None
    label_plan: Path | None = None
    version: str = VERSION


@dataclass(frozen=True, slots=True)
class Material:
    """Data of a distillation.

    Attributes:
        recordings: All recordings.
        hard: Function that returns the hard labels of labelled windows, ``(windows, heads)``; ``None`` for none.
        part: Part of the split by patient; ``None`` for a random split.
        data: Description of the patients in the evidence.
        judged: Maximum number of windows of a part that are judged.
        seen: Patients of the recordings that the teacher has seen.
        kept: Files of the teacher that the bundle keeps, by name.
        seen_hashes: Hashes of all patients that the teacher has seen, by part, for the patient list of the bundle.
    """

    recordings: Sequence[Recording]
    hard: Callable[[Labels], NDArray[np.float32]] | None = None
    part: Mapping[str, str] | None = None
    data: str = "held-out patients of the distillation's data"
    judged: int = MAX_JUDGED
    seen: SeenPatients = field(default_factory=SeenPatients)
    kept: Mapping[str, bytes] = field(default_factory=dict)
    seen_hashes: Mapping[str, frozenset[bytes]] = field(default_factory=dict)


def convert_micro(
    out: Path, workdir: Path, config: DistilConfig, progress: TextIO | None, replicas: Replicas | None = None
) -> Report | None:
    """Distil a teacher into a student's bundle.

    Args:
        out: Folder of the bundle.
        workdir: Folder of the intermediate files; a second call with the same configuration resumes there.
        config: Options of the distillation.
        progress: Stream for progress lines, or ``None``.
        replicas: Workers that train; ``None`` for this process alone.

    Returns:
        The validation report; ``None`` on a worker that is not the chief. Only the chief writes the bundle.

    Raises:
        UsageError: The configuration is invalid, the work folder belongs to another configuration, or the workers
            have different configurations.
        InputError: Teacher, recordings or labels cannot be used.
        BundleError: The teacher's bundle is damaged.
        CheckFailedError: The student exceeds the limits of its preset, or two interpreters disagree.
        OutputError: A file cannot be written.
        LinkError: The cluster does not answer or lost a shard too often, or another worker has stopped.
    """
    check_place(out)
    stream = None if replicas is not None and not replicas.chief else progress
    with together(replicas):
        teacher = chief_first(replicas, 1, lambda: open_teacher(config.teacher, config.checkpoint, workdir))
        return distil(out, workdir, teacher, config, stream, provenance_of(config.teacher), replicas)


def distil(
    out: Path,
    workdir: Path,
    teacher: Teacher,
    config: DistilConfig,
    progress: TextIO | None,
    provenance: Provenance | None = None,
    replicas: Replicas | None = None,
) -> Report | None:
    """Distil an open teacher, any :class:`convert.teacher.open.Teacher`; see :func:`convert_micro`."""
    check_place(out)
    check_fits(preset(config.preset), len(teacher.heads))
    recordings = recordings_of(config)
    provenance = provenance or Provenance()
    chosen = chosen_plan(config.label_plan, provenance.plan, "teacher")
    hard = None
    if config.labels is not None:
        check_some_label(config.labels, teacher.heads, recordings, chosen.plan)
        hard = partial(hard_labels, config.labels, teacher.heads, recordings, plan=chosen.plan)
    material = Material(
        recordings,
        hard,
        seen=seen_patients(recordings, provenance.patients),
        kept=kept_files(chosen, {}),
        seen_hashes=provenance.patients,
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
) -> tuple[BundleContents, Report]:
    """Distil a teacher, and return the contents of the bundle and the validation report without writing them.

    Args:
        workdir: Folder of the intermediate files.
        teacher: The open teacher.
        material: Data of the distillation.
        config: Other options; its paths of teacher, data and labels are ignored.
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
    """Train the student, and return everything that its bundle needs."""
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
        rows = split_patients(recordings, labels, config.plan.seed, material.seen)
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
        spec, teacher, recordings, parts, trained, config.plan, config.windows, config.name, config.version,
        other, material.data, material.judged, seen_hashes=material.seen_hashes,
    )  # fmt: skip


def _built(assembly: Assembly, material: Material) -> tuple[BundleContents, Report]:
    contents, report = assembly.build()
    return replace(contents, extra={**contents.extra, **material.kept}), report


def recordings_of(config: DistilConfig) -> list[Recording]:
    """Return the recordings of a configuration; patients of different folders count as different patients."""
    first, *more = (config.data,) if isinstance(config.data, Path) else config.data
    found = find_recordings(first, config.options)
    for number, folder in enumerate(more, 2):
        prefix = f"{number}-{folder.name}"
        further = find_recordings(folder, config.options)
        found += [
            replace(r, name=f"{prefix}/{r.name}", patient=f"{prefix}/{r.patient}", visit=None, identity=token)
            for r, token in zip(further, tokens(further), strict=True)
        ]
    return found + varied_recordings(config.plan.seed, config.varied, VARIED_SECONDS)


def _compared(
    workdir: Path, teacher: Teacher, config: DistilConfig, progress: TextIO | None, crew: Crew
) -> Compared | None:
    if config.compare is None:
        return None
    recordings = find_recordings(config.compare, config.options)
    labels = label(workdir / "compare", recordings, teacher, WindowPlan(), progress, crew)
    unknown = np.full((len(labels), len(teacher.heads)), np.nan, np.float32)
    return Compared(recordings, windows_of_labels(labels, unknown))


def _key(config: DistilConfig, workdir: Path, hard: NDArray[np.float32]) -> str:
    """Return a hash of everything else that a training state depends on, for the name of its file."""
    plan = {k: v for k, v in asdict(config.plan).items() if not k.endswith("_epochs")}
    digest = hashlib.sha256(to_json(plan) + (workdir / "labels.json").read_bytes() + hard.tobytes())
    return digest.hexdigest()[:12]


def split_patients(
    recordings: Sequence[Recording], labels: Labels, seed: int, seen: SeenPatients | None = None
) -> dict[str, NDArray[np.int64]]:
    """Return the windows of ``train``, ``validation``, ``calibration`` and ``test``, split by patient.

    Args:
        recordings: Recordings of the data set.
        labels: Labelled windows.
        seed: Seed of the random split.
        seen: Patients that the teacher has seen; they do not judge, see :mod:`convert.teacher.split`.

    Raises:
        InputError: There are too few patients, or the teacher has seen too many of them.
    """
    patient = np.array([recordings[i].patient for i in labels.recording])
    judging = np.array([not recordings[i].training_only for i in labels.recording])
    known = np.unique(patient[judging])
    if len(known) < MIN_PATIENTS:
        raise InputError(
            f"only {len(known)} patients have usable windows", f"at least {MIN_PATIENTS} are needed, one for each part"
        )
    parts = parts_of(known, seen or SeenPatients(), SHARES, seed)
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
    """Check the options of a training.

    Raises:
        UsageError: An option is out of range.
    """
    if varied < 0:
        raise UsageError(f"--varied is {varied}", "give 0 or more")
    if plan.float_epochs < 1 or plan.quant_epochs < 1 or plan.seed < 0 or not 0.0 <= plan.disturbed <= 1.0:
        raise UsageError("--float-epochs and --quant-epochs must be 1 or more, --seed 0 or more, --disturbed 0 to 1")
