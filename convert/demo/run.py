"""Make the demonstration bundle from scratch: simulated patients, a teacher, and a student distilled from it.

The stages are the teacher's training windows, the teacher (:mod:`convert.demo.teacher`), a checkpoint in the format of
ECGFounder's code, the teacher's labels of every window, the student, and the bundle. The work folder keeps the result
of each stage, so that an interrupted run resumes. The stages after the checkpoint are those of ``anyecg convert
micro``. The same arguments give the same bytes on the same machine type and library versions; another processor or
TensorFlow version may round differently.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from convert.bundle.writer import BundleContents, check_place, to_json, write_bundle
from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.writer import write_checkpoint
from convert.compute.progress import Progress
from convert.datasets.described import RecordingOptions
from convert.datasets.pairs import Recording
from convert.demo.card import model_card
from convert.demo.data import DataConfig, claim, probe, split, teacher_data
from convert.demo.heads import Head, demo_heads, limit_of
from convert.demo.heldout import FILE as HELD_OUT_FILE
from convert.demo.heldout import held_out, write_held_out
from convert.demo.imitated import ALL_LEADS, COPIES, Imitated, Imitation, find_imitated
from convert.demo.records import DemoReport
from convert.demo.teacher import SHAPES, train_teacher
from convert.distil.assemble import VERSION as FIRST_VERSION
from convert.distil.records import Report, StudentManifest
from convert.distil.report import report_markdown
from convert.distil.run import VARIED_SECONDS, DistilConfig, Material, distilled
from convert.distil.train import DistilPlan
from convert.micro.in_bundle import with_micro
from convert.micro.rules import KERNELS, check_targets, lint
from convert.simulate.patient import SIMULATOR_VERSION
from convert.simulate.real_forms import FormItems
from convert.simulate.recordings import SimulatedItems, simulated_patients, varied_recordings
from convert.simulate.wearable import Wearable
from convert.stats.discrimination import Ranking
from convert.teacher.open import CheckpointOptions, Teacher, open_checkpoint, open_teacher
from convert.teacher.place import CHECKPOINT, OUTPUTS
from convert.teacher.soft_labels import Labels, WindowPlan
from edge.bundle.words import output_words
from edge.process.files import write_atomically, write_files
from firmware_bridge.errors import UsageError

NAME = "anyecg-demo"
VERSION = "0.3.0"
"""Name and version of the bundle in the package."""
CREATED = "2026-11-29"
"""Date of the recipe, not of the run, so that a seed gives the same files on any day."""

IMITATED_SHA256 = "cb8d0891dea9ba381a29c6f5ba642cd7aceb3c11922174859f68c6213cbbebc5"
"""Hash of the recordings that the student of the bundle in the package imitates: the first 100 of LUDB 1.0.1."""

LABELLED = WindowPlan(hop_s=3.0, most=4)
"""Windows of a patient that the teacher labels. The score of a patient is their mean."""

STUDENT_SECONDS = 24.0
STUDENT_PATIENTS = {"train": 5000, "validation": 400, "calibration": 2600, "test": 3500}
"""Maximum length of each record in seconds, and maximum number of patients in each part, for the student. Simulating,
filtering and labelling take longer than the training. The teacher is trained on the whole training part."""

DISTURBED = 0.3
"""Share of training windows with added noise; simulated recordings already have some. Their polarity is kept, because
the teacher reads an inverted lead as a different ECG. Some varied ECGs are inverted before the teacher labels them."""

JUDGED = 1_000_000
"""Maximum number of judged windows, large enough for all of them: a calibration error needs many patients."""

DATA = "simulated, held-out patients"

FACTS: Mapping[str, str | int | float] = {"stride": 2, "use_bn": 1}
"""Facts of the teacher's network that a checkpoint cannot show."""


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """Options of one run.

    Attributes:
        patients: Number of simulated patients.
        seed: Seed of all random numbers.
        seconds: Length of each record, seconds.
        teacher: Shape of the teacher, a key of :data:`convert.demo.teacher.SHAPES`.
        teacher_epochs: Number of epochs of the teacher.
        varied: Number of ECGs of varied shapes on which the student imitates its teacher.
        preset: Preset of the student.
        float_epochs: Number of epochs of the student in float.
        quant_epochs: Number of epochs of quantization-aware training.
        imitate: Folders of real recordings without labels, on which the student imitates its teacher.
        imitate_leads: Their leads, see :class:`convert.demo.imitated.Imitation`.
        imitate_copies: Number of forms of each lead beside the recorded one.
        imitate_source: Source and licence of the recordings, for the model card.
    """

    patients: int = 20000
    seed: int = 1
    seconds: float = 36.0
    teacher: str = "clef-small"
    teacher_epochs: int = 6
    varied: int = 20000
    preset: str = "micro"
    float_epochs: int = 30
    quant_epochs: int = 3
    imitate: tuple[Path, ...] = ()
    imitate_leads: str = ALL_LEADS
    imitate_copies: int = COPIES
    imitate_source: str = ""

    def command(self) -> str:
        """Return the command that makes this bundle. Folders are named without their place, which others lack."""
        given = [f"--patients {self.patients}", f"--seed {self.seed}"]
        default = DemoConfig()
        for field in fields(self)[2:]:
            value, flag = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if value == getattr(default, field.name):
                continue
            if isinstance(value, tuple):
                given += [f"{flag} {shlex.quote(folder.resolve().name)}" for folder in value]
            else:
                given.append(f"{flag} {shlex.quote(value) if isinstance(value, str) else format(value, 'g')}")
        return f"anyecg train-demo --out DIR {' '.join(given)}"

    def imitated(self) -> Imitated:
        """Find the real recordings.

        Raises:
            InputError: A folder cannot be used.
            UsageError: An option is invalid.
        """
        given = Imitation(self.imitate, self.imitate_leads, self.imitate_copies, self.imitate_source)
        if not self.imitate and given != Imitation():
            raise UsageError(
                "--imitate-leads, --imitate-copies and --imitate-source need --imitate", "add --imitate DIR"
            )
        return find_imitated(given, self.seed, VARIED_SECONDS)


