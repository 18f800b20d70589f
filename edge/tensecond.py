"""The one window of a recording that is too short for the chain, such as a clinical ECG of ten seconds.

The causal filter of ``stream/1`` needs 1.112 s of signal on either side of a window. A recording of ten seconds has
none, so the live chain forms no window of it. The front end ``ecgfounder/1`` filters the raw ten seconds forwards and
backwards and needs nothing around them. For ``stream/1`` the ends are continued by point reflection, as zero-phase
filters do it: the middle 7.8 s are exact, and about one second at each end depends on samples that were not recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.beats.detector import RPeakDetector
from edge.beats.rate import mean_rate_bpm
from edge.frontend.stream import FS_HZ, GROUP_DELAY_S, WINDOW_S, WINDOW_SAMPLES, StreamFilter
from edge.grid.native import NativeTail
from edge.grid.timeline import Gap, Uniform
from edge.quality.gate import Quality, QualityGate
from edge.quality.native_rails import native_rails
from edge.window import Window

F64 = NDArray[np.float64]

MIN_S = 9.5
"""Shortest signal that counts as ten seconds, s. Recorders cut off a few samples, and half a second more leaves 95 % of
the window. The first and the last sample are repeated for what is missing."""

MAX_S = 20.0
"""Most signal that is kept, s. The chain forms a window of any longer segment at the usual hops."""

SETTLE_S = 4.0
"""Mirrored signal before and after the recording from which the R-peak detector learns, s: with it the detector also
reports the first and the last beat."""

IMAGE_HEIGHT = 0.8
"""Height of a wave in this mirrored signal, relative to the recorded one. ``benchmarks/bench_short_ends.py``
prints how many beats near the ends are then found."""

ORPHAN_S = 0.5
"""Distance from an end within which a wave may belong to a beat outside of the recording, s."""
SHAPE_S, UNLIKE = 0.06, 0.5
"""Time on either side of an R peak that is its shape, s, and the correlation with the usual shape of a wave that is no
QRS complex of the dominant form."""
EARLY = 0.8
"""Distance to the next beat, relative to the median, below which a beat is early."""
MIN_BEATS = 5
"""Beats of which one may be dropped."""

PADDED = "padded_ends"
"""Flag of a window whose ends were continued."""

NOT_FAULTS = frozenset({"irregular_rhythm", "varying_shapes", "clipped"})
"""Flags of the quality gate that describe a rhythm or tops that are cut."""

MIN_SCORE = 0.02
"""Score below which the ten seconds are refused all the same: beats are wrong."""
MAX_FAULTS = 1
"""Most measures of the gate that may be low. The gate looks for the good seconds of a wearable and refuses a window for
one low measure, such as the share of the QRS band with a paced rhythm. A ten-second recording was chosen by a person,
and noise has two low measures or more."""

FATAL = frozenset({"high_amplitude", "low_kurtosis"})
"""Measures of which one low value refuses the window: no ECG has this amplitude, or the kurtosis of a sine."""

MIN_IN_BAND = 0.01
"""Smallest peak-to-peak after the filter, relative to that before: what is left of mains hum looks like beats."""

Refused = Literal["short", "gap", "flat", "saturated", "poor_signal"]

REASONS: dict[Refused, str] = {
    "short": f"shorter than ten seconds ({MIN_S:g} s are enough)",
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
        window: The window; ``raw`` is on the grid, ``filtered`` as ``stream/1`` gives it, ``beats`` are complete.
        context: Raw samples with the continuation at both ends, ``((10 + 2 * 1.112) * grid_hz,)``.
        quality: The verdict of the gate. A single low measure does not refuse the window.
        missing_s: Signal that the recording lacks for ten seconds, s.
        rate_bpm: Mean heart rate from the first to the last beat, beats per minute; ``None`` if not credible.
    """

    window: Window
    context: F64
    quality: Quality
    missing_s: float
    rate_bpm: float | None


