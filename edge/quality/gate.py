"""The quality gate: it decides whether a window is an ECG whose beats are right, so that a model may read it.

The score is the trust in the beats (``evidence.py``): it was fitted to annotated records of all rhythms, with and
without noise, and one number in ``trust.json`` sets how much risk of a wrong beat is allowed. Before that, a few limits
that no annotated ECG reaches refuse signals that are no ECG. Flags name what is unusual; they do not decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.beats.newest import with_newest
from edge.beats.rate import median_rate_bpm
from edge.quality.evidence import measure, trust
from edge.quality.measures import (
    BASELINE_HZ,
    ECG_HZ,
    QRS_BAND_HZ,
    SQI_BAND_HZ,
    band_ratio,
    burst,
    centred,
    complex_heights,
    irregularity,
    kurtosis,
    likeness,
    stands_still,
)
from edge.quality.rails import Rails, find_rails
from edge.stats import median

FS_HZ = 125.0
"""Sampling rate of the window, Hz."""
RAW_FS_HZ = 250.0
"""Sampling rate at which the raw window is assessed, Hz; samples at twice this rate are averaged in pairs first."""
ACCEPT_SCORE = 0.5
"""Lowest score of an accepted window; below it the reason is ``poor_signal``."""
LEAST_LIKENESS = 0.6
"""Mean likeness of the beats at and below which the window is no ECG; no annotated window is as low."""
LEAST_KURTOSIS = 1.95
"""Kurtosis (kSQI) below which the window is no ECG: a sine has 1.5, a square wave 1, and wide complexes 2."""
LIKENESS = (0.80, 0.99)
"""Mean likeness of the beats for a mark of 0 and of 1: clean records have 0.95 to 1, red noise up to 0.87."""
KURTOSIS = (1.7, 2.2)
"""Kurtosis for a mark of 0 and of 1."""
QRS_SHARE = (0.25, 0.42)
"""Share of the QRS band (pSQI) for a mark of 0 and of 1. White noise has 0.29 (Zhao & Zhang: suspect up to 0.4).
There is no upper limit, because theirs, 0.8, fails on clean leads with wide complexes."""
BASELINE = (0.0, 0.15)
"""basSQI of the raw window for a mark of 0 and of 1."""
BURST = (4.0, 2.0)
"""Roughness of the worst half second, relative to the usual one, for a mark of 0 and of 1."""
HEIGHT = (6.0, 3.5)
"""Height of the largest complex relative to the median; a ventricular beat has up to three times that of a
low normal beat."""
FLAT_RUN_S = 2.5
"""Time for which the raw signal keeps one value, s, from which no electrode is connected."""
SATURATED_S = 0.2
"""Time at a limit of the converter, recovery included, from which the window is saturated, s."""
FLAT_MV = 0.05
"""Smallest peak-to-peak of an ECG, mV: half the smallest QRS complex that EC 57 requires a detector to find."""
HIGHEST_MV = 10.0
"""Largest peak-to-peak of an ECG, mV (input range of IEC 60601-2-47: 10 mV)."""
IRREGULAR = 0.12
"""Irregularity from which the rhythm gets a flag: fibrillation, or an ectopic beat in the window."""
SUSPECT = 0.75
"""Mark below which a measure sets its flag."""

MARKS = {
    "beats_differ": ("likeness", LIKENESS),
    "low_kurtosis": ("kurtosis", KURTOSIS),
    "low_qrs_share": ("qrs_share", QRS_SHARE),
    "baseline_wander": ("baseline", BASELINE),
    "artefact_burst": ("burst", BURST),
    "height_outlier": ("height_outlier", HEIGHT),
}
"""Flag -> measure, and its values for a mark of 0 and of 1."""

Reason = Literal["poor_signal", "flat", "saturated"]


@dataclass(frozen=True, slots=True)
class Quality:
    """The verdict of the gate on one window.

    Attributes:
        score: Quality score, 0 to 1, and weight in the estimate. Below ``ACCEPT_SCORE`` the window is refused.
        flags: Remarks, in a fixed order: ``clipped`` (the tops of most beats are cut, or the window is saturated);
            ``irregular_rhythm``, ``varying_shapes`` (information only); ``beats_differ``, ``low_kurtosis``,
            ``low_qrs_share``, ``baseline_wander``, ``artefact_burst``, ``height_outlier``, ``no_heart_rate``,
            ``flat_signal``, ``low_amplitude``, ``high_amplitude``.
        reason: Reason for refusing the window; ``None`` if accepted.
    """

    score: float
    flags: tuple[str, ...]
    reason: Reason | None


class QualityGate:
    """Assesses each window independently. It has no state."""

    def assess(
        self,
        window: NDArray[np.float64],
        raw: NDArray[np.float64],
        raw_fs_hz: float,
        beats: NDArray[np.int_],
        *,
        scale_known: bool,
        rails: Rails | None = None,
    ) -> Quality:
        """Assess one window.

        Args:
            window: The filtered window at 125 Hz, shape ``(1250,)``, mV or counts, finite.
            raw: The same ten seconds before the filter, at ``raw_fs_hz``, in the same unit, finite.
            raw_fs_hz: Sampling rate of ``raw``, Hz.
            beats: R peaks, as increasing indices into ``window``; those of its last second may be missing.
            scale_known: Whether the unit is millivolts; otherwise no measure depends on the scale.
            rails: What was found on the samples of the source; ``None`` to look at ``raw``.

        Returns:
            The verdict.
        """
        span = float(np.maximum.reduce(window) - np.minimum.reduce(window))
        if rails is None:
            at = np.round(beats * (raw_fs_hz / FS_HZ)).astype(np.int64)
            rails = find_rails(raw[: round(len(window) * raw_fs_hz / FS_HZ)], raw_fs_hz, at)
        if raw_fs_hz > RAW_FS_HZ:
            # Both tiers use thresholds set at this rate, and half as many samples take half the time.
            pairs = len(raw) // 2 * 2
            raw, raw_fs_hz = 0.5 * (raw[:pairs:2] + raw[1:pairs:2]), 0.5 * raw_fs_hz
        refused = _not_a_signal(span, raw, raw_fs_hz, rails, scale_known=scale_known)
        if refused is not None:
            return refused
        flags: list[str] = ["clipped"] if rails.beats_cut else []
        beats = with_newest(window, beats)
        uneven = irregularity(beats)
        if uneven > IRREGULAR:
            flags.append("irregular_rhythm")
        alike = likeness(window, beats, FS_HZ)
        if len(alike) and float(np.minimum.reduce(alike)) < LIKENESS[0]:
            flags.append("varying_shapes")
        simple = simple_measures(window, raw, raw_fs_hz, beats, alike)
        marks = {name: _ramp(simple[measure], ends) for name, (measure, ends) in MARKS.items()}
        flags += [name for name, mark in marks.items() if mark < SUSPECT]
        unrated = median_rate_bpm(beats, FS_HZ) is None
        if unrated:
            flags.append("no_heart_rate")
        too_high = scale_known and span > HIGHEST_MV
        if too_high:
            flags.append("high_amplitude")
        # A contact that breaks: 7 of 14,400 windows with right beats are like this.
        broken = max(marks["beats_differ"], marks["height_outlier"]) < SUSPECT
        no_ecg = broken or simple["kurtosis"] < LEAST_KURTOSIS or simple["likeness"] <= LEAST_LIKENESS
        score = 0.0
        if not (unrated or too_high or no_ecg):
            score = trust(measure(window, beats, alike, simple | {"irregularity": uneven}))
        return Quality(score, tuple(flags), None if score >= ACCEPT_SCORE else "poor_signal")


def _not_a_signal(
    span: float, raw: NDArray[np.float64], raw_fs_hz: float, rails: Rails, *, scale_known: bool
) -> Quality | None:
    """Return the verdict on a flat, clipped or impossible window, otherwise ``None``.

    Args:
        span: Peak-to-peak of the filtered window.
        raw: The raw window.
        raw_fs_hz: Sampling rate of ``raw``, Hz.
        rails: What the window has at its rails.
        scale_known: Whether the unit is millivolts.
    """
    if rails.at_rail_s >= SATURATED_S:
        return Quality(0.0, ("clipped",), "saturated")
    low, high = float(np.minimum.reduce(raw)), float(np.maximum.reduce(raw))
    if stands_still(raw, raw_fs_hz, high - low, FLAT_RUN_S) or not span > 0:
        return Quality(0.0, ("flat_signal",), "flat")
    if scale_known and span < FLAT_MV:
        return Quality(0.0, ("low_amplitude",), "flat")
    return None


def simple_measures(
    window: NDArray[np.float64],
    raw: NDArray[np.float64],
    raw_fs_hz: float,
    beats: NDArray[np.int_],
    alike: NDArray[np.float64],
) -> dict[str, float]:
    """Return the measures of the window that do not compare beats with what lies between them."""
    heights = complex_heights(window, beats, FS_HZ)
    middle = median(heights) if len(heights) else 0.0
    window = centred(window)
    return {
        "likeness": float(np.add.reduce(alike)) / len(alike) if len(alike) else 0.0,
        "kurtosis": kurtosis(window),
        "qrs_share": band_ratio(window, FS_HZ, QRS_BAND_HZ, SQI_BAND_HZ),
        "baseline": 1.0 - band_ratio(centred(raw), raw_fs_hz, BASELINE_HZ, ECG_HZ),
        "burst": burst(raw, raw_fs_hz),
        "height_outlier": float(np.maximum.reduce(heights)) / middle if middle > 0 else inf,
    }


def _ramp(value: float, ends: tuple[float, float]) -> float:
    """Return 0 at the first end, 1 at the second, linear between; the ends may be in either order."""
    at = (value - ends[0]) / (ends[1] - ends[0])
    return min(max(at, 0.0), 1.0)