@dataclass(frozen=True, slots=True)
class Identity:
    """Name and version of a bundle. They change no result, so a work folder is not bound to them."""

    name: str = NAME
    version: str = VERSION

    def options(self) -> str:
        """Return the options of the command that give them; empty for the bundle in the package."""
        return "" if self == Identity() else f" --name {shlex.quote(self.name)} --version {shlex.quote(self.version)}"


def identity_of(
    out: Path, config: DemoConfig, name: str | None, version: str | None, imitated: Imitated | None = None
) -> Identity:
    """Return the identity of a bundle: as given, else that of the bundle in the package for its own recipe.

    With any other recipe, a bundle is named like its folder and has version 0.1.0, so that nobody takes it for the one
    in the package.

    Args:
        out: Folder of the bundle.
        config: Options of the run.
        name: Name of the bundle, if given.
        version: Version of the bundle, if given.
        imitated: The real recordings that the student imitates.
    """
    own = Identity() if of_package(config, imitated) else Identity(out.name, FIRST_VERSION)
    return Identity(name or own.name, version or own.version)


def of_package(config: DemoConfig, imitated: Imitated | None) -> bool:
    """Whether a recipe is that of the bundle in the package: all defaults, and the recordings of LUDB."""
    entry = None if imitated is None else imitated.entry
    given = replace(config, imitate=(), imitate_source="") == DemoConfig()
    return given and entry is not None and entry["sha256"] == IMITATED_SHA256


