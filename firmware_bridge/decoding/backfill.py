"""Missing samples that a patch can send again: what to request, what to hold back meanwhile, and when to give up.

Only for patches that keep their newest samples (``Hello.ring_samples``). Frames behind a hole wait here, so that
the output stays in order; resent samples close the hole, or the decoder gives it up. All decisions depend only on the
frames and their arrival times, so a recording of the link gives the same items. Indices here are unwrapped.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, replace

from firmware_bridge.wire.messages import Data, Header, Hello, Resend

ASK_AGAIN_NS = 1_000_000_000
"""Time without an answer after which a request is repeated: the request or its answer may be lost."""
ASKS_MAX = 6
"""Requests in a row without an answer after which a hole is given up."""
HOLD_FRAMES_MAX = 2048
"""Frames held behind a hole: over three minutes in frames of 0.1 s, less than 2 MB. With more, the hole is given up."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A DATA frame as it arrived; ``seq`` is unwrapped."""

    header: Header
    data: Data
    arrival_ns: int
    seq: int


class Backfill:
    """Frames that arrived before earlier ones, in order of their index."""

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}
        self._order: list[int] = []
        self._floor: int | None = None
        self._asked_ns: int | None = None
        self._asks = 0

    def __bool__(self) -> bool:
        return bool(self._order)

    def put(self, index: int, frame: Frame) -> bool:
        """Hold a frame; return ``False`` if it is held already."""
        if index in self._frames:
            return False
        self._frames[index] = frame
        insort(self._order, index)
        return True

    def take(self, expected: int) -> tuple[int, Frame] | None:
        """Return the first frame and its index once no sample before it can still arrive, else ``None``."""
        if not self._order:
            return None
        first = self._order[0]
        if first > expected and (self._floor is None or first > self._floor):
            return None
        return self._order.pop(0), self._frames.pop(first)

    def progress(self, arrival_ns: int) -> None:
        """Record that a requested frame arrived: the patch is still answering."""
        if self._asked_ns is not None:
            self._asked_ns, self._asks = arrival_ns, 1

    def forget_requests(self) -> None:
        """Reset the count of requests: the hole is closed, or the connection that carried the request ended."""
        self._asked_ns, self._asks = None, 0

    def gone_before(self, index: int) -> None:
        """Record that no sample before ``index`` will arrive any more."""
        self._floor = index if self._floor is None else max(self._floor, index)

    def give_up(self, *, everything: bool = False) -> None:
        """Give up the first hole, or every hole."""
        if self._order:
            self.gone_before(self._order[-1 if everything else 0])
        self.forget_requests()

    def wanted(self, expected: int, ring_samples: int, arrival_ns: int) -> Resend | None:
        """Return the request that is due, if any. A hole without hope is given up instead, so that ``take`` continues.

        Args:
            expected: Index of the first missing sample.
            ring_samples: Newest samples that the patch keeps.
            arrival_ns: Current time, host monotonic clock.
        """
        waited = self._asked_ns is None or arrival_ns - self._asked_ns >= ASK_AGAIN_NS
        if len(self._order) > HOLD_FRAMES_MAX or (waited and self._asks >= ASKS_MAX):
            self.give_up()
            return None
        if not waited:
            return None
        last = self._order[-1]
        self.gone_before(max(expected, last + len(self._frames[last].data.samples) - ring_samples))
        start = self._floor or expected
        if start >= self._order[0]:
            self.forget_requests()
            return None
        self._asked_ns = arrival_ns
        self._asks += 1
        return Resend(start, self._order[0] - start)

    def clear(self) -> None:
        """Forget everything: the patch restarted its sample count."""
        self._frames.clear()
        self._order.clear()
        self._floor = None
        self.forget_requests()


def without_first(header: Header, data: Data, count: int, hello: Hello) -> tuple[Header, Data]:
    """Remove the first ``count`` samples of a frame: a patch may resend from any sample."""
    gone = round(count * hello.tick_hz * hello.fs_den / hello.fs_num)
    return (
        replace(header, tick=(header.tick + gone) & 0xFFFFFFFF),
        replace(data, index=(data.index + count) & 0xFFFFFFFF, samples=data.samples[count:]),
    )
