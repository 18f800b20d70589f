"""Counts the samples missing between two frames from the device's own clock.

A frame has a number of samples and the time of its last one. The missing samples are the elapsed time in sample periods
minus the samples received. The true period is measured on the way: without that, a strap that runs at 130.34 Hz but is
counted at 130 Hz would appear to lose one sample every six frames.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

WINDOW_FRAMES = 512
"""Frames over which the period is measured: about five minutes of a Polar H10."""
RATE_TOLERANCE = 0.025
"""Relative difference allowed between true and nominal rate (Polar promises 2 %)."""
RATE_FLOOR = 2e-5
"""Uncertainty of a measured rate that a longer baseline cannot reduce: crystals drift with temperature."""
NOTHING_LOST = 0.7
"""Samples by which a frame may be late before anything counts as missing: no loss is far likelier than one sample."""
SCATTER_FACTOR = 7.0
"""Mean deviations by which a frame can be late by chance (5.6 standard deviations of a normal distribution)."""
SCATTER_FRAMES = 64
"""Frames over which the mean deviation is averaged."""
SCATTER_DOUBT = 0.2
"""Rate error over a frame, in samples, up to which its deviation still counts as jitter."""
PHASE_FRAMES = 8
"""Frames over which the jitter of single timestamps is averaged."""
MAX_GAP_NS = 7 * 86_400 * 10**9
"""A step of the device clock longer than this means another clock."""
DISAGREE_NS = 30 * 10**9
"""A clock that advanced this much more than the host's was set (the rule of al-bashkir/polar-h10, docs)."""


class Verdict(StrEnum):
    """What the time of a frame shows."""

    NEXT = "next"
    """The frame continues the stream; ``lost`` samples are missing before it."""
    REPEATED = "repeated"
    """The time equals that of the frame before: the frame was received twice."""
    RESTARTED = "restarted"
    """The clock went back, or too far ahead: it restarted or was set."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The position of a frame in the stream.

    Attributes:
        verdict: What the time of the frame shows.
        lost: Samples missing just before it; 0 unless the frame continues the stream.
    """

    verdict: Verdict
    lost: int = 0


