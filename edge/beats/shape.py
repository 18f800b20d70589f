"""Where in a window the known beat shape may be: candidates for a heart rate in noise.

The R-peak detector has to decide at once and by size first, so electrode motion makes it count too many beats. A rate
needs no decision on each: here every place that resembles the beats known from good windows is listed with how much it
does, and ``heartrate_chain`` looks for the rhythm in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from edge.beats.feature import LEAST_HEIGHT, SHAPE_S, TAPS_S, band_pass
from edge.stats import median

SPACING_S = 0.1
"""A candidate resembles the template more than anything within this distance on both sides: half a QRS apart."""
LEAST = 0.3
"""A lower likeness is not listed: it would cost a chain more than a beat that is not seen."""
NEAR_S = 0.04
"""A beat of the detector is the candidate within this distance: half a QRS, either side of its landmark."""
LEAST_SIZE = 1e-6
"""Smallest size that is told from nothing, as a part of the usual one."""
LEAST_BEATS = 3
"""Fewer beats make no template."""
TINY = float(np.finfo(np.float64).tiny)
"""Divides where a length is 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A beat's band-passed shape.

    Attributes:
        unit: Shape ``(2 * reach + 1,)``, mean 0, length 1.
        size: Length of a usual beat before it was scaled to 1, in the unit of the stream.
    """

    unit: NDArray[np.float64]
    size: float


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Places in a window that resemble the shape.

    Attributes:
        at: Increasing sample numbers.
        likeness: For each, up to 1: correlation with the shape, lowered where its size differs.
    """

    at: NDArray[np.int64]
    likeness: NDArray[np.float64]


class ShapeMatcher:
    """Learns shapes from windows and finds them again. No state but its filter.

    Args:
        fs_hz: Rate of the windows.
    """

    def __init__(self, fs_hz: float) -> None:
        self._taps = band_pass(2 * round(TAPS_S * fs_hz / 2) + 1, fs_hz)
        self._reach = round(SHAPE_S * fs_hz)
        self._spacing = round(SPACING_S * fs_hz)
        self._near = round(NEAR_S * fs_hz)
        self._ones = np.ones(2 * self._reach + 1)
        self._around = np.arange(-self._reach, self._reach + 1)

    def band(self, window: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the window in the QRS band, same length; only as far as the taps reach do its ends fade."""
        return np.convolve(window, self._taps, "same")

    def learn(self, band: NDArray[np.float64], beats: NDArray[np.int64]) -> Shape | None:
        """Returns the median shape of the beats, which a few ectopic or false ones do not move.

        Args:
            band: Shape ``(n,)``, what ``band`` returned.
            beats: R peaks in it.
        """
        inside = beats[(beats >= self._reach) & (beats < len(band) - self._reach)]
        if len(inside) < LEAST_BEATS:
            return None
        rows = band[inside[:, None] + self._around]
        rows -= np.add.reduce(rows, axis=1, keepdims=True) / rows.shape[1]
        sizes = np.sqrt(np.add.reduce(rows * rows, axis=1))
        rows /= np.maximum(sizes, TINY)[:, None]
        rows.sort(axis=0)
        return unit_shape(rows[len(rows) // 2], median(sizes))

    def candidates(self, band: NDArray[np.float64], shape: Shape) -> Candidates:
        """Lists where a window resembles a shape: the peaks of the likeness."""
        ones = self._ones
        along = np.convolve(band, shape.unit[::-1], "same")
        energy = np.convolve(band * band, ones, "same") - np.convolve(band, ones, "same") ** 2 / len(ones)
        size = np.maximum(along / max(shape.size, LEAST_HEIGHT), LEAST_SIZE)
        like = along / np.sqrt(np.maximum(energy, TINY)) * np.sqrt(np.minimum(size, 1.0 / size))
        like[: self._reach] = like[len(like) - self._reach :] = -1.0
        at = np.flatnonzero((like >= _highest_within(like, self._spacing)) & (like > LEAST))
        return Candidates(at, like[at])

    def share_alike(self, found: Candidates, beats: NDArray[np.int64], n: int, match: float) -> float:
        """Returns which part of the beats are candidates of at least a likeness; beats at the ends do not count.

        Args:
            found: The window's candidates.
            beats: R peaks.
            n: Length of the window.
            match: The least likeness.
        """
        edge = self._reach + self._near
        inside = beats[(beats >= edge) & (beats < n - edge)]
        alike = found.at[found.likeness >= match]
        if not len(inside) or not len(alike):
            return 0.0
        distance = np.minimum.reduce(np.abs(alike[:, None] - inside), axis=0)
        return float(np.count_nonzero(distance <= self._near)) / len(inside)


def unit_shape(shape: NDArray[np.float64], size: float) -> Shape:
    """Returns a shape scaled to mean 0 and length 1."""
    centred = shape - np.add.reduce(shape) / len(shape)
    return Shape(centred / max(sqrt(float(np.add.reduce(centred * centred))), TINY), size)


def _highest_within(x: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Returns the largest value within ``reach`` samples on both sides of each; shape of ``x``."""
    length = 2 * reach + 1
    highest = np.full(len(x) + 2 * reach, -np.inf)
    highest[reach : reach + len(x)] = x
    wide = 1
    while wide < length:
        step = min(wide, length - wide)
        highest = np.maximum(highest[:-step], highest[step:])
        wide += step
    return highest
