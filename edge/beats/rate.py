"""The heart rate of a window from its R peaks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge.stats import median

RATE_LIMITS_BPM = (25.0, 250.0)
"""Credible heart rates, beats per minute; others come from signal or detector. (MC-MED pipelines drop below 25; supra-
ventricular tachycardia of adults stays below 250.)"""
MIN_BEATS = 3
"""Fewest beats for a rate: a median needs two intervals."""


FIRST_BEATS = 4
"""Fewest beats for a rate before the first window."""
FIRST_RATIO = 2.0
"""Largest ratio of two of their intervals; false beats in noise differ more, and no gate has judged them yet."""
UNEVEN = 0.015
"""Relative difference of mean and median rate from which the rhythm is irregular or alternates. The rounding of R peaks
to samples stays below."""


def heart_rate_bpm(beats: NDArray[np.int_], fs_hz: float) -> float | None:
    """Return the rate of beats that are trusted: their mean rate if the rhythm is irregular or alternates.

    The median of a bigeminy is the rate of its short or its long intervals, and that of a fibrillation depends on a
    single beat; the mean rate is what a person counts. In a regular rhythm the median is the same and steadier.

    Args:
        beats: Shape ``(n,)``, increasing sample numbers of the R peaks of a window.
        fs_hz: Sampling rate of these numbers, Hz.

    Returns:
        Beats per minute, or ``None`` as for :func:`median_rate_bpm`.
    """
    usual_bpm = median_rate_bpm(beats, fs_hz)
    mean_bpm = mean_rate_bpm(beats, fs_hz)
    if usual_bpm is None or mean_bpm is None:
        return None
    return mean_bpm if abs(mean_bpm / usual_bpm - 1.0) > UNEVEN else usual_bpm


def first_rate_bpm(beats: NDArray[np.int_], fs_hz: float) -> float | None:
    """Return the rate of the first beats of a segment, before there is a window that the quality gate could judge.

    Args:
        beats: Shape ``(n,)``, increasing sample numbers of the R peaks so far.
        fs_hz: Sampling rate of these numbers, Hz.

    Returns:
        Beats per minute, or ``None`` with fewer than ``FIRST_BEATS`` beats or where they are too uneven to be trusted.
    """
    if len(beats) < FIRST_BEATS:
        return None
    intervals = [b - a for a, b in pairwise(beats.tolist())]
    return heart_rate_bpm(beats, fs_hz) if max(intervals) <= FIRST_RATIO * min(intervals) else None


def mean_rate_bpm(beats: NDArray[np.int_], fs_hz: float) -> float | None:
    """Return 60 (n - 1) / (last - first), which holds for every rhythm if no beat is missing or false.

    Args:
        beats: Shape ``(n,)``, increasing sample numbers of the R peaks.
        fs_hz: Sampling rate of these numbers, Hz.

    Returns:
        Beats per minute; ``None`` with fewer than ``MIN_BEATS`` beats, or outside ``RATE_LIMITS_BPM``.
    """
    if len(beats) < MIN_BEATS or not beats[-1] > beats[0]:
        return None
    rate_bpm = 60.0 * fs_hz * (len(beats) - 1) / float(beats[-1] - beats[0])
    low, high = RATE_LIMITS_BPM
    return rate_bpm if low <= rate_bpm <= high else None


def median_rate_bpm(beats: NDArray[np.int_], fs_hz: float) -> float | None:
    """Return the median of the rates from beat to beat, which a missed, false or early beat hardly changes.

    Args:
        beats: Shape ``(n,)``, increasing sample numbers of the R peaks, from any origin.
        fs_hz: Sampling rate of these numbers, Hz.

    Returns:
        Beats per minute, or ``None`` if not credible: fewer than ``MIN_BEATS`` beats, or outside
        ``RATE_LIMITS_BPM``.
    """
    if len(beats) < MIN_BEATS:
        return None
    intervals = [b - a for a, b in pairwise(beats.tolist())]
    if not min(intervals) > 0:
        return None
    rate_bpm = median(60.0 * fs_hz / interval for interval in intervals)
    low, high = RATE_LIMITS_BPM
    return rate_bpm if low <= rate_bpm <= high else None
