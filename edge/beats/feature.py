"""The QRS feature of the stream and its peaks: the first half of the R-peak detector.

The feature is the short-time amplitude of the 5-20 Hz band, taken as an envelope (signal and slope together), so that
narrow, wide, upright and inverted complexes all give one peak with a height in the unit of the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BAND_HZ = (6.0, 20.0)
"""Pass band of the QRS filter, Hz, where QRS energy exceeds P, T and muscle most: 5-15 Hz in Pan &
Tompkins (IEEE TBME 1985;32:230), 8-20 Hz in Elgendi (PLoS ONE 2013;8:e73557). With 8 Hz as lower end, wide ventricular
complexes were lost in bigeminy; with 5 Hz, tall T waves exceeded narrow complexes."""
SLOPE_WEIGHT = 1.5
"""Weight of the slope relative to the signal in the envelope. 1 is the true envelope at mid-band; more favours steep
complexes over T waves."""
TAPS_S = 0.32
"""Length of the QRS filter, s: 41 taps at 125 Hz."""
AVERAGE_S = 0.12
"""Length of the moving average over the squared envelope, s: about one wide QRS complex."""
SPACING_S = 0.2
"""A peak of the feature is the largest value within this distance on both sides, s; also the refractory period."""
SLOPE_REACH_S = 0.064
"""Distance from the peak of the feature within which the steepest band-passed slope is the slope of the complex, s."""
SHAPE_S = 0.08
"""A peak carries the band-passed stream within this distance, s, for the comparison of shapes."""
SHAPE_SLACK_S = 0.032
"""Additional band-passed stream on both sides of a shape, s, so that two shapes can be aligned."""
MIN_HEIGHT = 1e-9
"""Lowest peak, mV or counts; a lower one is the rounding error of a constant input, below the resolution of any ADC."""
BLOCKS_PER_S = 5
"""Internal blocks per second. All work is done in blocks of this size, counted from the reset, so no result depends on
the size of the pushed pieces."""


@dataclass(frozen=True, slots=True, eq=False)
class Peak:
    """A peak of the feature that may be a QRS complex.

    Attributes:
        index: Sample number in the stream, counted from the reset.
        height: Value of the feature there, in the unit of the stream.
        slope: Steepest change of the band-passed stream around it, weighted as in the envelope.
        shape: Band-passed stream around it, ``index`` in the middle.
        shape_slack: Additional samples at each end of ``shape``, for alignment.
    """

    index: int
    height: float
    slope: float
    shape: NDArray[np.float64]
    shape_slack: int


def band_pass(n_taps: int, fs_hz: float) -> NDArray[np.float64]:
    """Return a Hamming-windowed sinc band pass over ``BAND_HZ``: odd length, linear phase, unit gain mid-band."""
    t = (np.arange(n_taps) - n_taps // 2) / fs_hz
    low, high = BAND_HZ
    taps = (2 * high * np.sinc(2 * high * t) - 2 * low * np.sinc(2 * low * t)) * np.hamming(n_taps)
    taps -= taps.mean()
    middle_hz = float(np.sqrt(low * high))
    return np.asarray(taps / np.sum(taps * np.cos(2 * np.pi * middle_hz * t)), dtype=np.float64)


class QrsFeature:
    """Computes feature and peaks of a stream, in internal blocks of ``block`` samples.

    Args:
        fs_hz: Sampling rate of the stream, Hz.

    Attributes:
        block: Samples per internal block, the exact input of ``step``.
        lag: Samples between the end of the feature computed by a ``step`` and the end of its input.
        spacing: Smallest distance between two peaks, samples.
    """

    def __init__(self, fs_hz: float) -> None:
        self.block = round(fs_hz / BLOCKS_PER_S)
        self.spacing = round(SPACING_S * fs_hz)
        self._taps = band_pass(2 * round(TAPS_S * fs_hz / 2) + 1, fs_hz)
        self._average = np.full(2 * round(AVERAGE_S * fs_hz / 2) + 1, 1.0)
        self._average /= len(self._average)
        self._slope_reach = round(SLOPE_REACH_S * fs_hz)
        self._slack = round(SHAPE_SLACK_S * fs_hz)
        self._shape_reach = round(SHAPE_S * fs_hz) + self._slack
        middle_hz = float(np.sqrt(BAND_HZ[0] * BAND_HZ[1]))
        self._slope_gain = SLOPE_WEIGHT / (2.0 * float(np.sin(2 * np.pi * middle_hz / fs_hz)))
        self.lag = len(self._taps) // 2 + 1 + len(self._average) // 2
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample is number 0 of a new segment."""
        self._input = np.zeros(len(self._taps) - 1)
        self._band = np.zeros(2)
        self._power = np.zeros(len(self._average) - 1)
        self._feature = np.zeros(2 * self.spacing + self.block)
        history = self.block + 2 * self.spacing + len(self._average) // 2
        self._slope = np.zeros(history)
        self._shape = np.zeros(history + self._shape_reach)
        self._seen = 0

    def step(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[Peak]]:
        """Take one internal block.

        Args:
            x: Samples of the stream, shape ``(block,)``.

        Returns:
            The newest ``block`` feature values (they end ``lag`` samples before the end of ``x``) and the peaks that
            are now certain, in order, up to ``spacing`` samples earlier.
        """
        signal = np.concatenate([self._input, x])
        band = np.concatenate([self._band, np.convolve(signal, self._taps, "valid")])
        slope = (band[2:] - band[:-2]) * self._slope_gain
        power = np.concatenate([self._power, band[1:-1] ** 2 + slope**2])
        feature = np.sqrt(np.convolve(power, self._average, "valid"))
        self._seen += self.block
        start = self._seen - self.block - self.lag
        # The filters still hold the zeros of the reset, so the first sample would look like a step.
        feature[: max(0, self.lag - start)] = 0.0
        self._input = signal[self.block :]
        self._band = band[self.block :]
        self._power = power[self.block :]
        self._feature = np.concatenate([self._feature[self.block :], feature])
        self._slope = np.concatenate([self._slope[self.block :], np.abs(slope)])
        self._shape = np.concatenate([self._shape[self.block :], band[1:-1]])
        return feature, self._peaks(start)

    def _peaks(self, start: int) -> list[Peak]:
        """Return the peaks in the block that now has ``spacing`` values on both sides; ``start``: newest block."""
        reach, past = self.spacing, self._feature
        here = past[reach : reach + self.block]
        # The largest of the ``reach`` values from each position on. The first of equal values counts, so a plateau
        # gives one peak.
        size = past.itemsize
        runs: NDArray[np.float64] = np.ndarray((len(past) - reach + 1, reach), np.float64, past, 0, (size, size))
        highest = np.maximum.reduce(runs, axis=1)
        left, right = highest[: self.block], highest[reach + 1 : reach + 1 + self.block]
        found: list[Peak] = []
        for k in np.flatnonzero((here > left) & (here >= right) & (here > MIN_HEIGHT)):
            centre = int(k) + reach
            near = self._slope[centre - self._slope_reach : centre + self._slope_reach + 1]
            shape = self._shape[centre : centre + 2 * self._shape_reach + 1].copy()
            found.append(Peak(start - reach + int(k), float(here[k]), float(near.max()), shape, self._slack))
        return found
