"""Rails: the limits of a converter or an amplifier, found on the samples as the source gave them.

A resampler rounds the corners of a cut top and rings beside a stay, so a window on the grid hides both. Here a rail is
an extreme of the window that many samples share although the signal is steep beside them. A natural peak is a parabola
near its top: where it is flat for a time ``2 a`` within a tolerance, it has fallen by four tolerances at ``2 a`` from
its middle. A cut peak and a stay fall much further. So the isoelectric line of a coarse converter, the round tops of
waves and repeated heights of equal beats are no rails.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from edge.stats import median, percentile

F64 = NDArray[np.float64]

LOOKBACK_S = 10.0
"""Signal before a window in which a stay still matters, because the recovery from it may reach into the window, s."""
NEAR = 0.004
"""Samples within this fraction of the window's range are at the same rail, or within ``NEAR_LSB`` steps."""
NEAR_LSB = 2.5
"""Steps of the converter: one step of noise on either side of the rail."""
EXACT_LSB = 0.5
EXACT = 1e-6
"""The same for samples that are equal but for rounding (a gain, 32-bit numbers)."""
MIDDLE_SAMPLES = 1250
"""Samples from which the median of a window is taken at high rates."""
STAY_S = 0.06
"""Shortest stay at an extreme that shows a rail by itself, s."""
LONG_STAY_S = 0.2
"""Stay from which an amplifier needs time to recover, s."""
DISTANCE = 0.25
FINE_DISTANCE = 0.1
COARSE_STEPS = 64
"""Smallest distance of a rail from the median, as a fraction of the range: an isoelectric line is nearer. A converter
with more than ``COARSE_STEPS`` steps in the range hardly repeats one value by chance, so its rail may be nearer."""
SHARPNESS = 3.0
"""Fall beside a plateau, relative to that of a parabola, from which the top was cut."""
MAX_REACH_S = 0.5
"""Largest distance from a plateau at which its fall is measured, s."""
QRS_S = 0.08
"""Distance from the R peak within which its plateau lies, s."""
MOST = 0.5
"""Share of the beats from which most beats are cut."""
MIN_BEATS = 3
MIN_SHORT = 4
PLATEAU_S = 0.005
"""Fewest tops of one or two samples from which a cut is inferred, and the shortest time of such a top, s: at 250 Hz and
more, a cut top has at least two samples."""
SPREAD = 4.0
"""Spread of the samples beside tops of one or two samples, relative to that of the tops, from which these were cut."""
CENSORED = 2.0
"""Samples at the rail per sample just below it, relative to equal parabolas, from which tops were cut."""
BAND = 0.1
"""Height of the band below the rail for this count, as a fraction of the distance from the median."""
SPIKE_S = 0.012
SPIKE_FALL = 0.8
"""A shorter plateau that falls by this share of its height within one sample is a pacemaker's spike."""
PIECE_S = 0.25
"""Pieces whose medians show the recovery of the baseline, s."""
RECOVERY_SLOPE = 0.3
"""Slope of the baseline, heights of the ECG per second, below which it has recovered (IEC 60601-2-47: 0.30 mV/s)."""


@dataclass(frozen=True, slots=True)
class Rails:
    """What one window has at its rails.

    Attributes:
        at_rail_s: Time at a rail or recovering from it, s.
        beats_cut: Whether the tops of most beats are cut.
    """

    at_rail_s: float
    beats_cut: bool


NO_RAILS = Rails(0.0, beats_cut=False)


_Runs = tuple[NDArray[np.intp], NDArray[np.intp]]
"""First sample of each run at a rail, and one past its last."""


