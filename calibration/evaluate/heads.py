"""Judge each head on single segments: ranking, calibration and values, with intervals over patients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.evaluate.records import HeadRecord
from calibration.evaluate.rows import Rows
from calibration.validate.judge import conclusion, ends, rounded, score_json
from calibration.validate.records import ReliabilityRecord
from convert.datasets.prepared import PreparedHead
from convert.stats.delong import delong_difference, delong_interval
from convert.stats.discrimination import Ranking, ranking
from convert.stats.evidence import evidence_level
from convert.stats.metrics import Score, quotient
from convert.stats.noninferiority import MIN_EVENTS, PAIRED, auroc_difference
from convert.stats.reliability import Reliability, reliability, value_agreement
from convert.stats.resampling import Resampler, interval

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

LEVELS = 1024
"""Steps of a ranking in the bootstrap; a score with more levels is binned into steps of equal shares. All levels of a
million floats would take a thousand times as long, and the interval changes by less than its last digit. The AUROC
itself uses the unbinned score."""


class Draws:
    """A bootstrap over patients that caches its draws and rankings.

    Args:
        seed: Seed of the draws.
        resamples: Number of replicates.
    """

    def __init__(self, seed: int, resamples: int) -> None:
        self.seed, self.resamples = seed, resamples
        self._last: tuple[bytes, Resampler] | None = None
        self._ranked: dict[bytes, Ranking] = {}

    def of(self, patient: Ints) -> Resampler:
        """Return the replicates for rows sides patients are given, ``(n,)``."""
        key = _digest(patient)
        if self._last is None or self._last[0] != key:
            self._last = key, Resampler(patient, self.seed, self.resamples)
        return self._last[1]

    def ranked(self, scores: F64, labels: Bools, patient: Ints) -> Ranking:
        """Compute AUROC and average precision of a score with their replicates.

        Args:
            scores: Score of each row, ``(n,)``.
            labels: True for a positive row, ``(n,)``.
            patient: Number of the patient of each row, ``(n,)``.
        """
        key = _digest(scores, labels, patient)
        if key not in self._ranked:
            self._ranked[key] = _ranked(scores, labels, self.of(patient))
        return self._ranked[key]


def _digest(*arrays: NDArray[Any]) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.digest()


def _ranked(scores: F64, labels: Bools, resampler: Resampler) -> Ranking:
    steps = coarse(scores)
    found = ranking(steps, labels, resampler)
    if len(np.unique(steps)) == len(np.unique(scores)):
        return found
    exact = ranking(scores, labels, Resampler(np.zeros(len(scores), dtype=np.int64), 0, 0))
    return Ranking(
        Score(exact.auroc.value, found.auroc.low, found.auroc.high),
        Score(exact.auprc.value, found.auprc.low, found.auprc.high),
        found.auroc_replicates,
    )


def coarse(scores: F64) -> F64:
    """Bin scores into at most :data:`LEVELS` steps of equal shares; order and ties are kept."""
    _, level, count = np.unique(scores, return_inverse=True, return_counts=True)
    if len(count) <= LEVELS:
        return np.asarray(level, dtype=np.float64)
    before = np.cumsum(count) - count
    return np.asarray((before * LEVELS // len(scores))[level], dtype=np.float64)


def judge_heads(rows: Rows, shown: F32, probability: Callable[[int, F64], F64], draws: Draws) -> list[HeadRecord]:
    """Judge every head, as JSON-able values.

    Args:
        rows: Labels of the segments.
        shown: Calibrated logits or values, ``(n, heads)``.
        probability: Function from the index of a head and its logits to probabilities.
        draws: Bootstrap over patients.
    """
    out = []
    for j, head in enumerate(rows.heads):
        known = np.isfinite(rows.truth[:, j])
        truth, said = rows.truth[known, j].astype(np.float64), shown[known, j].astype(np.float64)
        patient = rows.patient[known]
        if head.kind == "value":
            out.append(_value(head, truth, said, patient, draws))
        else:
            out.append(_probability(head, truth > 0.5, said, probability(j, said), patient, draws))
    return out


def _unjudged(head: PreparedHead, patient: Ints) -> HeadRecord:
    return {
        "key": head.key, "lab": head.lab, "loinc": head.loinc, "unit": head.unit, "kind": head.kind,
        "direction": head.direction, "horizon_min": head.horizon_min, "n": len(patient),
        "patients": len(np.unique(patient)), "positives": None, "positive_patients": None, "prevalence": None,
        "auroc": None, "auroc_ci": None, "auroc_ci_delong": None, "auprc": None, "auprc_ci": None, "tier": None,
        "conclusion": "NOT JUDGED", "calibration": None, "values": None, "note": "",
    }  # fmt: skip


def _probability(head: PreparedHead, y: Bools, logits: F64, p: F64, patient: Ints, draws: Draws) -> HeadRecord:
    sides = both_sides(y, patient)
    found = _unjudged(head, patient)
    found["positives"], found["positive_patients"] = int(y.sum()), int(sides.sum())
    found["prevalence"] = rounded(int(y.sum()) / len(y)) if len(y) else None
    found["note"] = _note(y, sides, logits)
    if not len(y) or not y.any() or y.all():
        return found
    resampler = draws.of(patient)
    ranked = draws.ranked(logits, y, patient)
    found["auroc"], found["auroc_ci"] = rounded(ranked.auroc.value), ends(ranked.auroc)
    found["auroc_ci_delong"] = ends(delong_interval(logits, y)) if resampler.distinct else None
    found["auprc"], found["auprc_ci"] = rounded(ranked.auprc.value), ends(ranked.auprc)
    found["tier"] = evidence_level(ranked.auroc.value)
    found["conclusion"] = conclusion(ranked.auroc, sides)
    found["calibration"] = _calibration(reliability(p, y, resampler, draws.seed))
    return found


def _calibration(r: Reliability) -> ReliabilityRecord:
    return {
        "brier": score_json(r.brier),
        "brier_of_the_prevalence": rounded(r.brier_of_the_prevalence),
        "ece": rounded(r.ece),
        "ece_chance": rounded(r.ece_chance),
        "bins": r.bins,
        "slope": rounded(r.slope),
        "intercept": rounded(r.intercept),
        "curve": [[rounded(p), rounded(y.value), n, *(ends(y) or (None, None))] for p, y, n in r.curve],
    }


def both_sides(y: Bools, patient: Ints) -> Bools:
    """Return a true value for each patient with a positive row and a false value for each with a negative row.

    A patient may count on both sides. Counts of patients, not of segments, decide whether there are enough events.
    """
    with_positive, with_negative = len(np.unique(patient[y])), len(np.unique(patient[~y]))
    return np.repeat([True, False], [with_positive, with_negative])


def _note(y: Bools, sides: Bools, logits: F64) -> str:
    if not len(y):
        return "no label in this part"
    if not y.any() or y.all():
        missing = "positive" if not y.any() else "negative"
        return f"no {missing} label in this part: discrimination cannot be judged"
    if np.ptp(logits) == 0.0:
        return "its output is constant"
    few = min(int(sides.sum()), int((~sides).sum()))
    return (
        f"too few patients with the rarer outcome: {few}; at least {MIN_EVENTS} are needed" if few < MIN_EVENTS else ""
    )


def _value(head: PreparedHead, truth: F64, value: F64, patient: Ints, draws: Draws) -> HeadRecord:
    found = _unjudged(head, patient)
    if not len(truth):
        found["note"] = "no measured value in this part"
        return found
    resampler = draws.of(patient)
    nothing = np.full(len(truth), np.nan)
    agreement = value_agreement(value, truth, nothing, nothing, 0.0, resampler)
    error, of_median = np.abs(value - truth), np.abs(truth - head.median)
    base = float(of_median.mean())
    spread = float(((truth - truth.mean()) ** 2).mean())
    relative = interval(float(error.mean()) / base if base > 0 else None, resampler.ratio(error, of_median))
    found["values"] = {
        "mae": score_json(agreement.mae),
        "mae_of_the_median": rounded(base),
        "relative_mae": score_json(relative),
        "mae_in_iqr": rounded(float(error.mean()) / head.iqr),
        "iqr": rounded(head.iqr),
        "r2": rounded(1.0 - float((error**2).mean()) / spread) if spread > 0 else None,
        "correlation": score_json(correlation(value, truth, resampler)),
        "bias": score_json(agreement.bias),
        "limits": [rounded(x) for x in agreement.limits],
    }
    return found


def correlation(a: F64, b: F64, resampler: Resampler) -> Score:
    """Compute Pearson's correlation with an interval over patients; ``None`` if one side is constant."""
    x, y = a - a.mean(), b - b.mean()
    products = (np.ones_like(x), x, y, x * x, y * y, x * y)

    def of(n: F64, sx: F64, sy: F64, sxx: F64, syy: F64, sxy: F64) -> F64:
        top = n * sxy - sx * sy
        bottom = np.sqrt(np.maximum((n * sxx - sx * sx) * (n * syy - sy * sy), 0.0))
        return quotient(top, bottom)

    if not len(x) or np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return Score(None, None, None)
    value = float(of(*(np.array([p.sum()]) for p in products))[0])
    return interval(value, of(*(resampler.totals(p) for p in products)))


def compare_rankings(
    ours: F64, theirs: F64, labels: Bools, patient: Ints, draws: Draws
) -> tuple[Ranking, Ranking, Score, str]:
    """Compare two scores of the same rows: both rankings, the AUROC difference (ours minus theirs) and its method."""
    a, b = draws.ranked(ours, labels, patient), draws.ranked(theirs, labels, patient)
    if draws.of(patient).distinct:
        return a, b, delong_difference(ours, theirs, labels), "DeLong, paired"
    return a, b, auroc_difference(a, b), PAIRED


def compare_errors(ours: F64, theirs: F64, truth: F64, resampler: Resampler) -> Score:
    """Compute the difference of two mean absolute errors of the same rows, ours minus theirs, paired."""
    less = np.abs(ours - truth) - np.abs(theirs - truth)
    return interval(float(less.mean()), resampler.ratio(less, np.ones_like(less)))
