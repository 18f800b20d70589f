"""The wave path: the least filtered form of a window, from which waves are measured.

``stream/1`` and ``ecgfounder/1`` remove slow signal with short windows, which bends ST and T. The wave path is the
window of the grid with a low-pass of linear phase at 40 Hz only; nothing slow is removed. The baseline is taken from
the ECG itself: a straight line from beat to beat through the level before each QRS (``edge.waves.mean_beat``), which
moves no wave of a beat against another. AHA recommends 0.05 Hz, or up to 0.67 Hz without a change of phase, for ST
(Kligfield et al., Circulation 2007;115:1306).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.frontend.stream import lowpass_taps

F64 = NDArray[np.float64]

FS_HZ = 250.0
"""Sampling rate of the wave path, Hz."""


def wave_path(raw: F64, grid_hz: int) -> F64:
    """Remove everything above 40 Hz from a window, without delay.

    Args:
        raw: Samples of the grid before any filter, ``(n,)``; the first and last 0.1 s depend on what is not there.
        grid_hz: Sampling rate of the grid, 250 or 500 Hz.

    Returns:
        Samples at 250 Hz in the unit of the input, ``(n,)`` or ``(n // 2,)``.
    """
    step, taps = grid_hz // int(FS_HZ), _TAPS[grid_hz]
    half = len(taps) // 2
    x = np.concatenate((2.0 * raw[0] - raw[half:0:-1], raw, 2.0 * raw[-1] - raw[-2 : -half - 2 : -1]))
    n = len(raw) // step
    last = (n - 1) * step + 1
    # One product for each distance from the middle: the same sums on every processor, and no BLAS.
    out = x[half : half + last : step] * taps[half]
    for k in range(1, half + 1):
        out += (x[half - k : half - k + last : step] + x[half + k : half + k + last : step]) * taps[half + k]
    return np.asarray(out, dtype=np.float64)


_TAPS = {grid_hz: lowpass_taps(grid_hz) for grid_hz in (250, 500)}
