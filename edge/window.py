"""Ten-second windows on a fixed hop of signal time, or the reason for a missing window.

A hop comes every ``hop_s`` of signal time since the session began, also in a gap, so readers get one answer per hop. A
window never spans two segments.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.frontend.stream import FS_HZ, GROUP_DELAY_S, WINDOW_S, WINDOW_SAMPLES
from edge.grid.timeline import Gap
from edge.records import AbstainReason

MIN_HOP_S = 0.1
MAX_HOP_S = 3600.0
MAX_GAP_HOPS = 3600
"""Most answers at once, one per hop; the rest is skipped, so that a wrong clock cannot fill a disk."""

_EPSILON_SAMPLES = 1e-6
"""Rounding tolerance, samples: a hop this close to a sample belongs to it."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A complete window.

    Attributes:
        start_s: Signal time of the first sample, s.
        end_s: Signal time of the last sample, s.
        filtered: Output of ``stream/1``, shape ``(1250,)``, 125 Hz.
        raw: The same ten seconds of the grid before the filter, shape ``(10 * grid_hz,)``.
        beats: R peaks found so far within the window, as indices into ``filtered``.
        scale_known: Whether the samples are in millivolts.
    """

    start_s: float
    end_s: float
    filtered: NDArray[np.float64]
    raw: NDArray[np.float64]
    beats: NDArray[np.int64]
    scale_known: bool


@dataclass(frozen=True, slots=True)
class NoWindow:
    """A hop without a window.

    Attributes:
        end_s: Signal time of the hop, s; the end of the gap if the answer is for several hops.
        reason: Reason of the abstention.
        start_s: Start of the gap if the answer is for all hops inside it, s; ``None`` if it is for one hop.
    """

    end_s: float
    reason: AbstainReason
    start_s: float | None = None


class Windower:
    """Forms windows from the filtered stream.

    Args:
        grid_hz: Sampling rate of the grid before the filter, Hz.
        hop_s: Time between hops, s, at least one sample of the stream.
    """

    def __init__(self, grid_hz: int, hop_s: float = 1.0) -> None:
        self._grid_hz = grid_hz
        self._hop_s = hop_s
        self._next_hop = 1
        self._gaps: deque[Gap] = deque(maxlen=64)
        self._stream_zero_s = math.inf
        self._count = 0
        self._filtered = np.empty(0, dtype=np.float64)
        self._raw = np.empty(0, dtype=np.float64)
        self._raw_first = 0
        self._beats: deque[int] = deque()
        self._scale_known = True

    @property
    def next_hop_s(self) -> float:
        """Signal time of the next hop, s."""
        return self._next_hop * self._hop_s

    def begin(self, start_s: float, *, scale_known: bool) -> None:
        """Begin a segment; ``start_s`` is the signal time of its first grid sample, s."""
        self._stream_zero_s = start_s + GROUP_DELAY_S
        self._count = 0
        self._filtered = np.empty(0, dtype=np.float64)
        self._raw = np.empty(0, dtype=np.float64)
        self._raw_first = 0
        self._beats.clear()
        self._scale_known = scale_known

    def gap(self, gap: Gap, reason: AbstainReason | None = None) -> list[NoWindow]:
        """Take a gap and answer the hops up to its end: those inside a whole gap by one answer.

        Args:
            gap: The gap.
            reason: Reason of the abstention; ``None`` to derive it from the content of the window.
        """
        if gap.start_s > 0.0 or gap.end_s > 0.0:
            self._gaps.append(gap)
        if gap.reason != "gap" or not gap.whole:
            return self.miss_until(gap.end_s, reason)
        return self.miss_span(gap.start_s, gap.end_s, reason)

    def miss_span(self, start_s: float, end_s: float, reason: AbstainReason | None) -> list[NoWindow]:
        """Answer the hops up to ``end_s``: those after ``start_s`` by one answer, whatever their number.

        Args:
            start_s: Signal time at which the signal ended, s.
            end_s: Signal time up to which there is none, s.
            reason: Reason of the abstention; ``None`` to derive it from the content of the window.
        """
        before = self.miss_until(start_s, reason)
        if self.next_hop_s + self._hop_s > end_s:
            return [*before, *self.miss_until(end_s, reason)]
        why = reason or self._reason(end_s)
        self._next_hop = math.floor(end_s / self._hop_s) + 1
        while self.next_hop_s <= end_s:  # the quotient may have been rounded down
            self._next_hop += 1
        return [*before, NoWindow(end_s, why, start_s)]

    def miss_until(self, signal_s: float, reason: AbstainReason | None) -> list[NoWindow]:
        """Answer every hop up to ``signal_s`` without a window.

        Args:
            signal_s: Signal time, s.
            reason: Reason of the abstention; ``None`` to derive it from the content of the window.
        """
        out: list[NoWindow] = []
        while self.next_hop_s <= signal_s:
            if len(out) >= MAX_GAP_HOPS:
                self._next_hop = math.floor(signal_s / self._hop_s) + 1
                break
            out.append(NoWindow(self.next_hop_s, reason or self._reason(self.next_hop_s)))
            self._next_hop += 1
        return out

    def push_raw(self, samples: NDArray[np.float64]) -> None:
        """Take grid samples of the segment, before the filtered samples that result from them."""
        self._raw = np.concatenate((self._raw, samples))

    def cut(self) -> int:
        """Return the largest number of filtered samples to push before the next hop is due, at least one."""
        return max(1, self._hop_index() + 1 - self._count)

    def push(self, filtered: NDArray[np.float64], beats: list[int]) -> list[Window | NoWindow]:
        """Take at most :meth:`cut` filtered samples and the beats that they confirmed.

        Args:
            filtered: Filtered samples, shape ``(n,)``.
            beats: Sample numbers of R peaks since the segment began.

        Returns:
            The answers to the hops that are now due.
        """
        self._filtered = np.concatenate((self._filtered, filtered))[-WINDOW_SAMPLES:]
        self._count += len(filtered)
        self._beats.extend(beats)
        out: list[Window | NoWindow] = []
        while self._hop_index() < self._count:
            out.append(self._answer(self._hop_index()))
            self._next_hop += 1
        self._trim()
        return out

    def _hop_index(self) -> int:
        return math.ceil((self.next_hop_s - self._stream_zero_s) * FS_HZ - _EPSILON_SAMPLES)

    def _answer(self, last: int) -> Window | NoWindow:
        if last < WINDOW_SAMPLES - 1 or last != self._count - 1:
            return NoWindow(self.next_hop_s, self._reason(self.next_hop_s))
        first = last - WINDOW_SAMPLES + 1
        decimation = self._grid_hz // int(FS_HZ)
        raw_start = round(GROUP_DELAY_S * self._grid_hz) + decimation * first - self._raw_first
        return Window(
            start_s=self._stream_zero_s + first / FS_HZ,
            end_s=self._stream_zero_s + last / FS_HZ,
            filtered=self._filtered,
            raw=self._raw[raw_start : raw_start + decimation * WINDOW_SAMPLES],
            beats=np.array([b - first for b in self._beats if first <= b <= last], dtype=np.int64),
            scale_known=self._scale_known,
        )

    def _trim(self) -> None:
        decimation = self._grid_hz // int(FS_HZ)
        first = self._count - WINDOW_SAMPLES
        keep_from = round(GROUP_DELAY_S * self._grid_hz) + decimation * max(first, 0)
        if first > 0 and keep_from > self._raw_first:
            self._raw = self._raw[keep_from - self._raw_first :]
            self._raw_first = keep_from
        while self._beats and self._beats[0] < first:
            self._beats.popleft()

    def _reason(self, end_s: float) -> AbstainReason:
        """Return why a window that ends at ``end_s`` is incomplete: contact first, then loss, then the start."""
        touched = [g.reason for g in self._gaps if g.end_s > end_s - WINDOW_S and g.start_s <= end_s]
        if "lead_off" in touched:
            return "lead_off"
        return "gap" if touched else "warming_up"
