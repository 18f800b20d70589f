"""Hand-crafted features of a ten-second segment: rate, intervals, amplitudes, shape; see ``docs/ecg-intervals.md``.

::

    shard = data.shard("train-00000")
    x = segment_features(shard.segments(slice(0, 64)), shard.sd_mv[:64])     # (64, len(FEATURES)) float32

A feature that cannot be measured is NaN, such as the PR interval without a P wave, or millivolts without a scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.waves.delineate import MS, Delineation, delineate, u_height
from edge.waves.mean_beat import SEGMENT_HZ, MeanBeat, mean_beat, place, r_peaks
from edge.waves.measure import intervals, st_level
from edge.waves.path import FS_HZ

F64 = NDArray[np.float64]

FEATURE_VERSION = 3
"""Increased whenever the same segment gives different numbers; part of the key of every cache."""

MIN_INTERVALS = 2
"""Minimum number of RR intervals for features of the rhythm."""
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    Attributes:
        name: Unique name.
        unit: Unit, ``"1"`` for a ratio or a count.
        what: Description in one line.
    """

    name: str
    unit: str
    what: str


FEATURES: tuple[Feature, ...] = (
    Feature("hr_bpm", "/min", "60 over the mean RR interval"),
    Feature("rr_mean_ms", "ms", "mean RR interval"),
    Feature("rr_sd_ms", "ms", "standard deviation of the RR intervals"),
    Feature("rr_rmssd_ms", "ms", "root mean square of successive differences of RR"),
    Feature("ectopic_share", "1", "share of beats that are early and look different"),
    Feature("beats", "1", "number of beats"),
    Feature("beats_used", "1", "number of beats in the average beat"),
    Feature("noise_ratio", "1", "standard deviation of the beats about the average beat, over QRS"),
    Feature("p_noise_ratio", "1", "the same only between T and QRS, where f waves are"),
    Feature("pr_ms", "ms", "P onset to QRS onset"),
    Feature("p_ms", "ms", "P onset to P end"),
    Feature("qrs_ms", "ms", "QRS duration"),
    Feature("r_width_ms", "ms", "width of the largest deflection of QRS at half its height"),
    Feature("qt_ms", "ms", "QRS onset to T end"),
    Feature("qtc_fridericia_ms", "ms", "QT over the cube root of RR (Fridericia, Acta Med Scand 1920;53:469)"),
    Feature("qtc_bazett_ms", "ms", "QT over the square root of RR (Bazett, Heart 1920;7:353)"),
    Feature("jt_ms", "ms", "QRS end to T end"),
    Feature("qt_peak_ms", "ms", "QRS onset to T peak"),
    Feature("tpeak_tend_ms", "ms", "T peak to T end"),
    Feature("t_width_ms", "ms", "width of T at half height"),
    Feature("t_asymmetry", "1", "rise of T from half height to peak, over its fall"),
    Feature("p_r", "1", "P amplitude over QRS, 0 without a clear P"),
    Feature("q_r", "1", "Q amplitude over QRS, 0 or negative"),
    Feature("s_r", "1", "S amplitude over QRS, 0 or negative"),
    Feature("st_r", "1", "level 60 ms after QRS, over QRS"),
    Feature("t_r", "1", "T amplitude over QRS, signed"),
    Feature("u_r", "1", "U amplitude over QRS"),
    Feature("t_area_r", "1", "area of ST and T over area of QRS, signed"),
    Feature("t_steepness", "1/s", "T amplitude over QRS and its width at half height"),
    Feature("p_mv", "mV", "P amplitude above the level before QRS, 0 without a clear P"),
    Feature("q_mv", "mV", "lowest point before R, 0 or negative"),
    Feature("r_mv", "mV", "R amplitude, 0 if all of QRS is negative"),
    Feature("s_mv", "mV", "lowest point after R, 0 or negative"),
    Feature("st_mv", "mV", "level 60 ms after QRS"),
    Feature("t_mv", "mV", "T amplitude, signed"),
    Feature("u_mv", "mV", "U amplitude"),
    Feature("qrs_area_mv_ms", "mV.ms", "area of QRS, both signs counted as positive"),
    Feature("t_area_mv_ms", "mV.ms", "area of ST and T, signed"),
    Feature("noise_mv", "mV", "standard deviation of the beats about the average beat"),
)
"""The features, in the order of the columns."""

NAMES: tuple[str, ...] = tuple(f.name for f in FEATURES)