def train_demo(
    out: Path,
    workdir: Path,
    config: DemoConfig,
    progress: TextIO | None,
    compare: Path | None = None,
    scheduler: str | None = None,
    recordings_of_compare: RecordingOptions | None = None,
    identity: Identity | None = None,
    imitated: Imitated | None = None,
) -> DemoReport:
    """Make the demonstration bundle.

    Args:
        out: Folder of the bundle.
        workdir: Folder of the intermediate files; a second call with the same configuration resumes there.
        config: Options of the run.
        progress: Stream for progress lines, or ``None``.
        compare: Folder of further recordings, such as real ones, on which student and teacher are compared.
        scheduler: Workers that label, as :class:`convert.teacher.soft_labels.Crew` takes it.
        recordings_of_compare: Options about recordings of ``compare`` that do not state their rate, scale or lead.
        identity: Name and version of the bundle; ``None`` for those of the bundle in the package.
        imitated: The recordings of ``config.imitate``; ``None`` to find them.

    Returns:
        The validation report.

    Raises:
        InputError: A folder of ``config.imitate`` cannot be used.
        UsageError: The configuration is invalid, or the work folder belongs to another one.
        CheckFailedError: The model exceeds its budget, or two interpreters disagree.
        OutputError: A file cannot be written.
    """
    check_place(out)
    identity = identity or Identity()
    imitated = imitated or config.imitated()
    teacher = demo_teacher(workdir, config, progress)
    plan = DistilPlan(config.seed, config.float_epochs, config.quant_epochs, DISTURBED, Wearable(polarity=0.0))
    options = DistilConfig(
        Path(), Path(), compare=compare, preset=config.preset, name=identity.name, windows=LABELLED, plan=plan,
        scheduler=scheduler, options=recordings_of_compare or RecordingOptions(), version=identity.version,
    )  # fmt: skip
    place = workdir / _student_folder(config, imitated)
    student = distilled(place, teacher, _material(config, imitated), options, progress)
    contents, report = _as_demo(*student, config, identity, imitated)
    check_targets(lint(contents.model, identity.name), [*KERNELS, config.preset])
    write_bundle(out, with_micro(contents))
    return report


def _material(config: DemoConfig, imitated: Imitated) -> Material:
    """Return the data of the student: patients, simulated ECGs of varied shape, and real recordings."""
    parts = {k: v[: STUDENT_PATIENTS[k]] for k, v in split(config.patients, config.seed).items()}
    numbers = sorted(int(i) for rows in parts.values() for i in rows)
    patients = simulated_patients(config.seed, numbers, min(config.seconds, STUDENT_SECONDS))
    varied = varied_recordings(config.seed, config.varied, VARIED_SECONDS)
    recordings = [*patients, *varied, *imitated.recordings]
    part = {f"patient-{i:06d}": name for name, rows in parts.items() for i in rows}
    return Material(recordings, lambda labels: laboratory(demo_heads(), recordings, labels), part, DATA, JUDGED)


def _student_folder(config: DemoConfig, imitated: Imitated) -> str:
    """Return the folder of the student in the work folder.

    Labels belong to one choice of the training data. With a folder for each choice, one teacher serves them all.
    """
    if config.varied == DemoConfig().varied and imitated.entry is None:
        return "student"
    marks = [[r.name, r.size] for r in imitated.recordings]
    return f"student-{hashlib.sha256(to_json([config.varied, marks])).hexdigest()[:8]}"


def demo_teacher(workdir: Path, config: DemoConfig, progress: TextIO | None) -> Teacher:
    """Return the teacher; train it first, or resume its training, if its checkpoint does not exist.

    The checkpoint and the description of its outputs are in the work folder. ``anyecg convert`` can read both.

    Raises:
        As :func:`train_demo`.
    """
    path = _trained(workdir, config, progress)
    outputs = workdir / OUTPUTS
    write_atomically(outputs, _outputs(), advice="free some space")
    return open_teacher(path, CheckpointOptions(outputs, 2, True, "MIT"), workdir)


