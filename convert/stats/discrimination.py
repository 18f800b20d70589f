"""AUROC and average precision with intervals from the bootstrap over patients, and the points of the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.stats.bounds import area_interval, degrees, se_interval
from convert.stats.metrics import UNDEFINED, Score, areas, quotient
from convert.stats.resampling import Resampler

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """How well a score separates positives from negatives.

    Attributes:
        auroc: Area under the ROC curve, ties counted half.
        auprc: Average precision (the step function, not its trapezoids).
        auroc_replicates: AUROC of each replicate, ``(resamples,)``, NaN where not defined.
        positives: Number of patients with a positive row.
        negatives: Number of patients with a negative row.
    """

    auroc: Score
    auprc: Score
    auroc_replicates: F64
    positives: int = 0
    negatives: int = 0

    @property
    def df(self) -> float:
        """Degrees of freedom of the interval of the AUROC."""
        return degrees(self.positives, self.negatives)

    @property
    def fewer(self) -> int:
        """Number of patients of the rarer class."""
        return min(self.positives, self.negatives)


def ranking(scores: F64, labels: Bools, resampler: Resampler) -> Ranking:
    """Return AUROC and average precision of a score with their intervals.

    Args:
        scores: Scores, ``(n,)``, finite.
        labels: Labels, ``(n,)``, true for a positive.
        resampler: Replicates of these rows.
    """
    levels, level = np.unique(scores, return_inverse=True)
    return ranking_of_levels(level, len(levels), labels, resampler)


def ranking_of_levels(level: NDArray[np.intp], count: int, labels: Bools, resampler: Resampler) -> Ranking:
    """Return the ranking of a score whose levels are known.

    Args:
        level: Level of each row, ``(n,)``, 0 to ``count - 1``, lowest first.
        count: Number of levels.
        labels: Labels, ``(n,)``, true for a positive.
        resampler: Replicates of these rows.
    """
    nothing = np.full(resampler.resamples, np.nan)
    labels = np.asarray(labels, dtype=np.bool_)
    ill, well = resampler.patients_of(labels), resampler.patients_of(~labels)
    if not labels.any() or labels.all():
        return Ranking(UNDEFINED, UNDEFINED, nothing, ill, well)
    y = labels.astype(np.float64)
    area, precision = nothing.copy(), nothing.copy()
    pairs = zip(resampler.levels(level, count, y), resampler.levels(level, count, 1.0 - y), strict=True)
    for (chunk, drawn_positive), (_, drawn_negative) in pairs:
        area[chunk] = areas(drawn_positive, drawn_negative)
        precision[chunk] = average_precisions(drawn_positive, drawn_negative)
    found = area_and_precision(level, count, labels)
    return Ranking(
        area_interval(found[0], area, ill, well), se_interval(found[1], precision, ill, "logit"), area, ill, well
    )


def area_and_precision(level: NDArray[np.intp], count: int, labels: Bools) -> tuple[float, float]:
    """Return AUROC and average precision of rows whose levels are known; arguments as above, with both classes."""
    y = labels.astype(np.float64)
    positive = np.asarray(np.bincount(level, y, count)[:, None], dtype=np.float64)
    negative = np.asarray(np.bincount(level, 1.0 - y, count)[:, None], dtype=np.float64)
    return float(areas(positive, negative)[0]), float(average_precisions(positive, negative)[0])


def average_precisions(positive: F64, negative: F64) -> F64:
    """Return the average precision of each column; arguments and result are those of :func:`areas`."""
    above = np.cumsum(positive[::-1], axis=0)
    flagged = above + np.cumsum(negative[::-1], axis=0)
    precision = np.divide(above, flagged, out=np.zeros_like(above), where=flagged > 0)
    total = above[-1]
    gained = (positive[::-1] * precision).sum(axis=0)
    return quotient(gained, total)


def roc_points(scores: F64, labels: Bools, most: int = 60) -> list[tuple[float, float]]:
    """Return at most ``most`` points of the ROC curve, (1 - specificity, sensitivity), with both ends."""
    if not labels.any() or labels.all():
        return []
    levels, level = np.unique(scores, return_inverse=True)
    y = labels.astype(np.float64)
    hit = np.cumsum(np.bincount(level, y, len(levels))[::-1]) / y.sum()
    false = np.cumsum(np.bincount(level, 1.0 - y, len(levels))[::-1]) / (1.0 - y).sum()
    hit, false = np.concatenate(([0.0], hit)), np.concatenate(([0.0], false))
    # Even steps along the curve and not along one axis, so that steep parts keep their points.
    way = hit + false
    keep = np.unique(np.searchsorted(way, np.linspace(0.0, 2.0, most)).clip(0, len(way) - 1))
    return [(round(float(false[i]), 4), round(float(hit[i]), 4)) for i in keep]
