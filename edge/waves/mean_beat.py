"""R peaks and the average beat of a ten-second segment.

The detector of the runtime (``edge.beats.detector``, 125 Hz) finds the R peaks, which are then refined on the 500 Hz
signal. The average beat is the sample-wise median over similar beats: an ectopic or disturbed beat is left out, and a
single artefact in another beat does not shift the median.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.beats.detector import RPeakDetector

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]

FS_HZ = 500.0
"""Sampling rate of a segment, Hz."""
STREAM_STEP = 4
"""Every fourth sample is the 125 Hz stream of the detector; the front end removes frequencies above 40 Hz."""
FLUSH_S = 1.2
"""Zeros appended to the segment, seconds, so that the detector confirms the last beats; it needs at most 0.62 s."""
PLACE_S = 0.032
"""Largest distance by which an R peak is moved, seconds."""

BEFORE_S = 0.45
"""Start of the average beat before R, seconds; it covers a PR interval of up to a third of a second and P."""
AFTER_RR = 0.85
"""End of the average beat after R, as a share of the RR interval."""
AFTER_S = (0.40, 0.80)
"""Earliest and latest end of the average beat after R, seconds."""
ALIKE_S = (0.10, 0.40)
"""Range before and after R in which beats are compared, seconds: QRS, ST and most of T."""
ALIKE = 0.80
"""Minimum correlation of a beat with the average beat. Template matching in Orphanidou, IEEE JBHI 2015;19:832, requires
0.66 on average for a usable segment; averaging can be stricter."""
ALIGN_S = 0.016
"""Largest shift of a beat for the best agreement in QRS, seconds."""
QRS_HALF_S = 0.06
"""Half the width of the range around R that contains most of QRS, seconds."""
MIN_BEATS = 4
"""Minimum number of beats for an average."""
MIN_SHARE = 0.33
"""Minimum share of similar beats; most beats may be ectopic, but a few similar beats in noise are chance."""
EARLY = 0.80
"""A beat is early if its RR interval is below this share of the median RR interval."""
MAD_TO_SD = 1.4826
"""Ratio of standard deviation and median absolute deviation, normal distribution."""
MEDIAN_ERROR = 1.2533
"""Ratio of the standard errors of median and mean, normal distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class MeanBeat:
    """The average beat of a segment.

    Attributes:
        wave: Median of the beats in the unit of the segment, ``(m,)``.
        error: Standard error of each sample, ``(m,)``.
        spread: Standard deviation of the beats about the median, ``(m,)``.
        r: Index of R in ``wave``.
        rr_s: Median RR interval, seconds.
        used: Number of averaged beats.
    """

    wave: F64
    error: F64
    spread: F64
    r: int
    rr_s: float
    used: int


def r_peaks(x: F64) -> Ints:
    """Find the R peaks, as increasing sample numbers at 500 Hz.

    Args:
        x: Segment filtered by ``ecgfounder/1``, ``(n,)``.
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
    """Compute the correlation of each row with a template.

    Args:
        windows: Beats, ``(beats, m)``.
        template: Template, ``(m,)``.

    Returns:
        Correlations, ``(beats,)``; 0 for a constant row.
    """
    a = windows - windows.mean(axis=1, keepdims=True)
    b = template - template.mean()
    scale = np.sqrt((a * a).sum(axis=1) * float((b * b).sum()))
    return np.asarray(np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0.0))


def mean_beat(x: F64, peaks: Ints) -> tuple[MeanBeat | None, float]:
    """Compute the average beat and the share of ectopic beats, which are early and look different.

    Args:
        x: Segment at 500 Hz, ``(n,)``.
        peaks: R peaks, sample numbers.

    Returns:
        The average beat, ``None`` if too few beats are similar, and the share, NaN if it is not known.
    """
    if len(peaks) < MIN_BEATS:
        return None, float("nan")
    rr_s = float(np.median(np.diff(peaks))) / FS_HZ
    before = round(BEFORE_S * FS_HZ)
    after = round(min(max(AFTER_RR * rr_s, AFTER_S[0]), AFTER_S[1]) * FS_HZ)
    spare = round(ALIGN_S * FS_HZ)
    complete = np.flatnonzero((peaks >= before + spare) & (peaks + after + spare < len(x)))
    if len(complete) < MIN_BEATS:
        return None, float("nan")
    offsets = np.arange(-before, after + 1)
    windows = x[peaks[complete, None] + offsets]
    part = slice(before - round(ALIKE_S[0] * FS_HZ), before + min(after, round(ALIKE_S[1] * FS_HZ)) + 1)
    early = np.diff(peaks, prepend=peaks[0] - round(rr_s * FS_HZ))[complete] < EARLY * rr_s * FS_HZ
    alike = _matching(windows[:, part], early)
    if not alike.any():
        return None, float("nan")
    template = np.median(windows[alike], axis=0)
    aligned = peaks[complete] + _shifts(x, peaks[complete], template, before, spare)
    windows = x[aligned[:, None] + offsets]
    correlation = likeness(windows[:, part], template[part])
    ectopic = float(np.mean(early & (correlation < ALIKE)))
    kept = windows[correlation >= ALIKE]
    if len(kept) < max(MIN_BEATS, MIN_SHARE * len(windows)):
        return None, ectopic
    wave = np.median(kept, axis=0)
    spread = MAD_TO_SD * np.median(np.abs(kept - wave), axis=0)
    error = MEDIAN_ERROR / np.sqrt(len(kept)) * spread
    return MeanBeat(wave, error, spread, before, rr_s, len(kept)), ectopic


def _matching(windows: F64, early: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Select the beats similar to the most typical beat; early beats are less likely to be that beat."""
    thin = windows[:, ::STREAM_STEP]
    thin = thin - thin.mean(axis=1, keepdims=True)
    length = np.sqrt((thin * thin).sum(axis=1))
    thin = thin / np.where(length > 0.0, length, 1.0)[:, None]
    # einsum without optimization calls no BLAS, whose last bits depend on the library.
    each = np.einsum("ik,jk->ij", thin, thin)
    usual = np.median(each, axis=1) - (2.0 * early if not early.all() else 0.0)
    return np.asarray(each[usual.argmax()] >= ALIKE)


def _shifts(x: F64, peaks: Ints, template: F64, before: int, spare: int) -> Ints:
    """Return the shift of each beat, in samples, for the best agreement with the QRS of the template."""
    half = round(QRS_HALF_S * FS_HZ)
    qrs = template[before - half : before + half + 1]
    moves = np.arange(-spare, spare + 1)
    at = peaks[:, None, None] + moves[None, :, None] + np.arange(-half, half + 1)[None, None, :]
    windows = x[at].reshape(-1, 2 * half + 1)
    found = likeness(windows, qrs).reshape(len(peaks), len(moves))
    # Prefer the smallest shift among equals.
    found -= 1e-9 * np.abs(moves)
    return np.asarray(moves[found.argmax(axis=1)], dtype=np.int64)
