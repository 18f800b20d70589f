"""Measures of the quality gate for one window. Each is a pure function and independent of the scale.

They run for every window on the smallest board, so values that two measures need are computed once, sums are plain
reductions, and slow checks first look at a few samples that can rule them out.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import NDArray

from edge.stats import median, percentile

BEFORE_S = 0.2
"""Start of the segment of a beat before its R peak, s: P wave and PR segment."""
AFTER_S = 0.4
"""End of the segment after the R peak, s, or the usual start of the next one: QRS, ST and most of T."""
MIN_AFTER_S = 0.12
"""Shortest end of the segment after the R peak, s, for beats that are close together."""
ALIGN_S = 0.032
"""Largest shift for aligning R peaks on different deflections of the same complex, s."""
QRS_S = 0.08
"""Distance from the R peak within which the complex lies, s (most of a wide one)."""
QRS_BAND_HZ = (5.0, 15.0)
"""QRS band of pSQI, Hz (Li, Mark & Clifford, Physiol Meas 2008;29:15; Zhao & Zhang 2018)."""
SQI_BAND_HZ = (5.0, 40.0)
"""Whole band of pSQI, Hz."""
BASELINE_HZ = (0.0, 1.0)
"""Baseline band, Hz; basSQI is 1 minus its share"""
ECG_HZ = (0.0, 40.0)
"""in this band, Hz (the same sources)."""
BURST_S = 0.5
"""Length of the pieces for the roughness, s."""
BURST_PERCENTILE = 75.0
"""Quantile that is the usual roughness: at 30 bpm, five of twenty pieces contain a beat."""
STANDSTILL = 1e-6
"""Samples are equal if they differ by less than this fraction of the window's range (resampling causes rounding)."""
COARSE_S = 0.5
"""Distance of the samples that the search for a constant signal checks first, s."""
MIN_INTERVALS = 4
"""Fewest intervals for a measure of regularity."""
TINY = float(np.finfo(np.float64).tiny)
"""Divisor in place of a length of 0."""


