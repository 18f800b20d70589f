"""Compare the network with simpler models and with another teacher on the same segments and patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from calibration.evaluate.aggregate import controlled, summary_of, which_better
from calibration.evaluate.heads import Draws, compare_errors, compare_rankings, enough
from calibration.evaluate.records import BaselineHeadRecord, DifferenceRecord, ReferenceHeadRecord, SummaryRecord
from calibration.evaluate.rows import Rows
from calibration.validate.judge import ends, rounded, score_json
from convert.stats.evidence import LeastPatients
from convert.stats.metrics import Score
from convert.stats.noninferiority import PAIRED, verdict

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

COUNTED = ("better", "worse", "INCONCLUSIVE")


def against(rows: Rows, shown: F32, others: Mapping[str, F32], draws: Draws) -> list[BaselineHeadRecord]:
    """Compute the difference of the network from each other model, head by head, as JSON-able values.

    Args:
        rows: Labels of the segments.
        shown: Logits or values of the network, ``(n, heads)``.
        others: Logits or values of the other models by name, ``(n, heads)``; all NaN for a head that a model lacks.
        draws: Bootstrap over patients.
    """
    out: list[BaselineHeadRecord] = []
    for j, head in enumerate(rows.heads):
        known = np.isfinite(rows.truth[:, j])
        truth, patient = rows.truth[known, j].astype(np.float64), rows.patient[known]
        ours = shown[known, j].astype(np.float64)
        found = {}
        for name, scores in others.items():
            theirs = np.asarray(scores[known, j], dtype=np.float64)
            if head.kind == "value":
                found[name] = _errors(ours, theirs, truth, patient, draws)
            else:
                found[name] = _areas(ours, theirs, truth > 0.5, patient, draws)
        out.append({"key": head.key, "kind": head.kind, "n": len(truth), "against": found})
    for name in others:
        controlled([head["against"][name] for head in out])
    return out


def _nothing(why: str = "NOT JUDGED") -> DifferenceRecord:
    return {"network": None, "other": None, "other_ci": None, "difference": None, "method": "", "verdict": why}


def _areas(ours: F64, theirs: F64, y: Bools, patient: Ints, draws: Draws) -> DifferenceRecord:
    if not np.isfinite(theirs).all():
        return _nothing("NOT TRAINED")
    if not len(y) or not y.any() or y.all():
        return _nothing()
    a, b, difference, method = compare_rankings(ours, theirs, y, patient, draws)
    few = not enough(y, patient, draws.least)
    return {
        "network": rounded(a.auroc.value),
        "other": rounded(b.auroc.value),
        "other_ci": ends(b.auroc),
        "difference": score_json(difference),
        "method": method,
        "verdict": which_better(difference.low, difference.high, few=few, more_is_better=True),
    }


def _errors(ours: F64, theirs: F64, truth: F64, patient: Ints, draws: Draws) -> DifferenceRecord:
    if not np.isfinite(theirs).all():
        return _nothing("NOT TRAINED")
    if not len(truth):
        return _nothing()
    resampler = draws.of(patient)
    difference = compare_errors(ours, theirs, truth, resampler)
    few = resampler.patients < draws.least.both
    return {
        "network": rounded(float(np.abs(ours - truth).mean())),
        "other": rounded(float(np.abs(theirs - truth).mean())),
        "other_ci": None,
        "difference": score_json(difference),
        "method": PAIRED,
        "verdict": which_better(difference.low, difference.high, few=few, more_is_better=False),
    }


def tally(heads: Sequence[BaselineHeadRecord], names: Sequence[str]) -> dict[str, dict[str, SummaryRecord]]:
    """Count the heads for which the network is better or worse than each other model, with the median difference."""
    out: dict[str, dict[str, SummaryRecord]] = {}
    for name in names:
        out[name] = {}
        for kind in ("probability", "value"):
            found = [h["against"][name] for h in heads if h["kind"] == kind]
            judged = [f for f in found if f["verdict"] in COUNTED]
            gaps = [f["difference"]["value"] for f in judged if f["difference"]]
            out[name][kind] = summary_of(kind, [f["verdict"] for f in judged], [g for g in gaps if g is not None])
    return out


def with_reference(rows: Rows, shown: F32, reference: F32, margin: float, draws: Draws) -> list[ReferenceHeadRecord]:
    """Test the teacher for non-inferiority to a reference, head by head, as JSON-able values.

    Args:
        rows: Labels of the segments.
        shown: Logits or values of the teacher, ``(n, heads)``.
        reference: Logits or values of the reference, ``(n, heads)``; all NaN for a head that it lacks.
        margin: Non-inferiority margin, AUROC.
        draws: Bootstrap over patients.
    """
    out: list[ReferenceHeadRecord] = []
    for j, row in enumerate(against(rows, shown, {"reference": reference}, draws)):
        found = row["against"]["reference"]
        theirs = reference[:, j].astype(np.float64)
        same = np.isfinite(theirs)
        alike: _Alike = {"correlation": None, "mean_difference": None, "largest_difference": None}
        if same.any():
            alike = _alike(shown[same, j].astype(np.float64), theirs[same])
        decision = found["verdict"]
        if row["kind"] == "probability" and found["difference"] is not None:
            low, high = found["difference"]["ci"] or (None, None)
            decision = "INCONCLUSIVE" if _few(rows, j, draws.least) else verdict(Score(None, low, high), margin)
        out.append(
            {
                "key": row["key"], "kind": row["kind"], "n": row["n"], "network": found["network"],
                "other": found["other"], "other_ci": found["other_ci"], "difference": found["difference"],
                "method": found["method"], "verdict": decision, "correlation": alike["correlation"],
                "mean_difference": alike["mean_difference"], "largest_difference": alike["largest_difference"],
            }
        )  # fmt: skip
    return out


class _Alike(TypedDict):
    correlation: float | None
    mean_difference: float | None
    largest_difference: float | None


def _alike(ours: F64, theirs: F64) -> _Alike:
    off = ours - theirs
    varies = np.ptp(ours) > 0.0 and np.ptp(theirs) > 0.0
    return {
        "correlation": rounded(float(np.corrcoef(ours, theirs)[0, 1]), 6) if varies else None,
        "mean_difference": rounded(float(off.mean())),
        "largest_difference": rounded(float(np.abs(off).max())),
    }


def _few(rows: Rows, j: int, least: LeastPatients) -> bool:
    known = np.isfinite(rows.truth[:, j])
    return not enough(rows.truth[known, j] > 0.5, rows.patient[known], least)