def usual_height(window: F64, fs_hz: float) -> float:
    """Return the median peak-to-peak of one second of a filtered window, in its unit."""
    length = round(fs_hz)
    pieces = window[: len(window) // length * length].reshape(-1, length)
    return median(np.maximum.reduce(pieces, axis=1) - np.minimum.reduce(pieces, axis=1))


def find_rails(
    x: F64,
    fs_hz: float,
    beats: NDArray[np.int_],
    *,
    first: int = 0,
    step: float = 0.0,
    limits: tuple[float, float] | None = None,
    height: float | None = None,
) -> Rails:
    """Look for rails in a window.

    Args:
        x: Samples before the window and of the window, shape ``(n,)``, finite, any unit.
        fs_hz: Their sampling rate, Hz.
        beats: R peaks, as increasing indices into ``x``.
        first: Index of the first sample of the window.
        step: Step of the converter in the unit of ``x``; 0 if unknown.
        limits: Lowest and highest value of the converter, in the unit of ``x``; ``None`` if unknown.
        height: Usual peak-to-peak of the ECG in one second; ``None`` to measure no recovery.
    """
    window = x[first:]
    low, high = float(np.minimum.reduce(window)), float(np.maximum.reduce(window))
    if not high > low:
        return NO_RAILS
    step = step or _smallest_step(window, high - low)
    at_rail, cut = 0, False
    inside = beats - first
    inside = inside[inside >= 0]
    for sign, top in ((1.0, high), (-1.0, -low)):
        limit = None if limits is None else max(sign * limits[0], sign * limits[1])
        y = window if sign > 0 else -window
        found, beats_cut = _side(y, fs_hz, top, high - low, step, limit, inside)
        at_rail += found
        cut = cut or beats_cut
    seconds = at_rail / fs_hz
    if height is not None:
        seconds += _recovery_s(x, fs_hz, first, step, height)
    return Rails(seconds, cut)


def _smallest_step(x: F64, span: float) -> float:
    """Return the smallest step between two samples, if it may be that of a converter; it is tiny for other signals."""
    steps = np.abs(x[1:] - x[:-1])
    steps = steps[steps > EXACT * span]
    return float(np.minimum.reduce(steps)) if len(steps) else 0.0


def _side(
    y: F64, fs_hz: float, top: float, span: float, step: float, limit: float | None, beats: NDArray[np.int_]
) -> tuple[int, bool]:
    """Return the number of samples at the upper rail, and whether it cuts most beats."""
    reached = limit is not None and top >= limit - NEAR_LSB * step
    middle: float | None = None
    for near in (max(NEAR_LSB * step, NEAR * span), max(EXACT_LSB * step, EXACT * span)):
        at = y >= top - near
        count = int(np.count_nonzero(at))
        if count < MIN_BEATS:
            break
        runs = _runs(at)
        used = _complexes(runs, fs_hz, beats)
        longest = int(np.maximum.reduce(runs[1] - runs[0]))
        if not len(used) and longest < STAY_S * fs_hz and not reached:
            continue
        if middle is None:
            # Of a window that is mostly at its rail, the median of the rest counts.
            mostly = 2 * count > len(y)
            rest = y[~at] if mostly else y
            if not len(rest):
                continue  # all within the tolerance: only equal values can be a rail here
            middle = median(rest[:: max(1, len(rest) // MIDDLE_SAMPLES)])
            distance = (DISTANCE if span < COARSE_STEPS * step else FINE_DISTANCE) * (2.0 if mostly else 1.0)
            if top - middle < distance * span and not reached:
                break
        sharp = _sharp(y, fs_hz, runs, top, near)
        cuts = len(used) > 0 and _cut(y, fs_hz, runs, sharp, used, (top, middle, near, step))
        if cuts or reached or np.any(sharp & (runs[1] - runs[0] >= STAY_S * fs_hz)):
            return count, cuts
    return 0, False


def _runs(at: NDArray[np.bool_]) -> _Runs:
    padded = np.concatenate(([False], at, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges[::2], edges[1::2]


def _sharp(y: F64, fs_hz: float, runs: _Runs, top: float, near: float) -> NDArray[np.bool_]:
    """Return which runs of three samples or more fall beside them much more than a parabola does."""
    start, stop = runs
    half = (stop - start) / 2.0
    reach = np.maximum(1, np.ceil(np.minimum(half, MAX_REACH_S * fs_hz))).astype(np.intp)
    left, right = start - reach, stop - 1 + reach
    last = len(y) - 1
    fall_left = np.where(left >= 0, top - y[np.maximum(left, 0)], np.nan)
    fall_right = np.where(right <= last, top - y[np.minimum(right, last)], np.nan)
    fall_left, fall_right = np.where(left >= 0, fall_left, fall_right), np.where(right <= last, fall_right, fall_left)
    natural = near * ((half + reach) / half) ** 2
    fall = 0.5 * (fall_left + fall_right)
    # Beside a long stay the signal may leave slowly, with the ECG on top of it: there the largest fall counts.
    for i in np.flatnonzero(stop - start >= STAY_S * fs_hz).tolist():
        beside = np.concatenate((y[max(0, left[i]) : start[i]], y[stop[i] : right[i] + 1]))
        fall[i] = top - float(np.minimum.reduce(beside)) if len(beside) else 0.0
    return np.asarray((stop - start >= 3) & (fall >= SHARPNESS * natural), dtype=np.bool_)


def _complexes(runs: _Runs, fs_hz: float, beats: NDArray[np.int_]) -> NDArray[np.intp]:
    """Return the numbers of the runs that lie in a QRS complex, if most complexes have one; else nothing."""
    start, stop = runs
    reach = round(QRS_S * fs_hz)
    # The first run that ends after the beginning of a complex is the only candidate that can lie in it.
    index = np.searchsorted(stop, beats - reach, side="right")
    inside = np.minimum(index, len(start) - 1)
    touched = (index < len(start)) & (start[inside] <= beats + reach)
    used = inside[touched]
    if len(used) < max(MIN_BEATS, MOST * len(beats)):
        return used[:0]
    return used[np.concatenate(([True], used[1:] != used[:-1]))]


def _cut(
    y: F64,
    fs_hz: float,
    runs: _Runs,
    sharp: NDArray[np.bool_],
    used: NDArray[np.intp],
    levels: tuple[float, float, float, float],
) -> bool:
    """Return whether the plateaus of the complexes are cuts, from rail, median, tolerance and step of the converter."""
    top, middle, near, step = levels
    start, stop = runs[0][used], runs[1][used]
    before, after = y[np.maximum(start - 1, 0)], y[np.minimum(stop, len(y) - 1)]
    length = stop - start
    spike = (length <= SPIKE_S * fs_hz) & (top - np.maximum(before, after) > SPIKE_FALL * (top - middle))
    if np.count_nonzero(spike) > MOST * len(used):
        return False
    if np.count_nonzero(sharp[used]) >= MOST * len(used):
        return True
    if np.count_nonzero(length >= PLATEAU_S * fs_hz) < max(MIN_SHORT, MOST * len(used)):
        return False
    if _spread(before + after) <= 2.0 * SPREAD * (_spread(y[start]) + 0.5 * step):
        return False
    band = max(BAND * (top - middle), 8.0 * step)
    at, below = np.count_nonzero(y >= top - near), np.count_nonzero(y >= top - near - band)
    natural = sqrt((near + EXACT_LSB * step) / (near + band))
    return bool(at * (1.0 - natural) >= CENSORED * natural * (below - at))


def _spread(x: F64) -> float:
    return percentile(x, 75.0) - percentile(x, 25.0)


def _recovery_s(x: F64, fs_hz: float, first: int, step: float, height: float) -> float:
    """Return how long the baseline still comes back inside the window after the last long stay at a rail, s."""
    low, high = float(np.minimum.reduce(x)), float(np.maximum.reduce(x))
    near = max(NEAR_LSB * step, NEAR * (high - low))
    worst = 0.0
    for sign, top in ((1.0, high), (-1.0, -low)):
        at = x >= top - near if sign > 0 else x <= -top + near
        if np.count_nonzero(at) < LONG_STAY_S * fs_hz:
            continue
        start, stop = _runs(at)
        long = (stop - start >= LONG_STAY_S * fs_hz) & _sharp(sign * x, fs_hz, (start, stop), top, near)
        if not np.any(long) or abs(median(x[~at]) - sign * top) < DISTANCE * (high - low):
            continue
        for end in stop[long].tolist():
            worst = max(worst, _tail_end(sign * x, fs_hz, end, height) - max(end, first))
    return worst / fs_hz


def _tail_end(y: F64, fs_hz: float, stop: int, height: float) -> int:
    """Return the sample at which a baseline that comes down after a stay has come to rest."""
    length = max(1, round(PIECE_S * fs_hz))
    fall = RECOVERY_SLOPE * height * 2.0 * PIECE_S
    pieces = (len(y) - stop) // length
    if pieces < 3:
        return stop
    level = np.sort(y[stop : stop + pieces * length].reshape(pieces, length), axis=1)[:, length // 2]
    falling = level[:-2] - level[2:] > fall
    # A wide complex may hide the fall of one piece.
    still = np.flatnonzero(~falling[:-1] & ~falling[1:])
    count = int(still[0]) if len(still) else len(falling)
    return stop + (count + 2) * length if count else stop