class FrameTimes:
    """Follows the frame times of one stream.

    Args:
        fs_hz: Nominal sampling rate, Hz.
        jitter_ns: Possible error of a single timestamp, resolution included; larger jitter is measured and added.

    Attributes:
        period_ns: Sample period measured so far.
    """

    def __init__(self, fs_hz: float, jitter_ns: int) -> None:
        self._nominal_ns = 1e9 / fs_hz
        self._jitter_ns = jitter_ns
        self.period_ns = self._nominal_ns
        self._uncertainty = RATE_TOLERANCE
        self._window: deque[tuple[int, int]] = deque(maxlen=WINDOW_FRAMES)
        self._index = 0
        self._last: tuple[int, int, int] | None = None
        self._late_ns = 0.0
        self._settled = 0
        self._scatter_ns = 0.0
        self._seen = 0
        self._broken = False

    @property
    def fs_hz(self) -> float:
        """Return the true sampling rate measured so far, Hz."""
        return 1e9 / self.period_ns

    def interrupt(self) -> None:
        """Record that the link was down: the next frame need not begin a whole number of frames later."""
        self._broken = True

    def resume(self, other: FrameTimes) -> None:
        """Continue where another instance with a wrong nominal rate stopped; its measured rate is not kept."""
        self._last, self._broken = other._last, other._broken
        if self._last is not None:
            self._begin(self._last[0])

    def place(self, count: int, time_ns: int, arrival_ns: int) -> Placed:
        """Place the next frame.

        Args:
            count: Samples in the frame, at least one.
            time_ns: Device clock at the last sample.
            arrival_ns: Host clock; used only to distinguish a clock that was set from a long gap.
        """
        last, broken = self._last, self._broken
        if last is not None and time_ns == last[0]:
            return Placed(Verdict.REPEATED)
        self._last, self._broken = (time_ns, arrival_ns, count), False
        if last is None:
            self._begin(time_ns)
            return Placed(Verdict.NEXT)
        gone_ns = time_ns - last[0]
        if gone_ns < 0 or other_clock(gone_ns, arrival_ns - last[1], broken=broken):
            self._begin(time_ns)
            return Placed(Verdict.RESTARTED)
        return self._follow(count, time_ns, gone_ns, whole=last[2] if not broken else 0)

    def _begin(self, time_ns: int) -> None:
        self._window.clear()
        self._window.append((self._index, time_ns))
        self._late_ns, self._settled = 0.0, 0

    def _follow(self, count: int, time_ns: int, gone_ns: int, whole: int) -> Placed:
        late_ns = gone_ns + self._late_ns - count * self.period_ns
        error = late_ns / self.period_ns
        doubt = self._uncertainty * gone_ns / self.period_ns
        margin = min(max(NOTHING_LOST, SCATTER_FACTOR * self._scatter_ns / self.period_ns), 0.45 * count) + doubt
        if error < -margin:
            # Less time than samples: the measured period was wrong, or the clock was set back slightly.
            self.period_ns, self._uncertainty = self._nominal_ns, RATE_TOLERANCE
            self._begin(time_ns)
            return Placed(Verdict.NEXT)
        lost = _missing(error, margin, count if count == whole else 0)
        self._index += count + lost
        residual_ns = late_ns - lost * self.period_ns
        if lost and doubt > NOTHING_LOST:
            # The count is the best available, but too uncertain to measure the rate across the gap.
            self._begin(time_ns)
            return Placed(Verdict.NEXT, lost)
        if doubt < SCATTER_DOUBT:
            self._seen = min(self._seen + 1, SCATTER_FRAMES)
            self._scatter_ns += (abs(residual_ns) - self._scatter_ns) / self._seen
        self._settled = min(self._settled + 1, PHASE_FRAMES)
        self._late_ns = residual_ns * (1.0 - 1.0 / self._settled) if self._uncertainty < RATE_TOLERANCE else 0.0
        self._measure(time_ns)
        return Placed(Verdict.NEXT, lost)

    def _measure(self, time_ns: int) -> None:
        self._window.append((self._index, time_ns))
        first_index, first_ns = self._window[0]
        base_ns = time_ns - first_ns
        uncertainty = 4 * max(self._jitter_ns, 3.0 * self._scatter_ns) / base_ns + RATE_FLOOR
        if uncertainty <= self._uncertainty * 1.5:
            period_ns = base_ns / (self._index - first_index)
            low_ns, high_ns = self._nominal_ns * (1 - RATE_TOLERANCE), self._nominal_ns * (1 + RATE_TOLERANCE)
            self.period_ns = min(max(period_ns, low_ns), high_ns)
            self._uncertainty = min(uncertainty, RATE_TOLERANCE)


def other_clock(gone_ns: int, arrived_ns: int, *, broken: bool) -> bool:
    """Return whether a device's clock was set or restarted, although it did not go back.

    Args:
        gone_ns: Time that passed on the device's clock between two frames.
        arrived_ns: Time that passed on the host's clock.
        broken: Whether the link was down in between.
    """
    if gone_ns > MAX_GAP_NS:
        return True
    # Equal host times are no evidence; late host times are plausible only after the link was down.
    return arrived_ns > 0 and (
        gone_ns - arrived_ns > DISAGREE_NS + arrived_ns // 100 or (broken and arrived_ns - gone_ns > DISAGREE_NS)
    )


def _missing(error: float, margin: float, whole: int) -> int:
    """Return the missing samples of a frame that is ``error`` sample periods late.

    ``whole`` is the size of frames if it is constant.
    """
    if error <= margin:
        return 0
    if whole:
        frames = round(error / whole)
        if frames and abs(error - frames * whole) <= margin:
            return frames * whole
    return max(1, round(error))
