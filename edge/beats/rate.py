"""Heart rate of a window from its R peaks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edge.stats import median

RATE_LIMITS_BPM = (25.0, 250.0)
"""A rate outside is a fault of the signal or the detector, not of a heart. (MC-MED pipelines drop below 25; supra-
ventricular tachycardia of adults stays below 250.)"""
LEAST_BEATS = 3
"""Two intervals are the least that a median means something for."""


def heart_rate_bpm(beats: NDArray[np.int_], fs_hz: float) -> float | None:
    """Median of the rates from beat to beat, which a missed or false beat or an early one hardly moves.

    Args:
        beats: Shape ``(n,)``, increasing sample numbers of the R peaks, from any origin.
        fs_hz: Rate that they count in.

    Returns:
        Beats per minute, or ``None`` where it is not credible: fewer than ``LEAST_BEATS`` beats, or outside
        ``RATE_LIMITS_BPM``.
    """
    if len(beats) < LEAST_BEATS:
        return None
    intervals = [b - a for a, b in pairwise(beats.tolist())]
    if not min(intervals) > 0:
        return None
    rate_bpm = median(60.0 * fs_hz / interval for interval in intervals)
    low, high = RATE_LIMITS_BPM
    return rate_bpm if low <= rate_bpm <= high else None
