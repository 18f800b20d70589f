"""The samples of a segment as the source gave them, kept for the last seconds beside the uniform grid."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

_EPSILON_SAMPLES = 1e-6
"""Rounding tolerance, samples: a time this close to a sample belongs to it."""


@dataclass(frozen=True, slots=True, eq=False)
class Native:
    """Samples of a source before resampling.

    Attributes:
        samples: Shape ``(n,)``, float64, in the unit of the grid.
        first_s: Signal time of the first sample of the segment, s.
        end_s: Signal time just after the last sample, s.
        fs_hz: Nominal sampling rate, Hz.
        clocked: Whether ``end_s`` comes from a device clock.
        step: Step of the converter in the unit of the samples; 0 if unknown.
        limits: Lowest and highest value of the converter, in this unit; ``None`` if unknown.
    """

    samples: F64
    first_s: float
    end_s: float
    fs_hz: float
    clocked: bool = False
    step: float = 0.0
    limits: tuple[float, float] | None = None


class NativeTail:
    """Keeps the newest samples of a segment and finds those of a span of signal time.

    The answer does not depend on how the samples were cut: without a device clock it follows from their number alone.
    """

    def __init__(self) -> None:
        self._buffer: F64 = np.empty(0)
        self._held = 0
        self.begin()

    def begin(self) -> None:
        """Begin a segment."""
        self._start_s = 0.0
        self._held = 0
        self._first = 0
        self._old = 0
        self._last: Native | None = None
        self._ends: list[tuple[float, int]] = []

    @property
    def last(self) -> Native | None:
        """The newest part, for its rate and scale; ``None`` in an empty segment."""
        return self._last

    @property
    def seconds(self) -> float:
        """Length of the segment so far, s."""
        return 0.0 if self._last is None else (self._first + self._held) / self._last.fs_hz

    def push(self, part: Native) -> None:
        """Take the next samples of the segment."""
        n = len(part.samples)
        if self._last is None:
            self._start_s = part.first_s
            self._ends.append((part.first_s, 0))
        if self._held + n > len(self._buffer):
            self._make_room(n)
        self._buffer[self._held : self._held + n] = part.samples
        self._held += n
        self._last = part
        if part.clocked:
            self._ends.append((part.end_s, self._first + self._held))

    def forget(self, before_s: float) -> None:
        """Allow the samples before a signal time, s, to be dropped."""
        self._old = max(self._old, floor(self.number(before_s)))

    def span(self, start_s: float, end_s: float) -> tuple[F64, int]:
        """Return the samples from ``start_s`` up to and including ``end_s``, as far as they are kept.

        Returns:
            A view that the next push may overwrite, and the number of its first sample in the segment.
        """
        first = max(self._first, ceil(self.number(start_s) - _EPSILON_SAMPLES))
        stop = min(self._first + self._held, int(self.number(end_s) + _EPSILON_SAMPLES) + 1)
        return self._buffer[first - self._first : max(first, stop) - self._first], first

    def number(self, signal_s: float) -> float:
        """Return the number of a sample in the segment, with a fraction, from its signal time, s."""
        if self._last is None:
            return 0.0
        if not self._last.clocked:
            return (signal_s - self._start_s) * self._last.fs_hz
        at = min(max(bisect_right(self._ends, (signal_s, 0)), 1), len(self._ends) - 1)
        (t0, n0), (t1, n1) = self._ends[at - 1], self._ends[at]
        return n0 + (signal_s - t0) * ((n1 - n0) / (t1 - t0) if t1 > t0 else self._last.fs_hz)

    def _make_room(self, n: int) -> None:
        """Drop what is old, and double the buffer where that is not enough, so that a sample is rarely copied."""
        drop = min(max(self._old - self._first, 0), self._held)
        kept = self._buffer[drop : self._held].copy()
        if len(self._buffer) < 2 * (len(kept) + n):
            self._buffer = np.empty(4 * (len(kept) + n))
        self._buffer[: len(kept)] = kept
        self._held, self._first = len(kept), self._first + drop
        # One older end stays, so that every kept sample lies between two ends.
        old = sum(number <= self._first for _, number in self._ends) - 1
        del self._ends[: max(old, 0)]
