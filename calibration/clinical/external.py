"""Results of the same bundle on another source: ``anyecg validate --external DIR``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO, TypedDict

from scipy.special import stdtr

from calibration.checks.defaults import SplitName
from calibration.checks.labels import check_labelled
from calibration.validate.judge import NO_VERDICT, Judged, ends, judge_heads, rounded
from calibration.validate.labelled import Labelled, heads_of, labels_for, labels_header, open_labelled
from calibration.validate.records import HeadRecord, HeadResultRecord, Interval
from calibration.validate.shards import RunPlan, key_of, run_all
from convert.datasets.described import RecordingOptions
from convert.datasets.heads import TeacherHead
from convert.labels.plan import LabelPlan
from convert.labels.travelling_plan import ChosenPlan
from convert.stats.bounds import degrees, quantile_t
from convert.stats.metrics import UNDEFINED, Score
from convert.stats.multiplicity import ALPHA, adjusted
from convert.teacher.patients import hashes
from firmware_bridge.errors import InputError
from firmware_bridge.samples import SampleBlock


class ExternalHeadRecord(TypedDict):
    """A head on both sources; ``difference`` is external minus internal, from independent patients.

    ``p_difference`` is the p-value of no difference and ``p_adjusted`` the same after the correction for all heads of
    the table that have enough patients on both sides.
    """

    key: str
    internal: float | None
    external: float | None
    external_ci: Interval
    n: int
    positives: int | None
    conclusion: str
    difference: float | None
    difference_ci: Interval
    p_difference: float | None
    p_adjusted: float | None
    verdict: str


class ExternalRecord(TypedDict):
    """Results on another source."""

    data: str
    sha256: str
    patients: int
    recordings: int
    remarks: list[str]
    labels: dict[str, str]
    heads: list[ExternalHeadRecord]


@dataclass(frozen=True, slots=True)
class Source:
    """Another source of data.

    Attributes:
        folder: Its folder.
        split: The part to judge.
        first: Options about the recordings of the first source.
        recordings: Options about its own recordings.
    """

    folder: Path
    split: SplitName
    first: RecordingOptions = field(default_factory=RecordingOptions)
    recordings: RecordingOptions = field(default_factory=RecordingOptions)


def open_external(
    data: Labelled, source: Source, heads: Sequence[TeacherHead], plan: LabelPlan | None, progress: TextIO | None
) -> Labelled:
    """Open another source and check it before the run.

    Args:
        data: The first source.
        source: The other source.
        heads: Outputs of the model.
        plan: Rules from its results to labels.
        progress: Stream for the progress line, or ``None``.

    Raises:
        InputError: The other source cannot be opened or trusted, has no readable recording or no label, or shares
            patients with the first.
        UsageError: Its recordings contradict the options.
    """
    other = open_labelled(source.folder, source.split, options=source.recordings)
    both = hashes(other.recordings) & hashes(data.recordings)
    if both:
        raise InputError(
            f"{len(both)} patients are in both {data.folder} and {source.folder}", "give --external another source"
        )
    _check_readable(other)
    remarks = [*other.remarks, *check_labelled(other, heads, plan, progress)]
    if source.first.lead != source.recordings.lead:
        first, second = (o.lead or "its default" for o in (source.first, source.recordings))
        remarks.append(f"the first source was read with lead {first}, this one with lead {second}")
    return replace(other, remarks=tuple(remarks))


def _check_readable(data: Labelled) -> None:
    """Check that at least one recording has samples; the first reason is raised where none has."""
    why: InputError | None = None
    for recording in data.recordings:
        try:
            if any(isinstance(item, SampleBlock) for item in recording.items()):
                return
        except InputError as error:
            why = why or error
    raise why or InputError(f"no recording of {data.folder} has samples", "give --external another source")


def external(
    j: Judged, data: Labelled, plan: RunPlan, chosen: ChosenPlan, work: Path, progress: TextIO | None,
    internal: Sequence[HeadRecord],
) -> ExternalRecord:  # fmt: skip
    """Run the bundle on another source and compare each head.

    Args:
        j: Results on the first source.
        data: The other source; see :func:`open_external`.
        plan: Options of the run.
        chosen: Rules from its results to labels.
        work: Folder of intermediate files.
        progress: Stream for the progress line, or ``None``.
        internal: Judged heads of the first source.

    Raises:
        InputError: The other source cannot be used.
    """
    key = key_of(j.bundle.sha256, data.sha256, plan.hop_s, len(data.recordings))
    seen = run_all(plan, list(enumerate(data.recordings)), work, f"run-{key}", progress)
    if not len(seen.est_recording):
        raise InputError(f"the quality gate accepted no window of {data.folder}", "give --external another source")
    truth = labels_for(data, heads_of(j.bundle), seen.recording, seen.start_s, chosen.plan)
    est = labels_for(data, heads_of(j.bundle), seen.est_recording, seen.est_start_s, chosen.plan)
    other = replace(j, data=data, seen=seen, truth=truth, est_truth=est)
    theirs = {h["key"]: h for h in judge_heads(other)}
    heads = [_head(h, theirs[h["key"]]) for h in internal if h["kind"] == "probability"]
    conclude_differences(heads)
    return {
        "data": data.folder.name,
        "sha256": data.sha256,
        "patients": len(set(data.patient[seen.est_recording].tolist())),
        "recordings": len(set(seen.est_recording.tolist())),
        "remarks": list(data.remarks),
        "labels": labels_header(data, chosen),
        "heads": heads,
    }


def _head(ours: HeadRecord, theirs: HeadRecord) -> ExternalHeadRecord:
    found = independent_difference(ours, theirs)
    enough = ours["enough_patients"] and theirs["enough_patients"]
    return {
        "key": ours["key"],
        "internal": ours["auroc"],
        "external": theirs["auroc"],
        "external_ci": theirs["auroc_ci"],
        "n": theirs["n"],
        "positives": theirs["positives"],
        "conclusion": theirs["conclusion"],
        "difference": rounded(found.value),
        "difference_ci": ends(found),
        "p_difference": difference_p(ours, theirs) if enough else None,
        "p_adjusted": None,
        "verdict": NO_VERDICT,
    }


def conclude_differences(heads: Sequence[ExternalHeadRecord]) -> None:
    """Set the verdict of each head from the tests of the whole table, with a false discovery rate of 5 %."""
    for head, p in zip(heads, adjusted([h["p_difference"] for h in heads], "fdr"), strict=True):
        head["p_adjusted"] = p
        if p is not None and p <= ALPHA and head["difference"]:
            head["verdict"] = "worse" if head["difference"] < 0.0 else "better"


def independent_difference(ours: HeadResultRecord, theirs: HeadResultRecord) -> Score:
    """Return external minus internal AUROC, with the interval of independent patients (Newcombe's square-and-add)."""
    sides = _sides(ours, theirs)
    if sides is None:
        return UNDEFINED
    (value, a_low, a_high), (b_low, b_high) = sides
    return Score(value, value - math.hypot(b_low, a_high), value + math.hypot(b_high, a_low))


def difference_p(ours: HeadResultRecord, theirs: HeadResultRecord) -> float | None:
    """Return the two-sided p-value of no difference between independent patients; ``None`` without intervals.

    The standard error is that of the side of the interval that faces 0. The degrees of freedom are those of two
    variances of their own degrees (Satterthwaite, Biometrics Bull 1946;2:110).
    """
    sides = _sides(ours, theirs)
    if sides is None:
        return None
    (value, a_low, a_high), (b_low, b_high) = sides
    a, b = (a_high, b_low) if value > 0.0 else (a_low, b_high)
    freedom = [degrees(h["positive_patients"], h["negative_patients"]) for h in (ours, theirs)]
    variances = [(side / quantile_t(df)) ** 2 for side, df in zip((a, b), freedom, strict=True)]
    total = sum(variances)
    if total <= 0.0:
        return 1.0 if value == 0.0 else 0.0
    df = total**2 / sum(v**2 / f for v, f in zip(variances, freedom, strict=True))
    return float(2.0 * stdtr(df, -abs(value) / math.sqrt(total)))


def _sides(
    ours: HeadResultRecord, theirs: HeadResultRecord
) -> tuple[tuple[float, float, float], tuple[float, float]] | None:
    """Return the difference with the half widths of our interval, below and above, and those of theirs."""
    found = []
    for head in (ours, theirs):
        area, ci = head["auroc"], head["auroc_ci"]
        if area is None or ci is None or ci[0] is None or ci[1] is None:
            return None
        found.append((area, area - ci[0], ci[1] - area))
    (a, a_low, a_high), (b, b_low, b_high) = found
    return (b - a, a_low, a_high), (b_low, b_high)
