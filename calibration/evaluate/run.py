"""``anyecg evaluate``: run a teacher on the prepared segments of held-out patients and judge it.

The bootstrap over patients, the rankings, the evidence levels and the comparison with a reference are those of
``anyecg validate``. This command judges the network on single segments; ``validate`` judges a bundle as a device runs
it.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from calibration.checks.overlap import known_patients
from calibration.evaluate.aggregate import aggregate
from calibration.evaluate.compare import against, tally, with_reference
from calibration.evaluate.heads import LEVELS, Draws, judge_heads
from calibration.evaluate.records import HeadRecord
from calibration.evaluate.rows import Matched, Rows, blank, match_heads, probabilities, read_rows, shown
from calibration.evaluate.score import Workers, score_part
from calibration.evaluate.summary import side_by_side, summary_lines, tiers
from calibration.evaluate.teacher import OpenTeacher, TeacherOptions, open_teacher
from calibration.validate.gate import least_patients, load_limits
from convert.datasets.mcmed import Part
from convert.datasets.prepared import PreparedDataset
from convert.stats.metrics import RESAMPLES
from convert.teacher.patients import Aliases
from convert.teacher.prepared_patients import prepared_aliases
from edge.records import NOTICE
from firmware_bridge.errors import InputError, MissingExtraError

SCHEMA = "anyecg.evaluate/1"
WORK = "work"
PACKAGES = ("anyecg-edge", "numpy", "scipy", "scikit-learn", "tensorflow", "ai-edge-litert")
"""Packages whose versions may change the numbers."""

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Options of an evaluation.

    Attributes:
        teacher: Folder of ``anyecg finetune``, checkpoint, Keras file or foundation bundle.
        data: Folder of the prepared data set.
        out: Folder of the report and of intermediate scores.
        split: Part of the data.
        how: Properties that the files of the teacher may not state.
        reference: Another teacher to compare with; ``None`` for no comparison.
        margin: Non-inferiority margin, AUROC; ``None`` for the one in ``validate.toml``.
        seed: Seed of all random draws.
        resamples: Number of bootstrap replicates.
        workers: Processes or cluster that compute the scores.
        baselines: Train and judge the baselines.
        baseline_segments: Maximum number of training segments of the baselines; ``None`` for their default.
        command: Command line for the report.
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
    """Evaluate a teacher.

    Args:
        options: Options of the evaluation.
        progress: Stream for the progress lines, or ``None``.

    Returns:
        The report, as JSON-able values.

    Raises:
        InputError: Teacher or data cannot be used; the message says which and why.
        UsageError: No file describes the outputs of the teacher.
        OutputError: The scores cannot be written.
    """
    data = PreparedDataset(options.data)
    if not data.size(options.split):
        others = ", ".join(f"{part} {n}" for part, n in data.manifest["segments"].items())
        raise InputError(
            f"the part '{options.split}' of {options.data} has no segment", f"choose a part with segments: {others}"
        )
    met = prepared_aliases(data, options.split)
    ours = _opened(options.teacher, options.how, data, met)
    theirs = None if options.reference is None else _opened(options.reference, TeacherOptions(), data, met)
    columns = [j for _, j in ours.matched.pairs]
    rows = read_rows(data, options.split, columns)
    logits = _scored(options, data, ours, rows, progress)
    draws = Draws(options.seed, options.resamples, least_patients(load_limits()))
    heads = _heads(ours, rows, logits, draws)
    levels = tiers(heads)
    remarks = [*ours.remarks, *(theirs.remarks if theirs else ())]
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "notice": NOTICE,
        "header": header(options, data, ours, rows, remarks),
        "heads": heads,
        "tiers": levels,
        "monitoring": side_by_side(heads),
        "aggregate": aggregate(rows, logits, draws),
        "baselines": _baselines(options, data, rows, logits, columns, draws, progress) if options.baselines else None,
        "reference": None,
    }
    if theirs is not None:
        margin = load_limits()["noninferiority"]["auroc_margin"] if options.margin is None else options.margin
        found = with_reference(rows, logits, _scored(options, data, theirs, rows, progress), margin, draws)
        report["reference"] = {**_teacher(theirs.teacher), "margin": margin, "heads": found}
    report["summary"] = summary_lines(levels)
    return report


@dataclass(frozen=True, slots=True)
class _Opened:
    """A teacher with matched heads that was not trained on the judged patients."""

    teacher: OpenTeacher
    matched: Matched
    remarks: list[str]


def _opened(path: Path, how: TeacherOptions, data: PreparedDataset, met: Aliases) -> _Opened:
    teacher = open_teacher(path, how)
    remarks = known_patients(teacher.name, teacher.patients, met)
    return _Opened(teacher, match_heads(teacher.heads, data, teacher.name), remarks)


def _scored(
    options: EvaluateOptions, data: PreparedDataset, opened: _Opened, rows: Rows, progress: TextIO | None
) -> F32:
    """Return logits and values of the judged heads; NaN for heads that this teacher does not have."""
    place = {data.heads[j].key: k for k, (_, j) in enumerate(opened.matched.pairs)}
    known = [k for k, head in enumerate(rows.heads) if head.key in place]
    columns = [place[rows.heads[k].key] for k in known]
    out = blank(len(rows.patient), len(rows.heads))
    out[:, sorted({*range(len(rows.heads))} - {*known})] = np.nan
    first = 0
    for scores in score_part(data, options.split, opened.teacher, options.out / WORK, options.workers, progress):
        found = shown(opened.teacher, scores, opened.matched)
        out[first : first + len(found), known] = found[:, columns]
        first += len(found)
    return out


def _heads(opened: _Opened, rows: Rows, logits: F32, draws: Draws) -> list[HeadRecord]:
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise MissingExtraError("'anyecg evaluate'", "convert") from error
    outputs = [i for i, _ in opened.matched.pairs]
    # A logistic regression on one variable takes less time than the synchronisation of threads.
    with threadpool_limits(1):
        return judge_heads(rows, logits, lambda j, x: probabilities(opened.teacher, outputs[j], x), draws)


def header(
    options: EvaluateOptions, data: PreparedDataset, opened: _Opened, rows: Rows, remarks: list[str]
) -> dict[str, Any]:
    """Return the header of the report: teacher and data with hashes, versions and counts."""
    return {
        "teacher": _teacher(opened.teacher),
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
            "recordings": rows.recordings,
            "segments": len(rows.patient),
            "heads": len(rows.heads),
        },
        "teacher_only": list(opened.matched.teacher_only),
        "data_only": list(opened.matched.data_only),
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
    from calibration.baselines.run import BaselinePlan, fit_baselines

    default = BaselinePlan()
    segments = options.baseline_segments or default.max_segments
    plan = BaselinePlan(max_segments=segments, seed=options.seed, jobs=options.workers.jobs)
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
    """Return the scores of the judged heads with values in their units."""
    out = np.array(scores[:, columns], dtype=np.float32)
    for j, head in enumerate(rows.heads):
        if head.kind == "value":
            out[:, j] = out[:, j] * np.float32(head.iqr) + np.float32(head.median)
    return out


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
