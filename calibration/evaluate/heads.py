"""Judge each head on single segments: ranking, calibration and values, with intervals over patients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.evaluate.records import HeadRecord
from calibration.evaluate.rows import Rows
from calibration.validate.judge import (
    EXTREMES,
    area_of,
    conclude,
    ends,
    few_extremes,
    note_of,
    rounded,
    score_json,
    verdict_of,
)
from calibration.validate.records import ReliabilityRecord, VerdictRecord
from convert.datasets.prepared import PreparedHead
from convert.stats.bounds import se_interval
from convert.stats.delong import delong_difference, delong_interval
from convert.stats.discrimination import Ranking, area_and_precision, ranking_of_levels
from convert.stats.evidence import LeastPatients
from convert.stats.metrics import Score, quotient
from convert.stats.noninferiority import PAIRED, auroc_difference
from convert.stats.reliability import Reliability, mean_interval, reliability, value_agreement
from convert.stats.resampling import Resampler

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
        least: Minimum number of patients of each class for a verdict.
    """

    def __init__(self, seed: int, resamples: int, least: LeastPatients | None = None) -> None:
        self.seed, self.resamples, self.least = seed, resamples, least or LeastPatients()
        self._last: tuple[bytes, Resampler] | None = None
        self._ranked: dict[bytes, Ranking] = {}

    def of(self, patient: Ints) -> Resampler:
        """Return the replicates for rows whose patients are given, ``(n,)``."""
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
    # The scores are sorted once: their levels serve the exact area, the steps and the replicates.
    _, level, count = np.unique(scores, return_inverse=True, return_counts=True)
    step = steps(count)
    found = ranking_of_levels(step[level], int(step[-1]) + 1 if len(step) else 0, labels, resampler)
    if len(count) <= LEVELS or found.auroc.value is None:
        return found
    auroc, auprc = area_and_precision(level, len(count), labels)
    return Ranking(
        Score(auroc, found.auroc.low, found.auroc.high),
        Score(auprc, found.auprc.low, found.auprc.high),
        found.auroc_replicates,
        found.positives,
        found.negatives,
    )


def steps(count: Ints) -> Ints:
    """Bin levels into at most :data:`LEVELS` steps of equal shares.

    Args:
        count: Number of rows of each level, lowest level first, ``(levels,)``.

    Returns:
        Step of each level, ``(levels,)``, without gaps; one step for each level where they are few.
    """
    if len(count) <= LEVELS:
        return np.arange(len(count))
    binned = (np.cumsum(count) - count) * LEVELS // int(count.sum())
    return np.asarray(np.cumsum(np.concatenate(([0], binned[1:] != binned[:-1]))))


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
    conclude(out)
    return out


def _unjudged(head: PreparedHead, patient: Ints, verdict: VerdictRecord) -> HeadRecord:
    return {
        **verdict,
        "key": head.key, "lab": head.lab, "loinc": head.loinc, "unit": head.unit, "kind": head.kind,
        "direction": head.direction, "horizon_min": head.horizon_min,
        "patients": len(np.unique(patient)), "positives": None, "prevalence": None,
        "auroc": None, "auroc_ci": None, "auroc_ci_delong": None, "auprc": None, "auprc_ci": None,
        "calibration": None, "values": None,
    }  # fmt: skip


def _probability(head: PreparedHead, y: Bools, logits: F64, p: F64, patient: Ints, draws: Draws) -> HeadRecord:
    if not len(y):
        return _unjudged(head, patient, verdict_of(None, draws.least, 0, "no label in this part"))
    ranked = draws.ranked(logits, y, patient)
    note = note_of(y, logits, ranked, draws.least)
    found = _unjudged(head, patient, verdict_of(ranked, draws.least, len(y), note))
    found["positives"], found["prevalence"] = int(y.sum()), rounded(int(y.sum()) / len(y))
    if not y.any() or y.all():
        return found
    resampler = draws.of(patient)
    area = area_of(ranked)
    found["auroc"], found["auroc_ci"] = area["auroc"], area["auroc_ci"]
    found["auprc"], found["auprc_ci"] = area["auprc"], area["auprc_ci"]
    found["auroc_ci_delong"] = ends(delong_interval(logits, y)) if resampler.distinct else None
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


def enough(labels: Bools, patient: Ints, least: LeastPatients) -> bool:
    """Return whether there are enough patients with a positive and with a negative row.

    A patient may count on both sides. Counts of patients, not of segments, decide.
    """
    return least.reached(len(np.unique(patient[labels])), len(np.unique(patient[~labels])))


def _value(head: PreparedHead, truth: F64, value: F64, patient: Ints, draws: Draws) -> HeadRecord:
    if not len(truth):
        return _unjudged(head, patient, verdict_of(None, draws.least, 0, "no measured value in this part"))
    resampler = draws.of(patient)
    edges = np.quantile(truth, EXTREMES)
    ranked = [
        draws.ranked(score, side, patient) for score, side in ((-value, truth < edges[0]), (value, truth > edges[1]))
    ]
    worst = min(ranked, key=lambda r: -1.0 if r.auroc.low is None else r.auroc.low)
    verdict = verdict_of(worst, draws.least, len(truth), few_extremes(ranked, draws.least))
    found = _unjudged(head, patient, verdict)
    nothing = np.full(len(truth), np.nan)
    agreement = value_agreement(value, truth, nothing, nothing, 0.0, resampler)
    error, of_median = np.abs(value - truth), np.abs(truth - head.median)
    base = float(of_median.mean())
    spread = float(((truth - truth.mean()) ** 2).mean())
    share = float(error.mean()) / base if base > 0 else None
    relative = se_interval(share, resampler.ratio(error, of_median), resampler.patients, "log")
    found["no_gain"] = agreement.gain.low is None or agreement.gain.low <= 0.0
    found["values"] = {
        "mae": score_json(agreement.mae),
        "mae_of_the_median": rounded(base),
        "relative_mae": score_json(relative),
        "mae_in_iqr": rounded(float(error.mean()) / head.iqr),
        "iqr": rounded(head.iqr),
        "r2": rounded(1.0 - float((error**2).mean()) / spread) if spread > 0 else None,
        "correlation": score_json(correlation(value, truth, resampler)),
        "gain": score_json(agreement.gain),
        "bias": score_json(agreement.bias),
        "limits": [rounded(x) for x in agreement.limits],
        "slope": score_json(agreement.slope),
        "proportional_bias": agreement.proportional_bias,
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
    return se_interval(value, of(*(resampler.totals(p) for p in products)), resampler.patients, "atanh")


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
    return mean_interval(np.abs(ours - truth) - np.abs(theirs - truth), resampler)