def train_teacher_only(out: Path, workdir: Path, config: DemoConfig, progress: TextIO | None) -> dict[str, Ranking]:
    """Train the teacher, judge it on held-out patients, and write both into a folder.

    The folder has ``teacher.pth``, ``outputs.json`` and ``heldout.npz``; ``anyecg convert foundation`` reads it.

    Args:
        out: The folder.
        workdir: As in :func:`train_demo`.
        config: Options of the run; those of the student have no effect.
        progress: Stream for progress lines, or ``None``.

    Returns:
        The result of each probability on the held-out patients.

    Raises:
        As :func:`train_demo`.
    """
    checkpoint = read_checkpoint(_trained(workdir, config, progress))
    held = held_out(workdir, DataConfig(config.patients, config.seed, config.seconds), demo_heads(), progress)
    write_files(out, {OUTPUTS: _outputs()})
    write_checkpoint(out / CHECKPOINT, checkpoint.tensors, facts={**FACTS, **checkpoint.facts})
    write_held_out(out / HELD_OUT_FILE, held)
    teacher = open_checkpoint(out, CheckpointOptions(licence="MIT"), workdir)
    bar = Progress("judging the teacher", len(held.patients), "patients", progress)
    return held.rankings(held.scores(teacher.run, bar.step))


def _trained(workdir: Path, config: DemoConfig, progress: TextIO | None) -> Path:
    """Return the path of the teacher's checkpoint, which is trained first if it does not exist."""
    data = DataConfig(config.patients, config.seed, config.seconds)
    parts = split(config.patients, config.seed)
    claim(workdir, probe(data))
    path = workdir / f"teacher-{config.teacher}-{config.teacher_epochs}.pth"
    if not path.is_file():
        train, validation = (teacher_data(workdir, data, parts[name], progress) for name in ("train", "validation"))
        shape = SHAPES[config.teacher]
        train_teacher(path, shape, demo_heads(), train, validation, config.teacher_epochs, config.seed, progress)
    return path


def _outputs() -> bytes:
    return to_json({"outputs": [_described(h) for h in demo_heads()]})


def _described(head: Head) -> dict[str, Any]:
    given = {name: getattr(head, name) for name in ("key", "lab", "loinc", "unit", "kind", "direction")}
    given["means"] = None if head.direction is None else output_words(head.lab, head.direction)
    return {name: value for name, value in given.items() if value is not None}


def laboratory(heads: Sequence[Head], recordings: Sequence[Recording], labels: Labels) -> NDArray[np.float32]:
    """Return the laboratory results of each window's patient.

    Returns:
        ``(windows, heads)`` float32: 0 or 1 for a probability, the value for a value, NaN for ECGs without laboratory
        values.
    """
    from convert.simulate.cohort import draw_visit

    table = np.full((len(recordings), len(heads)), np.nan, np.float32)
    for i, recording in enumerate(recordings):
        items = recording.items
        if not isinstance(items, SimulatedItems) or items.kind != "patient":
            continue
        labs = draw_visit(items.seed, items.index).labs
        table[i] = [limit_of(head, labs[head.lab]) for head in heads]
    return np.asarray(table[labels.recording], dtype=np.float32)


def _as_demo(
    contents: BundleContents, student: Report, config: DemoConfig, identity: Identity, imitated: Imitated
) -> tuple[BundleContents, DemoReport]:
    """Return the bundle and its report with the model card of the demonstration."""
    report: DemoReport = {
        **student,
        "command": config.command() + identity.options(),
        "simulator": {"version": SIMULATOR_VERSION, "seed": config.seed},
        "cohort": {"patients": config.patients, "train": len(split(config.patients, config.seed)["train"])},
        "seconds": config.seconds,
        "student_seconds": min(config.seconds, STUDENT_SECONDS),
        "skipped": _skipped(student, imitated),
        "imitated": imitated.entry,
    }
    before = cast("StudentManifest", contents.manifest)
    manifest: StudentManifest = {**before, "created": CREATED}
    written: DemoReport = json.loads(to_json(report))
    files = {"validation/report.json": to_json(report), "validation/report.md": report_markdown(written).encode()}
    extra = {**contents.extra, **files}
    card = model_card(manifest, written)
    return replace(contents, manifest=manifest, model_card=card, extra=extra), report


def _skipped(student: Report, imitated: Imitated) -> list[list[str]]:
    """Return name and reason of each real recording that was not used, and of each lead without a window.

    The forms of such a lead are left out, and so are simulated ECGs, of which some are too noisy by design.
    """
    leads = {r.name for r in imitated.recordings if not isinstance(r.items, FormItems)}
    return [*map(list, imitated.skipped), *(row for row in student["skipped"] if row[0] in leads)]
