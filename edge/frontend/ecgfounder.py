"""Front end ``ecgfounder/1``: the preparation with which the teacher was trained, but faster.

ECGFounder's preparation of a ten-second window at 500 Hz: 50 Hz notch (Q 30), Butterworth band-pass of order 4 from
0.67 to 40 Hz, both forwards and backwards, minus the running median of 201 samples, then the z-score. The arithmetic is
that of ``scipy.signal.filtfilt`` and ``medfilt``. It is faster because filters and initial states are constants and the
median is that of ``scipy.ndimage`` (the same values). The z-scored window equals that of the published function within
1e-5; on ARM, where scipy designs filters with other last digits, within 5e-5. Needs the ``foundation`` extra.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.frontend.ecgfounder_constants import BAND_A, BAND_B, BAND_ZI, NOTCH_A, NOTCH_B, NOTCH_ZI
from edge.frontend.scipy_routines import load_linear_filter, load_median_filter
from firmware_bridge.errors import MissingExtraError

FS_HZ = 500.0
WINDOW_SAMPLES = 5000


class Stage(NamedTuple):
    """One IIR filter, applied forwards and backwards like ``scipy.signal.filtfilt``.

    Attributes:
        b: Numerator coefficients.
        a: Denominator coefficients.
        zi: State of the settled step response (``scipy.signal.lfilter_zi``).
    """

    b: NDArray[np.float64]
    a: NDArray[np.float64]
    zi: NDArray[np.float64]

    @property
    def pad(self) -> int:
        """Samples of odd extension at each end, the default of ``filtfilt``."""
        return 3 * max(len(self.a), len(self.b))


NOTCH = Stage(np.array(NOTCH_B), np.array(NOTCH_A), np.array(NOTCH_ZI))
BAND = Stage(np.array(BAND_B), np.array(BAND_A), np.array(BAND_ZI))
MEDIAN_S = 0.4
"""Length of the median baseline: int(0.4 s x 500 Hz) + 1 = 201 samples."""

ZSCORE_EPSILON = 1e-8
"""Constant added to the standard deviation, as in ECGFounder's data sets (PKUDigitalHealth/ECGFounder, dataset.py)."""

CLAMP = 16.0
"""Default clamp of the int8 model input; a bundle's manifest states its own."""


def quantized(
    z: NDArray[np.float64],
    scale: float,
    zero_point: int,
    clamp: float,
    steps: type[np.int8 | np.int16] = np.int8,
) -> NDArray[np.int8] | NDArray[np.int16]:
    """Count a z-scored window in the steps of the model's input, same shape.

    Args:
        z: z-scored window, shape ``(n,)``.
        scale: Scale of the input tensor.
        zero_point: Zero point of the input tensor.
        clamp: Largest magnitude of the z-score; larger ones are clamped.
        steps: Type of the steps.
    """
    limits = np.iinfo(steps)
    q = np.clip(z, -clamp, clamp)
    q /= scale
    np.rint(q, out=q)
    q += zero_point
    found = np.clip(q, limits.min, limits.max, out=q)
    return found.astype(np.int8) if steps is np.int8 else found.astype(np.int16)


class EcgFounderFrontEnd:
    """Filters whole windows like ECGFounder.

    Raises:
        MissingExtraError: scipy is not installed.
    """

    def __init__(self) -> None:
        try:
            self._filter = load_linear_filter()
            self._median = load_median_filter()
        except ImportError as e:
            raise MissingExtraError("the foundation tier (front end ecgfounder/1)", "foundation") from e
        self._median_samples = int(MEDIAN_S * FS_HZ) + 1

    def filter(self, window_mv: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apply notch, band-pass and median baseline, without the z-score.

        Args:
            window_mv: Window at 500 Hz, shape ``(n,)``, ``n > 27``, any unit.

        Returns:
            Shape ``(n,)``, float64, in the unit of the input.
        """
        x = np.asarray(window_mv, dtype=np.float64)
        for stage in (NOTCH, BAND):
            x = self._forwards_backwards(stage, x)
        return np.asarray(x - self._median(x, self._median_samples), dtype=np.float64)

    def __call__(self, window_mv: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the z-scored window, shape ``(n,)``, float64: the teacher's input."""
        y = self.filter(window_mv)
        # The same as np.mean and np.std, but the window is centred only once.
        y = y - np.add.reduce(y) / len(y)
        return np.asarray(y / (np.sqrt(np.add.reduce(y * y) / len(y)) + ZSCORE_EPSILON), dtype=np.float64)

    def _forwards_backwards(self, stage: Stage, x: NDArray[np.float64]) -> NDArray[np.float64]:
        b, a, zi = stage
        pad = stage.pad
        ext = np.concatenate((2.0 * x[0] - x[pad:0:-1], x, 2.0 * x[-1] - x[-2 : -pad - 2 : -1]))
        y, _ = self._filter(b, a, ext, zi * ext[0])
        y, _ = self._filter(b, a, y[::-1], zi * y[-1])
        return np.asarray(y[::-1][pad:-pad], dtype=np.float64)
