"""Front end ``ecgfounder/1``: what the teacher was trained on, exactly, faster.

ECGFounder's preparation of a ten-second window at 500 Hz: 50 Hz notch (Q 30), Butterworth band-pass of order 4 from
0.67 to 40 Hz, both forwards and backwards, minus the running median of 201 samples, then the z-score. The arithmetic is
that of ``scipy.signal.filtfilt`` and ``medfilt``; what is saved is the design of filters and initial states (made once)
and the median (``scipy.ndimage``, the same values). Needs the ``foundation`` extra.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import MissingExtraError

FS_HZ = 500.0
WINDOW_SAMPLES = 5000
NOTCH_HZ = 50.0
NOTCH_Q = 30.0
BAND_HZ = (0.67, 40.0)
ORDER = 4
MEDIAN_S = 0.4
"""Length of the median baseline: int(0.4 s x 500 Hz) + 1 = 201 samples."""

ZSCORE_EPSILON = 1e-8
"""Added to the standard deviation, as ECGFounder's data sets do (PKUDigitalHealth/ECGFounder, dataset.py)."""

CLAMP = 16.0
"""Default clamp of the int8 model input; a bundle's manifest states its own."""


def quantized(z: NDArray[np.float64], scale: float, zero_point: int, clamp: float) -> NDArray[np.int8]:
    """Returns a z-scored window as the model's int8 input, same shape.

    Args:
        z: Shape ``(n,)``.
        scale: Of the input tensor.
        zero_point: Of the input tensor.
        clamp: Largest magnitude of the z-score that is kept.
    """
    q = np.clip(z, -clamp, clamp)
    q /= scale
    np.rint(q, out=q)
    q += zero_point
    return np.clip(q, -128.0, 127.0, out=q).astype(np.int8)


class EcgFounderFrontEnd:
    """Filters whole windows as ECGFounder does.

    Raises:
        MissingExtraError: scipy is not installed.
    """

    def __init__(self) -> None:
        try:
            from scipy import ndimage, signal
        except ImportError as e:
            raise MissingExtraError("the foundation tier (front end ecgfounder/1)", "foundation") from e
        self._lfilter = signal.lfilter
        self._median_filter = ndimage.median_filter
        self._stages = []
        for b, a in (
            signal.iirnotch(NOTCH_HZ, NOTCH_Q, FS_HZ),
            signal.butter(N=ORDER, Wn=list(BAND_HZ), btype="bandpass", fs=FS_HZ),
        ):
            # The padding and the initial state are those of scipy.signal.filtfilt with its defaults.
            self._stages.append((b, a, signal.lfilter_zi(b, a), 3 * max(len(a), len(b))))
        self._median_samples = int(MEDIAN_S * FS_HZ) + 1

    def filter(self, window_mv: NDArray[np.float64]) -> NDArray[np.float64]:
        """Notch, band-pass and median baseline, without the z-score.

        Args:
            window_mv: Shape ``(n,)``, 500 Hz, ``n > 27``; any unit.

        Returns:
            Shape ``(n,)``, float64, in the unit of the input.
        """
        x = np.asarray(window_mv, dtype=np.float64)
        for b, a, zi, pad in self._stages:
            x = self._forwards_backwards(b, a, zi, pad, x)
        baseline = self._median_filter(x, size=self._median_samples, mode="constant")
        return np.asarray(x - baseline, dtype=np.float64)

    def __call__(self, window_mv: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the z-scored window, shape ``(n,)``, float64: the teacher's input."""
        y = self.filter(window_mv)
        # What np.mean and np.std compute, with the centred window made once.
        y = y - np.add.reduce(y) / len(y)
        return np.asarray(y / (np.sqrt(np.add.reduce(y * y) / len(y)) + ZSCORE_EPSILON), dtype=np.float64)

    def _forwards_backwards(
        self,
        b: NDArray[np.float64],
        a: NDArray[np.float64],
        zi: NDArray[np.float64],
        pad: int,
        x: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        ext = np.concatenate((2.0 * x[0] - x[pad:0:-1], x, 2.0 * x[-1] - x[-2 : -pad - 2 : -1]))
        y, _ = self._lfilter(b, a, ext, zi=zi * ext[0])
        y, _ = self._lfilter(b, a, y[::-1], zi=zi * y[-1])
        return np.asarray(y[::-1][pad:-pad], dtype=np.float64)
