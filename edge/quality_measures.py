"""What the quality gate measures in one window. Each measure is a pure function of its arguments and free of scale."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor

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
CLIP_RUN_S = 0.06
"""A shorter stay at an extreme is a peak on a coarse grid."""
CLIP_DISTANCE = 0.25
"""A rail is this part of the range away from the median of the rest."""
LEAST_INTERVALS = 4
"""Fewer intervals say nothing about regularity."""


def kurtosis(window: NDArray[np.float64]) -> float:
    """kSQI: fourth standardized moment. Gaussian noise 3, a sine 1.5, ECG mostly above 5; 0 for a constant."""
    centred = window - window.mean()
    square = centred * centred
    variance = float(square.mean())
    return float((square * square).mean()) / variance**2 if variance > 0 else 0.0


def band_ratio(x: NDArray[np.float64], fs_hz: float, part_hz: tuple[float, float], of_hz: tuple[float, float]) -> float:
    """Share of the power in ``of_hz`` that lies in ``part_hz``; 0 where there is none."""
    spectrum = np.fft.rfft((x - x.mean()) * _taper(len(x)))
    power = spectrum.real**2 + spectrum.imag**2
    whole = float(power[_bins(of_hz, fs_hz, len(x))].sum())
    return float(power[_bins(part_hz, fs_hz, len(x))].sum()) / whole if whole > 0 else 0.0


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
    interval = int(median(np.diff(beats))) if len(beats) > 1 else len(window)
    after = min(round(AFTER_S * fs_hz), max(interval - before, round(LEAST_AFTER_S * fs_hz)))
    inside = beats[(beats >= before + slack) & (beats + after + slack < len(window))]
    if len(inside) < 2:
        return np.zeros(0)
    length = before + after + 1
    rows = window[inside[:, None] + np.arange(-before - slack, after + slack + 1)]
    fixed = _unit_rows(rows[:, slack : slack + length])
    best = np.full((len(inside), len(inside)), -1.0)
    for shift in range(2 * slack + 1):
        np.maximum(best, fixed @ _unit_rows(rows[:, shift : shift + length]).T, out=best)
    best = np.maximum(best, best.T)
    np.fill_diagonal(best, -1.0)
    return np.asarray(best.max(axis=1), dtype=np.float64)


def _unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = rows - rows.mean(axis=1, keepdims=True)
    norms = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.maximum(norms, np.finfo(float).tiny), dtype=np.float64)


def complex_heights(window: NDArray[np.float64], beats: NDArray[np.int_], fs_hz: float) -> NDArray[np.float64]:
    """Peak-to-peak height of each complex, in the unit of the window."""
    reach = round(QRS_S * fs_hz)
    return np.array([np.ptp(window[max(0, b - reach) : b + reach + 1]) for b in beats])


def burst(raw: NDArray[np.float64], fs_hz: float) -> float:
    """Roughest half second of the window against a usual one with beats in it.

    Roughness is the rms of the second difference, so it sees edges and muscle, not waves. Beats, paced ones too, come
    in a quarter of the pieces even at 30 bpm and cancel out; a contact that breaks or a jerk does not.

    Returns:
        Ratio, 1 to 1.5 on a steady signal; 1 on a constant one.
    """
    length = round(BURST_S * fs_hz)
    bend = np.diff(raw, 2)
    pieces = bend[: len(bend) // length * length].reshape(-1, length)
    rough = np.sqrt((pieces * pieces).mean(axis=1))
    usual = percentile(rough, BURST_PERCENTILE)
    worst = float(rough.max())
    return worst / usual if usual > 0 else (np.inf if worst > 0 else 1.0)


def clipped_s(raw: NDArray[np.float64], fs_hz: float) -> float:
    """Seconds that the raw signal stands still at one of its two extremes, far from where it otherwise is.

    Only exact standstill counts, which the round top of a wave does not have. The isoelectric line of a coarse
    converter can be the lowest value of a clean window; it does not count because the rest of the signal is near it.
    """
    low, high = float(raw.min()), float(raw.max())
    if high <= low:
        return 0.0
    exact = STANDSTILL * (high - low)
    longest = 0.0
    for rail in (low, high):
        at_rail = np.abs(raw - rail) <= exact
        rest = raw[~at_rail]
        if abs(median(rest) - rail) < CLIP_DISTANCE * (high - low):
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[False], at_rail, [False]]).astype(np.int8)))
        lengths = (edges[1::2] - edges[::2]) / fs_hz
        longest = max(longest, float(lengths[lengths >= CLIP_RUN_S].sum()))
    return longest


def standstill_s(raw: NDArray[np.float64], fs_hz: float) -> float:
    """Longest time that the raw signal keeps one value."""
    moves = np.flatnonzero(np.abs(np.diff(raw)) > STANDSTILL * float(np.ptp(raw)))
    edges = np.concatenate([[-1], moves, [len(raw) - 1]])
    return float(np.diff(edges).max()) / fs_hz


def irregularity(beats: NDArray[np.int_]) -> float:
    """Root mean square of successive differences of the intervals, as a part of their mean; 0 with too few beats."""
    intervals = np.diff(beats).astype(np.float64)
    if len(intervals) < LEAST_INTERVALS:
        return 0.0
    return float(np.sqrt(np.mean(np.diff(intervals) ** 2)) / intervals.mean())
