"""Waves of an averaged beat: where they begin and end, how high they are.

QRS is where the signal bends sharply; P and T begin and end where the steepest tangent meets the level before QRS
(Lepeschkin & Surawicz, Circulation 1952;6:378). A wave that does not stand out of the noise is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.waves.mean_beat import FS_HZ, MeanBeat

F64 = NDArray[np.float64]

MS = FS_HZ / 1000.0
"""Samples a millisecond."""

BEND_MS = 12.0
"""Distance of the samples whose second difference is taken: it answers to QRS and hardly to the slower T."""
BEND_SHARE = 0.04
"""QRS ends where the second difference stays below this part of its largest."""
SLOPE_SHARE = 0.4
"""Nor has it ended where it is straight and this much as steep as at its steepest, as between R and S."""
CALM_MS = 12.0
"""It must stay there for this long: it also passes zero between the waves of QRS."""
QRS_BEFORE_MS, QRS_AFTER_MS = 130.0, 170.0
"""QRS is looked for this far before and after R."""
INWARDS_MS = (4.0, 8.0)
"""The filter (40 Hz) and the second difference put begin and end of QRS this far out (measured on simulated ECG)."""
NOISE_TIMES = 3.0
"""A wave must be this many standard errors high,"""
P_NOISE_TIMES = 5.0
"""P more: of the f waves of atrial fibrillation, averaged, the highest is sought."""
P_ERROR_MS = 250.0
"""The noise of P is that of this time before it must have ended."""
LEAST_P, LEAST_T = 0.02, 0.05
"""and this part of the QRS: lower ones are no more than what the front end leaves of others."""
LEVEL_MS = (22.0, 8.0)
"""The level before QRS is the median from here to here before its onset."""
T_FIRST_MS = 40.0
"""T has its peak at least this long after the end of QRS."""
T_USUAL_S, T_USUAL_SD_S = 0.30, 0.11
"""Usual time from R to the peak of T at RR = 1 s and its allowance: extrema far from it count less. Both go with the
cube root of RR (Fridericia)."""
T_LAST_RR = 0.80
"""T has its peak before this part of RR: later comes the next P."""
FALL_MS = 180.0
"""The steepest tangent of a T wave is sought this far from its peak."""
P_FALL_MS = 90.0
P_USUAL_MS, P_USUAL_SD_MS = 115.0, 90.0
"""Usual time from the peak of P to QRS and its allowance."""
P_INVERTED = 0.5
"""A valley counts half: what a tall T leaves behind it is one, and P is upright in lead II."""
P_FIRST_MS = 30.0
"""P has its peak at least this long before the onset of QRS."""
U_MS = (25.0, 110.0)
"""U is looked for in this time after the end of T."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A wave.

    Attributes:
        peak: Index.
        height: Above the level before QRS, signed.
        begin: Where the tangent before the peak meets the level; NaN where it does not.
        end: The same behind the peak.
        rise: Samples from half height to the peak; NaN where half height is not reached.
        fall: Samples from the peak to half height.
        clear: It stands out of the noise and is no remainder of its neighbours.
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
    """QRS.

    Attributes:
        onset: Index of its begin.
        offset: Index of its end.
        level: Median just before it.
        q: Deepest point before R below the level, 0 or negative.
        r: Height of R above the level; 0 where all goes down.
        s: Deepest point after R, 0 or negative.
        width: Of the largest deflection at half its height, in samples.
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
        """Largest deflection to either side, positive."""
        return max(self.r, -self.q, -self.s)


def find_complex(beat: MeanBeat) -> Complex | None:
    """QRS of an averaged beat; ``None`` where it has no begin or no end, or is narrower than its own largest wave."""
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
    """Width of the largest deflection at half its height, in samples; NaN where it does not come down."""
    top = begin + int(up[begin : end + 1].argmax())
    half = 0.5 * float(up[top])
    return _reach(up[top:], half) + _reach(up[: top + 1][::-1], half)


def _first_calm(calm: NDArray[np.bool_], most: int) -> int | None:
    """First index from which on the signal stays calm for a while."""
    need = round(CALM_MS * MS)
    counts = np.concatenate(([0], np.cumsum(calm)))
    starts = np.flatnonzero(counts[need:] - counts[:-need] == need)
    return int(starts[0]) if len(starts) and starts[0] <= most else None


def find_t(beat: MeanBeat, qrs: Complex) -> Wave | None:
    """T, upright or inverted; ``None`` where there is neither peak nor valley."""
    y = _smooth(beat.wave - qrs.level)
    first = qrs.offset + round(T_FIRST_MS * MS)
    last = min(beat.r + round(T_LAST_RR * beat.rr_s * FS_HZ), len(y) - round(20 * MS))
    second = beat.rr_s ** (1.0 / 3.0) * FS_HZ
    at = _extrema(y, first, last)
    if not len(at):
        return None
    away = ((at - beat.r) / second - T_USUAL_S) / T_USUAL_SD_S
    peak = int(at[(np.abs(y[at]) * np.exp(-0.5 * away * away)).argmax()])
    least = max(NOISE_TIMES * float(beat.error[peak]), LEAST_T * qrs.height)
    return _wave(y, peak, (first - round(20 * MS), len(y)), FALL_MS, least)


def find_p(beat: MeanBeat, qrs: Complex, t: Wave | None) -> Wave | None:
    """P, upright or inverted; ``None`` where there is neither peak nor valley. Not clear in atrial fibrillation."""
    y = _smooth(beat.wave - qrs.level)
    first = 4
    if t is not None and t.clear:
        end = t.end if np.isfinite(t.end) else t.peak + 60.0 * MS
        # The T wave before: where it ended, one interval earlier.
        first = max(first, int(end - beat.rr_s * FS_HZ) + round(10 * MS))
    last = qrs.onset - round(P_FIRST_MS * MS)
    at = _extrema(y, first, last)
    if not len(at):
        return None
    away = (qrs.onset - P_USUAL_MS * MS - at) / (P_USUAL_SD_MS * MS)
    weight = np.where(y[at] > 0.0, 1.0, P_INVERTED) * np.exp(-0.5 * away * away)
    peak = int(at[(np.abs(y[at]) * weight).argmax()])
    # Of so few beats the error of a single sample is itself uncertain, and a search finds where it is small.
    error = float(np.median(beat.error[max(0, last - round(P_ERROR_MS * MS)) : last]))
    least = max(P_NOISE_TIMES * error, LEAST_P * qrs.height)
    return _wave(y, peak, (first, qrs.onset), P_FALL_MS, least)


def u_height(beat: MeanBeat, qrs: Complex, t: Wave, p: Wave | None) -> float:
    """Highest point after the end of T, above the level before P; NaN where the next P is too near.

    The level before QRS is no measure for it: behind the front end it lies elsewhere than that between T and P.
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
    """Samples until a flank comes down to a level."""
    below = np.flatnonzero(flank <= level)
    if not len(below) or not below[0]:
        return float("nan")
    i = int(below[0])
    return i - 1 + (float(flank[i - 1]) - level) / float(flank[i - 1] - flank[i])


