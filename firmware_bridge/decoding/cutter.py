"""Finds frames in a byte stream whose frames carry no checksum; bytes between frames are counted and discarded.

A frame is recognised by its shape alone, so the check depends on what came before it. Directly after a valid frame, or
after text only, the frame's own shape is enough; after discarded bytes a decoder may require the next frame to follow
in the expected place. The result never depends on how the stream was split into pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MORE = 0
"""A frame may begin here; more bytes are needed to decide."""
NO = -1
"""No frame begins here."""
REPORT_EVERY = 4096
"""Bytes without a frame after which this is reported (at 115200 baud a third of a second)."""
SAMPLE_MAX = 160
"""Discarded bytes that are kept to be shown to the user."""
_TEXT = bytes([9, 10, 13, *range(32, 127)])

Fit = Callable[[bytes, int, bool, int], int]
"""``fit(buffer, at, trusted, last)``: size of the frame that begins at ``at``, or `MORE`, or `NO`.

``trusted``: the position follows a valid frame directly, or only text lies between. ``last``: last byte of the frame
before; -1 if there is none. The function has no state and reads only a bounded number of bytes.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Whole frames of the same size and head, one directly after the other.

    Attributes:
        data: The bytes of all frames.
        size: Bytes of each frame.
    """

    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Junk:
    """Bytes that belong to no frame, reported before the run that follows them.

    Attributes:
        size: Number of bytes.
        text: The beginning of the bytes if all are printable (a blank for empty lines only); else empty.
        first: Whether no frame came before on this connection.
    """

    size: int
    text: str
    first: bool


class Heap:
    """The discarded bytes of a stream: counted, with a short sample to show.

    Attributes:
        clean: Whether nothing but text was discarded since the last frame.
        first: Whether no frame has arrived yet on this connection.
    """

    def __init__(self) -> None:
        self.fresh()

    def fresh(self) -> None:
        """Start a new connection."""
        self.clean, self.first = True, True
        self._size, self._sample, self._printable = 0, b"", True

    def frame(self) -> None:
        """Record that a frame was found; the bytes before it have been taken."""
        self.clean, self.first = True, False

    def discard(self, piece: bytes) -> list[Junk]:
        """Discard bytes; return the reports that are due."""
        out: list[Junk] = []
        while piece:
            room = max(1, REPORT_EVERY - self._size)
            part, piece = piece[:room], piece[room:]
            self._size += len(part)
            self._sample += part[: SAMPLE_MAX - len(self._sample)]
            self._printable = self._printable and not part.translate(None, _TEXT)
            self.clean = self.clean and self._printable
            if self._size >= REPORT_EVERY:
                out += self.take()
        return out

    def miss(self, size: int) -> None:
        """Record bytes that never arrived; they are reported with the discarded ones."""
        self._size += size
        self.clean = self._printable = False

    def take(self) -> list[Junk]:
        """Return what was discarded since the last call: an empty list or one report."""
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
    """Finds frames in a stream that may be split anywhere.

    Args:
        fit: Function that decides whether a frame begins at a position.
        start: First bytes of every frame.
        head: Number of bytes at the beginning of a frame that are the same throughout a `Run`.
    """

    def __init__(self, fit: Fit, start: bytes, head: int) -> None:
        self._fit = fit
        self._start = start
        self._head = head
        self._held = b""
        self._last = -1
        self._heap = Heap()

    def feed(self, data: bytes) -> list[Run | Junk]:
        """Process bytes; return runs of frames, each after the discarded bytes before it."""
        buffer = self._held + data
        at, out = 0, list[Run | Junk]()
        while True:
            size = self._fit(buffer, at, self._heap.clean, self._last)
            if size > 0:
                out += self._heap.take()
                at = self._run(buffer, at, size, out)
            elif size == NO:
                found = self._next(buffer, at + 1)
                out += self._heap.discard(buffer[at:found])
                at = found
            else:
                break
        self._held = buffer[at:]
        return out

    def reset(self) -> list[Run | Junk]:
        """End the stream: discard an incomplete frame, and start afresh with the next bytes."""
        out: list[Run | Junk] = [*self._heap.discard(self._held), *self._heap.take()]
        self._held, self._last = b"", -1
        self._heap.fresh()
        return out

    def skip(self, size: int) -> list[Run | Junk]:
        """Continue behind bytes that are missing: discard an incomplete frame, and let none reach across."""
        out: list[Run | Junk] = [*self._heap.discard(self._held)]
        self._heap.miss(size)
        self._held, self._last = b"", -1
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
        """Return the first position, ``at`` or later, at which a frame may begin."""
        found = buffer.find(self._start, at)
        if found >= 0:
            return found
        for keep in range(min(len(self._start) - 1, len(buffer) - at), 0, -1):
            if buffer.endswith(self._start[:keep]):
                return len(buffer) - keep
        return len(buffer)
