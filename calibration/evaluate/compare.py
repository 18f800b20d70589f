"""The network against simpler models and against another teacher, on the same segments and patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.evaluate.aggregate import which_better
from calibration.evaluate.heads import Draws, both_sides, compare_errors, compare_rankings, ends
from calibration.evaluate.rows import Rows
from calibration.validate.judge import rounded, score_json
from convert.stats.metrics import Score
from convert.stats.noninferiority import LEAST_EVENTS, PAIRED, verdict

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

COUNTED = ("better", "worse", "INCONCLUSIVE")


def against(rows: Rows, shown: F32, others: Mapping[str, F32], draws: Draws) -> list[dict[str, Any]]:
    """The network less each other, head by head, as JSON-able values.

    Args:
        rows: Labels.
        shown: Of the network, logits or values, ``(n, heads)``.
        others: By name the same of others; NaN throughout for a head that one does not have.
        draws: Of the bootstrap.
    """
    out = []
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
    return out


def _nothing(why: str = "NOT JUDGED") -> dict[str, Any]:
    return {"network": None, "other": None, "other_ci": None, "difference": None, "method": "", "verdict": why}


def _areas(ours: F64, theirs: F64, y: Bools, patient: Ints, draws: Draws) -> dict[str, Any]:
    if not np.isfinite(theirs).all():
        return _nothing("NOT TRAINED")
    if not len(y) or not y.any() or y.all():
        return _nothing()
    a, b, difference, method = compare_rankings(ours, theirs, y, patient, draws)
    whose = both_sides(y, patient)
    few = min(int(whose.sum()), int((~whose).sum())) < LEAST_EVENTS
    return {
        "network": rounded(a.auroc.value),
        "other": rounded(b.auroc.value),
        "other_ci": ends(b.auroc),
        "difference": score_json(difference),
        "method": method,
        "verdict": which_better(difference.low, difference.high, few=few, more_is_better=True),
    }


def _errors(ours: F64, theirs: F64, truth: F64, patient: Ints, draws: Draws) -> dict[str, Any]:
    if not np.isfinite(theirs).all():
        return _nothing("NOT TRAINED")
    if not len(truth):
        return _nothing()
    resampler = draws.of(patient)
    difference = compare_errors(ours, theirs, truth, resampler)
    few = resampler.patients < LEAST_EVENTS
    return {
        "network": rounded(float(np.abs(ours - truth).mean())),
        "other": rounded(float(np.abs(theirs - truth).mean())),
        "other_ci": None,
        "difference": score_json(difference),
        "method": PAIRED,
        "verdict": which_better(difference.low, difference.high, few=few, more_is_better=False),
    }


def tally(heads: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Of how many heads the network is better and worse than each other, and by how much in the middle."""
    out: dict[str, Any] = {}
    for name in names:
        out[name] = {}
        for kind in ("probability", "value"):
            found = [h["against"][name] for h in heads if h["kind"] == kind]
            judged = [f for f in found if f["verdict"] in COUNTED]
            gaps = [f["difference"]["value"] for f in judged if f["difference"]["value"] is not None]
            out[name][kind] = {
                "compared": len(judged),
                **{word: sum(f["verdict"] == word for f in judged) for word in COUNTED},
                # Of values each has its own unit.
                "median_difference": rounded(float(np.median(gaps))) if gaps and kind == "probability" else None,
            }
    return out


def with_reference(rows: Rows, shown: F32, reference: F32, margin: float, draws: Draws) -> list[dict[str, Any]]:
    """Head by head whether the teacher is as good as a reference up to a margin of AUROC, as JSON-able values.

    Args:
        rows: Labels.
        shown: Of the teacher, logits or values, ``(n, heads)``.
        reference: Of the reference, NaN throughout for a head that it does not have.
        margin: Loss of AUROC that was said beforehand to be of no matter.
        draws: Of the bootstrap.
    """
    out = []
    for j, row in enumerate(against(rows, shown, {"reference": reference}, draws)):
        found = row["against"]["reference"]
        theirs = reference[:, j].astype(np.float64)
        same = np.isfinite(theirs)
        alike: dict[str, Any] = {"correlation": None, "mean_difference": None, "largest_difference": None}
        if same.any():
            alike = _alike(shown[same, j].astype(np.float64), theirs[same])
        said = found["verdict"]
        if row["kind"] == "probability" and found["difference"] is not None:
            low, high = found["difference"]["ci"] or (None, None)
            said = "INCONCLUSIVE" if _few(rows, j) else verdict(Score(None, low, high), margin)
        out.append({"key": row["key"], "kind": row["kind"], "n": row["n"], **found, **alike, "verdict": said})
    return out


def _alike(ours: F64, theirs: F64) -> dict[str, Any]:
    off = ours - theirs
    varies = np.ptp(ours) > 0.0 and np.ptp(theirs) > 0.0
    return {
        "correlation": rounded(float(np.corrcoef(ours, theirs)[0, 1]), 6) if varies else None,
        "mean_difference": rounded(float(off.mean())),
        "largest_difference": rounded(float(np.abs(off).max())),
    }


def _few(rows: Rows, j: int) -> bool:
    known = np.isfinite(rows.truth[:, j])
    whose = both_sides(rows.truth[known, j] > 0.5, rows.patient[known])
    return min(int(whose.sum()), int((~whose).sum())) < LEAST_EVENTS
