"""Quality gate: is this window an ECG that a model may read?

A good window repeats: each beat looks like another one. This holds for every rhythm, ectopy and fibrillation included,
and for every shape and lead, and it fails for noise. The simple indices that two libraries agree on (kurtosis, share
of the QRS band, baseline) only lower the score where they are far off, for each of them is wrong on some clean lead.
Rhythm is reported as a flag and never lowers the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.beats.rate import heart_rate_bpm
from edge.quality.measures import (
    BASELINE_HZ,
    ECG_HZ,
    QRS_BAND_HZ,
    SQI_BAND_HZ,
    band_ratio,
    burst,
    centred,
    clipped_s,
    complex_heights,
    irregularity,
    kurtosis,
    likeness,
    stands_still,
)
from edge.stats import median

FS_HZ = 125.0
"""Rate of the window."""
RAW_FS_HZ = 250.0
"""Rate at which the raw window is judged: what comes at twice this is averaged in pairs first."""
ACCEPT_SCORE = 0.5
"""A window with a lower score is poor signal."""
LIKENESS = (0.80, 0.99)
"""Mean likeness of the beats at which the score is 0 and 1; 0.895 passes, which is a beat-to-beat signal-to-noise ratio
of about 9 dB. Red noise reaches 0.87 and most windows of electrode motion at 6 dB stay below; clean records have 0.95
to 1."""
KURTOSIS = (1.7, 2.2)
"""kSQI: a sine has 1.5, a square wave 1; broad complexes at a high rate still 2."""
QRS_SHARE = (0.25, 0.42)
"""pSQI: white noise has 0.29 (Zhao & Zhang call 0.4 the end of suspect). There is no upper limit: theirs, 0.8, fails on
clean leads with wide complexes."""
BASELINE = (0.0, 0.15)
"""basSQI of the raw window: only a signal that is nearly all drift."""
BURST = (4.0, 2.0)
"""Roughness of the worst half second against the usual."""
HEIGHT = (6.0, 3.5)
"""Largest complex against the median; a ventricular beat has up to three times a low normal one."""
FLAT_RUN_S = 2.5
"""A raw signal that keeps one value for so long has no electrode behind it."""
CLIPPED_S = 0.2
"""Time at a rail from which the window is saturated."""
FLAT_MV = 0.05
"""With the scale known: peak-to-peak below this is no ECG (half the smallest QRS that EC 57 asks a detector to see)."""
HIGHEST_MV = 10.0
"""With the scale known: peak-to-peak above this is no ECG (IEC 60601-2-47 input range: 10 mV)."""
IRREGULAR = 0.12
"""Irregularity from which the rhythm is flagged: fibrillation, and any window with an ectopic beat."""
SUSPECT = 0.75
"""A measure whose part of the score is below this sets its flag."""

Reason = Literal["poor_signal", "flat", "saturated"]


@dataclass(frozen=True, slots=True)
class Quality:
    """What the gate says of one window.

    Attributes:
        score: 0 to 1, the window's weight in an aggregate. Below ``ACCEPT_SCORE`` the window is not to be used.
        flags: What stands out, in a fixed order: ``irregular_rhythm``, ``varying_shapes`` (worth knowing, not bad);
            ``beats_differ``, ``low_kurtosis``, ``low_qrs_share``, ``baseline_wander``, ``artefact_burst``,
            ``height_outlier``, ``no_heart_rate``, ``flat_signal``, ``clipped``, ``low_amplitude``,
            ``high_amplitude``.
        reason: Why the window is refused, ``None`` where it is not.
    """

    score: float
    flags: tuple[str, ...]
    reason: Reason | None


class QualityGate:
    """Judges windows, each for itself: no state, so nothing depends on what came before."""

    def assess(
        self,
        window: NDArray[np.float64],
        raw: NDArray[np.float64],
        raw_fs_hz: float,
        beats: NDArray[np.int_],
        *,
        scale_known: bool,
    ) -> Quality:
        """Judge one window.

        Args:
            window: Shape ``(1250,)``, the filtered window at 125 Hz, in millivolts or counts; finite.
            raw: The same ten seconds before the filter, at ``raw_fs_hz``, in the same unit; finite.
            raw_fs_hz: Its rate.
            beats: R peaks, as increasing indices into ``window``; those of its last second may be missing.
            scale_known: The unit is millivolts; else nothing that is asked depends on scale.

        Returns:
            The verdict.
        """
        span = float(np.maximum.reduce(window) - np.minimum.reduce(window))
        if raw_fs_hz > RAW_FS_HZ:
            # Both tiers are judged alike, by thresholds that were set at this rate; and half as many samples cost half.
            pairs = len(raw) // 2 * 2
            raw, raw_fs_hz = 0.5 * (raw[:pairs:2] + raw[1:pairs:2]), 0.5 * raw_fs_hz
        refused = _not_a_signal(span, raw, raw_fs_hz, scale_known=scale_known)
        if refused is not None:
            return refused
        flags: list[str] = []
        if irregularity(beats) > IRREGULAR:
            flags.append("irregular_rhythm")
        alike = likeness(window, beats, FS_HZ)
        if len(alike) and float(np.minimum.reduce(alike)) < LIKENESS[0]:
            flags.append("varying_shapes")
        parts = _parts(window, raw, raw_fs_hz, beats, alike)
        flags += [name for name, part in parts.items() if part < SUSPECT]
        score = prod(parts.values())
        if scale_known and span > HIGHEST_MV:
            flags.append("high_amplitude")
            score = 0.0
        return Quality(score, tuple(flags), None if score >= ACCEPT_SCORE else "poor_signal")


def _not_a_signal(span: float, raw: NDArray[np.float64], raw_fs_hz: float, *, scale_known: bool) -> Quality | None:
    """The verdict on a window that no electrode or no converter range stands behind, else ``None``.

    Args:
        span: Largest less least value of the filtered window.
        raw: The raw window.
        raw_fs_hz: Its rate.
        scale_known: The unit is millivolts.
    """
    low, high = float(np.minimum.reduce(raw)), float(np.maximum.reduce(raw))
    if stands_still(raw, raw_fs_hz, high - low, FLAT_RUN_S) or not span > 0:
        return Quality(0.0, ("flat_signal",), "flat")
    if clipped_s(raw, raw_fs_hz, low, high) >= CLIPPED_S:
        return Quality(0.0, ("clipped",), "saturated")
    if scale_known and span < FLAT_MV:
        return Quality(0.0, ("low_amplitude",), "flat")
    return None


def _parts(
    window: NDArray[np.float64],
    raw: NDArray[np.float64],
    raw_fs_hz: float,
    beats: NDArray[np.int_],
    alike: NDArray[np.float64],
) -> dict[str, float]:
    """Factors of the score, 0 to 1, each under the flag that it sets."""
    heights = complex_heights(window, beats, FS_HZ)
    middle = median(heights) if len(heights) else 0.0
    outlier = float(np.maximum.reduce(heights)) / middle if middle > 0 else inf
    usual_likeness = float(np.add.reduce(alike)) / len(alike) if len(alike) else 0.0
    window = centred(window)
    return {
        "beats_differ": _ramp(usual_likeness, LIKENESS),
        "low_kurtosis": _ramp(kurtosis(window), KURTOSIS),
        "low_qrs_share": _ramp(band_ratio(window, FS_HZ, QRS_BAND_HZ, SQI_BAND_HZ), QRS_SHARE),
        "baseline_wander": 0.5 + 0.5 * _ramp(1.0 - band_ratio(centred(raw), raw_fs_hz, BASELINE_HZ, ECG_HZ), BASELINE),
        "artefact_burst": _ramp(burst(raw, raw_fs_hz), BURST),
        "height_outlier": _ramp(outlier, HEIGHT),
        "no_heart_rate": 0.0 if heart_rate_bpm(beats, FS_HZ) is None else 1.0,
    }


def _ramp(value: float, ends: tuple[float, float]) -> float:
    """0 at the first end, 1 at the second, linear between; the ends may be in either order."""
    at = (value - ends[0]) / (ends[1] - ends[0])
    return min(max(at, 0.0), 1.0)
