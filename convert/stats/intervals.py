"""AUROC and mean absolute error of one model, with bootstrap intervals over patients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.stats.discrimination import ranking
from convert.stats.metrics import RESAMPLES, UNDEFINED, Score
from convert.stats.reliability import mean_interval
from convert.stats.resampling import Resampler

STREAM = 7
"""Random stream of these intervals. It keeps the evidence of bundles independent of the replicates that
``anyecg validate`` draws with the same seed."""


def auroc_interval(
    scores: NDArray[np.floating],
    labels: NDArray[np.bool_],
    patients: NDArray[np.integer] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Score:
    """Return the AUROC with its 95 % interval.

    Args:
        scores: ``(n,)``.
        labels: ``(n,)``, true for a positive.
        patients: Number of each row's patient, ``(n,)``; ``None`` where each row is another patient.
        seed: Seed of the bootstrap.
        resamples: Number of replicates.
    """
    resampler = _resampler(len(labels), patients, seed, resamples)
    return ranking(np.asarray(scores, dtype=np.float64), labels, resampler).auroc


def mae_interval(
    errors: NDArray[np.floating],
    patients: NDArray[np.integer] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Score:
    """Return the mean absolute error with its 95 % interval.

    Args:
        errors: Estimate minus truth, ``(n,)``.
        patients: Number of each row's patient, ``(n,)``; ``None`` where each row is another patient.
        seed: Seed of the bootstrap.
        resamples: Number of replicates.
    """
    size = np.abs(np.asarray(errors, dtype=np.float64))
    if not len(size):
        return UNDEFINED
    return mean_interval(size, _resampler(len(size), patients, seed, resamples), "log")


def _resampler(n: int, patients: NDArray[np.integer] | None, seed: int, resamples: int) -> Resampler:
    return Resampler(np.arange(n) if patients is None else patients, seed, resamples, stream=STREAM)