def _smooth(y: F64) -> F64:
    """Mean of 5 samples: extrema of a wave, not of what is left of the noise."""
    return np.convolve(np.pad(y, 2, mode="edge"), np.full(5, 0.2), mode="valid")


def _extrema(y: F64, first: int, last: int) -> NDArray[np.intp]:
    """Peaks above and valleys below zero within a range."""
    first, last = max(first, 1), min(last, len(y) - 1)
    if last <= first:
        return np.empty(0, dtype=np.intp)
    mid, left, right = y[first:last], y[first - 1 : last - 1], y[first + 1 : last + 1]
    top = (mid > 0.0) & (mid >= left) & (mid > right)
    bottom = (mid < 0.0) & (mid <= left) & (mid < right)
    return np.asarray(np.flatnonzero(top | bottom) + first, dtype=np.intp)


def _wave(y: F64, peak: int, within: tuple[int, int], fall_ms: float, least: float) -> Wave:
    height = float(y[peak])
    up = y * (1.0 if height > 0.0 else -1.0)
    reach = round(fall_ms * MS)
    after = up[peak : min(within[1], peak + reach)]
    before = up[max(within[0], peak - reach) : peak + 1][::-1]
    end, fall = _side(after)
    begin, rise = _side(before)
    return Wave(peak, height, peak - begin, peak + end, rise, fall, abs(height) > least)


def _side(flank: F64) -> tuple[float, float]:
    """Samples from the peak to where the steepest tangent meets zero, and to half height; NaN where there are none."""
    if len(flank) < 4:
        return float("nan"), float("nan")
    # Up to where it rises again, or the tangent of another wave may be the steepest.
    slope = 0.5 * (flank[2:] - flank[:-2])
    rises = np.flatnonzero(slope > 0.0)
    stop = int(rises[rises > 2][0]) if (rises > 2).any() else len(slope)
    if stop < 2:
        return float("nan"), float("nan")
    steepest = int(slope[:stop].argmin())
    down = float(slope[steepest])
    meets = steepest + 1 - float(flank[steepest + 1]) / down if down < 0.0 else float("inf")
    if meets >= len(flank):
        meets = float("nan")
    return meets, _reach(flank[: stop + 2], 0.5 * float(flank[0]))
