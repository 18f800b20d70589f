"""The newest beats of a window, which the R-peak detector has not confirmed yet.

The detector confirms a beat 0.4 to 1.5 s after its peak. At the end of a window up to two beats are therefore missing,
and in a slow or irregular rhythm the mean rate of the window depends on them. They are found here from the envelope of
the last seconds and the beats known before. The detector's own list of beats is not changed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.beats.decide import T_WAVE_MAX_S, T_WAVE_RR, T_WAVE_S, T_WAVE_SLOPE
from edge.beats.envelope import FS_HZ, Envelope, envelope, peaks_near, steepest
from edge.beats.feature import SPACING_S
from edge.stats import median

LOOK_BACK = round(5.0 * FS_HZ)
"""Length of the end of a window that is searched, with the known beats in it, samples."""
HEIGHT = 0.45
"""Smallest height of a new beat, relative to the median of the known ones: above the detector's threshold, because no
later sample can correct a mistake."""
EARLIEST = round(0.28 * FS_HZ)
"""Shortest distance of a new beat from the last known one, samples."""
KNOWN = 2
"""Fewest known beats in the searched part; fewer give no usual height."""


def with_newest(window: NDArray[np.float64], beats: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the beats of a window with those of its end that are not confirmed yet.

    Args:
        window: The filtered window at 125 Hz, shape ``(n,)``.
        beats: Confirmed R peaks, as increasing sample numbers of the window.

    Returns:
        The same beats, followed by the new ones, increasing.
    """
    first = max(0, len(window) - LOOK_BACK)
    known = beats[beats >= first] - first
    if len(known) < KNOWN or len(window) - 1 - int(beats[-1]) < EARLIEST:
        return beats
    found = envelope(window[first:])
    at, heights = peaks_near(found.level, known)
    offset = round(median(known - at))
    last = len(window) - 1 - first
    new = [min(k + offset, last) + first for k in _new_peaks(found, at, heights, median(beats[1:] - beats[:-1]))]
    return np.array([*beats.tolist(), *(k for k in new if k > beats[-1])], dtype=np.int64)


def _new_peaks(found: Envelope, at: NDArray[np.int64], heights: NDArray[np.float64], usual: float) -> list[int]:
    """Return the peaks of the envelope after the last known beat that are beats.

    Args:
        found: The envelope of the end of the window.
        at: Peaks of the known beats in it.
        heights: Their heights.
        usual: The usual interval of the window, samples.
    """
    level, least = found.level, HEIGHT * median(heights)
    slope = T_WAVE_SLOPE * median(steepest(found.slope, at))
    reach = min(max(T_WAVE_S * FS_HZ, T_WAVE_RR * usual), T_WAVE_MAX_S * FS_HZ)
    spacing = round(SPACING_S * FS_HZ)
    last, out = int(at[-1]), []
    rises = np.append(level[1:] > level[:-1], False)
    for k in np.flatnonzero(~rises[1:] & rises[:-1]) + 1:
        if k - last < EARLIEST or level[k] < least:
            continue
        rivals = level[max(int(k) - spacing, last + spacing // 2) : int(k) + spacing + 1]
        is_t_wave = k - last < reach and float(steepest(found.slope, np.array([k]))[0]) < slope
        if level[k] >= rivals.max() and not is_t_wave:
            out.append(int(k))
            last = int(k)
    return out
