"""Delineation of the average beat: onset, end and height of its waves.

The boundary network (``edge.waves.net``) says where a wave begins and ends and how sure it is; heights, widths and
slopes are read from the beat. A wave counts only where the beat itself shows it: P must repeat from beat to beat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edge.waves.mean_beat import BEFORE, MeanBeat, median_of_rows
from edge.waves.net import BoundaryNet, Marked
from edge.waves.path import FS_HZ
from edge.waves.record import WaveReason

F64 = NDArray[np.float64]

MS = FS_HZ / 1000.0
"""Samples per millisecond."""

MIN_SURE = 0.75
"""Smallest certainty of a boundary of QRS with which the beat counts."""
MIN_SURE_P = 0.55
"""Smallest certainty of both ends of P."""
MAX_T_END_SD_MS = 42.0
"""Largest standard deviation of the distribution of the end of T, ms."""
P_EVIDENCE, P_BIAS = (0.82, 2.23, 3.31, -2.42), -11.45
"""Weights of the network's score, its certainty, how well P repeats and how irregular RR is; above 0 there is a P. A
logistic regression on the marked beats of LUDB (``benchmarks/fit_waves.py``)."""
NO_P = -9.0
"""Evidence where no P can be between the begin of the beat and QRS."""
MIN_P = 0.005
"""Smallest P as a share of the height of QRS, against the line between its ends; 999 of 1000 in LUDB have more."""
P_OVERLAP = 3
"""Largest overlap of P and QRS, samples."""
NOISE_TIMES = 3.0
"""Minimum height of a wave, standard errors."""
MIN_T = 0.02
"""Minimum swing of ST and T as a share of the height of QRS."""
T_FIRST_MS = 40.0
"""Time after the end of QRS from which ST and T are compared with the noise, ms."""
LEVEL_MS = (22.0, 8.0)
"""Start and end, before the onset of QRS, of the stretch whose median is the level before QRS, ms."""
PEAK_MS = 40.0
"""Distance from the peak that the network marks within which the extremum is searched, ms."""
RISES = 2.0
"""Time from the begin of T to its peak, in times from half its height to its peak; it is not marked in LUDB as well as
the end, and the network does not learn it."""
BEYOND = 5
"""Samples beyond the begin and the end of a wave within which it must fall to half its height."""
U_MS = (25.0, 110.0)
"""Start and end of the search range for U after the end of T, ms."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A P or T wave of the average beat.

    Attributes:
        peak: Index of the peak.
        height: Height of the peak above the level before QRS, signed, in the unit of the segment.
        begin: Index of the onset.
        end: Index of the end.
        rise: Samples from half height to the peak; NaN if half height is not reached.
        fall: Samples from the peak to half height; NaN if half height is not reached.
        sure: Certainty of its boundaries, 0 to 1.
        missing: Why the wave does not count; ``None`` if it does.
    """

    peak: int
    height: float
    begin: float
    end: float
    rise: float
    fall: float
    sure: float
    missing: WaveReason | None = None

    @property
    def clear(self) -> bool:
        """Whether the wave counts."""
        return self.missing is None


@dataclass(frozen=True, slots=True)
class Complex:
    """The QRS complex of the average beat; heights are in the unit of the segment.

    Attributes:
        onset: Index of the onset, with a fraction.
        offset: Index of the end, with a fraction.
        level: Median just before the onset.
        q: Lowest point before R relative to the level, 0 or negative.
        r: Height of R above the level; 0 if all deflections are negative.
        s: Lowest point after R relative to the level, 0 or negative.
        width: Width of the largest deflection at half its height, samples.
        sure: Certainty of its boundaries, 0 to 1.
    """

    onset: float
    offset: float
    level: float
    q: float
    r: float
    s: float
    width: float
    sure: float

    @property
    def height(self) -> float:
        """Largest deflection in either direction, positive."""
        return max(self.r, -self.q, -self.s)


@dataclass(frozen=True, slots=True)
class Delineation:
    """The waves of an average beat; ``p`` and ``t`` may not be clear.

    Attributes:
        qrs: The QRS complex.
        p: The P wave.
        t: The T wave.
        p_evidence: Evidence that there is a P, a logit; above 0 there is one.
    """

    qrs: Complex
    p: Wave
    t: Wave
    p_evidence: float


@cache
def network() -> BoundaryNet:
    """Return the network of the package, loaded on first use."""
    return BoundaryNet()


def delineate(beat: MeanBeat, net: BoundaryNet | None = None) -> Delineation | None:
    """Find the waves of an average beat; ``None`` if QRS is not certain.

    Args:
        beat: The average beat.
        net: The network; ``None`` for that of the package.
    """
    marked = (net or network()).mark(beat.wave[::2], beat.rr_s)
    _p_begin, _p_end, onset, offset, t_peak, t_end = (2.0 * marked.at).tolist()
    sure = marked.sure
    if min(sure[2], sure[3]) < MIN_SURE or not BEFORE - 50 < onset < offset - 4 or offset > BEFORE + 60:
        return None
    qrs = _complex(beat.wave, onset, offset, float(min(sure[2], sure[3])))
    if qrs.height <= 0.0 or not qrs.width < offset - onset:
        return None
    y = _smooth(beat.wave - qrs.level)
    t = _wave(y, (offset, t_peak, t_end), float(sure[5]))
    if np.isfinite(t.rise):
        t = replace(t, begin=max(offset, t.peak - RISES * t.rise))
    p, evidence = _checked_p(beat, qrs, _p_wave(y, marked), marked.p_score)
    return Delineation(qrs, p, _checked_t(beat, qrs, t, 2.0 * marked.t_end_sd), evidence)


def p_evidence(beat: MeanBeat, net: BoundaryNet) -> tuple[float, float, float, float] | None:
    """Return what the evidence for P weighs, in the order of :data:`P_EVIDENCE`; ``None`` if no P can be there."""
    marked = net.mark(beat.wave[::2], beat.rr_s)
    p = _p_wave(beat.wave, marked)
    return None if p.missing is not None else _seen(beat, p, marked.p_score)


def _complex(y: F64, onset: float, offset: float, sure: float) -> Complex:
    begin, end = round(onset), round(offset)
    level = float(median_of_rows(y[begin - round(LEVEL_MS[0] * MS) : begin - round(LEVEL_MS[1] * MS) + 1]))
    inside = y[begin : end + 1] - level
    top = int(inside.argmax())
    r, low_before, low_after = max(float(inside[top]), 0.0), float(inside[: top + 1].min()), float(inside[top:].min())
    q, s = min(low_before, 0.0), min(low_after, 0.0)
    width = _half_width((y - level) * (1.0 if r >= max(-q, -s) else -1.0), begin, end)
    return Complex(onset, offset, level, q, r, s, width, sure)


def _wave(y: F64, at: tuple[float, float, float], sure: float) -> Wave:
    """Return a wave from its begin, about its peak, and its end; the peak is the extremum there."""
    begin, about, end = at
    first, last = max(round(begin) + 1, 1), min(round(end), len(y) - 1) - 1
    if last - first < 4:
        return Wave(round(about), 0.0, begin, end, float("nan"), float("nan"), sure, "unclear")
    reach = round(PEAK_MS * MS)
    if first + 2 < about < last - 2:
        first, last = max(first, round(about) - reach), min(last, round(about) + reach)
    # The line from begin to end tells a wave from a slope on which it rides.
    line = np.interp(np.arange(first, last + 1), (begin, end), np.interp((begin, end), np.arange(len(y)), y))
    peak = first + int(np.abs(y[first : last + 1] - line).argmax())
    height = float(y[peak])
    up = y * (1.0 if height > 0.0 else -1.0)
    half = 0.5 * float(up[peak])
    rise = _reach(up[max(0, round(begin) - BEYOND) : peak + 1][::-1], half)
    fall = _reach(up[peak : round(end) + BEYOND], half)
    return Wave(peak, height, begin, end, rise, fall, sure)


def _p_wave(y: F64, marked: Marked) -> Wave:
    begin, end = 2.0 * float(marked.at[0]), 2.0 * float(marked.at[1])
    return _wave(y, (begin, 0.5 * (begin + end), end), float(min(marked.sure[0], marked.sure[1])))


def _checked_t(beat: MeanBeat, qrs: Complex, t: Wave, end_sd: float) -> Wave:
    """Return the T wave, with a reason if it does not count; the standard deviation of its end is in samples."""
    if t.missing is not None:
        return t
    first, last = round(qrs.offset) + round(T_FIRST_MS * MS), min(round(t.end), len(beat.wave) - 1)
    swing = float(np.ptp(beat.wave[first:last])) if last - first > 4 else 0.0
    if swing <= max(NOISE_TIMES * float(beat.error[t.peak]), MIN_T * qrs.height):
        return replace(t, missing="flat")
    return t if end_sd <= MAX_T_END_SD_MS * MS and t.begin < t.end else replace(t, missing="unclear")


def _checked_p(beat: MeanBeat, qrs: Complex, p: Wave, score: float) -> tuple[Wave, float]:
    """Return the P wave, with a reason if it does not count, and the evidence for it."""
    if p.missing is not None or p.end > qrs.onset + P_OVERLAP:
        return replace(p, missing="unclear"), NO_P
    if _hump(beat.wave, p) < MIN_P * qrs.height:
        return replace(p, missing="absent"), NO_P
    seen = _seen(beat, p, score)
    evidence = sum(weight * value for weight, value in zip(P_EVIDENCE, seen, strict=True)) + P_BIAS
    if evidence <= 0.0:
        return replace(p, missing="absent"), evidence
    return (p if p.sure >= MIN_SURE_P else replace(p, missing="unclear")), evidence


def _hump(y: F64, p: Wave) -> float:
    """Return the largest distance of a wave from the line between its begin and its end."""
    first, last = max(round(p.begin), 0), round(p.end)
    if last - first < 4:
        return 0.0
    line = y[first] + (y[last] - y[first]) * np.arange(last - first + 1) / (last - first)
    return float(np.abs(y[first : last + 1] - line).max())


def _seen(beat: MeanBeat, p: Wave, score: float) -> tuple[float, float, float, float]:
    score, irregularity = float(np.clip(score, -6.0, 6.0)), float(np.log10(_irregularity(beat) + 0.02))
    return score, p.sure, _repetition(beat, p), irregularity


def _repetition(beat: MeanBeat, p: Wave) -> float:
    """Return how well the P waves of the beats repeat: the logarithm of the variance ratio of mean and residue.

    It is that of an analysis of variance: f waves of atrial fibrillation do not repeat, and give about 0.
    """
    first, last = max(round(p.begin) - 2, 0), round(p.end) + 3
    beats, n = beat.beats[:, first:last], last - first
    if n < 8:
        return -1.0
    # Without the line between both ends, so that what counts is a hump and not a slope.
    line = np.arange(n) / (n - 1)
    start, end = beats[:, :2].mean(axis=1)[:, None], beats[:, -2:].mean(axis=1)[:, None]
    humps = beats - (start + (end - start) * line)
    humps -= humps.mean(axis=1, keepdims=True)
    mean = humps.mean(axis=0)
    residue = float(((humps - mean) ** 2).sum()) / (len(beats) - 1)
    ratio = len(beats) * float((mean * mean).sum()) / residue if residue > 0.0 else 1e3
    return float(np.clip(np.log10(ratio + 1e-3), -1.0, 2.5))


def _irregularity(beat: MeanBeat) -> float:
    """Return the median change from one RR interval to the next, over the median RR interval."""
    changes = np.abs(np.diff(beat.peaks, n=2))
    return float(median_of_rows(changes)) / FS_HZ / beat.rr_s if len(changes) else 0.0


def u_height(beat: MeanBeat, found: Delineation) -> float:
    """Return the highest point after the end of T above the level before P; NaN if the next P is too close.

    The level before QRS is not used, because the front end shifts it relative to the level between T and P.
    """
    qrs, p, t = found.qrs, found.p, found.t
    level, begin = qrs.level, qrs.onset
    if p.clear:
        begin = p.begin
        before = beat.wave[max(0, int(begin) - round(40 * MS)) : int(begin) - round(4 * MS)]
        level = float(median_of_rows(before)) if len(before) else level
    first, last = int(t.end + U_MS[0] * MS), int(t.end + U_MS[1] * MS)
    last = min(last, len(beat.wave), int(begin + beat.rr_s * FS_HZ) - round(10 * MS))
    if last - first < round(20 * MS):
        return float("nan")
    return float(beat.wave[first:last].max()) - level


def _half_width(up: F64, begin: int, end: int) -> float:
    """Return the width of the largest deflection at half its height, samples; NaN if a flank does not reach it."""
    top = begin + int(up[begin : end + 1].argmax())
    half = 0.5 * float(up[top])
    return _reach(up[top:], half) + _reach(up[: top + 1][::-1], half)


def _reach(flank: F64, level: float) -> float:
    """Return the number of samples until a flank falls to a level; NaN if it does not."""
    below = np.flatnonzero(flank <= level)
    if not len(below) or not below[0]:
        return float("nan")
    i = int(below[0])
    return i - 1 + (float(flank[i - 1]) - level) / float(flank[i - 1] - flank[i])


def _smooth(y: F64) -> F64:
    """Return the moving mean of 3 samples, so that extrema belong to waves and not to residual noise."""
    padded = np.pad(y, 1, mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3.0
