"""Is a model as good as another, up to a margin named beforehand? On the same rows, so the difference is paired.

PASS: the whole interval of the difference lies above minus the margin. FAIL: the whole interval lies below it, so the
loss is proven. INCONCLUSIVE: neither; there are too few patients to say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.stats.delong import delong_difference
from convert.stats.discrimination import Ranking, ranking
from convert.stats.metrics import Score
from convert.stats.resampling import Resampler, interval

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
LEAST_EVENTS = 10
"""With fewer positives or negatives nothing is concluded: an interval from so few is not one (CardioLab drops them)."""

NO_FLIP = -math.log(0.025)
"""Where no decision differs, the bootstrap sees no spread; among n patients up to this over n may still differ (rule of
three, Hanley & Lippman-Hand, JAMA 1983;249:1743, at 97.5 %)."""

PAIRED = "bootstrap over patients, paired"

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of two models on the same rows.

    Attributes:
        measure: ``auroc``, ``sensitivity`` or ``specificity``.
        ours: Of the model under test.
        theirs: Of the reference.
        difference: Ours less theirs, with its interval.
        margin: Loss that was said beforehand to be of no matter.
        verdict: What follows.
        method: How the interval was made.
    """

    measure: str
    ours: float | None
    theirs: float | None
    difference: Score
    margin: float
    verdict: Verdict
    method: str


def verdict(difference: Score, margin: float) -> Verdict:
    """What an interval of a difference says against a margin."""
    if difference.low is None or difference.high is None:
        return "INCONCLUSIVE"
    if difference.low > -margin:
        return "PASS"
    return "FAIL" if difference.high < -margin else "INCONCLUSIVE"


def compare_auroc(ours: F64, theirs: F64, labels: Bools, resampler: Resampler, margin: float) -> Comparison:
    """Paired difference of two AUROCs: DeLong where every row is a patient, else the bootstrap over patients.

    Args:
        ours: ``(n,)``.
        theirs: ``(n,)``.
        labels: ``(n,)``.
        resampler: Of these rows.
        margin: Of the comparison.
    """
    a, b = ranking(ours, labels, resampler), ranking(theirs, labels, resampler)
    if resampler.distinct:
        difference, method = delong_difference(ours, theirs, labels), "DeLong, paired"
    else:
        difference, method = auroc_difference(a, b), PAIRED
    said: Verdict = verdict(difference, margin)
    if min(int(labels.sum()), int((~labels).sum())) < LEAST_EVENTS:
        said = "INCONCLUSIVE"
    return Comparison("auroc", a.auroc.value, b.auroc.value, difference, margin, said, method)


def auroc_difference(ours: Ranking, theirs: Ranking) -> Score:
    """Difference of two AUROCs, ours less theirs, by the same replicates of the same rows."""
    a, b = ours.auroc.value, theirs.auroc.value
    return interval(None if a is None or b is None else a - b, ours.auroc_replicates - theirs.auroc_replicates)


def compare_rate(
    measure: str, ours: Bools, theirs: Bools, among: Bools, resampler: Resampler, margin: float
) -> Comparison:
    """Paired difference of two shares, such as sensitivities, by the bootstrap over patients.

    Args:
        measure: Its name.
        ours: ``(n,)``, whether the model under test is right.
        theirs: The same of the reference.
        among: ``(n,)``, the rows that count: positives for a sensitivity.
        resampler: Of these rows.
        margin: Of the comparison.
    """
    method = PAIRED
    if not among.any():
        nothing = Score(None, None, None)
        return Comparison(measure, None, None, nothing, margin, "INCONCLUSIVE", method)
    weight = among.astype(np.float64)
    a, b = float(ours[among].mean()), float(theirs[among].mean())
    drawn = resampler.ratio(weight * (ours.astype(np.float64) - theirs.astype(np.float64)), weight)
    difference = interval(a - b, drawn)
    if not (ours != theirs)[among].any():
        unseen = min(1.0, NO_FLIP / resampler.patients_of(among))
        difference, method = Score(0.0, -unseen, unseen), "rule of three: no decision differs"
    said: Verdict = verdict(difference, margin) if int(among.sum()) >= LEAST_EVENTS else "INCONCLUSIVE"
    return Comparison(measure, a, b, difference, margin, said, method)
