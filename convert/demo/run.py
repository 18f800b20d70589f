"""Makes the demonstration bundle from nothing: simulated patients, a teacher, a student distilled from it.

The stages, each kept in the work folder, skipped when it is done and continued where it was killed: the teacher's
training windows; the teacher (:mod:`convert.demo.teacher`), a checkpoint as ECGFounder's code writes it; its labels of
every window; the student; the bundle. From the checkpoint on it is ``anyecg convert micro``. With the same arguments,
machine type and library versions the files are the same to the byte. Another processor or TensorFlow version may round
differently.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle.writer import BundleContents, check_place, to_json, write_bundle
from convert.datasets.pairs import Recording
from convert.demo.card import model_card
from convert.demo.data import DataConfig, claim, probe, split, teacher_data
from convert.demo.heads import Head, demo_heads, limit_of
from convert.demo.teacher import SHAPES, train_teacher
from convert.distil.report import report_markdown
from convert.distil.run import VARIED_SECONDS, DistilConfig, Material, distilled
from convert.distil.train import DistilPlan
from convert.micro.package import with_micro
from convert.micro.rules import KERNELS, check_targets, lint
from convert.simulate.patient import SIMULATOR_VERSION
from convert.simulate.recordings import SimulatedItems, simulated_patients, varied_recordings
from convert.simulate.wearable import Wearable
from convert.teacher.open import CheckpointOptions, Teacher, open_teacher
from convert.teacher.soft_labels import LabelPlan, Labels
from firmware_bridge.errors import OutputError

NAME = "anyecg-demo"
VERSION = "0.2.0"
CREATED = "2026-11-22"
"""Date of the recipe, not of the run: a seed shall give the same files on any day."""

LABELLED = LabelPlan(hop_s=3.0, most=4)
"""Windows of a patient that teacher and student see, and that are averaged into a score."""

STUDENT_SECONDS = 24.0
STUDENT_PATIENTS = {"train": 5000, "validation": 400, "calibration": 2600, "test": 3500}
"""Of each patient and each part the student gets that much at most: to simulate, filter and label takes longer than to
train. The teacher has the training part whole."""

DISTURBED = 0.3
"""Share of training windows that are disturbed; simulated recordings have noise of their own. Polarity is left alone:
the teacher does see an inverted lead as another ECG, and the varied ones are inverted with its own answer."""

JUDGED = 1_000_000
"""All windows are judged: a calibration error needs many patients."""

DATA = "simulated, held-out patients"


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """One run.

    Attributes:
        patients: Simulated patients.
        seed: Seed of everything.
        seconds: Length of each record.
        teacher: Shape of the teacher.
        teacher_epochs: Passes of the teacher.
        varied: ECGs of every shape on which the student imitates its teacher.
        preset: Size of the student.
        float_epochs: Passes of the student in float.
        quant_epochs: Passes of quantization-aware training.
    """

    patients: int = 20000
    seed: int = 1
    seconds: float = 36.0
    teacher: str = "clef-small"
    teacher_epochs: int = 16
    varied: int = 3000
    preset: str = "micro"
    float_epochs: int = 12
    quant_epochs: int = 3

    def command(self) -> str:
        """The command that makes this bundle."""
        given = [f"--patients {self.patients}", f"--seed {self.seed}"]
        default = DemoConfig()
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if value != getattr(default, field.name):
                given.append(f"--{field.name.replace('_', '-')} {value:g}" if field.type != "str" else "")
                given[-1] = given[-1] or f"--{field.name.replace('_', '-')} {value}"
        return f"anyecg train-demo --out DIR {' '.join(given)}"


def train_demo(
    out: Path,
    workdir: Path,
    config: DemoConfig,
    progress: TextIO | None,
    compare: Path | None = None,
    scheduler: str | None = None,
) -> dict[str, Any]:
    """Makes the demonstration bundle.

    Args:
        out: Folder of the bundle.
        workdir: Folder of the intermediate files; a second call with the same configuration goes on there.
        config: What to do.
        progress: Stream for progress lines, or ``None``.
        compare: Recordings on which student and teacher are compared besides, such as real ones.
        scheduler: Who labels, as :class:`convert.teacher.soft_labels.Crew` takes it.

    Returns:
        The validation report.

    Raises:
        UsageError: The configuration makes no sense or the work folder belongs to another.
        CheckFailedError: The model breaks its budget, or two interpreters disagree.
        OutputError: Something cannot be written.
    """
    check_place(out)
    teacher = demo_teacher(workdir, config, progress)
    parts = {k: v[: STUDENT_PATIENTS[k]] for k, v in split(config.patients, config.seed).items()}
    numbers = sorted(int(i) for rows in parts.values() for i in rows)
    patients = simulated_patients(config.seed, numbers, min(config.seconds, STUDENT_SECONDS))
    recordings = [*patients, *varied_recordings(config.seed, config.varied, VARIED_SECONDS)]
    part = {f"patient-{i:06d}": name for name, rows in parts.items() for i in rows}
    material = Material(recordings, lambda labels: laboratory(demo_heads(), recordings, labels), part, DATA, JUDGED)
    plan = DistilPlan(config.seed, config.float_epochs, config.quant_epochs, DISTURBED, Wearable(polarity=0.0))
    options = DistilConfig(
        Path(), Path(), compare=compare, preset=config.preset, name=NAME, windows=LABELLED, plan=plan,
        scheduler=scheduler,
    )  # fmt: skip
    contents, report = distilled(workdir / "student", teacher, material, options, progress)
    contents, report = _as_demo(contents, report, config)
    check_targets(lint(contents.model, NAME), [*KERNELS, config.preset])
    write_bundle(out, with_micro(contents))
    return report


def demo_teacher(workdir: Path, config: DemoConfig, progress: TextIO | None) -> Teacher:
    """The teacher: trained, or trained on, or only opened.

    Its checkpoint and the file that names its outputs stand in the work folder and are what ``anyecg convert`` takes.

    Raises:
        As :func:`train_demo`.
    """
    data = DataConfig(config.patients, config.seed, config.seconds)
    parts = split(config.patients, config.seed)
    claim(workdir, probe(data))
    heads = demo_heads()
    path = workdir / f"teacher-{config.teacher}-{config.teacher_epochs}.pth"
    if not path.is_file():
        train, validation = (teacher_data(workdir, data, parts[name], progress) for name in ("train", "validation"))
        shape = SHAPES[config.teacher]
        train_teacher(path, shape, heads, train, validation, config.teacher_epochs, config.seed, progress)
    outputs = workdir / "outputs.json"
    try:
        outputs.write_bytes(to_json({"outputs": [_described(h) for h in heads]}))
    except OSError as error:
        raise OutputError(f"cannot write {outputs}: {error.strerror}", "free some space") from error
    return open_teacher(path, CheckpointOptions(outputs, 2, True, "MIT"), workdir)


def _described(head: Head) -> dict[str, Any]:
    given = {name: getattr(head, name) for name in ("key", "lab", "loinc", "unit", "kind", "direction")}
    return {name: value for name, value in given.items() if value is not None}


def laboratory(heads: Sequence[Head], recordings: Sequence[Recording], labels: Labels) -> NDArray[np.float32]:
    """What the laboratory would have found of each window's patient.

    Returns:
        ``(windows, heads)``: 0 or 1 for a probability, the value for a value, NaN where nobody has a laboratory.
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
    contents: BundleContents, report: dict[str, Any], config: DemoConfig
) -> tuple[BundleContents, dict[str, Any]]:
    """The bundle under its own name and version, with its own card."""
    report = {
        **report,
        "command": config.command(),
        "simulator": {"version": SIMULATOR_VERSION, "seed": config.seed},
        "cohort": {"patients": config.patients, "train": len(split(config.patients, config.seed)["train"])},
        "seconds": config.seconds,
        "student_seconds": min(config.seconds, STUDENT_SECONDS),
        "skipped": [],
    }
    manifest = {**contents.manifest, "version": VERSION, "created": CREATED}
    written = json.loads(to_json(report))
    files = {"validation/report.json": to_json(report), "validation/report.md": report_markdown(written).encode()}
    extra = {**contents.extra, **files}
    card = model_card(manifest, written)
    return replace(contents, manifest=manifest, model_card=card, extra=extra), report
