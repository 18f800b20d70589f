"""The one window of a recording that is too short for the device's chain, such as a clinical ECG of ten seconds.

The causal filter of ``stream/1`` needs 1.112 s of signal on either side of a window. A recording of ten seconds has
none, so the live chain forms no window of it. The front end ``ecgfounder/1`` filters the raw ten seconds forwards and
backwards and needs nothing around them. For ``stream/1`` the ends are continued by point reflection, as zero-phase
filters do it: the middle 7.8 s are exact, and about one second at each end depends on samples that were not recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.beats.detector import RPeakDetector
from edge.frontend.stream import FS_HZ, GROUP_DELAY_S, WINDOW_SAMPLES, StreamFilter
from edge.grid.timeline import Gap, Uniform
from edge.quality.gate import QualityGate

GRID_HZ = 500
RAW_SAMPLES = 5000
MARGIN = round(GROUP_DELAY_S * GRID_HZ)

MIN_SAMPLES = 4880
"""Smallest number of samples that count as ten seconds, 9.76 s. The resampler needs eight samples before its first
output and after its last, so ten seconds at 125 Hz give 4932. The first and the last sample are repeated for those that
are missing."""

MAX_SAMPLES = 20 * GRID_HZ
"""Most samples that are kept. The chain forms a window of any longer segment at the usual hops."""

NOT_FAULTS = frozenset({"irregular_rhythm", "varying_shapes"})
"""Flags of the quality gate that describe a rhythm."""

MAX_FAULTS = 1
"""Most measures of the gate that may be low. The gate looks for the good seconds of a wearable and refuses a window for
one low measure, such as the share of the QRS band with a paced rhythm. A ten-second recording was chosen by a person,
and noise has two low measures or more."""

Refused = Literal["short", "gap", "flat", "saturated", "poor_signal"]

REASONS: dict[Refused, str] = {
    "short": "shorter than ten seconds",
    "gap": "no ten seconds without a gap",
    "flat": "flat signal",
    "saturated": "clipped signal",
    "poor_signal": "no window of good quality",
}
"""The reasons in words."""


@dataclass(frozen=True, slots=True, eq=False)
class WholeWindow:
    """Ten seconds of a short recording.

    Attributes:
        start_s: Signal time of the first sample, s.
        context: Raw samples with the continuation at both ends, ``(6112,)``, 500 Hz.
        filtered: The ten seconds as ``stream/1`` gives them, ``(1250,)``.
        quality: Score of the gate, 0 to 1.
    """

    start_s: float
    context: NDArray[np.float64]
    filtered: NDArray[np.float64]
    quality: float

    @property
    def raw(self) -> NDArray[np.float64]:
        """The raw ten seconds, ``(5000,)``."""
        return self.context[MARGIN:-MARGIN]


class ShortRecording:
    """Keeps the longest segment of a recording until the chain forms a window of it."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.float64]] = []
        self._count = 0
        self._start_s = 0.0
        self._scale_known = True
        self._longest: tuple[NDArray[np.float64], float, bool] = (np.empty(0), 0.0, True)
        self._total = 0
        self._live = False

    def push(self, part: Uniform | Gap) -> None:
        """Take the next part of the grid."""
        if self._live or isinstance(part, Gap):
            return
        if part.first:
            self._close()
            self._start_s, self._scale_known = part.start_s, part.scale_known
        self._total += len(part.samples)
        if self._count < MAX_SAMPLES:
            self._parts.append(part.samples.copy())
            self._count += len(part.samples)

    def formed(self) -> None:
        """Record that the chain formed a window, so that none is needed here."""
        self._live = True
        self._parts.clear()

    def finish(self) -> WholeWindow | Refused:
        """Return the middle ten seconds of the longest segment, or the reason for no window."""
        self._close()
        samples, start_s, scale_known = self._longest
        if self._live:
            return "poor_signal"
        if len(samples) < MIN_SAMPLES:
            return "gap" if self._total >= MIN_SAMPLES else "short"
        return whole_window(samples, start_s, scale_known=scale_known)

    def _close(self) -> None:
        if self._count > len(self._longest[0]):
            segment = np.concatenate(self._parts)[:MAX_SAMPLES] if self._parts else np.empty(0)
            self._longest = (segment, self._start_s, self._scale_known)
        self._parts, self._count = [], 0


def whole_window(samples: NDArray[np.float64], start_s: float, *, scale_known: bool) -> WholeWindow | Refused:
    """Return the middle ten seconds of a segment, or the reason for refusing them.

    Args:
        samples: Samples of the segment at 500 Hz, ``(n,)``, at least :data:`MIN_SAMPLES`.
        start_s: Signal time of the first sample, s.
        scale_known: Whether the samples are in millivolts.
    """
    first = (len(samples) - RAW_SAMPLES) // 2
    if first < 0:
        samples = np.pad(samples, (-first, RAW_SAMPLES - len(samples) + first), mode="edge")
        start_s, first = max(0.0, start_s + first / GRID_HZ), 0
    context = np.pad(samples, MARGIN, mode="reflect", reflect_type="odd")[first : first + RAW_SAMPLES + 2 * MARGIN]
    filtered = StreamFilter(GRID_HZ).push(context)[:WINDOW_SAMPLES]
    beats = np.array(RPeakDetector(FS_HZ).push(filtered), dtype=np.int64)
    raw = context[MARGIN:-MARGIN]
    quality = QualityGate().assess(filtered, raw, float(GRID_HZ), beats, scale_known=scale_known)
    if quality.reason == "flat" or quality.reason == "saturated":
        return quality.reason
    faults = [flag for flag in quality.flags if flag not in NOT_FAULTS]
    if quality.reason is not None and (len(faults) > MAX_FAULTS or "high_amplitude" in faults):
        return "poor_signal"
    return WholeWindow(start_s + first / GRID_HZ, context, filtered, quality.score)