class ShortRecording:
    """Keeps the longest segment of a recording until the chain forms a window of it.

    Args:
        grid_hz: Sampling rate of the uniform grid, Hz.
    """

    def __init__(self, grid_hz: int) -> None:
        self._grid_hz = grid_hz
        self._segment: _Segment | None = None
        self._longest: _Segment | None = None
        self._total_s = 0.0
        self._live = False

    def push(self, part: Uniform | Gap) -> None:
        """Take the next part of the grid."""
        if self._live or isinstance(part, Gap):
            return
        if part.first or self._segment is None:
            self._close()
            self._segment = _Segment(self._grid_hz, part.start_s, scale_known=part.scale_known)
        self._segment.push(part)

    def formed(self) -> None:
        """Record that the chain formed a window, so that none is needed here."""
        self._live = True
        self._segment = self._longest = None

    @property
    def needed(self) -> bool:
        """Whether the chain has formed no window."""
        return not self._live

    def finish(self) -> WholeWindow | Refused:
        """Return the middle ten seconds of the longest segment, or the reason for no window."""
        self._close()
        if self._live:
            return "poor_signal"
        best = self._longest
        if best is None or best.seconds < MIN_S:
            return "gap" if self._total_s >= MIN_S else "short"
        return best.window()

    def _close(self) -> None:
        if self._segment is not None:
            self._total_s += self._segment.seconds
            if self._longest is None or self._segment.seconds > self._longest.seconds:
                self._longest = self._segment
        self._segment = None


class _Segment:
    """The first twenty seconds of a segment, on the grid and as the source gave them."""

    def __init__(self, grid_hz: int, start_s: float, *, scale_known: bool) -> None:
        self._grid_hz, self._start_s, self._scale_known = grid_hz, start_s, scale_known
        self._parts: list[F64] = []
        self._count = 0
        self._native = NativeTail()

    def push(self, part: Uniform) -> None:
        if self._count >= MAX_S * self._grid_hz:
            return
        # The grid of a clocked segment begins with the first part that has samples.
        if not self._count:
            self._start_s = part.start_s
        self._parts.append(part.samples.copy())
        self._count += len(part.samples)
        for native in part.native:
            self._native.push(native)

    @property
    def seconds(self) -> float:
        return max(self._native.seconds, self._count / self._grid_hz)

    def window(self) -> WholeWindow | Refused:
        samples = np.concatenate(self._parts)[: round(MAX_S * self._grid_hz)]
        return whole_window(samples, self._grid_hz, self._start_s, self._native, scale_known=self._scale_known)


