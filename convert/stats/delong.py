"""DeLong's variance of an AUROC and of the difference of two, by midranks (Sun & Xu, IEEE SPL 2014;21:1389).

The method assumes independent rows, so it is used only where each patient has a single row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.stats.bounds import degrees, quantile_t
from convert.stats.metrics import UNDEFINED, Score
from edge.stats import sigmoid

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class DeLong:
    """AUROCs of several scores of the same rows.

    Attributes:
        areas: AUROC of each score, ``(k,)``.
        covariance: Covariance of the AUROCs, ``(k, k)``.
    """

    areas: F64
    covariance: F64


def delong(scores: F64, labels: Bools) -> DeLong:
    """Return AUROCs and their covariance.

    Args:
        scores: Scores, ``(k, n)``.
        labels: Labels, ``(n,)``, at least two of each class.
    """
    from scipy.stats import rankdata  # loaded late: scipy.stats takes longer to load than a help to print

    positive, negative = scores[:, labels], scores[:, ~labels]
    m, n = positive.shape[1], negative.shape[1]
    together = rankdata(np.concatenate((positive, negative), axis=1), axis=1)
    # Structural components: the share of the other class that each row outranks.
    of_positive = (together[:, :m] - rankdata(positive, axis=1)) / n
    of_negative = 1.0 - (together[:, m:] - rankdata(negative, axis=1)) / m
    covariance = np.atleast_2d(np.cov(of_positive)) / m + np.atleast_2d(np.cov(of_negative)) / n
    return DeLong(of_positive.mean(axis=1), covariance)


def delong_interval(scores: F64, labels: Bools, level: float = 0.95) -> Score:
    """Return the AUROC with DeLong's interval on the logit scale, which stays between 0 and 1.

    Student's t distribution replaces the normal one, whose intervals are too narrow with few patients.

    Args:
        scores: Scores, ``(n,)``, one for each patient.
        labels: Labels, ``(n,)``.
        level: Nominal coverage.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if min(positives, negatives) < 2:
        return UNDEFINED
    found = delong(scores[None], labels)
    area, sd = float(found.areas[0]), float(np.sqrt(max(found.covariance[0, 0], 0.0)))
    if not 0.0 < area < 1.0:
        return Score(area, None, None)
    half = quantile_t(degrees(positives, negatives), level) * sd / (area * (1.0 - area))
    centre = np.log(area / (1.0 - area))
    low, high = sigmoid(centre + np.array([-half, half]))
    return Score(area, float(low), float(high))


def delong_difference(ours: F64, theirs: F64, labels: Bools, level: float = 0.95) -> Score:
    """Return the difference of two AUROCs on the same rows, ours minus theirs, with DeLong's interval.

    Args:
        ours: Scores of the model under test, ``(n,)``, one for each patient.
        theirs: Scores of the reference, ``(n,)``.
        labels: Labels, ``(n,)``.
        level: Nominal coverage.
    """
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if min(positives, negatives) < 2:
        return UNDEFINED
    found = delong(np.stack((ours, theirs)), labels)
    c = found.covariance
    difference = float(found.areas[0] - found.areas[1])
    half = quantile_t(degrees(positives, negatives), level) * float(
        np.sqrt(max(c[0, 0] + c[1, 1] - 2.0 * c[0, 1], 0.0))
    )
    return Score(difference, difference - half, difference + half)
