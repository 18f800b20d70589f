"""Number of patients for an interval of a given width: what a data set must have before a claim can be checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtri
from scipy.stats import multivariate_normal, norm

from convert.stats.bounds import LEVEL, degrees, quantile_t
from convert.stats.evidence import LeastPatients

MAX_PATIENTS = 100_000_000
"""Largest number of patients that is planned. A claim that needs more has no size."""

HALF_NORMAL = math.sqrt(math.pi / 2.0 - 1.0)
"""Standard deviation of the absolute value of a centred normal error, in units of its mean."""


@dataclass(frozen=True, slots=True)
class PlannedSize:
    """Number of patients, each with one row.

    Attributes:
        positives: Patients with the abnormal result; ``None`` for a value.
        negatives: Patients without it; ``None`` for a value.
        patients: Patients in total.
        low: Expected lower end of the interval.
        high: Expected upper end of the interval.
    """

    positives: int | None
    negatives: int | None
    patients: int
    low: float
    high: float


def auroc_variance(auroc: float, positives: float, negatives: float) -> float:
    """Return the variance of an AUROC for two normal scores of equal spread (Obuchowski, Acad Radiol 1994;1:22).

    Args:
        auroc: AUROC, 0 to 1 exclusive.
        positives: Number of patients with the abnormal result.
        negatives: Number of patients without it.
    """
    # Two positives against one negative: both exceed it with the probability of a bivariate normal with correlation
    # one half; the same holds for two negatives, because the spreads are equal.
    at = float(ndtri(auroc))
    both = float(multivariate_normal(cov=np.array([[1.0, 0.5], [0.5, 1.0]])).cdf(np.array([at, at])))
    pairs = (positives + negatives - 2.0) * (both - auroc**2)
    return (auroc * (1.0 - auroc) + pairs) / (positives * negatives)


def plan_auroc(
    auroc: float, prevalence: float, width: float, least: LeastPatients | None = None, level: float = LEVEL
) -> PlannedSize | None:
    """Return the smallest data set in which the interval of an AUROC is expected to have at most a given width.

    Args:
        auroc: Claimed AUROC, 0.5 to 1 exclusive.
        prevalence: Share of patients with the abnormal result.
        width: Width of the interval, upper minus lower end.
        least: Minimum number of patients of each class.
        level: Nominal coverage.

    Returns:
        The size; ``None`` where it is larger than :data:`MAX_PATIENTS`.
    """
    floor = least or LeastPatients()
    # The data set must reach the minimum of each class at this prevalence.
    needed = max(floor.positives / prevalence, floor.negatives / (1.0 - prevalence))
    if needed > MAX_PATIENTS:
        return None

    def ends(patients: int) -> tuple[int, int, float, float]:
        positives = max(floor.positives, round(patients * prevalence))
        negatives = max(floor.negatives, patients - positives)
        se = math.sqrt(auroc_variance(auroc, positives, negatives))
        half = quantile_t(degrees(positives, negatives), level) * se / (auroc * (1.0 - auroc))
        centre = math.log(auroc / (1.0 - auroc))
        low, high = float(expit(centre - half)), float(expit(centre + half))
        return positives, negatives, low, high

    def narrow(patients: int) -> bool:
        _, _, low, high = ends(patients)
        return high - low <= width

    patients = _smallest(narrow)
    if patients is None:
        return None
    positives, negatives, low, high = ends(max(patients, math.ceil(needed)))
    return PlannedSize(positives, negatives, positives + negatives, low, high)


def plan_mae(mae: float, width: float, least: LeastPatients | None = None, level: float = LEVEL) -> PlannedSize | None:
    """Return the smallest data set in which the interval of a mean absolute error is expected to have a given width.

    Args:
        mae: Claimed mean absolute error.
        width: Width of the interval as a share of the claim.
        least: Minimum number of patients of each class; their sum is the minimum here.
        level: Nominal coverage.

    Returns:
        The size; ``None`` where it is larger than :data:`MAX_PATIENTS`.
    """
    floor = (least or LeastPatients()).both

    def half(patients: int) -> float:
        """Return half the width of the interval of the logarithm."""
        return quantile_t(patients - 1, level) * HALF_NORMAL / math.sqrt(patients)

    found = _smallest(lambda n: 2.0 * math.sinh(half(n)) <= width)
    if found is None:
        return None
    patients = max(floor, found)
    return PlannedSize(None, None, patients, mae * math.exp(-half(patients)), mae * math.exp(half(patients)))


def _smallest(check: Callable[[int], bool]) -> int | None:
    """Return the smallest number from 3 that passes a check which larger ones pass, too; ``None`` above the maximum."""
    low, high = 2, 4
    while not check(high):
        if high == MAX_PATIENTS:
            return None
        low, high = high, min(2 * high, MAX_PATIENTS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if check(middle) else (middle, high)
    return high


def power_of_tier(auroc: float, positives: int, negatives: int, above: float, level: float = LEVEL) -> float:
    """Return the chance that the lower end of the interval is above a limit.

    Args:
        auroc: True AUROC.
        positives: Number of patients with the abnormal result.
        negatives: Number of patients without it.
        above: The limit, such as 0.65 for strong evidence.
        level: Nominal coverage of the interval.
    """
    se = math.sqrt(auroc_variance(auroc, positives, negatives)) / (auroc * (1.0 - auroc))
    gap = math.log(auroc / (1.0 - auroc)) - math.log(above / (1.0 - above))
    return float(norm.cdf(gap / se - quantile_t(degrees(positives, negatives), level)))
