"""Delineation of the average beat: onset, end and height of its waves.

QRS is the part with a large second difference. P and T begin and end where the steepest tangent crosses the level
before QRS (Lepeschkin & Surawicz, Circulation 1952;6:378). A wave that does not exceed the noise counts as absent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.waves.mean_beat import FS_HZ, MeanBeat

F64 = NDArray[np.float64]

MS = FS_HZ / 1000.0
"""Samples per millisecond."""

BEND_MS = 12.0
"""Distance of the samples in the second difference, ms; it is large in QRS and small in the slower T wave."""
BEND_SHARE = 0.04
"""QRS ends where the second difference stays below this share of its maximum."""
SLOPE_SHARE = 0.4
"""QRS continues where the slope is at least this share of its maximum, as on the straight line from R to S."""
CALM_MS = 12.0
"""Minimum time below both limits, ms; between the waves of QRS the second difference is small for a shorter time."""
QRS_BEFORE_MS, QRS_AFTER_MS = 130.0, 170.0
"""Search range for QRS before and after R, ms."""
INWARDS_MS = (4.0, 8.0)
"""Shift of onset and end of QRS outwards by the 40 Hz filter and the second difference, ms (from simulated ECG)."""
NOISE_TIMES = 3.0
"""Minimum height of a wave, standard errors."""
P_NOISE_TIMES = 5.0
"""Minimum height of P, standard errors; it is larger because the search also picks the highest averaged f wave."""
P_ERROR_MS = 250.0
"""Length of the stretch before the latest peak of P from which its noise is taken, ms."""
MIN_P, MIN_T = 0.02, 0.05
"""Minimum heights as shares of the height of QRS; the filter leaves smaller residues of other waves."""
LEVEL_MS = (22.0, 8.0)
"""Start and end, before the onset of QRS, of the stretch whose median is the level before QRS, ms."""
T_FIRST_MS = 40.0
"""Minimum time from the end of QRS to the peak of T, ms."""
T_USUAL_S, T_USUAL_SD_S = 0.30, 0.11
"""Usual time from R to the peak of T at RR = 1 s and its spread, seconds; extrema far from it get less weight. Both
scale with the cube root of RR (Fridericia)."""
T_LAST_RR = 0.80
"""Latest peak of T as a share of RR; the next P wave follows."""
FALL_MS = 180.0
"""Search range for the steepest tangent of T on each side of its peak, ms."""
P_FALL_MS = 90.0
"""Search range for the steepest tangent of P on each side of its peak, ms."""
P_USUAL_MS, P_USUAL_SD_MS = 115.0, 90.0
"""Usual time from the peak of P to QRS and its spread, ms."""
P_INVERTED = 0.5
"""Weight of a valley as P: a tall T leaves one behind it, and P is upright in lead II."""
P_FIRST_MS = 30.0
"""Minimum time from the peak of P to the onset of QRS, ms."""
U_MS = (25.0, 110.0)
"""Start and end of the search range for U after the end of T, ms."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A P or T wave of the average beat.

    Attributes:
        peak: Index of the peak.
        height: Height of the peak above the level before QRS, signed, in the unit of the segment.
        begin: Index where the tangent before the peak crosses the level; NaN if it does not.
        end: Index where the tangent after the peak crosses the level; NaN if it does not.
        rise: Samples from half height to the peak; NaN if half height is not reached.
        fall: Samples from the peak to half height; NaN if half height is not reached.
        clear: Whether the wave exceeds the noise and the residues of other waves.
    """

    peak: int
    height: float
    begin: float
    end: float
    rise: float
    fall: float
    clear: bool


@dataclass(frozen=True, slots=True)
class Complex:
    """The QRS complex of the average beat; heights are in the unit of the segment.

    Attributes:
        onset: Index of the onset.
        offset: Index of the end.
        level: Median just before the onset.
        q: Lowest point before R relative to the level, 0 or negative.
        r: Height of R above the level; 0 if all deflections are negative.
        s: Lowest point after R relative to the level, 0 or negative.
        width: Width of the largest deflection at half its height, samples.
    """

    onset: int
    offset: int
    level: float
    q: float
    r: float
    s: float
    width: float

    @property
    def height(self) -> float:
        """Largest deflection in either direction, positive."""
        return max(self.r, -self.q, -self.s)


def find_complex(beat: MeanBeat) -> Complex | None:
    """Find QRS; ``None`` if onset or end is not found, or if QRS is narrower than its largest wave."""
    y, step = beat.wave, round(BEND_MS * MS)
    bend = np.zeros(len(y))
    bend[step:-step] = np.abs(y[2 * step :] - 2.0 * y[step:-step] + y[: -2 * step])
    near = slice(beat.r - round(60 * MS), beat.r + round(60 * MS))
    floor = NOISE_TIMES * 2.45 * float(np.median(beat.error))
    slope = np.abs(np.gradient(y))
    calm = (bend < max(BEND_SHARE * float(bend[near].max()), floor)) & (slope < SLOPE_SHARE * float(slope[near].max()))
    onset = _first_calm(calm[: beat.r + 1][::-1], round(QRS_BEFORE_MS * MS))
    offset = _first_calm(calm[beat.r :], round(QRS_AFTER_MS * MS))
    if onset is None or offset is None:
        return None
    begin, end = beat.r - onset + round(INWARDS_MS[0] * MS), beat.r + offset - round(INWARDS_MS[1] * MS)
    if end - begin < round(20 * MS):
        return None
    level = float(np.median(y[begin - round(LEVEL_MS[0] * MS) : begin - round(LEVEL_MS[1] * MS)]))
    inside = y[begin : end + 1] - level
    top = int(inside.argmax())
    r, low_before, low_after = max(float(inside[top]), 0.0), float(inside[: top + 1].min()), float(inside[top:].min())
    q, s = min(low_before, 0.0), min(low_after, 0.0)
    width = _half_width((y - level) * (1.0 if r >= max(-q, -s) else -1.0), begin, end)
    return Complex(begin, end, level, q, r, s, width) if width < end - begin else None


def _half_width(up: F64, begin: int, end: int) -> float:
    """Return the width of the largest deflection at half its height, samples; NaN if a flank does not reach it."""
    top = begin + int(up[begin : end + 1].argmax())
    half = 0.5 * float(up[top])
    return _reach(up[top:], half) + _reach(up[: top + 1][::-1], half)


def _first_calm(calm: NDArray[np.bool_], last: int) -> int | None:
    """Return the first index, up to ``last``, at which the signal stays calm for :data:`CALM_MS`."""
    need = round(CALM_MS * MS)
    counts = np.concatenate(([0], np.cumsum(calm)))
    starts = np.flatnonzero(counts[need:] - counts[:-need] == need)
    return int(starts[0]) if len(starts) and starts[0] <= last else None


def find_t(beat: MeanBeat, qrs: Complex) -> Wave | None:
    """Find T, upright or inverted; ``None`` if there is no extremum in its range."""
    y = _smooth(beat.wave - qrs.level)
    first = qrs.offset + round(T_FIRST_MS * MS)
    last = min(beat.r + round(T_LAST_RR * beat.rr_s * FS_HZ), len(y) - round(20 * MS))
    second = beat.rr_s ** (1.0 / 3.0) * FS_HZ
    at = _extrema(y, first, last)
    if not len(at):
        return None
    away = ((at - beat.r) / second - T_USUAL_S) / T_USUAL_SD_S
    peak = int(at[(np.abs(y[at]) * np.exp(-0.5 * away * away)).argmax()])
    min_height = max(NOISE_TIMES * float(beat.error[peak]), MIN_T * qrs.height)
    return _wave(y, peak, (first - round(20 * MS), len(y)), FALL_MS, min_height)


def find_p(beat: MeanBeat, qrs: Complex, t: Wave | None) -> Wave | None:
    """Find P, upright or inverted; ``None`` if there is no extremum. In atrial fibrillation it is not clear."""
    y = _smooth(beat.wave - qrs.level)
    first = 4
    if t is not None and t.clear:
        end = t.end if np.isfinite(t.end) else t.peak + 60.0 * MS
        # The end of the previous T wave, one RR interval earlier.
        first = max(first, int(end - beat.rr_s * FS_HZ) + round(10 * MS))
    last = qrs.onset - round(P_FIRST_MS * MS)
    at = _extrema(y, first, last)
    if not len(at):
        return None
    away = (qrs.onset - P_USUAL_MS * MS - at) / (P_USUAL_SD_MS * MS)
    weight = np.where(y[at] > 0.0, 1.0, P_INVERTED) * np.exp(-0.5 * away * away)
    peak = int(at[(np.abs(y[at]) * weight).argmax()])
    # With few beats the error of a single sample is uncertain, and the search would find where it is small.
    error = float(np.median(beat.error[max(0, last - round(P_ERROR_MS * MS)) : last]))
    min_height = max(P_NOISE_TIMES * error, MIN_P * qrs.height)
    return _wave(y, peak, (first, qrs.onset), P_FALL_MS, min_height)


def u_height(beat: MeanBeat, qrs: Complex, t: Wave, p: Wave | None) -> float:
    """Return the highest point after the end of T above the level before P; NaN if the next P is too close.

    The level before QRS is not used, because the front end shifts it relative to the level between T and P.
    """
    if not np.isfinite(t.end):
        return float("nan")
    level, begin = qrs.level, float(qrs.onset)
    if p is not None and p.clear and np.isfinite(p.begin):
        begin = p.begin
        before = beat.wave[max(0, int(begin) - round(40 * MS)) : int(begin) - round(4 * MS)]
        level = float(np.median(before)) if len(before) else level
    first, last = int(t.end + U_MS[0] * MS), int(t.end + U_MS[1] * MS)
    last = min(last, len(beat.wave), int(begin + beat.rr_s * FS_HZ) - round(10 * MS))
    if last - first < round(20 * MS):
        return float("nan")
    return float(beat.wave[first:last].max()) - level


def _reach(flank: F64, level: float) -> float:
    """Return the number of samples until a flank falls to a level; NaN if it does not."""
    below = np.flatnonzero(flank <= level)
    if not len(below) or not below[0]:
        return float("nan")
    i = int(below[0])
    return i - 1 + (float(flank[i - 1]) - level) / float(flank[i - 1] - flank[i])


def _smooth(y: F64) -> F64:
    """Return the moving mean of 5 samples, so that extrema belong to waves and not to residual noise."""
    return np.convolve(np.pad(y, 2, mode="edge"), np.full(5, 0.2), mode="valid")


def _extrema(y: F64, first: int, last: int) -> NDArray[np.intp]:
    """Return the indices of peaks above and valleys below zero within a range."""
    first, last = max(first, 1), min(last, len(y) - 1)
    if last <= first:
        return np.empty(0, dtype=np.intp)
    mid, left, right = y[first:last], y[first - 1 : last - 1], y[first + 1 : last + 1]
    top = (mid > 0.0) & (mid >= left) & (mid > right)
    bottom = (mid < 0.0) & (mid <= left) & (mid < right)
    return np.asarray(np.flatnonzero(top | bottom) + first, dtype=np.intp)


def _wave(y: F64, peak: int, within: tuple[int, int], fall_ms: float, min_height: float) -> Wave:
    height = float(y[peak])
    up = y * (1.0 if height > 0.0 else -1.0)
    reach = round(fall_ms * MS)
    after = up[peak : min(within[1], peak + reach)]
    before = up[max(within[0], peak - reach) : peak + 1][::-1]
    end, fall = _side(after)
    begin, rise = _side(before)
    return Wave(peak, height, peak - begin, peak + end, rise, fall, abs(height) > min_height)


def _side(flank: F64) -> tuple[float, float]:
    """Return the samples from the peak to the zero crossing of the steepest tangent, and to half height; else NaN."""
    if len(flank) < 4:
        return float("nan"), float("nan")
    # Stop where the flank rises again; otherwise the tangent of another wave may be the steepest.
    slope = 0.5 * (flank[2:] - flank[:-2])
    rises = np.flatnonzero(slope > 0.0)
    stop = int(rises[rises > 2][0]) if (rises > 2).any() else len(slope)
    if stop < 2:
        return float("nan"), float("nan")
    steepest = int(slope[:stop].argmin())
    down = float(slope[steepest])
    crossing = steepest + 1 - float(flank[steepest + 1]) / down if down < 0.0 else float("inf")
    if crossing >= len(flank):
        crossing = float("nan")
    return crossing, _reach(flank[: stop + 2], 0.5 * float(flank[0]))
