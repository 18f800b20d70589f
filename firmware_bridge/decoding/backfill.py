"""Missing samples that a patch can send again: what to ask for, what to hold back meanwhile, and when to give up.

Only for patches that keep their newest samples (``Hello.ring_samples``). Frames behind a hole wait here, so that
everything leaves in order; the hole is closed by what comes again, or given up. All decisions follow from the frames
and their arrival times alone, so a recording of the link gives the same items. Indices here are unwrapped.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, replace

from firmware_bridge.wire.messages import Data, Header, Hello, Resend

ASK_AGAIN_NS = 1_000_000_000
"""Silence after a request until it is repeated: the request or its answer may get lost."""
ASKS_MAX = 6
"""Requests in a row without an answer until a hole is given up."""
HOLD_FRAMES_MAX = 2048
"""Frames held behind a hole: over three minutes in frames of 0.1 s, less than 2 MB. Beyond, the hole is given up."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A DATA frame as it arrived. ``seq`` is unwrapped."""

    header: Header
    data: Data
    arrival_ns: int
    seq: int


class Backfill:
    """Frames that came before earlier ones, in order of their index."""

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}
        self._order: list[int] = []
        self._floor: int | None = None
        self._asked_ns: int | None = None
        self._asks = 0

    def __bool__(self) -> bool:
        return bool(self._order)

    def put(self, index: int, frame: Frame) -> bool:
        """Holds a frame; ``False`` where it is here already."""
        if index in self._frames:
            return False
        self._frames[index] = frame
        insort(self._order, index)
        return True

    def take(self, expected: int) -> tuple[int, Frame] | None:
        """The first frame and its index, where nothing is missing before it that may still come."""
        if not self._order:
            return None
        first = self._order[0]
        if first > expected and (self._floor is None or first > self._floor):
            return None
        return self._order.pop(0), self._frames.pop(first)

    def progress(self, arrival_ns: int) -> None:
        """A frame that was asked for has come: the patch is still answering."""
        if self._asked_ns is not None:
            self._asked_ns, self._asks = arrival_ns, 1

    def forget_requests(self) -> None:
        """The hole is closed, or its request went over a connection that is gone: the count starts anew."""
        self._asked_ns, self._asks = None, 0

    def gone_before(self, index: int) -> None:
        """Nothing before ``index`` will come any more."""
        self._floor = index if self._floor is None else max(self._floor, index)

    def give_up(self, *, everything: bool = False) -> None:
        """The first hole, or every hole, will not be closed."""
        if self._order:
            self.gone_before(self._order[-1 if everything else 0])
        self.forget_requests()

    def wanted(self, expected: int, ring_samples: int, arrival_ns: int) -> Resend | None:
        """The request that is due, if one is. Without hope the hole is given up instead, and ``take`` goes on.

        Args:
            expected: Index of the first missing sample.
            ring_samples: Newest samples that the patch keeps.
            arrival_ns: Now.
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
        """Forgets everything: the patch counts anew."""
        self._frames.clear()
        self._order.clear()
        self._floor = None
        self.forget_requests()


def without_first(header: Header, data: Data, count: int, hello: Hello) -> tuple[Header, Data]:
    """A frame without its first samples: a patch may send again from anywhere."""
    gone = round(count * hello.tick_hz * hello.fs_den / hello.fs_num)
    return (
        replace(header, tick=(header.tick + gone) & 0xFFFFFFFF),
        replace(data, index=(data.index + count) & 0xFFFFFFFF, samples=data.samples[count:]),
    )
