"""One segment, a run of samples without a gap, and its resampling onto the uniform grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.grid.clock import SampleClock
from edge.grid.resample import Resampler

_NONE = np.empty(0, dtype=np.float64)


class Segment:
    """Puts the samples of one segment onto the grid.

    The grid of a segment begins at the first sample for which the interpolation kernel has all inputs. If the rates are
    equal and the device has no clock, samples pass unchanged.

    Args:
        fs_hz: Nominal input sampling rate, Hz.
        grid_hz: Output sampling rate, Hz.
        start_s: Signal time of the first input sample, s.
        clocked: Whether frames carry device time.
        gather: Grid samples that may wait for others, so that a few are computed together; 0 for none.

    Attributes:
        start_s: Signal time of the first input sample, s.
        end_s: Signal time just after the last input sample, s.
    """

    def __init__(self, fs_hz: float, grid_hz: int, start_s: float, *, clocked: bool, gather: int = 0) -> None:
        self._fs_hz = fs_hz
        self._grid_hz = grid_hz
        self.start_s = start_s
        self._clock = SampleClock(fs_hz) if clocked else None
        self._resampler = None if fs_hz == grid_hz and not clocked else Resampler(fs_hz, grid_hz)
        self._count = 0
        self._made = 0
        self._next = 0
        self._zero_s: float | None = None
        self._grid_zero_s: float | None = None
        self._gather = gather
        self._held: list[NDArray[np.float64]] = []
        self._held_positions: list[NDArray[np.float64]] = []
        self.end_s = start_s

    @property
    def measured_hz(self) -> float | None:
        """True input sampling rate by device time, Hz; ``None`` without a device clock."""
        return None if self._clock is None else self._clock.measured_hz

    def clock_error_s(self, samples: int, device_time_ns: int) -> float:
        """Return how much later than expected a frame of ``samples`` ends, s."""
        return 0.0 if self._clock is None else self._clock.error_s(samples, device_time_ns)

    def push(
        self, samples: NDArray[np.float64], device_time_ns: int | None, due: int = 0
    ) -> tuple[NDArray[np.float64], float]:
        """Take the next samples.

        Args:
            samples: Input samples, shape ``(n,)``, ``n >= 1``.
            device_time_ns: Device time of the last sample, ns; ignored without a device clock.
            due: Number of grid samples of the segment that must not wait for later ones.

        Returns:
            Grid samples, shape ``(m,)``, and the signal time of the first one, s. If samples wait, there are none.
        """
        n = len(samples)
        self._held.append(samples)
        if self._clock is None:
            self._count += n
            self.end_s = self.start_s + self._count / self._fs_hz
            ahead = int(self._count / self._fs_hz * self._grid_hz) + 1
        else:
            if device_time_ns is None:
                self._count += n
                self.end_s = self.start_s + self._count / self._fs_hz
                self._held_positions.append(self._nominal_positions())
            else:
                self._held_positions.append(self._clocked_positions(n, device_time_ns))
            ahead = self._next
        if ahead < due and ahead - self._made < self._gather:
            return _NONE, self._grid_start_s()
        return self.flush()

    def flush(self) -> tuple[NDArray[np.float64], float]:
        """Compute the grid samples that wait, as far as their inputs have arrived; return the same as `push`."""
        start_s = self._grid_start_s()
        if not self._held:
            return _NONE, start_s
        out = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        if self._resampler is not None:
            parts = [self._nominal_positions()] if self._clock is None else self._held_positions
            out = self._resampler.push(out, parts[0] if len(parts) == 1 else np.concatenate(parts))
        self._held.clear()
        self._held_positions.clear()
        self._made += len(out)
        return out, start_s

    def _grid_start_s(self) -> float:
        """Return the signal time of the next grid sample, s."""
        zero_s = self.start_s
        if self._resampler is not None and self._clock is not None:
            zero_s += self._grid_zero_s or 0.0
        elif self._resampler is not None:
            zero_s += (self._resampler.half - 1) / self._fs_hz
        return zero_s + self._made / self._grid_hz

    def _nominal_positions(self) -> NDArray[np.float64]:
        assert self._resampler is not None
        first = self._resampler.half - 1
        ratio = self._fs_hz / self._grid_hz
        stop = max(self._next, int(np.ceil((self._count - first) / ratio)))
        positions = first + np.arange(self._next, stop, dtype=np.float64) * ratio
        # Rounding may place the last position at or after the newest sample; it then belongs to the next call.
        positions = positions[positions < self._count]
        self._next += len(positions)
        return positions

    def _clocked_positions(self, n: int, device_time_ns: int) -> NDArray[np.float64]:
        """Return the grid positions within this frame; times count from the first sample of the segment."""
        assert self._resampler is not None
        assert self._clock is not None
        if self._zero_s is None:
            self._clock.start(device_time_ns)
            self._zero_s = (n - 1) / self._fs_hz
            before_s, last_s = -1.0 / self._fs_hz, self._zero_s
        else:
            a, b = self._clock.advance(n, device_time_ns)
            before_s, last_s = a + self._zero_s, b + self._zero_s
        step_s = (last_s - before_s) / n
        base = self._count - 1
        self._count += n
        self.end_s = self.start_s + last_s + step_s
        first = self._resampler.half - 1
        if self._grid_zero_s is None:
            if self._count <= first:
                return _NONE
            self._grid_zero_s = before_s + (first - base) * step_s
        stop = max(self._next, int(np.floor((last_s - self._grid_zero_s) * self._grid_hz)) + 1)
        k = np.arange(self._next, stop, dtype=np.float64)
        positions = base + (self._grid_zero_s + k / self._grid_hz - before_s) / step_s
        self._next = stop
        return np.maximum(positions, float(first))
