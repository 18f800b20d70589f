"""Non-inferiority of a model to a reference, from paired differences on the same rows.

PASS: the whole interval of the difference is above minus the margin. FAIL: the whole interval is below it, so the loss
is proven. INCONCLUSIVE: neither, because there are too few patients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.stats.bounds import se_interval
from convert.stats.delong import delong_difference
from convert.stats.discrimination import Ranking, ranking
from convert.stats.evidence import LeastPatients
from convert.stats.metrics import Score
from convert.stats.resampling import Resampler

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
NO_FLIP = -math.log(0.025)
"""Where no decision differs, the bootstrap has no spread. Of n patients, a share of up to this number over n may still
differ (rule of three, Hanley & Lippman-Hand, JAMA 1983;249:1743, at 97.5 %)."""

PAIRED = "bootstrap over patients, paired"

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of two models on the same rows.

    Attributes:
        measure: ``auroc``, ``sensitivity`` or ``specificity``.
        ours: Value of the model under test.
        theirs: Value of the reference.
        difference: Ours minus theirs, with its interval.
        margin: Non-inferiority margin, in the unit of the measure.
        verdict: ``PASS``, ``FAIL`` or ``INCONCLUSIVE``.
        method: Method of the interval.
    """

    measure: str
    ours: float | None
    theirs: float | None
    difference: Score
    margin: float
    verdict: Verdict
    method: str


def verdict(difference: Score, margin: float) -> Verdict:
    """Return the verdict of an interval of a difference for a margin."""
    if difference.low is None or difference.high is None:
        return "INCONCLUSIVE"
    if difference.low > -margin:
        return "PASS"
    return "FAIL" if difference.high < -margin else "INCONCLUSIVE"


def compare_auroc(
    ours: F64, theirs: F64, labels: Bools, resampler: Resampler, margin: float, least: LeastPatients | None = None
) -> Comparison:
    """Compare two AUROCs: by DeLong's method where each patient has a single row, else by the bootstrap over patients.

    Args:
        ours: Scores of the model under test, ``(n,)``.
        theirs: Scores of the reference, ``(n,)``.
        labels: Labels, ``(n,)``.
        resampler: Replicates of these rows.
        margin: Non-inferiority margin.
        least: Minimum number of patients of each class for a verdict.
    """
    a, b = ranking(ours, labels, resampler), ranking(theirs, labels, resampler)
    if resampler.distinct:
        difference, method = delong_difference(ours, theirs, labels), "DeLong, paired"
    else:
        difference, method = auroc_difference(a, b), PAIRED
    decided: Verdict = verdict(difference, margin)
    if not (least or LeastPatients()).reached(a.positives, a.negatives):
        decided = "INCONCLUSIVE"
    return Comparison("auroc", a.auroc.value, b.auroc.value, difference, margin, decided, method)


def auroc_difference(ours: Ranking, theirs: Ranking) -> Score:
    """Return the difference of two AUROCs, ours minus theirs, from the same replicates of the same rows."""
    a, b = ours.auroc.value, theirs.auroc.value
    apart = ours.auroc_replicates - theirs.auroc_replicates
    return se_interval(None if a is None or b is None else a - b, apart, ours.fewer, df=ours.df)


def compare_rate(
    measure: str, ours: Bools, theirs: Bools, among: Bools, resampler: Resampler, margin: float,
    least: LeastPatients | None = None,
) -> Comparison:  # fmt: skip
    """Compare two shares, such as sensitivities, by the paired bootstrap over patients.

    Args:
        measure: Name of the measure.
        ours: Whether the model under test is right, ``(n,)``.
        theirs: Whether the reference is right, ``(n,)``.
        among: Rows that count, ``(n,)``: the positives for a sensitivity.
        resampler: Replicates of these rows.
        margin: Non-inferiority margin.
        least: Minimum number of patients of each class: the minimum of positives applies to ``"sensitivity"``, the
            minimum of negatives to any other measure.
    """
    method = PAIRED
    if not among.any():
        nothing = Score(None, None, None)
        return Comparison(measure, None, None, nothing, margin, "INCONCLUSIVE", method)
    weight = among.astype(np.float64)
    a, b = float(ours[among].mean()), float(theirs[among].mean())
    drawn = resampler.ratio(weight * (ours.astype(np.float64) - theirs.astype(np.float64)), weight)
    patients = resampler.patients_of(among)
    difference = se_interval(a - b, drawn, patients)
    if not (ours != theirs)[among].any():
        unseen = min(1.0, NO_FLIP / patients)
        difference, method = Score(0.0, -unseen, unseen), "rule of three: no decision differs"
    limits = least or LeastPatients()
    needed = limits.positives if measure == "sensitivity" else limits.negatives
    decided: Verdict = verdict(difference, margin) if patients >= needed else "INCONCLUSIVE"
    return Comparison(measure, a, b, difference, margin, decided, method)
