"""Head by head over single segments: ranking, calibration and values, with intervals that respect patients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.evaluate.rows import Rows
from calibration.validate.judge import conclusion, rounded, score_json
from convert.datasets.prepared import PreparedHead
from convert.stats.delong import delong_difference, delong_interval
from convert.stats.discrimination import Ranking, ranking
from convert.stats.evidence import evidence_level
from convert.stats.metrics import Score, quotient
from convert.stats.noninferiority import LEAST_EVENTS, PAIRED, auroc_difference
from convert.stats.reliability import reliability, value_agreement
from convert.stats.resampling import Resampler, interval

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

LEVELS = 1024
"""Steps of a ranking in the bootstrap: more levels of a score are put together by equal shares. All the levels of a
million floats would take a thousand times as long, and an interval moves by less than its last shown digit. The AUROC
itself is that of the score as it is."""


class Draws:
    """The bootstrap over patients, with what was drawn and ranked kept for whoever asks for the same again.

    Args:
        seed: Of the drawing.
        resamples: How many replicates.
    """

    def __init__(self, seed: int, resamples: int) -> None:
        self.seed, self.resamples = seed, resamples
        self._last: tuple[bytes, Resampler] | None = None
        self._ranked: dict[bytes, Ranking] = {}

    def of(self, patient: Ints) -> Resampler:
        """Replicates of some rows, given the patient of each."""
        key = _digest(patient)
        if self._last is None or self._last[0] != key:
            self._last = key, Resampler(patient, self.seed, self.resamples)
        return self._last[1]

    def ranked(self, scores: F64, labels: Bools, patient: Ints) -> Ranking:
        """AUROC and average precision of a score with their replicates.

        Args:
            scores: ``(n,)``.
            labels: ``(n,)``.
            patient: ``(n,)``.
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
    """The same order in at most :data:`LEVELS` steps of equal shares; equal scores stay equal."""
    _, level, count = np.unique(scores, return_inverse=True, return_counts=True)
    if len(count) <= LEVELS:
        return np.asarray(level, dtype=np.float64)
    before = np.cumsum(count) - count
    return np.asarray((before * LEVELS // len(scores))[level], dtype=np.float64)


def judge_heads(rows: Rows, shown: F32, probability: Callable[[int, F64], F64], draws: Draws) -> list[dict[str, Any]]:
    """Every judged head, as JSON-able values.

    Args:
        rows: Labels.
        shown: Calibrated logits or values, ``(n, heads)``.
        probability: From the index of a head and its logits to probabilities.
        draws: Of the bootstrap.
    """
    out = []
    for j, head in enumerate(rows.heads):
        known = np.isfinite(rows.truth[:, j])
        truth, said = rows.truth[known, j].astype(np.float64), shown[known, j].astype(np.float64)
        patient = rows.patient[known]
        if head.kind == "value":
            found = _value(head, truth, said, patient, draws)
        else:
            found = _probability(truth > 0.5, said, probability(j, said), patient, draws)
        out.append({**about(head), "n": len(truth), "patients": len(np.unique(patient)), **found})
    return out


def about(head: PreparedHead) -> dict[str, Any]:
    """What a head is."""
    names = ("key", "lab", "loinc", "unit", "kind", "direction", "horizon_min")
    return {name: getattr(head, name) for name in names}


def _probability(y: Bools, logits: F64, p: F64, patient: Ints, draws: Draws) -> dict[str, Any]:
    positives = int(y.sum())
    whose = both_sides(y, patient)
    found: dict[str, Any] = {
        "positives": positives,
        "positive_patients": int(whose.sum()),
        "prevalence": rounded(positives / len(y)) if len(y) else None,
        "auroc": None, "auroc_ci": None, "auroc_ci_delong": None, "auprc": None, "auprc_ci": None,
        "tier": None, "conclusion": "NOT JUDGED", "calibration": None, "values": None,
        "note": _note(y, whose, logits),
    }  # fmt: skip
    if not len(y) or not y.any() or y.all():
        return found
    resampler = draws.of(patient)
    ranked = draws.ranked(logits, y, patient)
    calibrated = asdict(reliability(p, y, resampler, draws.seed))
    calibrated["brier"] = score_json(calibrated["brier"])
    calibrated["curve"] = [[rounded(a), rounded(b), n] for a, b, n in calibrated["curve"]]
    for name in ("brier_of_the_prevalence", "ece", "ece_chance", "slope", "intercept"):
        calibrated[name] = rounded(calibrated[name])
    return {
        **found,
        "auroc": rounded(ranked.auroc.value),
        "auroc_ci": ends(ranked.auroc),
        "auroc_ci_delong": ends(delong_interval(logits, y)) if resampler.distinct else None,
        "auprc": rounded(ranked.auprc.value),
        "auprc_ci": ends(ranked.auprc),
        "tier": evidence_level(ranked.auroc.value),
        "conclusion": conclusion(ranked.auroc, whose),
        "calibration": calibrated,
    }


def both_sides(y: Bools, patient: Ints) -> Bools:
    """True for each patient with a positive row and false for each with a negative one; some count on both sides.

    Of segments there are many a patient: whether there are enough to say something is a matter of patients.
    """
    with_positive, with_negative = len(np.unique(patient[y])), len(np.unique(patient[~y]))
    return np.repeat([True, False], [with_positive, with_negative])


def _note(y: Bools, whose: Bools, logits: F64) -> str:
    if not len(y):
        return "no label in this part"
    if not y.any() or y.all():
        missing = "positive" if not y.any() else "negative"
        return f"no {missing} in this part: nothing can be said of its discrimination"
    if np.ptp(logits) == 0.0:
        return "it always says the same"
    few = min(int(whose.sum()), int((~whose).sum()))
    return (
        f"only {few} patients of the rarer outcome: fewer than {LEAST_EVENTS} show nothing"
        if few < LEAST_EVENTS
        else ""
    )


def _value(head: PreparedHead, truth: F64, value: F64, patient: Ints, draws: Draws) -> dict[str, Any]:
    found: dict[str, Any] = {
        "positives": None, "positive_patients": None, "prevalence": None, "auroc": None, "auroc_ci": None,
        "auroc_ci_delong": None, "auprc": None, "auprc_ci": None, "tier": None, "conclusion": "NOT JUDGED",
        "calibration": None, "values": None, "note": "" if len(truth) else "no measured value in this part",
    }  # fmt: skip
    if not len(truth):
        return found
    resampler = draws.of(patient)
    nothing = np.full(len(truth), np.nan)
    agreement = value_agreement(value, truth, nothing, nothing, 0.0, resampler)
    error, of_median = np.abs(value - truth), np.abs(truth - head.median)
    base = float(of_median.mean())
    spread = float(((truth - truth.mean()) ** 2).mean())
    return {
        **found,
        "values": {
            "mae": score_json(agreement.mae),
            "mae_of_the_median": rounded(base),
            "relative_mae": score_json(
                interval(float(error.mean()) / base if base > 0 else None, resampler.ratio(error, of_median))
            ),
            "mae_in_iqr": rounded(float(error.mean()) / head.iqr),
            "iqr": rounded(head.iqr),
            "r2": rounded(1.0 - float((error**2).mean()) / spread) if spread > 0 else None,
            "correlation": score_json(correlation(value, truth, resampler)),
            "bias": score_json(agreement.bias),
            "limits": [rounded(x) for x in agreement.limits],
        },
    }  # fmt: skip


def correlation(a: F64, b: F64, resampler: Resampler) -> Score:
    """Pearson's correlation with the bootstrap over patients; none where a side does not vary."""
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
    """Two scores of the same rows: both rankings, the difference of the AUROCs (ours less theirs), and its method."""
    a, b = draws.ranked(ours, labels, patient), draws.ranked(theirs, labels, patient)
    if draws.of(patient).distinct:
        return a, b, delong_difference(ours, theirs, labels), "DeLong, paired"
    return a, b, auroc_difference(a, b), PAIRED


def compare_errors(ours: F64, theirs: F64, truth: F64, resampler: Resampler) -> Score:
    """Difference of two mean absolute errors of the same rows, ours less theirs, by the same replicates."""
    less = np.abs(ours - truth) - np.abs(theirs - truth)
    return interval(float(less.mean()), resampler.ratio(less, np.ones_like(less)))


def ends(score: Score) -> list[float | None] | None:
    """An interval for JSON."""
    return None if score.low is None or score.high is None else [rounded(score.low), rounded(score.high)]
