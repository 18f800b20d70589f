"""Beats of a ten-second segment: where they are, how regular, and the averaged one.

R peaks are the runtime's (``edge.beats.detector``, 125 Hz), placed anew on the 500 Hz signal. The averaged beat is
the median,
sample by sample, over the beats that look alike: an ectopic or disturbed beat drops out whole, and a lone artefact in a
beat that stays does not shift a median.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.beats.detector import RPeakDetector

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]

FS_HZ = 500.0
STREAM_STEP = 4
"""The front end passes nothing above 40 Hz worth naming, so every fourth sample is the detector's 125 Hz stream."""
FLUSH_S = 1.2
"""Silence after the segment, so that the detector confirms its last beats; it takes at most 0.62 s."""
PLACE_S = 0.032
"""An R peak is placed anew within this distance."""

BEFORE_S = 0.45
"""The averaged beat begins this long before R: the longest PR of interest, a third of a second, and P before it."""
AFTER_RR = 0.85
"""It ends this part of an RR interval after R,"""
AFTER_S = (0.40, 0.80)
"""but not earlier or later than this."""
ALIKE_S = (0.10, 0.40)
"""Beats are compared from this long before R to this long after it: QRS, ST and most of T."""
ALIKE = 0.80
"""Least correlation with the averaged beat (template matching; Orphanidou, IEEE JBHI 2015;19:832 asks for 0.66 on
average to call a segment usable; an average can afford to be stricter)."""
ALIGN_S = 0.016
"""Beats are shifted by up to this much to agree best in QRS."""
QRS_HALF_S = 0.06
"""QRS lies mostly within this distance of R."""
LEAST_BEATS = 4
"""Fewer beats make no average."""
LEAST_SHARE = 0.33
"""They must be this part of all: more beats may be ectopic than not, but a few that look alike in noise are chance."""
EARLY = 0.80
"""A beat is early when it comes before this part of the median RR interval."""
MAD_TO_SD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
MEDIAN_ERROR = 1.2533
"""Standard error of a median over that of a mean, normal distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class MeanBeat:
    """The averaged beat of a segment.

    Attributes:
        wave: ``(m,)``, in the unit of the segment.
        error: Standard error of each sample of it, ``(m,)``.
        spread: Standard deviation of the beats about it, ``(m,)``.
        r: Index of R in ``wave``.
        rr_s: Median RR interval.
        used: Beats behind it.
    """

    wave: F64
    error: F64
    spread: F64
    r: int
    rr_s: float
    used: int


def r_peaks(x: F64) -> Ints:
    """Sample numbers of the R peaks at 500 Hz, increasing.

    Args:
        x: ``(n,)``, filtered by ``ecgfounder/1``.
    """
    detector = RPeakDetector(FS_HZ / STREAM_STEP)
    stream = np.concatenate([x[::STREAM_STEP], np.zeros(round(FLUSH_S * FS_HZ / STREAM_STEP))])
    rough = np.array(detector.push(stream), dtype=np.int64) * STREAM_STEP
    rough = rough[rough < len(x)]
    if not len(rough):
        return rough
    # One polarity for the whole segment, so that beats are aligned on the same deflection.
    half = round(PLACE_S * FS_HZ)
    around = rough[:, None] + np.arange(-half, half + 1)
    near = x[np.clip(around, 0, len(x) - 1)]
    sign = 1.0 if np.median(x[rough]) >= 0.0 else -1.0
    placed = np.clip(rough + (sign * near).argmax(axis=1) - half, 0, len(x) - 1)
    return np.unique(placed)


def likeness(windows: F64, template: F64) -> F64:
    """Correlation of each row with a template.

    Args:
        windows: ``(beats, m)``.
        template: ``(m,)``.
    """
    a = windows - windows.mean(axis=1, keepdims=True)
    b = template - template.mean()
    scale = np.sqrt((a * a).sum(axis=1) * float((b * b).sum()))
    return np.asarray(np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0.0))


def mean_beat(x: F64, peaks: Ints) -> tuple[MeanBeat | None, float]:
    """The averaged beat, and the share of beats that come early and look different.

    Args:
        x: ``(n,)`` at 500 Hz.
        peaks: R peaks in it.

    Returns:
        ``None`` where too few beats are alike; the share is NaN where it cannot be told.
    """
    if len(peaks) < LEAST_BEATS:
        return None, float("nan")
    rr_s = float(np.median(np.diff(peaks))) / FS_HZ
    before = round(BEFORE_S * FS_HZ)
    after = round(min(max(AFTER_RR * rr_s, AFTER_S[0]), AFTER_S[1]) * FS_HZ)
    spare = round(ALIGN_S * FS_HZ)
    whole = np.flatnonzero((peaks >= before + spare) & (peaks + after + spare < len(x)))
    if len(whole) < LEAST_BEATS:
        return None, float("nan")
    offsets = np.arange(-before, after + 1)
    windows = x[peaks[whole, None] + offsets]
    part = slice(before - round(ALIKE_S[0] * FS_HZ), before + min(after, round(ALIKE_S[1] * FS_HZ)) + 1)
    early = np.diff(peaks, prepend=peaks[0] - round(rr_s * FS_HZ))[whole] < EARLY * rr_s * FS_HZ
    alike = _matching(windows[:, part], early)
    if not alike.any():
        return None, float("nan")
    template = np.median(windows[alike], axis=0)
    aligned = peaks[whole] + _shifts(x, peaks[whole], template, before, spare)
    windows = x[aligned[:, None] + offsets]
    correlation = likeness(windows[:, part], template[part])
    ectopic = float(np.mean(early & (correlation < ALIKE)))
    kept = windows[correlation >= ALIKE]
    if len(kept) < max(LEAST_BEATS, LEAST_SHARE * len(windows)):
        return None, ectopic
    wave = np.median(kept, axis=0)
    spread = MAD_TO_SD * np.median(np.abs(kept - wave), axis=0)
    error = MEDIAN_ERROR / np.sqrt(len(kept)) * spread
    return MeanBeat(wave, error, spread, before, rr_s, len(kept)), ectopic


def _matching(windows: F64, early: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which beats are like the one that is most like the others; of ectopic beats there may be as many as of others."""
    thin = windows[:, ::STREAM_STEP]
    thin = thin - thin.mean(axis=1, keepdims=True)
    length = np.sqrt((thin * thin).sum(axis=1))
    thin = thin / np.where(length > 0.0, length, 1.0)[:, None]
    # einsum without optimization calls no BLAS, whose last bits depend on the library.
    each = np.einsum("ik,jk->ij", thin, thin)
    usual = np.median(each, axis=1) - (2.0 * early if not early.all() else 0.0)
    return np.asarray(each[usual.argmax()] >= ALIKE)


def _shifts(x: F64, peaks: Ints, template: F64, before: int, spare: int) -> Ints:
    """How far to move each beat, in samples, to agree best with the template's QRS."""
    half = round(QRS_HALF_S * FS_HZ)
    qrs = template[before - half : before + half + 1]
    moves = np.arange(-spare, spare + 1)
    at = peaks[:, None, None] + moves[None, :, None] + np.arange(-half, half + 1)[None, None, :]
    windows = x[at].reshape(-1, 2 * half + 1)
    found = likeness(windows, qrs).reshape(len(peaks), len(moves))
    # Of equals the smallest move.
    found -= 1e-9 * np.abs(moves)
    return np.asarray(moves[found.argmax(axis=1)], dtype=np.int64)
