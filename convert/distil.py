"""From a teacher and recordings to a student's bundle: label, train, quantize, calibrate, judge, write.

Every stage leaves its result in the work folder and is skipped when it is there, so a run can be killed at any time and
given again. The same inputs, machine type and library versions give the same model file, to the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle_writer import (
    AGGREGATION,
    STREAM_FRONT_END,
    STREAM_INPUT,
    BundleContents,
    check_place,
    to_json,
    write_bundle,
)
from convert.demo import parity
from convert.distil_evaluate import Part, calibrate, judge, summary
from convert.distil_heads import TeacherHead
from convert.distil_labels import hard_labels
from convert.distil_records import Recording, find_recordings
from convert.distil_report import model_card, report_markdown
from convert.distil_teacher import CheckpointOptions, Teacher, open_teacher
from convert.distil_train import Distillation, Distilled, DistilPlan, Windows, windows_of_labels
from convert.export import Exported, export_int8
from convert.inference import run_int8
from convert.micro import with_micro
from convert.micro_arena import measure
from convert.micro_graph import read_graph
from convert.quantize import float_forward, fold, initial_weights, post_training_ranges
from convert.students import ALLOWED_OPS, StudentSpec, count_parameters, preset
from convert.teacher_labels import LabelPlan, Labels, label
from convert.windows import as_float
from firmware_bridge.errors import CheckFailedError, InputError, UsageError

VERSION = "0.1.0"

SHARES = {"test": 0.12, "calibration": 0.12, "validation": 0.06}
"""Shares of the patients; the rest trains. Each part gets at least one."""

MIN_PATIENTS = 4

MOST_JUDGED = 6000
"""Windows of a part that are run through the reference kernels at most, spread over its patients."""

PARITY_WINDOWS = 200
GOLDEN = 8


@dataclass(frozen=True, slots=True)
class DistilConfig:
    """One distillation.

    Attributes:
        teacher: A checkpoint or a foundation bundle.
        data: Folder of recordings.
        checkpoint: What a checkpoint does not say of itself.
        labels: Folder of laboratory results; ``None`` for none.
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
    hard = _hard(config, teacher.heads, recordings, labels)
    rows = split_patients(recordings, labels, config.plan.seed)
    windows = windows_of_labels(labels, hard)
    key = _key(config, workdir, hard)
    parts = {name: windows.take(r) for name, r in rows.items()}
    distillation = Distillation(
        spec, teacher.heads, parts["train"], parts["validation"], workdir, config.plan, progress, key
    )
    trained = distillation.run()
    contents, report = _Assembly(config, spec, teacher, recordings, parts, trained).build()
    write_bundle(out, with_micro(contents))
    return report


def _hard(
    config: DistilConfig, heads: Sequence[TeacherHead], recordings: Sequence[Recording], labels: Labels
) -> NDArray[np.float32]:
    if config.labels is None:
        return np.full((len(labels), len(heads)), np.nan, np.float32)
    return hard_labels(config.labels, heads, recordings, labels)


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


def check_fits(spec: StudentSpec, n_outputs: int) -> None:
    """Exports an untrained student and measures it: its size does not depend on what it learns.

    Raises:
        CheckFailedError: It breaks the preset's limits.
    """
    weights = fold(spec, n_outputs, initial_weights(spec, n_outputs, 0))
    look = np.random.default_rng(0).standard_normal((4, 1, 1250, 1)).astype(np.float32)
    check_budget(spec, export_int8(spec, n_outputs, post_training_ranges(spec, n_outputs, weights, look)), n_outputs)


def check_budget(spec: StudentSpec, exported: Exported, n_outputs: int) -> dict[str, int]:
    """Size of an exported student: parameters, flash, and the arena that the real TFLite Micro takes.

    Raises:
        CheckFailedError: A limit of the preset is broken, or an operation is not one of every port; it says which.
    """
    strange = sorted(set(exported.ops) - ALLOWED_OPS - {"DELEGATE"})
    if strange:
        raise CheckFailedError(f"the student holds {', '.join(strange)}", "not every TFLite Micro port has that")
    flash = len(exported.model)
    larger = "name a larger preset, or a teacher with fewer outputs"
    if flash > spec.flash_limit_bytes:
        raise CheckFailedError(
            f"the {spec.name} student with {n_outputs} outputs takes {flash} bytes of flash, "
            f"{flash - spec.flash_limit_bytes} more than its limit of {spec.flash_limit_bytes}",
            larger,
        )
    # In a process of its own: TFLite Micro may die of a model that is far too large.
    arena = measure(exported.model, read_graph(exported.model)).measured
    if arena > spec.arena_limit_bytes:
        raise CheckFailedError(
            f"the {spec.name} student with {n_outputs} outputs takes an arena of {arena} bytes, "
            f"{arena - spec.arena_limit_bytes} more than its limit of {spec.arena_limit_bytes}",
            larger,
        )
    return {"parameters": count_parameters(spec, n_outputs), "model_bytes": flash, "arena_bytes": arena}