def centred(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``x`` minus its mean, shape ``(n,)``."""
    return np.asarray(x - np.add.reduce(x) / len(x), dtype=np.float64)


def kurtosis(x: NDArray[np.float64]) -> float:
    """Return kSQI, the fourth standardized moment: 3 for Gaussian noise, 1.5 for a sine, mostly above 5 for an ECG.

    Args:
        x: Shape ``(n,)``, mean 0.

    Returns:
        The kurtosis; 0 for a constant signal.
    """
    square = x * x
    variance = float(np.add.reduce(square)) / len(x)
    return float(np.add.reduce(square * square)) / len(x) / variance**2 if variance > 0 else 0.0


def band_ratio(x: NDArray[np.float64], fs_hz: float, part_hz: tuple[float, float], of_hz: tuple[float, float]) -> float:
    """Return the share of the power in ``of_hz`` that lies in ``part_hz``; 0 without power.

    Args:
        x: Shape ``(n,)``, mean 0.
        fs_hz: Sampling rate of ``x``, Hz.
        part_hz: Lowest and highest frequency of the part, Hz.
        of_hz: Lowest and highest frequency of the whole band, Hz.
    """
    spectrum = np.fft.rfft(x * _taper(len(x)))
    whole, part = _bins(of_hz, fs_hz, len(x)), _bins(part_hz, fs_hz, len(x))
    spectrum = spectrum[whole]
    power = spectrum.real**2 + spectrum.imag**2
    total = float(np.add.reduce(power))
    return float(np.add.reduce(power[part.start - whole.start : part.stop - whole.start])) / total if total > 0 else 0.0


@lru_cache(maxsize=4)
def _taper(n: int) -> NDArray[np.float64]:
    return np.hanning(n)


def _bins(band_hz: tuple[float, float], fs_hz: float, n: int) -> slice:
    low, high = (edge_hz * n / fs_hz for edge_hz in band_hz)
    return slice(ceil(low), floor(high) + 1)


def likeness(window: NDArray[np.float64], beats: NDArray[np.int_], fs_hz: float) -> NDArray[np.float64]:
    """Return how much each beat looks like another one of the window.

    Each beat is compared with every other one at the best alignment, and its best match counts, so an irregular rhythm
    has no effect. A single template (Orphanidou 2015) would fail for bigeminy, a good signal with two shapes.

    Args:
        window: The window, shape ``(n,)``.
        beats: R peaks in the window, as sample numbers.
        fs_hz: Sampling rate of the window, Hz.

    Returns:
        Correlations, one per beat with its segment inside the window; empty with fewer than two such beats.
    """
    before, slack = round(BEFORE_S * fs_hz), round(ALIGN_S * fs_hz)
    interval = int(median(beats[1:] - beats[:-1])) if len(beats) > 1 else len(window)
    after = min(round(AFTER_S * fs_hz), max(interval - before, round(MIN_AFTER_S * fs_hz)))
    inside = beats[(beats >= before + slack) & (beats + after + slack < len(window))]
    if len(inside) < 2:
        return np.zeros(0)
    length = before + after + 1
    rows = window[inside[:, None] + np.arange(-before - slack, after + slack + 1)]
    unit = np.empty((2 * slack + 1, len(inside), length))
    for shift, cut in enumerate(unit):
        cut[:] = rows[:, shift : shift + length]
    unit -= np.add.reduce(unit, axis=2, keepdims=True) / length
    unit /= np.maximum(np.sqrt(np.add.reduce(unit * unit, axis=2, keepdims=True)), TINY)
    # The copy keeps the general matrix product: that of an array with itself has another rounding.
    best = np.maximum.reduce(unit[slack].copy() @ unit.transpose(0, 2, 1), axis=0)
    best = np.maximum(best, best.T)
    best.flat[:: len(best) + 1] = -1.0
    return np.asarray(np.maximum.reduce(best, axis=1), dtype=np.float64)


def complex_heights(window: NDArray[np.float64], beats: NDArray[np.int_], fs_hz: float) -> NDArray[np.float64]:
    """Return the peak-to-peak height of each complex, in the unit of the window."""
    reach = round(QRS_S * fs_hz)
    # Beyond the ends of the window the last sample is repeated, which changes no extreme.
    # With clipping, numpy accepts only indices of this type; on a 32-bit machine it refuses int64.
    at = beats.astype(np.intp)
    rows = window.take(at[:, None] + np.arange(-reach, reach + 1), mode="clip")
    return np.asarray(np.maximum.reduce(rows, axis=1) - np.minimum.reduce(rows, axis=1), dtype=np.float64)


def burst(raw: NDArray[np.float64], fs_hz: float) -> float:
    """Return the roughness of the worst half second, relative to a usual one with beats.

    Roughness is the RMS of the second difference, so it measures edges and muscle noise, not waves. Beats, even paced
    ones, are in a quarter of the pieces even at 30 bpm and cancel out; a broken contact or a jerk does not.

    Returns:
        Ratio, 1 to 1.5 on a steady signal; 1 on a constant one.
    """
    length = round(BURST_S * fs_hz)
    slope = raw[1:] - raw[:-1]
    bend = slope[1:] - slope[:-1]
    pieces = bend[: len(bend) // length * length].reshape(-1, length)
    rough = np.sqrt(np.add.reduce(pieces * pieces, axis=1) / length)
    usual = percentile(rough, BURST_PERCENTILE)
    worst = float(np.maximum.reduce(rough))
    return worst / usual if usual > 0 else (np.inf if worst > 0 else 1.0)


def stands_still(raw: NDArray[np.float64], fs_hz: float, span: float, min_s: float) -> bool:
    """Return whether the raw signal keeps one value for a time.

    Args:
        raw: The raw window, shape ``(n,)``.
        fs_hz: Sampling rate of ``raw``, Hz.
        span: Peak-to-peak of ``raw``.
        min_s: The time, s.
    """
    same = STANDSTILL * span
    apart = round(COARSE_S * fs_hz)
    coarse = raw[::apart]
    # All coarse steps of a constant signal are small; twice the bound allows for rounding.
    if np.count_nonzero(np.abs(coarse[1:] - coarse[:-1]) <= 2.0 * apart * same) < int(min_s * fs_hz) // apart - 1:
        return False
    moves = np.flatnonzero(np.abs(raw[1:] - raw[:-1]) > same)
    edges = np.concatenate([[-1], moves, [len(raw) - 1]])
    return float(np.diff(edges).max()) / fs_hz >= min_s


def irregularity(beats: NDArray[np.int_]) -> float:
    """Return the root mean square of successive differences of the intervals, relative to their mean; 0 if too few."""
    # Python integers: for so few values they are faster than numpy, and the sums are exact in both.
    at: list[int] = beats.tolist()
    intervals = [b - a for a, b in pairwise(at)]
    if len(intervals) < MIN_INTERVALS:
        return 0.0
    changes = [b - a for a, b in pairwise(intervals)]
    return sqrt(sum(c * c for c in changes) / len(changes)) / (sum(intervals) / len(intervals))