def segment_features(z: NDArray[np.floating], sd_mv: NDArray[np.floating]) -> NDArray[np.float32]:
    """Compute the features of segments; each row depends only on its own segment.

    Args:
        z: Segments z-scored by ``ecgfounder/1`` at 500 Hz, ``(n, 5000)``.
        sd_mv: Standard deviation of each segment before the z-score, mV, ``(n,)``; NaN if the scale is unknown.

    Returns:
        Features, ``(n, len(FEATURES))``; NaN if not measurable.
    """
    out = np.full((len(z), len(FEATURES)), np.nan, dtype=np.float32)
    for row, segment, scale in zip(out, z, sd_mv, strict=True):
        found = _features(np.asarray(segment, dtype=np.float64), float(scale))
        row[:] = [found.get(name, NAN) for name in NAMES]
    return out


def _features(x: F64, sd_mv: float) -> dict[str, float]:
    if not np.isfinite(x).all():
        return {}
    peaks = r_peaks(x)
    found = rhythm_features(peaks, SEGMENT_HZ)
    step = round(SEGMENT_HZ / FS_HZ)
    thin = x[::step]
    beat = mean_beat(thin, place(thin, peaks // step))
    return found if beat is None else found | average_beat_features(beat, delineate(beat), sd_mv)


def average_beat_features(beat: MeanBeat, waves: Delineation | None, scale_mv: float) -> dict[str, float]:
    """Compute the features of an average beat.

    Args:
        beat: The average beat.
        waves: Its waves; ``None`` if QRS is not clear.
        scale_mv: Millivolts per unit of the beat; NaN if unknown.

    Returns:
        Features by name, without those that cannot be measured.
    """
    found = {"ectopic_share": beat.ectopic_share, "beats_used": float(beat.used)}
    if waves is None:
        return found
    found |= _intervals(beat, waves)
    heights = _heights(beat, waves)
    found |= {f"{name}_r": value / waves.qrs.height for name, value in heights.items()}
    found |= {f"{name}_mv": value * scale_mv for name, value in heights.items()}
    return found | _areas(beat, waves, scale_mv)


def rhythm_features(peaks: NDArray[np.int64], fs_hz: float) -> dict[str, float]:
    """Compute the features of the rhythm.

    Args:
        peaks: R peaks, sample numbers.
        fs_hz: Sampling rate of these numbers, Hz.

    Returns:
        Features by name, without those that cannot be measured.
    """
    found = {"beats": float(len(peaks))}
    rr_ms = np.diff(peaks) * (1000.0 / fs_hz)
    if len(rr_ms) < MIN_INTERVALS:
        return found
    mean = float(rr_ms.mean())
    found |= {"hr_bpm": 60000.0 / mean, "rr_mean_ms": mean, "rr_sd_ms": float(rr_ms.std())}
    found["rr_rmssd_ms"] = float(np.sqrt(np.mean(np.diff(rr_ms) ** 2)))
    return found


def _intervals(beat: MeanBeat, waves: Delineation) -> dict[str, float]:
    qrs, t = waves.qrs, waves.t
    found = intervals(beat, waves) | {"r_width_ms": qrs.width / MS}
    if t.clear:
        found |= {
            "qt_peak_ms": (t.peak - qrs.onset) / MS,
            "tpeak_tend_ms": (t.end - t.peak) / MS,
            "t_asymmetry": found["t_symmetry"],
            "t_steepness": t.height / qrs.height / ((t.rise + t.fall) / FS_HZ),
        }
    return found


def _heights(beat: MeanBeat, waves: Delineation) -> dict[str, float]:
    qrs, p, t = waves.qrs, waves.p, waves.t
    return {
        "p": p.height if p.clear else 0.0,
        "q": qrs.q,
        "r": qrs.r,
        "s": qrs.s,
        "st": st_level(beat, waves),
        "t": NAN if t.missing == "unclear" else t.height,
        "u": u_height(beat, waves) if t.clear else NAN,
    }


def _areas(beat: MeanBeat, waves: Delineation, sd_mv: float) -> dict[str, float]:
    qrs, t = waves.qrs, waves.t
    onset, offset = round(qrs.onset), round(qrs.offset)
    spread = float(np.median(beat.spread))
    y = beat.wave - qrs.level
    qrs_area = float(np.abs(y[onset : offset + 1]).sum()) / MS
    quiet = beat.spread[max(0, onset - round(200 * MS)) : onset - round(20 * MS)]
    found = {
        "noise_ratio": spread / qrs.height,
        "noise_mv": spread * sd_mv,
        "qrs_area_mv_ms": qrs_area * sd_mv,
        "p_noise_ratio": float(np.median(quiet)) / qrs.height,
    }
    if t.clear:
        t_area = float(y[offset + 1 : int(t.end) + 1].sum()) / MS
        found |= {"t_area_r": t_area / qrs_area, "t_area_mv_ms": t_area * sd_mv}
    return found
