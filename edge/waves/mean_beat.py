"""R peaks and the average beat of a ten-second segment, at 250 Hz.

The detector of the runtime (``edge.beats.detector``, 125 Hz) finds the R peaks, which are then placed on the 250 Hz
signal. The average beat is the sample-wise median over similar beats: an ectopic or disturbed beat is left out, and a
single artefact in another beat does not shift the median.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.beats.detector import RPeakDetector
from edge.waves.path import FS_HZ

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]

SEGMENT_HZ = 500.0
"""Sampling rate of a segment on the host, Hz."""
STREAM_HZ = 125.0
"""Sampling rate of the stream that the detector reads, Hz."""
FLUSH_S = 1.2
"""Zeros appended to the segment, seconds, so that the detector confirms the last beats; it needs at most 0.62 s."""
PLACE_S = 0.032
"""Largest distance by which an R peak is moved, seconds."""
LOCAL_S = 0.3
"""Distance on both sides of R within which the median is the level from which its polarity is judged, seconds."""

BEFORE = round(0.48 * FS_HZ)
"""Start of the average beat before R, samples; it covers a PR interval of up to a third of a second and P."""
AFTER = round(0.80 * FS_HZ) - 1
"""End of the average beat after R, samples."""
ALIKE = slice(BEFORE - round(0.10 * FS_HZ), BEFORE + round(0.40 * FS_HZ) + 1)
"""Part of a beat in which beats are compared: QRS, ST and most of T."""
MIN_ALIKE = 0.80
"""Minimum correlation of a beat with the average beat. Template matching in Orphanidou, IEEE JBHI 2015;19:832, requires
0.66 on average for a usable segment; averaging can be stricter."""
ALIGN = round(0.016 * FS_HZ)
"""Largest shift of a beat for the best agreement in QRS, samples."""
QRS_HALF = round(0.06 * FS_HZ)
"""Half the width of the range around R that contains most of QRS, samples."""
MIN_BEATS = 3
"""Minimum number of beats for an average; at 30/min ten seconds hold three complete ones."""
MIN_SHARE = 0.33
"""Minimum share of similar beats; most beats may be ectopic, but a few similar beats in noise are chance."""
EARLY = 0.80
"""A beat is early if its RR interval is below this share of the median RR interval."""
LEVEL = round(0.02 * FS_HZ)
"""Length of the stretch before QRS whose mean is the level of a beat, samples."""
LEVEL_RANGE = (round(0.13 * FS_HZ), round(0.036 * FS_HZ))
"""Earliest start and latest end of that stretch before R, samples: it is the flattest one, at the end of PQ."""
MAD_TO_SD = 1.4826
"""Ratio of standard deviation and median absolute deviation, normal distribution."""
MEDIAN_ERROR = 1.2533
"""Ratio of the standard errors of median and mean, normal distribution."""

_SPAN = np.arange(-BEFORE, AFTER + 1)
_MOVES = np.arange(-ALIGN, ALIGN + 1)
_QRS = np.arange(-QRS_HALF, QRS_HALF + 1)


@dataclass(frozen=True, slots=True, eq=False)
class MeanBeat:
    """The average beat of a segment.

    Attributes:
        wave: Median of the beats in the unit of the segment, ``(BEFORE + AFTER + 1,)``; R is at :data:`BEFORE`.
        error: Standard error of each sample, same shape.
        spread: Standard deviation of the beats about the median, same shape.
        beats: The averaged beats, ``(used, BEFORE + AFTER + 1)``.
        at: R peaks of the averaged beats, sample numbers, ``(used,)``.
        rr_s: Median RR interval, seconds.
        peaks: Placed R peaks of the segment, sample numbers.
        complete: Indices into ``peaks`` of the beats that lie in the segment as a whole.
        alike: Correlation of these beats with the average beat, ``(len(complete),)``.
    """

    wave: F64
    error: F64
    spread: F64
    beats: F64
    at: Ints
    rr_s: float
    peaks: Ints
    complete: Ints
    alike: F64

    @property
    def used(self) -> int:
        """Number of averaged beats."""
        return len(self.beats)

    @property
    def early(self) -> NDArray[np.bool_]:
        """Which complete beats come early, ``(len(complete),)``."""
        return _early(self.peaks, self.complete, self.rr_s)

    @property
    def ectopic_share(self) -> float:
        """Share of the complete beats that come early and look different."""
        return float(np.mean(self.early & (self.alike < MIN_ALIKE)))


def r_peaks(x: F64) -> Ints:
    """Find the R peaks of a segment without a slow baseline, as increasing sample numbers at 500 Hz.

    Args:
        x: Segment filtered by ``ecgfounder/1`` at 500 Hz, ``(n,)``.
    """
    step = round(SEGMENT_HZ / STREAM_HZ)
    stream = np.concatenate([x[::step], np.zeros(round(FLUSH_S * STREAM_HZ))])
    rough = np.array(RPeakDetector(STREAM_HZ).push(stream), dtype=np.int64) * step
    return place(x, rough[rough < len(x)], SEGMENT_HZ)


def place(x: F64, rough: Ints, fs_hz: float = FS_HZ) -> Ints:
    """Move R peaks to the largest deflection nearby, as increasing sample numbers.

    Args:
        x: Segment with any baseline, ``(n,)``.
        rough: Sample numbers near the R peaks.
        fs_hz: Sampling rate of the segment, Hz.
    """
    if not len(rough):
        return rough
    last, reach = len(x) - 1, round(PLACE_S * fs_hz)
    near = x[np.clip(rough[:, None] + np.arange(-reach, reach + 1), 0, last)]
    local = np.arange(-round(LOCAL_S * fs_hz), round(LOCAL_S * fs_hz) + 1, 4)
    level = median_of_rows(x[np.clip(local[:, None] + rough, 0, last)])
    # One polarity for the whole segment, so that beats are aligned on the same deflection.
    up, down = (float(median_of_rows(d)) for d in (near.max(axis=1) - level, level - near.min(axis=1)))
    moved = near.argmax(axis=1) if up >= down else near.argmin(axis=1)
    placed = np.sort(np.clip(rough + moved - reach, 0, last))
    return placed[np.diff(placed, prepend=-1) > 0]  # unlike numpy.unique, without loading masked arrays


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


def median_of_rows(rows: F64 | Ints) -> F64:
    """Return the median of each column, or of a vector: as numpy does, which is slower for a few and loads more."""
    ordered, middle = np.sort(rows, axis=0), len(rows) // 2
    if len(rows) % 2:
        return np.asarray(ordered[middle])
    return np.asarray(0.5 * (ordered[middle - 1] + ordered[middle]))


def mean_beat(x: F64, peaks: Ints) -> MeanBeat | None:
    """Compute the average beat; ``None`` if too few beats are complete or similar.

    Args:
        x: Segment at 250 Hz, ``(n,)``, with any baseline.
        peaks: R peaks, sample numbers.
    """
    if len(peaks) < MIN_BEATS:
        return None
    rr_s = float(median_of_rows(np.diff(peaks))) / FS_HZ
    complete = np.flatnonzero((peaks >= BEFORE + ALIGN) & (peaks + AFTER + ALIGN < len(x)))
    if len(complete) < MIN_BEATS:
        return None
    windows = x[peaks[complete, None] + _SPAN]
    first = _matching(windows[:, ALIKE], _early(peaks, complete, rr_s))
    if not first.any():
        return None
    template = median_of_rows(windows[first])
    aligned = peaks[complete] + _shifts(x, peaks[complete], template)
    alike = likeness(x[aligned[:, None] + _SPAN[ALIKE]], template[ALIKE])
    kept = aligned[alike >= MIN_ALIKE]
    if len(kept) < max(MIN_BEATS, MIN_SHARE * len(complete)):
        return None
    beats = _levelled(x, kept, template)
    wave = median_of_rows(beats)
    spread = MAD_TO_SD * median_of_rows(np.abs(beats - wave))
    error = MEDIAN_ERROR / np.sqrt(len(beats)) * spread
    return MeanBeat(wave, error, spread, beats, kept, rr_s, peaks, complete, alike)


def _early(peaks: Ints, complete: Ints, rr_s: float) -> NDArray[np.bool_]:
    before = np.diff(peaks, prepend=peaks[0] - round(rr_s * FS_HZ))
    return np.asarray(before[complete] < EARLY * rr_s * FS_HZ)


def _levelled(x: F64, kept: Ints, template: F64) -> F64:
    """Cut out the beats after subtracting straight lines through the levels before their QRS."""
    rough = np.abs(np.diff(template[BEFORE - LEVEL_RANGE[0] : BEFORE - LEVEL_RANGE[1]]))
    total = np.concatenate(([0.0], np.cumsum(rough)))
    flattest = int((total[LEVEL:] - total[:-LEVEL]).argmin())
    start = kept - LEVEL_RANGE[0] + flattest
    level = x[start[:, None] + np.arange(LEVEL + 1)].mean(axis=1)
    at = kept[:, None] + _SPAN
    return np.asarray(x[at] - np.interp(at, start + LEVEL // 2, level))


def _matching(windows: F64, early: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Select the beats similar to the most typical beat; early beats are less likely to be that beat."""
    thin = windows[:, ::2]
    thin = thin - thin.mean(axis=1, keepdims=True)
    length = np.sqrt((thin * thin).sum(axis=1))
    thin = thin / np.where(length > 0.0, length, 1.0)[:, None]
    # einsum without optimization calls no BLAS, whose last bits depend on the library.
    each = np.einsum("ik,jk->ij", thin, thin)
    usual = median_of_rows(each) - (2.0 * early if not early.all() else 0.0)
    return np.asarray(each[usual.argmax()] >= MIN_ALIKE)


def _shifts(x: F64, peaks: Ints, template: F64) -> Ints:
    """Return the shift of each beat, in samples, for the best agreement with the QRS of the template."""
    qrs = template[BEFORE - QRS_HALF : BEFORE + QRS_HALF + 1]
    at = peaks[:, None, None] + _MOVES[None, :, None] + _QRS[None, None, :]
    found = likeness(x[at].reshape(-1, len(_QRS)), qrs).reshape(len(peaks), len(_MOVES))
    # Prefer the smallest shift among equals.
    found -= 1e-9 * np.abs(_MOVES)
    return np.asarray(_MOVES[found.argmax(axis=1)], dtype=np.int64)
