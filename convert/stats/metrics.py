"""Discrimination and error measures with intervals that respect patients.

Windows of one patient are not independent, so every interval resamples patients, never windows. All resamples are
evaluated together in a few array operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

RESAMPLES = 1000
"""As in CardioLab (Sci Rep 2025, s41598-025-26715-5)."""


@dataclass(frozen=True, slots=True)
class Score:
    """A measure with its interval; ``None`` throughout where it is not defined (a single class)."""

    value: float | None
    low: float | None
    high: float | None


UNDEFINED = Score(None, None, None)


def auroc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve, ties counted half (Mann-Whitney).

    Args:
        scores: Shape ``(n,)``.
        labels: Shape ``(n,)``, true for a positive.

    Returns:
        The area, or ``None`` where a class is missing.
    """
    weights = np.ones((1, len(scores)))
    value = _weighted_auroc(np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool), weights)[0]
    return None if np.isnan(value) else float(value)


def auroc_interval(
    scores: NDArray[np.floating],
    labels: NDArray[np.bool_],
    patients: NDArray[np.integer] | None = None,
    *,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Score:
    """AUROC with a percentile bootstrap over patients.

    Args:
        scores: Shape ``(n,)``.
        labels: Shape ``(n,)``.
        patients: Patient of each row; ``None`` where each row is a patient.
        seed: Seed of the resampling.
        level: Coverage of the interval.
        resamples: How many.
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    point = auroc(s, y)
    if point is None:
        return UNDEFINED
    drawn = _weighted_auroc(s, y, _patient_weights(len(s), patients, seed, resamples))
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Score(point, float(low), float(high))


def mae_interval(
    errors: NDArray[np.floating],
    patients: NDArray[np.integer] | None = None,
    *,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Score:
    """Mean absolute error with a percentile bootstrap over patients.

    Args:
        errors: Shape ``(n,)``, estimate minus truth.
        patients: Patient of each row; ``None`` where each row is a patient.
        seed: Seed of the resampling.
        level: Coverage of the interval.
        resamples: How many.
    """
    size = np.abs(np.asarray(errors, dtype=np.float64))
    if len(size) == 0:
        return UNDEFINED
    weights = _patient_weights(len(size), patients, seed, resamples)
    drawn = (weights * size).sum(axis=1) / weights.sum(axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Score(float(size.mean()), float(low), float(high))


CALIBRATION_BINS = 15
"""Of equal size, as in Nixon et al., CVPR workshops 2019 (adaptive calibration error)."""


def calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> float | None:
    """Expected calibration error over bins of equal size: mean distance of probability and share of positives.

    It is never zero: with ``n`` patients in a bin the share itself scatters by ``sqrt(p (1 - p) / n)``.

    Args:
        probabilities: Shape ``(n,)``.
        labels: Shape ``(n,)``, true for a positive.
        bins: How many; fewer where there are fewer patients.

    Returns:
        The error, or ``None`` where there is nobody.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=bool)
    if not len(p):
        return None
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(p))) if len(part)]
    return float(sum(len(part) * abs(p[part].mean() - y[part].mean()) for part in parts) / len(p))


def _patient_weights(n: int, patients: NDArray[np.integer] | None, seed: int, resamples: int) -> F64:
    """How often each row counts in each resample, shape ``(resamples, n)``."""
    rng = np.random.default_rng([seed, 7])
    if patients is None:
        index, count = np.arange(n), n
    else:
        unique, index = np.unique(patients, return_inverse=True)
        count = len(unique)
    drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=resamples)
    return np.asarray(drawn[:, index], dtype=np.float64)


def _weighted_auroc(scores: F64, labels: NDArray[np.bool_], weights: F64) -> F64:
    """AUROC of each row of weights, shape ``(resamples,)``; NaN where a class has no weight."""
    order = np.argsort(scores, kind="stable")
    sorted_scores, y, w = scores[order], labels[order], weights[:, order]
    positive, negative = w * y, w * ~y
    below = np.cumsum(negative, axis=1) - negative
    # Within a run of equal scores every negative counts half, wherever the sort put it.
    first = np.searchsorted(sorted_scores, sorted_scores, side="left")
    last = np.searchsorted(sorted_scores, sorted_scores, side="right") - 1
    through = below + negative
    rank = 0.5 * (below[:, first] + through[:, last])
    total = positive.sum(axis=1) * negative.sum(axis=1)
    wins = (positive * rank).sum(axis=1)
    return np.asarray(np.divide(wins, total, out=np.full(len(w), np.nan), where=total > 0), dtype=np.float64)
