"""``anyecg evaluate``: a teacher over the prepared segments of patients whom it has not met, and what it is worth.

What it shares with ``anyecg validate`` it takes from there: the bootstrap over patients, the rankings, the tiers, the
comparison with a reference. What is judged here is the network and single segments; ``validate`` judges a bundle as a
device runs it.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from calibration.evaluate_aggregate import aggregate
from calibration.evaluate_compare import against, tally, with_reference
from calibration.evaluate_heads import LEVELS, Draws, judge_heads
from calibration.evaluate_rows import Matched, Rows, match_heads, probabilities, read_rows, shown
from calibration.evaluate_score import Workers, score_part
from calibration.evaluate_summary import side_by_side, summary_lines, tiers
from calibration.evaluate_teacher import OpenTeacher, TeacherOptions, open_teacher
from calibration.gate import load_limits
from calibration.metrics import RESAMPLES
from calibration.prepared_patients import prepared_hashes
from convert.mcmed import Part
from convert.prepared import PreparedDataset
from edge.records import NOTICE
from firmware_bridge.errors import InputError

SCHEMA = "anyecg.evaluate/1"
WORK = "work"
PACKAGES = ("anyecg-edge", "numpy", "scipy", "scikit-learn", "tensorflow", "ai-edge-litert")
"""Whose versions the numbers may depend on."""

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What to evaluate, and how.

    Attributes:
        teacher: Folder, checkpoint, Keras file or foundation bundle.
        data: Prepared data set.
        out: Where report and shards of scores go.
        split: Part of the data.
        how: What the teacher may not say of itself.
        reference: Another teacher to compare with, ``None`` for none.
        margin: Loss of AUROC against the reference that is of no matter; ``None`` for the one of ``validate.toml``.
        seed: Of everything that is drawn.
        resamples: Replicates of the bootstrap.
        workers: Who scores.
        baselines: Train and judge the baselines.
        baseline_segments: Segments that these are trained on at most; ``None`` for their own default.
        command: As it was typed, for the report.
    """

    teacher: Path
    data: Path
    out: Path
    split: Part = "test"
    how: TeacherOptions = field(default_factory=TeacherOptions)
    reference: Path | None = None
    margin: float | None = None
    seed: int = 1
    resamples: int = RESAMPLES
    workers: Workers = field(default_factory=Workers)
    baselines: bool = True
    baseline_segments: int | None = None
    command: str = ""


def evaluate(options: EvaluateOptions, progress: TextIO | None) -> dict[str, Any]:
    """Everything that the report says, as JSON-able values.

    Args:
        options: What, and how.
        progress: Stream for the progress lines, or ``None``.

    Raises:
        InputError: Teacher or data cannot be used; the message says which and why.
        UsageError: Nothing says what the teacher's outputs mean.
        OutputError: The shards of scores cannot be written.
    """
    data = PreparedDataset(options.data)
    if not data.size(options.split):
        others = ", ".join(f"{part} {n}" for part, n in data.manifest["segments"].items())
        raise InputError(f"the part '{options.split}' of {options.data} has no segment", f"its parts: {others}")
    work = options.out / WORK
    teacher = open_teacher(options.teacher, options.how, work)
    matched = match_heads(teacher.heads, data, teacher.name)
    ours = prepared_hashes(data, options.split)
    remarks = known_patients(teacher, ours)
    reference = None
    if options.reference is not None:
        reference = open_teacher(options.reference, TeacherOptions(), work)
        remarks += known_patients(reference, ours)
    columns = [j for _, j in matched.pairs]
    rows = read_rows(data, options.split, columns)
    scores = score_part(data, options.split, teacher, work, options.workers, progress)
    logits = shown(teacher, scores, matched)
    draws = Draws(options.seed, options.resamples)
    outputs = [i for i, _ in matched.pairs]
    heads = judge_heads(rows, logits, lambda j, x: probabilities(teacher, outputs[j], x), draws)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "notice": NOTICE,
        "header": header(options, data, teacher, matched, rows, remarks),
        "heads": heads,
        "tiers": tiers(heads),
        "monitoring": side_by_side(heads),
        "aggregate": aggregate(rows, logits, draws),
        "baselines": _baselines(options, data, rows, logits, columns, draws, progress) if options.baselines else None,
        "reference": None,
    }
    if reference is not None:
        report["reference"] = _reference(options, data, reference, rows, logits, draws, progress)
    report["summary"] = summary_lines(report)
    return report


