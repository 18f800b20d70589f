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


def heart_rate_bpm(beats: NDArray[np.int_], fs_hz: float) -> float | None:
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