def whole_window(
    samples: F64, grid_hz: int, start_s: float, native: NativeTail | None = None, *, scale_known: bool
) -> WholeWindow | Refused:
    """Return the middle ten seconds of a segment, or the reason for refusing them.

    Args:
        samples: Samples of the segment on the grid, ``(n,)``, at least :data:`MIN_S` less what the resampler needs.
        grid_hz: Sampling rate of the grid, 250 or 500 Hz.
        start_s: Signal time of the first sample, s.
        native: The samples as the source gave them; ``None`` if the grid has its own.
        scale_known: Whether the samples are in millivolts.
    """
    n, margin = round(WINDOW_S * grid_hz), round(GROUP_DELAY_S * grid_hz)
    first, missing = (len(samples) - n) // 2, max(0, n - len(samples))
    samples, first = ten_seconds(samples, n), max(first, 0)
    context = np.pad(samples, margin, mode="reflect", reflect_type="odd")[first : first + n + 2 * margin]
    filtered = StreamFilter(grid_hz).push(context)[:WINDOW_SAMPLES]
    start_s = max(0.0, start_s + (first - missing // 2) / grid_hz)
    window = Window(
        start_s=start_s,
        end_s=start_s + (WINDOW_SAMPLES - 1) / FS_HZ,
        filtered=filtered,
        raw=context[margin:-margin],
        beats=_beats(samples, grid_hz, first),
        scale_known=scale_known,
    )
    rails = None if native is None else native_rails(native, window, 0.0)
    quality = QualityGate().assess(
        filtered, window.raw, float(grid_hz), window.beats, scale_known=scale_known, rails=rails
    )
    if quality.reason == "flat" or quality.reason == "saturated":
        return quality.reason
    faults = [flag for flag in quality.flags if flag not in NOT_FAULTS]
    faulty = len(faults) > MAX_FAULTS or not FATAL.isdisjoint(faults) or quality.score < MIN_SCORE
    if quality.reason is not None and faulty:
        return "poor_signal"
    # Near the ends, the continuation of hum leaves a step.
    exact = filtered[round(GROUP_DELAY_S * FS_HZ) : -round(GROUP_DELAY_S * FS_HZ)]
    if np.ptp(exact) < MIN_IN_BAND * np.ptp(window.raw):
        return "poor_signal"
    rate_bpm = mean_rate_bpm(window.beats, FS_HZ)
    return WholeWindow(window, context, replace(quality, reason=None), missing / grid_hz, rate_bpm)


def ten_seconds(samples: F64, n: int) -> F64:
    """Repeat the first and the last sample of a segment that lacks a little of ``n`` samples; ``(max(n, len),)``."""
    missing = max(0, n - len(samples))
    return np.pad(samples, (missing // 2, missing - missing // 2), mode="edge") if missing else samples


def _beats(samples: F64, grid_hz: int, first: int) -> NDArray[np.int64]:
    """Return the R peaks of the ten seconds from grid sample ``first``, as indices into the filtered window."""
    step = grid_hz // round(FS_HZ)
    pad = min(round((SETTLE_S + GROUP_DELAY_S) * grid_hz), len(samples) - 1)
    zero = round(GROUP_DELAY_S * grid_hz)
    # The first output belongs to grid sample ``zero`` of the mirrored signal; it must fall on the window's own grid.
    pad -= (pad + first - zero) % step
    stream = StreamFilter(grid_hz).push(_mirrored(samples, pad))
    offset = (pad + first - zero) // step
    found = np.array(RPeakDetector(FS_HZ).push(stream), dtype=np.int64)
    found = found[(found >= offset) & (found < offset + WINDOW_SAMPLES)]
    return _without_orphans(stream, found, offset) - offset


def _without_orphans(stream: F64, beats: NDArray[np.int64], start: int) -> NDArray[np.int64]:
    """Drop a first or last beat that may be the T or P wave of a beat outside of the recording.

    Args:
        stream: The filtered signal, ``(n,)``.
        beats: R peaks in the ten seconds, as increasing indices into ``stream``.
        start: Index of the first sample of the ten seconds.

    Returns:
        The beats, without those at an end that differ in shape from all others and stand closer than the others.
    """
    if len(beats) < MIN_BEATS:
        return beats
    half = round(SHAPE_S * FS_HZ)
    shapes = stream[beats[:, None] + np.arange(-half, half + 1)]
    shapes = shapes - shapes.mean(axis=1, keepdims=True)
    usual = np.median(shapes[1:-1], axis=0)
    size = np.sqrt(np.einsum("ij,ij->i", shapes, shapes) * float(np.einsum("i,i->", usual, usual)))
    alike = np.einsum("ij,j->i", shapes, usual) / np.maximum(size, np.finfo(np.float64).tiny)
    gaps = np.diff(beats)
    early = gaps < EARLY * np.median(gaps)
    reach = round(ORPHAN_S * FS_HZ)
    first = int(beats[0] - start < reach and early[0] and alike[0] < UNLIKE)
    last = int(start + WINDOW_SAMPLES - 1 - beats[-1] < reach and early[-1] and alike[-1] < UNLIKE)
    return beats[first : len(beats) - last]


def _mirrored(samples: F64, pad: int) -> F64:
    """Return the samples with mirror images before and after them, in which every wave is a little lower.

    A wave and an equal image would tie, and which of them the detector takes would depend on the last bit of a sum, and
    so on the processor.
    """
    out = np.pad(samples, pad, mode="reflect")
    out[:pad] += (IMAGE_HEIGHT - 1.0) * (out[:pad] - samples[0])
    out[-pad:] += (IMAGE_HEIGHT - 1.0) * (out[-pad:] - samples[-1])
    return out
