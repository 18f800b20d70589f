"""ECGFounder's published preprocessing, which its README shows: the reference of outputs and of times."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, filtfilt, iirnotch, medfilt


def published(x: np.ndarray) -> np.ndarray:
    """Return ten seconds at 500 Hz after the published filters."""
    b, a = iirnotch(50, 30, 500)
    y = filtfilt(b, a, x)
    b, a = butter(N=4, Wn=[0.67, 40], btype="bandpass", fs=500)
    y = filtfilt(b, a, y)
    return y - medfilt(y, 201)
