"""What the quality gate measures in one window. Each measure is a pure function of its arguments and free of scale.

This runs for every window on the smallest board, so what two measures need is made once and handed to both, sums are
bare reductions, and what would take long is first asked of a few samples where these can already rule it out.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import NDArray

from edge.stats import median, percentile

BEFORE_S = 0.2
"""A beat's segment begins this long before its R peak: P wave and PR segment."""
AFTER_S = 0.4
"""and ends this long after it, or where the next one usually begins: QRS, ST and most of T."""
LEAST_AFTER_S = 0.12
"""Beats so close that less than this would be left are compared over this much all the same."""
ALIGN_S = 0.032
"""R peaks found on different deflections of the same complex are aligned by up to this much."""
QRS_S = 0.08
"""A complex lies within this distance of its R peak (a wide one mostly)."""
QRS_BAND_HZ = (5.0, 15.0)
"""pSQI: power of the QRS band (Li, Mark & Clifford, Physiol Meas 2008;29:15; Zhao & Zhang 2018)."""
SQI_BAND_HZ = (5.0, 40.0)
"""pSQI: against this band."""
BASELINE_HZ = (0.0, 1.0)
"""basSQI is one less the share of this band"""
ECG_HZ = (0.0, 40.0)
"""in this one (the same sources)."""
BURST_S = 0.5
"""Length of the pieces that are compared in roughness."""
BURST_PERCENTILE = 75.0
"""The usual roughness: at 30 bpm, five of twenty pieces hold a beat."""
STANDSTILL = 1e-6
"""Two samples are the same if they differ by less than this part of the window's range (resampling leaves rounding)."""
COARSE_S = 0.5
"""Distance of the samples that are looked at first where a standstill is sought."""
CLIP_RUN_S = 0.06
"""A shorter stay at an extreme is a peak on a coarse grid."""
CLIP_DISTANCE = 0.25
"""A rail is this part of the range away from the median of the rest."""
LEAST_INTERVALS = 4
"""Fewer intervals say nothing about regularity."""
TINY = float(np.finfo(np.float64).tiny)
"""Divides where a length is 0."""


