"""Waves of an averaged beat: where they begin and end, how high they are.

QRS is where the signal bends sharply; P and T begin and end where the steepest tangent meets the level before QRS
(Lepeschkin & Surawicz, Circulation 1952;6:378). A wave that does not stand out of the noise is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.ecg_intervals_beats import FS_HZ, MeanBeat

F64 = NDArray[np.float64]

MS = FS_HZ / 1000.0
"""Samples a millisecond."""

BEND_MS = 8.0
"""Distance of the samples whose second difference is taken: it answers to QRS and hardly to the slower T."""
BEND_SHARE = 0.06
"""QRS ends where the second difference stays below this part of its largest."""
CALM_MS = 12.0
"""It must stay there for this long: it also passes zero between the waves of QRS."""
QRS_BEFORE_MS, QRS_AFTER_MS = 130.0, 170.0
"""QRS is looked for this far before and after R."""
SPREAD_MS = 12.0
"""The filter (40 Hz) and the second difference make QRS wider by about this much in all (measured on simulated ECG)."""
NOISE_TIMES = 3.0
"""A wave must be this many standard errors high."""
LEAST_P, LEAST_T = 0.02, 0.03
"""and this part of the QRS."""
LEVEL_MS = (18.0, 6.0)
"""The level before QRS is the median from here to here before its onset."""
T_FIRST_MS = 40.0
"""T has its peak at least this long after the end of QRS."""
T_USUAL_S, T_USUAL_SD_S = 0.30, 0.11
"""Usual time from R to the peak of T at RR = 1 s and its allowance: extrema far from it count less."""
T_LAST_RR = 0.80
"""T has its peak before this part of RR: later comes the next P."""
FALL_MS = 180.0
"""The steepest tangent of a T wave is sought this far from its peak."""
P_FALL_MS = 90.0
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
    """

    peak: int
    height: float
    begin: float
    end: float
    rise: float
    fall: float


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
    """

    onset: int
    offset: int
    level: float
    q: float
    r: float
    s: float

    @property
    def height(self) -> float:
        """Largest deflection to either side, positive."""
        return max(self.r, -self.q, -self.s)


def find_complex(beat: MeanBeat) -> Complex | None:
    """QRS of an averaged beat; ``None`` where it has no begin or no end."""
    y, step = beat.wave, round(BEND_MS * MS)
    bend = np.zeros(len(y))
    bend[step:-step] = np.abs(y[2 * step :] - 2.0 * y[step:-step] + y[: -2 * step])
    near = slice(beat.r - round(60 * MS), beat.r + round(60 * MS))
    floor = NOISE_TIMES * 2.45 * float(np.median(beat.error))
    calm = bend < max(BEND_SHARE * float(bend[near].max()), floor)
    onset = _first_calm(calm[: beat.r + 1][::-1], round(QRS_BEFORE_MS * MS))
    offset = _first_calm(calm[beat.r :], round(QRS_AFTER_MS * MS))
    if onset is None or offset is None:
        return None
    inwards = round(0.5 * SPREAD_MS * MS)
    begin, end = beat.r - onset + inwards, beat.r + offset - inwards
    if end - begin < round(20 * MS):
        return None
    level = float(np.median(y[begin - round(LEVEL_MS[0] * MS) - inwards : begin - round(LEVEL_MS[1] * MS)]))
    top = begin + int(y[begin : end + 1].argmax())
    low_before = float(y[begin : top + 1].min()) - level
    low_after = float(y[top : end + 1].min()) - level
    return Complex(begin, end, level, min(low_before, 0.0), max(float(y[top]) - level, 0.0), min(low_after, 0.0))


def _first_calm(calm: NDArray[np.bool_], most: int) -> int | None:
    """First index from which on the signal stays calm for a while."""
    need = round(CALM_MS * MS)
    counts = np.concatenate(([0], np.cumsum(calm)))
    starts = np.flatnonzero(counts[need:] - counts[:-need] == need)
    return int(starts[0]) if len(starts) and starts[0] <= most else None


def find_t(beat: MeanBeat, qrs: Complex) -> Wave | None:
    """T, upright or inverted; ``None`` where nothing stands out."""
    y = _smooth(beat.wave - qrs.level)
    first = qrs.offset + round(T_FIRST_MS * MS)
    last = min(beat.r + round(T_LAST_RR * beat.rr_s * FS_HZ), len(y) - round(20 * MS))
    usual = beat.r + T_USUAL_S * beat.rr_s ** (1.0 / 3.0) * FS_HZ
    at = _extrema(y, first, last)
    if not len(at):
        return None
    away = (at - usual) / (T_USUAL_SD_S * FS_HZ)
    peak = int(at[(np.abs(y[at]) * np.exp(-0.5 * away * away)).argmax()])
    least = max(NOISE_TIMES * float(beat.error[peak]), LEAST_T * qrs.height)
    return _wave(y, peak, first - round(20 * MS), len(y), FALL_MS) if abs(y[peak]) > least else None


def find_p(beat: MeanBeat, qrs: Complex, t: Wave | None) -> Wave | None:
    """P, upright or inverted; ``None`` where nothing stands out, as in atrial fibrillation."""
    y = _smooth(beat.wave - qrs.level)
    first = 4
    if t is not None:
        end = t.end if np.isfinite(t.end) else t.peak + 60.0 * MS
        # The T wave before: where it ended, one interval earlier.
        first = max(first, int(end - beat.rr_s * FS_HZ) + round(10 * MS))
    last = qrs.onset - round(P_FIRST_MS * MS)
    at = _extrema(y, first, last)
    if not len(at):
        return None
    peak = int(at[np.abs(y[at]).argmax()])
    least = max(NOISE_TIMES * float(beat.error[peak]), LEAST_P * qrs.height)
    return _wave(y, peak, first, qrs.onset, P_FALL_MS) if abs(y[peak]) > least else None


def u_height(beat: MeanBeat, qrs: Complex, t: Wave, p: Wave | None) -> float:
    """Highest point after the end of T above the level; NaN where the next P is too near."""
    if not np.isfinite(t.end):
        return float("nan")
    first, last = int(t.end + U_MS[0] * MS), int(t.end + U_MS[1] * MS)
    begin = p.begin if p is not None and np.isfinite(p.begin) else float(qrs.onset)
    last = min(last, len(beat.wave), int(begin + beat.rr_s * FS_HZ) - round(10 * MS))
    if last - first < round(20 * MS):
        return float("nan")
    return float(beat.wave[first:last].max()) - qrs.level


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


def _wave(y: F64, peak: int, first: int, last: int, fall_ms: float) -> Wave:
    height = float(y[peak])
    up = y * (1.0 if height > 0.0 else -1.0)
    reach = round(fall_ms * MS)
    after = up[peak : min(last, peak + reach)]
    before = up[max(first, peak - reach) : peak + 1][::-1]
    end, fall = _side(after)
    begin, rise = _side(before)
    return Wave(peak, height, peak - begin, peak + end, rise, fall)


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
    meets = steepest + 1 - float(flank[steepest + 1]) / down if down < 0.0 else float("nan")
    below = np.flatnonzero(flank[: stop + 2] <= 0.5 * flank[0])
    if not len(below):
        return meets, float("nan")
    i = int(below[0])
    part = (float(flank[i - 1]) - 0.5 * float(flank[0])) / float(flank[i - 1] - flank[i])
    return meets, i - 1 + part
