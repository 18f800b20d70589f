"""The QRS envelope of a window: the amplitude of the 5-20 Hz band that the R-peak detector decides on.

The detector computes it block by block and forgets it. The quality gate and the search for the newest beats need it
once more for a whole window, to see how far the beats stand out from what lies between them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.beats.feature import AVERAGE_S, BAND_HZ, SLOPE_REACH_S, SLOPE_WEIGHT, TAPS_S, band_pass

FS_HZ = 125.0
"""Sampling rate of the windows, Hz."""
PEAK_REACH = round(0.08 * FS_HZ)
"""Distance from an R peak within which the envelope of its complex peaks, samples."""
SLOPE_REACH = round(SLOPE_REACH_S * FS_HZ)
"""Distance from the peak of the envelope within which the steepest slope belongs to the complex, samples."""


class Envelope(NamedTuple):
    """Envelope of a window.

    Attributes:
        level: Short-time amplitude, shape ``(n,)``, in the unit of the window.
        slope: Absolute slope of the band, weighted as in the envelope, ``(n,)``.
    """

    level: NDArray[np.float64]
    slope: NDArray[np.float64]


@lru_cache(maxsize=1)
def _filters() -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    average = np.full(2 * round(AVERAGE_S * FS_HZ / 2) + 1, 1.0)
    middle_hz = float(np.sqrt(BAND_HZ[0] * BAND_HZ[1]))
    gain = SLOPE_WEIGHT / (2.0 * float(np.sin(2 * np.pi * middle_hz / FS_HZ)))
    return band_pass(2 * round(TAPS_S * FS_HZ / 2) + 1, FS_HZ), average / len(average), gain


def envelope(window: NDArray[np.float64]) -> Envelope:
    """Return the envelope of a window, continued at both ends by point reflection.

    Args:
        window: Filtered samples at 125 Hz, shape ``(n,)``, longer than the filters (0.45 s).
    """
    taps, average, gain = _filters()
    aside = len(taps) // 2 + len(average) // 2 + 1
    before, after = 2.0 * window[0] - window[aside:0:-1], 2.0 * window[-1] - window[-2 : -aside - 2 : -1]
    band = np.convolve(np.concatenate([before, window, after]), taps, "valid")
    slope = (band[2:] - band[:-2]) * gain
    level = np.sqrt(np.convolve(band[1:-1] ** 2 + slope**2, average, "valid"))
    half = len(average) // 2
    return Envelope(level, np.abs(slope[half:-half]))


def peaks_near(level: NDArray[np.float64], beats: NDArray[np.int_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where the envelope of each beat peaks, not decreasing, and its height there.

    Args:
        level: ``Envelope.level``, shape ``(n,)``.
        beats: R peaks, as increasing sample numbers.
    """
    around = np.clip(beats[:, None] + np.arange(-PEAK_REACH, PEAK_REACH + 1), 0, len(level) - 1)
    rows = level[around]
    best = rows.argmax(axis=1)
    each = np.arange(len(beats))
    return np.maximum.accumulate(around[each, best]), rows[each, best]


def steepest(slope: NDArray[np.float64], at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the steepest slope around each sample of ``at``."""
    around = np.clip(at[:, None] + np.arange(-SLOPE_REACH, SLOPE_REACH + 1), 0, len(slope) - 1)
    return np.asarray(np.maximum.reduce(slope[around], axis=1), dtype=np.float64)
