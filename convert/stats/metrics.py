"""AUROC and calibration error of a set of rows, without intervals: numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

RESAMPLES = 1000
"""Default number of replicates, as in CardioLab (Sci Rep 2025, s41598-025-26715-5)."""


@dataclass(frozen=True, slots=True)
class Score:
    """A measure with its interval; all ``None`` where it is not defined (a single class)."""

    value: float | None
    low: float | None
    high: float | None


UNDEFINED = Score(None, None, None)


def auroc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve, with ties counted half (Mann-Whitney).

    Args:
        scores: Scores, ``(n,)``.
        labels: Labels, ``(n,)``, true for a positive.

    Returns:
        The area, or ``None`` where a class is missing.
    """
    levels, level = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    y = np.asarray(labels, dtype=np.float64)
    positive = np.asarray(np.bincount(level, y, len(levels))[:, None], dtype=np.float64)
    negative = np.asarray(np.bincount(level, 1.0 - y, len(levels))[:, None], dtype=np.float64)
    value = float(areas(positive, negative)[0])
    return None if np.isnan(value) else value


def areas(positive: F64, negative: F64) -> F64:
    """Return the AUROC of each column.

    Args:
        positive: Weight of the positives at each level of the score, lowest level first, ``(levels, k)``.
        negative: The same for the negatives.

    Returns:
        AUROC of each column, ``(k,)``, NaN where a class has no weight.
    """
    below = np.cumsum(negative, axis=0) - 0.5 * negative
    wins = (positive * below).sum(axis=0)
    total = positive.sum(axis=0) * negative.sum(axis=0)
    return quotient(wins, total)


def quotient(top: F64, bottom: F64) -> F64:
    """Return the quotients element by element, ``(n,)``; NaN where the denominator is not positive."""
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0), dtype=np.float64)


CALIBRATION_BINS = 15
"""Number of bins of equal size, as in Nixon et al., CVPR workshops 2019 (adaptive calibration error)."""


def calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> float | None:
    """Return the expected calibration error: mean distance of probability and share of positives over equal-sized bins.

    It is never zero, because the share in a bin of ``n`` patients has a standard error of ``sqrt(p (1 - p) / n)``.

    Args:
        probabilities: Probabilities, ``(n,)``.
        labels: Labels, ``(n,)``, true for a positive.
        bins: Number of bins; fewer if there are fewer rows.

    Returns:
        The error, or ``None`` where there are no rows.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=bool)
    if not len(p):
        return None
    return binned_error(p, y, equal_bins(p, bins))


def equal_bins(p: F64, bins: int = CALIBRATION_BINS) -> list[NDArray[np.intp]]:
    """Return the rows of each bin of equal size, in the order of the probabilities, ``(n,)``, at least one."""
    return np.array_split(np.argsort(p, kind="stable"), min(bins, len(p)))


def binned_error(p: F64, labels: NDArray[np.bool_], parts: Sequence[NDArray[np.intp]]) -> float:
    """Return the expected calibration error of rows, ``(n,)``, over bins that are given by their rows."""
    return float(sum(len(part) * abs(p[part].mean() - labels[part].mean()) for part in parts) / len(p))