def centred(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns ``x`` less its mean; shape ``(n,)``."""
    return np.asarray(x - np.add.reduce(x) / len(x), dtype=np.float64)


def kurtosis(x: NDArray[np.float64]) -> float:
    """kSQI: fourth standardized moment. Gaussian noise 3, a sine 1.5, ECG mostly above 5; 0 for a constant.

    Args:
        x: Shape ``(n,)``, mean 0.
    """
    square = x * x
    variance = float(np.add.reduce(square)) / len(x)
    return float(np.add.reduce(square * square)) / len(x) / variance**2 if variance > 0 else 0.0


def band_ratio(x: NDArray[np.float64], fs_hz: float, part_hz: tuple[float, float], of_hz: tuple[float, float]) -> float:
    """Share of the power in ``of_hz`` that lies in ``part_hz``, a part of it; 0 where there is none.

    Args:
        x: Shape ``(n,)``, mean 0.
        fs_hz: Its rate.
        part_hz: Lowest and highest frequency of the part.
        of_hz: Lowest and highest frequency of the whole.
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
    """How much each beat looks like another one of the window.

    Not the likeness to one template (Orphanidou 2015): a window of bigeminy has two shapes and is a good signal. Each
    beat is compared with every other at the best alignment, and its best match counts. Irregular rhythm costs nothing.

    Args:
        window: Shape ``(n,)``.
        beats: R peaks in it.
        fs_hz: Its rate.

    Returns:
        Correlations, one per beat whose segment lies inside the window; empty with fewer than two of those.
    """
    before, slack = round(BEFORE_S * fs_hz), round(ALIGN_S * fs_hz)
    interval = int(median(beats[1:] - beats[:-1])) if len(beats) > 1 else len(window)
    after = min(round(AFTER_S * fs_hz), max(interval - before, round(LEAST_AFTER_S * fs_hz)))
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
    # The copy keeps every product a general one: of an array with itself, its own rounding would differ.
    best = np.maximum.reduce(unit[slack].copy() @ unit.transpose(0, 2, 1), axis=0)
    best = np.maximum(best, best.T)
    best.flat[:: len(best) + 1] = -1.0
    return np.asarray(np.maximum.reduce(best, axis=1), dtype=np.float64)


def complex_heights(window: NDArray[np.float64], beats: NDArray[np.int_], fs_hz: float) -> NDArray[np.float64]:
    """Peak-to-peak height of each complex, in the unit of the window."""
    reach = round(QRS_S * fs_hz)
    # Beyond an end of the window its outermost sample is repeated, which moves no extreme.
    # numpy takes indices of this type only where it clips them: int64 is refused on a 32-bit machine.
    at = beats.astype(np.intp)
    rows = window.take(at[:, None] + np.arange(-reach, reach + 1), mode="clip")
    return np.asarray(np.maximum.reduce(rows, axis=1) - np.minimum.reduce(rows, axis=1), dtype=np.float64)


def burst(raw: NDArray[np.float64], fs_hz: float) -> float:
    """Roughest half second of the window against a usual one with beats in it.

    Roughness is the rms of the second difference, so it sees edges and muscle, not waves. Beats, paced ones too, come
    in a quarter of the pieces even at 30 bpm and cancel out; a contact that breaks or a jerk does not.

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


def clipped_s(raw: NDArray[np.float64], fs_hz: float, low: float, high: float) -> float:
    """Seconds that the raw signal stands still at one of its two extremes, far from where it otherwise is.

    Only exact standstill counts, which the round top of a wave does not have. The isoelectric line of a coarse
    converter can be the lowest value of a clean window; it does not count because the rest of the signal is near it.

    Args:
        raw: Shape ``(n,)``.
        fs_hz: Its rate.
        low: Its least value.
        high: Its largest value.
    """
    if high <= low:
        return 0.0
    exact = STANDSTILL * (high - low)
    longest = 0.0
    for rail, distance in ((low, raw - low), (high, high - raw)):
        at_rail = distance <= exact
        if np.count_nonzero(at_rail) < CLIP_RUN_S * fs_hz:
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[False], at_rail, [False]]).astype(np.int8)))
        lengths = (edges[1::2] - edges[::2]) / fs_hz
        stay_s = float(lengths[lengths >= CLIP_RUN_S].sum())
        if stay_s > longest and abs(median(raw[~at_rail]) - rail) >= CLIP_DISTANCE * (high - low):
            longest = stay_s
    return longest


def stands_still(raw: NDArray[np.float64], fs_hz: float, span: float, least_s: float) -> bool:
    """Whether the raw signal keeps one value for a time.

    Args:
        raw: Shape ``(n,)``.
        fs_hz: Its rate.
        span: Its largest less its least value.
        least_s: The time in seconds.
    """
    same = STANDSTILL * span
    apart = round(COARSE_S * fs_hz)
    coarse = raw[::apart]
    # All coarse steps in a standstill are small; twice the bound leaves room for rounding.
    if np.count_nonzero(np.abs(coarse[1:] - coarse[:-1]) <= 2.0 * apart * same) < int(least_s * fs_hz) // apart - 1:
        return False
    moves = np.flatnonzero(np.abs(raw[1:] - raw[:-1]) > same)
    edges = np.concatenate([[-1], moves, [len(raw) - 1]])
    return float(np.diff(edges).max()) / fs_hz >= least_s


def irregularity(beats: NDArray[np.int_]) -> float:
    """Root mean square of successive differences of the intervals, as a part of their mean; 0 with too few beats."""
    # Integers of Python: so few of them are done before numpy has begun, and their sums are exact in either.
    at: list[int] = beats.tolist()
    intervals = [b - a for a, b in pairwise(at)]
    if len(intervals) < LEAST_INTERVALS:
        return 0.0
    changes = [b - a for a, b in pairwise(intervals)]
    return sqrt(sum(c * c for c in changes) / len(changes)) / (sum(intervals) / len(intervals))
