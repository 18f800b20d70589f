"""Two clocks: the device clock, mapped to the host clock, and the sample clock, measured from the device clock.

Neither is used as wall time. The mapping uses the smallest latency of the last frames, because radio and scheduling can
only delay a frame (the rule of al-bashkir/polar-h10, docs/polar-protocol.md). It follows drift by at most 0.5 ms per
frame, except in the first 64 frames, in which a smaller latency counts at once.
"""

from __future__ import annotations

from collections import deque

HISTORY_FRAMES = 64
SLEW_NS_PER_FRAME = 500_000
"""Largest change of the mapping per frame, ns: more than a crystal drifts between frames, little for a late frame."""

REANCHOR_BACK_NS = -1_000_000_000
REANCHOR_AHEAD_NS = 30_000_000_000
"""Mismatch, ns, beyond which the device has another clock: -1 s or +30 s."""

FIRST_WEIGHT = 10
"""Weight of the nominal rate at the start of the loop, frames."""

PHASE_GAIN = 0.05
RATE_GAIN = 0.00128
"""Final gains of the sample clock, ``beta = alpha**2 / (2 - alpha)`` (Benedict and Bordner, IRE Trans. AC-7, 1962): a
jitter of 1 ms in a timestamp moves a sample by about 0.2 ms. Before, the growing-memory gains of the same filter apply,
so that the true rate of a strap is learned in its first frames."""


RATE_TOLERANCE = 0.03
"""Largest accepted relative deviation of the period from nominal (Polar promises 2 %)."""


class HostClock:
    """Maps device time to host monotonic time.

    Attributes:
        offset_ns: Host time minus device time, ns; ``None`` before the first frame.
        reanchored: Number of changes to another device clock.
    """

    def __init__(self) -> None:
        self.offset_ns: int | None = None
        self.reanchored = 0
        self._recent: deque[int] = deque(maxlen=HISTORY_FRAMES)

    def update(self, device_time_ns: int, arrival_ns: int) -> None:
        """Take the device time of the last sample of a frame and the arrival time of the frame, both ns."""
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
        # At the start the smallest latency so far is the best estimate; after enough frames, any change is drift.
        learning = len(self._recent) < HISTORY_FRAMES
        slowest = step if learning else -SLEW_NS_PER_FRAME
        self.offset_ns += max(step, slowest) if step < 0 else min(step, SLEW_NS_PER_FRAME)

    def restart(self) -> None:
        """Forget the mapping, because the device rebooted."""
        self.offset_ns = None
        self._recent.clear()

    def to_host_ns(self, device_time_ns: int) -> int | None:
        """Return the host monotonic time of a device time, or ``None`` before the first frame."""
        return None if self.offset_ns is None else device_time_ns + self.offset_ns


class SampleClock:
    """Smooths the sample times of a segment, from the device times of its frames.

    A second-order loop that learns the period and smooths single timestamps. Times are seconds since the first frame of
    the segment.

    Args:
        fs_hz: Nominal sampling rate, Hz, which gives the first period.
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
        """Sampling rate over the segment by device time, Hz; ``None`` before the second frame."""
        if self._samples == 0 or self._device_zero_ns is None or self._last_device_ns <= self._device_zero_ns:
            return None
        return self._samples * 1e9 / (self._last_device_ns - self._device_zero_ns)

    def start(self, device_time_ns: int) -> None:
        """Take the first frame: its last sample is time zero."""
        self._device_zero_ns = self._last_device_ns = device_time_ns

    def error_s(self, samples: int, device_time_ns: int) -> float:
        """Return how much later than expected a frame of ``samples`` ends, s."""
        if self._device_zero_ns is None:
            return 0.0
        expected_s = self._time_s + samples * self._period_s
        return (device_time_ns - self._device_zero_ns) * 1e-9 - expected_s

    def advance(self, samples: int, device_time_ns: int) -> tuple[float, float]:
        """Take the next frame.

        Args:
            samples: Number of samples in the frame, at least one.
            device_time_ns: Device time of the last sample, ns.

        Returns:
            Smoothed times of the last sample before the frame and of the last sample of the frame, s.
        """
        error_s = self.error_s(samples, device_time_ns)
        before_s = self._time_s
        k = self._frames
        phase_gain = max(PHASE_GAIN, 2.0 * (2 * k - 1) / (k * (k + 1)))
        rate_gain = max(RATE_GAIN, 6.0 / (k * (k + 1)))
        nominal_s = samples * self._period_s
        limit_s = 0.25 * nominal_s  # time never runs backwards, even if a clock does
        self._time_s = before_s + nominal_s + min(max(phase_gain * error_s, -limit_s), limit_s)
        slope_limit_s = RATE_TOLERANCE * self._nominal_period_s
        period_s = self._period_s + rate_gain * error_s / samples
        low_s, high_s = self._nominal_period_s - slope_limit_s, self._nominal_period_s + slope_limit_s
        self._period_s = min(max(period_s, low_s), high_s)
        self._samples += samples
        self._frames = k + 1
        self._last_device_ns = device_time_ns
        return before_s, self._time_s
