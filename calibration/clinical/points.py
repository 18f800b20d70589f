"""Operating points of a probability: sensitivity, specificity and predictive values at thresholds that a rule sets.

A threshold that is chosen on the patients on which it is judged is too good. Each rule therefore sets the threshold of
a fold on the patients of the other folds; the threshold in the report is the one of all patients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from calibration.validate.judge import rounded, score_json
from calibration.validate.records import MeasureRecord
from convert.stats.bounds import NORMAL, quantile_t
from convert.stats.decide import Rule
from convert.stats.methods import FOLDS, folds
from convert.stats.metrics import Score
from convert.stats.reliability import decisions
from convert.stats.resampling import Resampler

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

RULES = (Rule("sensitivity", 0.9), Rule("npv", 0.99), Rule("youden"))
"""Rules of the report: nearly all ill patients are found; a negative answer is reliable; the sum of both is largest."""

PREVALENCES = (0.01, 0.05, 0.1, 0.2)
"""Stated prevalences for predictive values, because those of a data set hold at its own prevalence only."""


class PredictiveRecord(TypedDict):
    """Predictive values at a stated prevalence."""

    prevalence: float
    ppv: MeasureRecord
    npv: MeasureRecord


class PointRecord(TypedDict):
    """Performance at the threshold of a rule; ``threshold`` is ``None`` where the rule cannot be met."""

    rule: str
    threshold: float | None
    sensitivity: MeasureRecord
    specificity: MeasureRecord
    ppv: MeasureRecord
    npv: MeasureRecord
    flagged: int
    at: list[PredictiveRecord]


def operating_points(
    p: F64, labels: Bools, patient: NDArray[np.int64], resampler: Resampler, deployed: float | None, seed: int
) -> list[PointRecord]:
    """Return the operating points of the rules and of the deployed threshold.

    Args:
        p: Probabilities, ``(n,)``.
        labels: Labels, ``(n,)``, both classes of at least as many patients as there are folds.
        patient: Number of the patient of each row, ``(n,)``.
        resampler: Replicates of these rows.
        deployed: Threshold of the bundle; ``None`` where it has none.
        seed: Seed of the folds.
    """
    out = []
    if deployed is not None:
        out.append(_point("deployed", deployed, p >= deployed, labels, resampler))
    fold = folds(patient, labels, seed)
    for rule in RULES:
        name = rule.name if not rule.target else f"{rule.name}={rule.target:g}"
        flagged = np.zeros(len(p), dtype=np.bool_)
        limits = [rule.threshold(p[fold != k], labels[fold != k]) for k in range(FOLDS)]
        for k, limit in enumerate(limits):
            # A rule that cannot be met flags everybody: the sensitivity is kept, and the specificity pays.
            flagged[fold == k] = True if limit is None else p[fold == k] >= limit
        whole = rule.threshold(p, labels)
        if whole is None or None in limits:
            nothing = score_json(Score(None, None, None))
            out.append(
                {
                    "rule": name, "threshold": None, "sensitivity": nothing, "specificity": nothing, "ppv": nothing,
                    "npv": nothing, "flagged": 0, "at": [],
                }
            )  # fmt: skip
            continue
        out.append(_point(name, whole, flagged, labels, resampler))
    return out


def _point(rule: str, threshold: float, flagged: Bools, labels: Bools, resampler: Resampler) -> PointRecord:
    d = decisions(flagged, labels, np.zeros(len(labels), dtype=np.bool_), resampler, threshold)
    return {
        "rule": rule,
        "threshold": rounded(threshold, 6),
        "sensitivity": score_json(d.sensitivity),
        "specificity": score_json(d.specificity),
        "ppv": score_json(d.ppv),
        "npv": score_json(d.npv),
        "flagged": d.flagged,
        "at": predictive_values(d.sensitivity, d.specificity, PREVALENCES),
    }


def predictive_values(sensitivity: Score, specificity: Score, prevalences: Sequence[float]) -> list[PredictiveRecord]:
    """Return the predictive values at stated prevalences, by Bayes' theorem.

    Args:
        sensitivity: Sensitivity with its interval.
        specificity: Specificity with its interval.
        prevalences: Prevalences, 0 to 1 exclusive.

    Returns:
        PPV and NPV with intervals from the likelihood ratios (Mercaldo, Lau & Zhou, Stat Med 2007;26:2170).
    """
    miss, false = _complement(sensitivity), _complement(specificity)
    out: list[PredictiveRecord] = []
    for share in prevalences:
        odds = share / (1.0 - share)
        out.append(
            {
                "prevalence": share,
                "ppv": score_json(_posterior(odds, sensitivity, false)),
                "npv": score_json(_complement(_posterior(odds, miss, specificity))),
            }
        )
    return out


def _complement(score: Score) -> Score:
    if score.value is None or score.low is None or score.high is None:
        return Score(None, None, None)
    return Score(1.0 - score.value, 1.0 - score.high, 1.0 - score.low)


def _posterior(odds: float, of_ill: Score, of_well: Score) -> Score:
    """Return the share of ill patients among those of a group, from the shares of ill and of well patients in it."""
    a, b = _log_of(of_ill), _log_of(of_well)
    if a is None or b is None:
        return Score(None, None, None)
    half = quantile_t(NORMAL) * math.hypot(a[1], b[1])
    centre = math.log(odds) + a[0] - b[0]
    value, low, high = (1.0 / (1.0 + math.exp(-x)) for x in (centre, centre - half, centre + half))
    return Score(value, low, high)


def _log_of(share: Score) -> tuple[float, float] | None:
    """Return the logarithm of a share and its standard error; a share of 0 takes the middle of its interval."""
    if share.value is None or share.low is None or share.high is None:
        return None
    low = max(share.low, 1e-6)
    value = share.value if share.value > 0.0 else 0.5 * share.high
    if share.high <= 0.0:
        return None
    return math.log(value), (math.log(share.high) - math.log(low if share.value > 0.0 else 0.1 * share.high)) / (
        2.0 * quantile_t(NORMAL)
    )