@dataclass(frozen=True, slots=True)
class _Assembly:
    """Export, calibration, judgement and the files of a bundle."""

    config: DistilConfig
    spec: StudentSpec
    teacher: Teacher
    recordings: Sequence[Recording]
    parts: Mapping[str, Windows]
    trained: Distilled

    def build(self) -> tuple[BundleContents, dict[str, Any]]:
        heads, n, trained, seed = self.teacher.heads, len(self.teacher.heads), self.trained, self.config.plan.seed
        exported = export_int8(self.spec, n, trained.quantized)
        size = check_budget(self.spec, exported, n)
        ptq = export_int8(self.spec, n, post_training_ranges(self.spec, n, trained.folded, trained.look))
        calibration = self._part("calibration", exported, None)
        test = self._part("test", exported, ptq)
        entries = calibrate(heads, trained.scaling, calibration, seed)
        found = judge(heads, test, entries, seed)
        basis = {key: str(entry["basis"]) for key, entry in entries.items()}
        inputs = self.parts["test"].inputs()
        report: dict[str, Any] = {
            "schema": "anyecg.validation/1",
            "preset": self.spec.name,
            "teacher": {"name": self.teacher.name, "sha256": self.teacher.sha256},
            "plan": {**asdict(self.config.plan), **asdict(self.config.windows)},
            "split": self._split(),
            "size": size,
            "operations": {op: exported.ops.count(op) for op in sorted(set(exported.ops))},
            "summary": summary(found),
            "parity": parity(self.spec, trained.quantized, exported, _spread(inputs, PARITY_WINDOWS)),
            "heads": {key: {**h, "basis": basis[key]} for key, h in found.items()},
            "skipped": [list(map(str, row)) for row in self.parts["train"].labels.skipped],
        }
        manifest = self._manifest(exported, found, size)
        golden = _spread(inputs, GOLDEN)
        contents = BundleContents(
            manifest,
            exported.model,
            entries,
            golden[:, None],
            run_int8(exported.model, golden),
            model_card(manifest, report),
            {"validation/report.json": to_json(report), "validation/report.md": report_markdown(report).encode()},
        )
        return contents, report

    def _part(self, name: str, exported: Exported, ptq: Exported | None) -> Part:
        windows = self.parts[name]
        windows = windows.take(_spread(np.arange(len(windows)), MOST_JUDGED))
        x = windows.inputs()
        outputs = {"int8": _real(exported, run_int8(exported.model, x))}
        if ptq is not None:
            n = len(self.teacher.heads)
            blocks = [
                float_forward(self.spec, n, self.trained.folded, as_float(x[i : i + 256]))
                for i in range(0, len(x), 256)
            ]
            outputs["float"] = np.concatenate(blocks).astype(np.float64)
            outputs["ptq"] = _real(ptq, run_int8(ptq.model, x))
        records = [self.recordings[i] for i in windows.labels.recording[windows.rows]]
        cases, case = np.unique([f"{r.patient}\n{r.visit or r.name}" for r in records], return_inverse=True)
        _, patient = np.unique([c.split("\n")[0] for c in cases], return_inverse=True)
        return Part(
            outputs,
            windows.logits().astype(np.float64),
            windows.hard[windows.rows].astype(np.float64),
            case.astype(np.int64),
            patient.astype(np.int64),
            "held-out patients of the distillation's data",
        )

    def _float(self, x: NDArray[np.int8]) -> NDArray[np.float32]:
        return float_forward(self.spec, len(self.teacher.heads), self.trained.folded, as_float(x))

    def _split(self) -> dict[str, int]:
        def patients(windows: Windows) -> int:
            return len({self.recordings[i].patient for i in windows.labels.recording[windows.rows]})

        counts = {name: patients(windows) for name, windows in self.parts.items()}
        labels = self.parts["train"].labels
        return {
            "recordings": len(self.recordings),
            "skipped": len(labels.skipped),
            "windows": len(labels),
            "patients": sum(counts.values()),
            **counts,
        }

    def _manifest(
        self, exported: Exported, found: Mapping[str, Mapping[str, Any]], size: Mapping[str, int]
    ) -> dict[str, Any]:
        return {
            "name": self.config.name or f"{self.teacher.name.split()[0]}-{self.spec.name}",
            "version": VERSION,
            "tier": "micro",
            "licence": self.teacher.licence,
            "teacher": {"name": self.teacher.name, "sha256": self.teacher.sha256},
            "front_end": dict(STREAM_FRONT_END),
            "input": dict(STREAM_INPUT),
            "output": {
                "dtype": "int8",
                "shape": list(exported.output_shape),
                "scale": exported.output_scale,
                "zero_point": exported.output_zero_point,
            },
            "outputs": [
                {
                    "index": j,
                    "key": h.key,
                    "lab": h.lab,
                    "loinc": h.loinc,
                    "unit": h.unit,
                    "direction": h.direction,
                    "kind": h.kind,
                    "horizon_min": h.horizon_min,
                    "evidence": dict(found[h.key]["evidence"]),
                }
                for j, h in enumerate(self.teacher.heads)
            ],
            "aggregation": dict(AGGREGATION),
            "budgets": {"flash_bytes": size["model_bytes"], "arena_bytes": size["arena_bytes"]},
        }


def _real(exported: Exported, raw: NDArray[np.int8]) -> NDArray[np.float64]:
    return (raw.astype(np.float64) - exported.output_zero_point) * exported.output_scale


def _spread(x: NDArray[Any], most: int) -> NDArray[Any]:
    return x if len(x) <= most else x[np.linspace(0, len(x) - 1, most).astype(int)]


def check_epochs(plan: DistilPlan) -> None:
    """Refuses plans without training.

    Raises:
        UsageError: An epoch count or the seed makes no sense.
    """
    if plan.float_epochs < 1 or plan.quant_epochs < 1 or plan.seed < 0 or not 0.0 <= plan.disturbed <= 1.0:
        raise UsageError("both trainings need an epoch or more, seeds are not negative, and shares are 0 to 1")
