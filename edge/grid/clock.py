"""Two clocks: the device's, mapped to the host's; and the sample clock, measured from the device's.

Neither is ever taken for wall time. The mapping takes the smallest latency of the last frames as the truth, because
radio and scheduling can only delay a frame (the rule of al-bashkir/polar-h10, docs/polar-protocol.md); it follows drift
by at most 0.5 ms a frame, after the first 64, in which a smaller latency is believed at once.
"""

from __future__ import annotations

from collections import deque

HISTORY_FRAMES = 64
SLEW_NS_PER_FRAME = 500_000
"""0.5 ms: faster than any crystal drifts between frames, slower than one late frame can pull."""

REANCHOR_BACK_NS = -1_000_000_000
REANCHOR_AHEAD_NS = 30_000_000_000
"""A mismatch beyond -1 s or +30 s is another clock, not drift."""

FIRST_WEIGHT = 10
"""Frames that the nominal rate counts for at the start of the loop."""

PHASE_GAIN = 0.05
RATE_GAIN = 0.00128
"""Final gains of the sample clock, ``beta = alpha**2 / (2 - alpha)`` (Benedict and Bordner, IRE Trans. AC-7, 1962): a
timestamp's jitter of 1 ms moves a sample by about 0.2 ms. Until then the growing-memory gains of the same filter hold,
so that a strap's true rate is learnt in its first frames."""


RATE_TOLERANCE = 0.03
"""A period further than this from nominal is not believed (Polar promises 2 %)."""


class HostClock:
    """Maps device time to host monotonic time.

    Attributes:
        offset_ns: Host minus device; ``None`` before the first frame.
        reanchored: How often the device clock was found to be another one.
    """

    def __init__(self) -> None:
        self.offset_ns: int | None = None
        self.reanchored = 0
        self._recent: deque[int] = deque(maxlen=HISTORY_FRAMES)

    def update(self, device_time_ns: int, arrival_ns: int) -> None:
        """Takes the device time of a frame's last sample and the frame's arrival."""
        offset = arrival_ns - device_time_ns
        if self.offset_ns is not None and not REANCHOR_BACK_NS <= offset - self.offset_ns <= REANCHOR_AHEAD_NS:
            self.restart()
            self.reanchored += 1
        self._recent.append(offset)
        best = min(self._recent)
        if self.offset_ns is None:
            self.offset_ns = best
            return
        step = best - self.offset_ns
        # At the start a smaller latency than any before is the truth; once enough were seen, any change is drift.
        learning = len(self._recent) < HISTORY_FRAMES
        slowest = step if learning else -SLEW_NS_PER_FRAME
        self.offset_ns += max(step, slowest) if step < 0 else min(step, SLEW_NS_PER_FRAME)

    def restart(self) -> None:
        """Forgets the mapping: the device rebooted."""
        self.offset_ns = None
        self._recent.clear()

    def to_host_ns(self, device_time_ns: int) -> int | None:
        """Returns the host monotonic time of a device time, or ``None`` before the first frame."""
        return None if self.offset_ns is None else device_time_ns + self.offset_ns


class SampleClock:
    """Smooth sample times of a segment from the device times of its frames.

    A second-order loop: the period is learnt, single timestamps are not believed. Times are seconds since the
    segment's first frame.

    Args:
        fs_hz: Nominal rate, the first guess of the period.
    """

    def __init__(self, fs_hz: float) -> None:
        self._nominal_period_s = 1.0 / fs_hz
        self._period_s = 1.0 / fs_hz
        self._time_s = 0.0
        self._device_zero_ns: int | None = None
        self._samples = 0
        self._frames = FIRST_WEIGHT
        self._last_device_ns = 0

    @property
    def measured_hz(self) -> float | None:
        """Rate over the whole segment, from device time; ``None`` before the second frame."""
        if self._samples == 0 or self._device_zero_ns is None or self._last_device_ns <= self._device_zero_ns:
            return None
        return self._samples * 1e9 / (self._last_device_ns - self._device_zero_ns)

    def start(self, device_time_ns: int) -> None:
        """Takes the first frame: its last sample is time zero."""
        self._device_zero_ns = self._last_device_ns = device_time_ns

    def error_s(self, samples: int, device_time_ns: int) -> float:
        """Returns how much later than expected a frame of ``samples`` ends, in seconds."""
        if self._device_zero_ns is None:
            return 0.0
        expected_s = self._time_s + samples * self._period_s
        return (device_time_ns - self._device_zero_ns) * 1e-9 - expected_s

    def advance(self, samples: int, device_time_ns: int) -> tuple[float, float]:
        """Takes the next frame.

        Args:
            samples: Its number of samples, at least one.
            device_time_ns: Device time of its last sample.

        Returns:
            Smoothed times of the last sample before the frame and of the frame's last sample, in seconds.
        """
        error_s = self.error_s(samples, device_time_ns)
        before_s = self._time_s
        k = self._frames
        phase_gain = max(PHASE_GAIN, 2.0 * (2 * k - 1) / (k * (k + 1)))
        rate_gain = max(RATE_GAIN, 6.0 / (k * (k + 1)))
        nominal_s = samples * self._period_s
        limit_s = 0.25 * nominal_s  # time never runs backwards, whatever a clock says
        self._time_s = before_s + nominal_s + min(max(phase_gain * error_s, -limit_s), limit_s)
        slope_limit_s = RATE_TOLERANCE * self._nominal_period_s
        period_s = self._period_s + rate_gain * error_s / samples
        low_s, high_s = self._nominal_period_s - slope_limit_s, self._nominal_period_s + slope_limit_s
        self._period_s = min(max(period_s, low_s), high_s)
        self._samples += samples
        self._frames = k + 1
        self._last_device_ns = device_time_ns
        return before_s, self._time_s
