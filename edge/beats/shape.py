"""Candidates for beats in a noisy window: the places that resemble the known shape of a beat.

The R-peak detector must decide at once, mainly by size, so electrode motion makes it count too many beats. A rate needs
no decision on each beat: this module lists every place that resembles the beats of good windows, with its likeness, and
``chain.py`` searches them for the rhythm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from edge.beats.feature import MIN_HEIGHT, SHAPE_S, TAPS_S, band_pass
from edge.stats import median

SPACING_S = 0.1
"""A candidate has the largest likeness within this distance on both sides, s: half a QRS complex."""
MIN_LIKENESS = 0.3
"""Lowest likeness of a candidate; a lower one would cost a chain more than a missing beat."""
NEAR_S = 0.04
"""Distance within which a candidate is the same as a beat of the detector, s: half a QRS complex on each side."""
MIN_SIZE = 1e-6
"""Smallest size that counts as a signal, as a fraction of the usual size."""
MIN_BEATS = 3
"""Fewest beats for a template."""
TINY = float(np.finfo(np.float64).tiny)
"""Divisor in place of a length of 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The band-passed shape of a beat.

    Attributes:
        unit: Samples of the shape, ``(2 * reach + 1,)``, mean 0, length 1.
        size: Length of a usual beat before it was scaled to 1, in the unit of the stream.
    """

    unit: NDArray[np.float64]
    size: float


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Places in a window that resemble the shape.

    Attributes:
        at: Sample numbers, increasing.
        likeness: Likeness of each, at most 1: correlation with the shape, reduced if the size differs.
    """

    at: NDArray[np.int64]
    likeness: NDArray[np.float64]


class ShapeMatcher:
    """Learns shapes from windows and finds them in others. Its only state is the filter.

    Args:
        fs_hz: Sampling rate of the windows, Hz.
    """

    def __init__(self, fs_hz: float) -> None:
        self._taps = band_pass(2 * round(TAPS_S * fs_hz / 2) + 1, fs_hz)
        self._reach = round(SHAPE_S * fs_hz)
        self._spacing = round(SPACING_S * fs_hz)
        self._near = round(NEAR_S * fs_hz)
        self._ones = np.ones(2 * self._reach + 1)
        self._around = np.arange(-self._reach, self._reach + 1)

    def band(self, window: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the window in the QRS band, same length; its ends fade over half the length of the filter."""
        return np.convolve(window, self._taps, "same")

    def learn(self, band: NDArray[np.float64], beats: NDArray[np.int64]) -> Shape | None:
        """Return the median shape of the beats, which a few ectopic or false beats do not change.

        Args:
            band: Result of ``band``, shape ``(n,)``.
            beats: R peaks in the window, as sample numbers.
        """
        inside = beats[(beats >= self._reach) & (beats < len(band) - self._reach)]
        if len(inside) < MIN_BEATS:
            return None
        rows = band[inside[:, None] + self._around]
        rows -= np.add.reduce(rows, axis=1, keepdims=True) / rows.shape[1]
        sizes = np.sqrt(np.add.reduce(rows * rows, axis=1))
        rows /= np.maximum(sizes, TINY)[:, None]
        rows.sort(axis=0)
        return unit_shape(rows[len(rows) // 2], median(sizes))

    def candidates(self, band: NDArray[np.float64], shape: Shape) -> Candidates:
        """Return where a window resembles a shape: the peaks of the correlation."""
        ones = self._ones
        along = np.convolve(band, shape.unit[::-1], "same")
        energy = np.convolve(band * band, ones, "same") - np.convolve(band, ones, "same") ** 2 / len(ones)
        size = np.maximum(along / max(shape.size, MIN_HEIGHT), MIN_SIZE)
        like = along / np.sqrt(np.maximum(energy, TINY)) * np.sqrt(np.minimum(size, 1.0 / size))
        like[: self._reach] = like[len(like) - self._reach :] = -1.0
        at = np.flatnonzero((like >= _highest_within(like, self._spacing)) & (like > MIN_LIKENESS))
        return Candidates(at, like[at])

    def share_alike(self, found: Candidates, beats: NDArray[np.int64], n: int, match: float) -> float:
        """Return the share of the beats that are candidates with a given likeness, without beats at the ends.

        Args:
            found: The candidates of the window.
            beats: R peaks, as sample numbers.
            n: Length of the window, samples.
            match: The smallest likeness.
        """
        edge = self._reach + self._near
        inside = beats[(beats >= edge) & (beats < n - edge)]
        alike = found.at[found.likeness >= match]
        if not len(inside) or not len(alike):
            return 0.0
        distance = np.minimum.reduce(np.abs(alike[:, None] - inside), axis=0)
        return float(np.count_nonzero(distance <= self._near)) / len(inside)


def unit_shape(shape: NDArray[np.float64], size: float) -> Shape:
    """Return a shape scaled to mean 0 and length 1."""
    centred = shape - np.add.reduce(shape) / len(shape)
    return Shape(centred / max(sqrt(float(np.add.reduce(centred * centred))), TINY), size)


def _highest_within(x: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the largest value within ``reach`` samples on both sides of each; shape of ``x``."""
    length = 2 * reach + 1
    highest = np.full(len(x) + 2 * reach, -np.inf)
    highest[reach : reach + len(x)] = x
    wide = 1
    while wide < length:
        step = min(wide, length - wide)
        highest = np.maximum(highest[:-step], highest[step:])
        wide += step
    return highest