def known_patients(teacher: OpenTeacher, ours: frozenset[bytes]) -> list[str]:
    """What a teacher's list of its own patients says of those to be judged, one sentence each.

    Args:
        teacher: With its list.
        ours: Hashes of those to be judged.

    Raises:
        InputError: It has learnt from, or was chosen by, some of them.
    """
    if teacher.patients is None:
        return [f"{teacher.name} does not say whose recordings it was made of, so overlap could not be checked"]
    for name, theirs in teacher.patients.items():
        both = len(ours & theirs)
        if both and name != "test":
            raise InputError(
                f"{both} of {len(ours)} patients are in part '{name}' of those that {teacher.name} was made of",
                "judge it on patients whom it has not met",
            )
    again = len(ours & teacher.patients.get("test", frozenset()))
    return [f"{again} of {len(ours)} patients judged {teacher.name} before, when it was made"] if again else []


def header(
    options: EvaluateOptions, data: PreparedDataset, teacher: OpenTeacher, matched: Matched, rows: Rows,
    remarks: list[str],
) -> dict[str, Any]:  # fmt: skip
    """What was judged on what, with hashes, versions and counts."""
    return {
        "teacher": _teacher(teacher),
        "data": {
            "name": options.data.name,
            "part": options.split,
            "source": data.manifest["source"],
            "key": data.manifest["key"],
            "simulated": data.simulated,
        },
        "counts": {
            "patients": len(np.unique(rows.patient)),
            "visits": len(np.unique(rows.visit)),
            "segments": len(rows.patient),
            "heads": len(rows.heads),
        },
        "teacher_only": list(matched.teacher_only),
        "data_only": list(matched.data_only),
        "remarks": remarks,
        "seed": options.seed,
        "resamples": options.resamples,
        "levels": LEVELS,
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in PACKAGES}},
        "command": options.command,
    }


def _teacher(teacher: OpenTeacher) -> dict[str, Any]:
    return {"name": teacher.name, "kind": teacher.kind, "sha256": teacher.sha256, "outputs": len(teacher.heads)}


def _baselines(
    options: EvaluateOptions, data: PreparedDataset, rows: Rows, logits: F32, columns: list[int], draws: Draws,
    progress: TextIO | None,
) -> dict[str, Any]:  # fmt: skip
    from calibration.baselines import BaselinePlan, fit_baselines

    default = BaselinePlan()
    most = options.baseline_segments or default.max_segments
    plan = BaselinePlan(max_segments=most, seed=options.seed, jobs=options.workers.jobs)
    found = fit_baselines(data, options.split, plan, options.out / WORK / "baselines", progress, columns)
    others = {name: _in_units(f.scores, columns, rows) for name, f in found.items()}
    heads = against(rows, logits, others, draws)
    for head, column in zip(heads, columns, strict=True):
        for name, f in found.items():
            head["against"][name]["why"] = f.why[column]
            head["against"][name]["trees"] = f.trees[column]
    return {
        "features": {name: list(f.features) for name, f in found.items()},
        "plan": {
            "segments_per_visit": plan.segments_per_visit,
            "max_segments": plan.max_segments,
            "min_positives": plan.min_positives,
        },
        "heads": heads,
        "summary": tally(heads, list(found)),
    }


def _in_units(scores: F32, columns: list[int], rows: Rows) -> F32:
    """Scores of the judged heads with values in their units."""
    out = np.array(scores[:, columns], dtype=np.float32)
    for j, head in enumerate(rows.heads):
        if head.kind == "value":
            out[:, j] = out[:, j] * np.float32(head.iqr) + np.float32(head.median)
    return out


def _reference(
    options: EvaluateOptions, data: PreparedDataset, reference: OpenTeacher, rows: Rows, logits: F32, draws: Draws,
    progress: TextIO | None,
) -> dict[str, Any]:  # fmt: skip
    margin = load_limits()["noninferiority"]["auroc_margin"] if options.margin is None else options.margin
    matched = match_heads(reference.heads, data, reference.name)
    scores = score_part(data, options.split, reference, options.out / WORK, options.workers, progress)
    theirs = shown(reference, scores, matched)
    aligned = np.full(logits.shape, np.nan, dtype=np.float32)
    place = {data.heads[j].key: k for k, (_, j) in enumerate(matched.pairs)}
    for k, head in enumerate(rows.heads):
        if head.key in place:
            aligned[:, k] = theirs[:, place[head.key]]
    if not np.isfinite(aligned).any():
        raise InputError(f"{reference.name} has none of the judged heads", "give a reference with the same outputs")
    heads = with_reference(rows, logits, aligned, margin, draws)
    return {**_teacher(reference), "margin": margin, "heads": heads}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
