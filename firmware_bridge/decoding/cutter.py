"""Cuts frames out of a byte stream whose frames carry no checksum; what lies between them is counted, not kept.

A frame is told by its shape alone, so how much shape is asked for depends on what came before: directly behind a sound
frame, or behind nothing but text, its own shape will do; behind thrown-away bytes a decoder may ask that the next frame
follows where it should. What is decided never depends on how the stream was cut into pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MORE = 0
"""A frame may begin here; more bytes are needed to tell."""
NO = -1
"""No frame begins here."""
REPORT_EVERY = 4096
"""Bytes without a frame after which that is said (at 115200 baud a third of a second)."""
SAMPLE_MAX = 160
"""So many thrown-away bytes are kept to be shown."""
_TEXT = bytes([9, 10, 13, *range(32, 127)])

Fit = Callable[[bytes, int, bool, int], int]
"""``fit(buffer, at, trusted, last)``: size of the frame that begins at ``at``, or `MORE`, or `NO`.

``trusted``: it stands directly behind a sound frame, or only text lies between. ``last``: last byte of the frame
before; -1 where there is none. It holds no state and looks at no more than a bounded number of bytes.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Whole frames of one size and one head, one directly behind the other.

    Attributes:
        data: Their bytes.
        size: Bytes of each.
    """

    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Junk:
    """Bytes that belong to no frame. It stands before the run that follows it.

    Attributes:
        size: How many.
        text: Their beginning, where all of them are printable (a blank where they are only empty lines); else empty.
        first: No frame came before on this connection.
    """

    size: int
    text: str
    first: bool


class Heap:
    """What is thrown away of a stream: counted, a little of it kept to be shown.

    Attributes:
        clean: Nothing was thrown away since the last frame, or only text.
        first: No frame came yet on this connection.
    """

    def __init__(self) -> None:
        self.fresh()

    def fresh(self) -> None:
        """A connection begins."""
        self.clean, self.first = True, True
        self._size, self._sample, self._printable = 0, b"", True

    def frame(self) -> None:
        """A frame was found; what lay before it has been taken."""
        self.clean, self.first = True, False

    def throw(self, piece: bytes) -> list[Junk]:
        """Throws bytes away; gives what it is time to tell."""
        out: list[Junk] = []
        while piece:
            part, piece = piece[: REPORT_EVERY - self._size], piece[REPORT_EVERY - self._size :]
            self._size += len(part)
            self._sample += part[: SAMPLE_MAX - len(self._sample)]
            self._printable = self._printable and not part.translate(None, _TEXT)
            self.clean = self.clean and self._printable
            if self._size == REPORT_EVERY:
                out += self.take()
        return out

    def take(self) -> list[Junk]:
        """What was thrown away since this was last asked; nothing or one."""
        if not self._size:
            return []
        text = " ".join(self._sample.decode("ascii").split()) if self._printable else ""
        if not text and self._printable and b"\r" in self._sample:
            # A line feed alone may be the first byte of a frame that was cut short.
            text = " "
        junk = Junk(self._size, text, self.first)
        self._size, self._sample, self._printable = 0, b"", True
        return [junk]


class Cutter:
    """Frames of a stream that may be cut anywhere.

    Args:
        fit: Tells where a frame is.
        start: First bytes of every frame.
        head: Bytes at the beginning of a frame that are the same in a whole `Run`.
    """

    def __init__(self, fit: Fit, start: bytes, head: int) -> None:
        self._fit = fit
        self._start = start
        self._head = head
        self._held = b""
        self._last = -1
        self._heap = Heap()

    def feed(self, data: bytes) -> list[Run | Junk]:
        """Takes bytes; gives runs of frames, and what was thrown away before each."""
        buffer = self._held + data
        at, out = 0, list[Run | Junk]()
        while True:
            size = self._fit(buffer, at, self._heap.clean, self._last)
            if size > 0:
                out += self._heap.take()
                at = self._run(buffer, at, size, out)
            elif size == NO:
                found = self._next(buffer, at + 1)
                out += self._heap.throw(buffer[at:found])
                at = found
            else:
                break
        self._held = buffer[at:]
        return out

    def reset(self) -> list[Run | Junk]:
        """The stream ended or breaks off: a half frame is thrown away, and what follows begins anew."""
        out: list[Run | Junk] = [*self._heap.throw(self._held), *self._heap.take()]
        self._held, self._last = b"", -1
        self._heap.fresh()
        return out

    def _run(self, buffer: bytes, at: int, size: int, out: list[Run | Junk]) -> int:
        begin, head, fit = at, buffer[at : at + self._head], self._fit
        while True:
            at += size
            last = buffer[at - 1]
            if not buffer.startswith(head, at) or fit(buffer, at, True, last) != size:
                break
        out.append(Run(buffer[begin:at], size))
        self._last = last
        self._heap.frame()
        return at

    def _next(self, buffer: bytes, at: int) -> int:
        """Where a frame may begin at the earliest, ``at`` or behind."""
        found = buffer.find(self._start, at)
        if found >= 0:
            return found
        for keep in range(min(len(self._start) - 1, len(buffer) - at), 0, -1):
            if buffer.endswith(self._start[:keep]):
                return len(buffer) - keep
        return len(buffer)
