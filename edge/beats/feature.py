"""QRS feature of the stream and its peaks: the first half of the R-peak detector.

The feature is the short-time amplitude of the 5-20 Hz band, taken as an envelope (signal and slope together), so that
narrow, wide, upright and inverted complexes all give one hump whose height is in the unit of the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BAND_HZ = (6.0, 20.0)
"""Pass band of the QRS filter, the range in which QRS energy stands furthest above P, T and muscle: 5-15 Hz in Pan &
Tompkins (IEEE TBME 1985;32:230), 8-20 Hz in Elgendi (PLoS ONE 2013;8:e73557). From 8 Hz on, wide ventricular
complexes got lost in bigeminy; from 5 Hz on, tall T waves won over narrow complexes."""
SLOPE_WEIGHT = 1.5
"""Weight of the slope against the signal in the envelope; 1 is the true envelope at mid-band, more favours steep
complexes over T waves."""
TAPS_S = 0.32
"""Length of the QRS filter: 41 taps at 125 Hz."""
AVERAGE_S = 0.12
"""Moving average over the squared envelope: about one wide QRS."""
SPACING_S = 0.2
"""A peak of the feature is the largest within this distance on both sides; also the refractory period."""
SLOPE_REACH_S = 0.064
"""The slope of a complex is the steepest band-passed slope within this distance of the feature's peak."""
SHAPE_S = 0.08
"""A peak carries the band-passed stream within this distance, for comparison of shapes,"""
SHAPE_SLACK_S = 0.032
"""and this much more on both sides, so that two shapes can be aligned."""
LEAST_HEIGHT = 1e-9
"""A lower peak, in millivolts or counts, is the rounding error of a constant input: no converter resolves it."""
BLOCKS_PER_S = 5
"""Internal blocks a second. Everything is computed in blocks of this one size, counted from the reset, so no result
depends on how the samples were pushed."""


@dataclass(frozen=True, slots=True, eq=False)
class Peak:
    """A hump of the feature that may be a QRS complex.

    Attributes:
        index: Sample of the stream, counted from the reset.
        height: Feature there, in the unit of the stream.
        slope: Steepest change of the band-passed stream around it, weighted as in the envelope.
        shape: Band-passed stream around it, ``index`` in the middle.
        shape_slack: Samples at either end of ``shape`` that are there for alignment.
    """

    index: int
    height: float
    slope: float
    shape: NDArray[np.float64]
    shape_slack: int


def band_pass(n_taps: int, fs_hz: float) -> NDArray[np.float64]:
    """Hamming-windowed sinc band pass over ``BAND_HZ``, odd length, linear phase, unit gain mid-band."""
    t = (np.arange(n_taps) - n_taps // 2) / fs_hz
    low, high = BAND_HZ
    taps = (2 * high * np.sinc(2 * high * t) - 2 * low * np.sinc(2 * low * t)) * np.hamming(n_taps)
    taps -= taps.mean()
    middle_hz = float(np.sqrt(low * high))
    return np.asarray(taps / np.sum(taps * np.cos(2 * np.pi * middle_hz * t)), dtype=np.float64)


class QrsFeature:
    """Feature and peaks of a stream, in internal blocks of ``block`` samples.

    Args:
        fs_hz: Rate of the stream.

    Attributes:
        block: Samples per internal block; ``step`` takes exactly so many.
        lag: The feature computed by a ``step`` ends this many samples before the end of its input.
        spacing: Least distance between two peaks, in samples.
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
            x: Shape ``(block,)``, the stream.

        Returns:
            The newest ``block`` feature values (they end ``lag`` samples before the end of ``x``) and the peaks that
            are now certain, in order; those lie up to ``spacing`` samples further back.
        """
        signal = np.concatenate([self._input, x])
        band = np.concatenate([self._band, np.convolve(signal, self._taps, "valid")])
        slope = (band[2:] - band[:-2]) * self._slope_gain
        power = np.concatenate([self._power, band[1:-1] ** 2 + slope**2])
        feature = np.sqrt(np.convolve(power, self._average, "valid"))
        self._seen += self.block
        start = self._seen - self.block - self.lag
        # The filters still hold the zeros of the reset: to them the first sample is a step that is not in the signal.
        feature[: max(0, self.lag - start)] = 0.0
        self._input = signal[self.block :]
        self._band = band[self.block :]
        self._power = power[self.block :]
        self._feature = np.concatenate([self._feature[self.block :], feature])
        self._slope = np.concatenate([self._slope[self.block :], np.abs(slope)])
        self._shape = np.concatenate([self._shape[self.block :], band[1:-1]])
        return feature, self._peaks(start)

    def _peaks(self, start: int) -> list[Peak]:
        """Peaks in the block of features that now has ``spacing`` values on both sides; ``start``: newest block."""
        reach = self.spacing
        wide = np.lib.stride_tricks.sliding_window_view(self._feature, 2 * reach + 1)
        here = self._feature[reach : reach + self.block]
        # The first of equal values wins, so a plateau gives one peak.
        left = wide[:, :reach].max(axis=1)
        right = wide[:, reach + 1 :].max(axis=1)
        found: list[Peak] = []
        for k in np.flatnonzero((here > left) & (here >= right) & (here > LEAST_HEIGHT)):
            centre = int(k) + reach
            near = self._slope[centre - self._slope_reach : centre + self._slope_reach + 1]
            shape = self._shape[centre : centre + 2 * self._shape_reach + 1].copy()
            found.append(Peak(start - reach + int(k), float(here[k]), float(near.max()), shape, self._slack))
        return found
