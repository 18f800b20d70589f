"""Results of the same bundle on another source: ``anyecg validate --external DIR``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO, TypedDict

from calibration.checks.defaults import SplitName
from calibration.checks.labels import check_labelled
from calibration.validate.judge import Judged, judge_heads, rounded
from calibration.validate.labelled import Labelled, heads_of, labels_for, open_labelled
from calibration.validate.records import HeadRecord, Interval
from calibration.validate.shards import RunPlan, key_of, run_all
from convert.datasets.heads import TeacherHead
from convert.labels.travelling_plan import ChosenPlan
from convert.teacher.patients import hashes
from firmware_bridge.errors import InputError


class ExternalHeadRecord(TypedDict):
    """A head on both sources; ``difference`` is external minus internal, from independent patients."""

    key: str
    internal: float | None
    external: float | None
    external_ci: Interval
    n: int
    positives: int | None
    conclusion: str
    difference: float | None
    difference_ci: Interval
    verdict: str


class ExternalRecord(TypedDict):
    """Results on another source."""

    data: str
    sha256: str
    patients: int
    recordings: int
    remarks: list[str]
    heads: list[ExternalHeadRecord]


def open_external(
    data: Labelled, folder: Path, split: SplitName, heads: Sequence[TeacherHead], progress: TextIO | None
) -> Labelled:
    """Open another source and check it before the run.

    Args:
        data: The first source.
        folder: Data folder of the other source.
        split: Part of the other source.
        heads: Outputs of the model.
        progress: Stream for the progress line, or ``None``.

    Raises:
        InputError: The other source cannot be opened or trusted, or shares patients with the first.
    """
    other = open_labelled(folder, split)
    both = hashes(other.recordings) & hashes(data.recordings)
    if both:
        raise InputError(
            f"{len(both)} patients are in both {data.folder} and {folder}", "give --external another source"
        )
    return replace(other, remarks=(*other.remarks, *check_labelled(other, heads, progress)))


def external(
    j: Judged, data: Labelled, plan: RunPlan, chosen: ChosenPlan, work: Path, progress: TextIO | None,
    internal: Sequence[HeadRecord],
) -> ExternalRecord:  # fmt: skip
    """Run the bundle on another source and compare each head.

    Args:
        j: Results on the first source.
        data: The other source; see :func:`open_external`.
        plan: Options of the run.
        chosen: Rules from results to labels.
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
    heads = {h["key"]: h for h in judge_heads(other)}
    return {
        "data": data.folder.name,
        "sha256": data.sha256,
        "patients": len(set(data.patient[seen.est_recording].tolist())),
        "recordings": len(set(seen.est_recording.tolist())),
        "remarks": list(data.remarks),
        "heads": [_head(h, heads[h["key"]]) for h in internal if h["kind"] == "probability"],
    }


def _head(ours: HeadRecord, theirs: HeadRecord) -> ExternalHeadRecord:
    difference, ci = independent_difference(ours, theirs)
    enough = ours["enough_patients"] and theirs["enough_patients"]
    verdict = "INCONCLUSIVE"
    if enough and ci is not None and ci[0] is not None and ci[1] is not None:
        verdict = "worse" if ci[1] < 0.0 else "better" if ci[0] > 0.0 else "INCONCLUSIVE"
    return {
        "key": ours["key"],
        "internal": ours["auroc"],
        "external": theirs["auroc"],
        "external_ci": theirs["auroc_ci"],
        "n": theirs["n"],
        "positives": theirs["positives"],
        "conclusion": theirs["conclusion"],
        "difference": difference,
        "difference_ci": ci,
        "verdict": verdict,
    }


def independent_difference(ours: Mapping[str, object], theirs: Mapping[str, object]) -> tuple[float | None, Interval]:
    """Return external minus internal AUROC, with the interval of independent patients (Newcombe's square-and-add)."""
    a, b, ca, cb = ours["auroc"], theirs["auroc"], ours["auroc_ci"], theirs["auroc_ci"]
    if not isinstance(a, float) or not isinstance(b, float) or not isinstance(ca, list) or not isinstance(cb, list):
        return None, None
    low = (b - a) - math.hypot(b - cb[0], ca[1] - a)
    high = (b - a) + math.hypot(cb[1] - b, a - ca[0])
    return rounded(b - a), [rounded(low), rounded(high)]
