"""Lines that wait for the broker: bounded in bytes, compact, oldest first. What falls out is counted."""

from __future__ import annotations

import zlib
from collections import deque
from threading import Lock

from edge.store.rows import RowDecoder, RowEncoder

SPOOL_BYTES = 4 << 20
"""Most bytes of waiting lines."""
RAW_LINES = 8
"""The newest lines are kept as they are, so that nothing is computed while the broker takes them at once."""
BLOCK_LINES = 32
"""Lines in a block."""


class Spool:
    """A queue of lines. All methods may be called from any thread.

    Older lines wait in blocks: each line as its difference from the one before, compressed. Each call does a small
    part of that work.

    Args:
        limit: Most bytes.
    """

    def __init__(self, limit: int = SPOOL_BYTES) -> None:
        self._limit = limit
        self._lock = Lock()
        self._first: deque[str] = deque()
        """Lines of the oldest block, unpacked, and those that were given back."""
        self._blocks: deque[tuple[int, bytes]] = deque()
        self._encoder = RowEncoder()
        self._rows: list[bytes] = []
        """The block that is being filled."""
        self._new: deque[str] = deque()
        self._bytes = self._packed_lines = 0
        self.dropped = 0
        """Lines that have fallen out."""

    def __len__(self) -> int:
        with self._lock:
            return self._count()

    @property
    def size(self) -> int:
        """Bytes of the waiting lines, but for a block that is being sent."""
        with self._lock:
            return self._bytes

    def put(self, line: str) -> None:
        """Add the newest line; the oldest fall out if there is no room."""
        with self._lock:
            self._new.append(line)
            self._bytes += len(line)
            while len(self._new) > RAW_LINES or (self._new and self._bytes > self._limit):
                self._pack_one()
            while self._bytes > self._limit:
                self._drop_oldest()

    def take(self) -> str | None:
        """Remove and return the oldest line; ``None`` if none waits."""
        with self._lock:
            if not self._first:
                self._unpack_oldest()
            if self._first:
                return self._first.popleft()
            if not self._new:
                return None
            line = self._new.popleft()
            self._bytes -= len(line)
            return line

    def give_back(self, lines: list[str]) -> None:
        """Put back lines that were taken and not delivered, oldest first."""
        with self._lock:
            self._first.extendleft(reversed(lines))

    def drop_all(self) -> None:
        """Drop and count everything."""
        with self._lock:
            self.dropped += self._count()
            self._first.clear()
            self._blocks.clear()
            self._rows.clear()
            self._new.clear()
            self._bytes = self._packed_lines = 0

    def _count(self) -> int:
        return len(self._first) + self._packed_lines + len(self._rows) + len(self._new)

    def _pack_one(self) -> None:
        line = self._new.popleft()
        row = self._encoder.encode(line)
        self._rows.append(len(row).to_bytes(4, "little") + row)
        self._bytes += len(self._rows[-1]) - len(line)
        if len(self._rows) >= BLOCK_LINES:
            self._end_block()

    def _end_block(self) -> None:
        block = zlib.compress(b"".join(self._rows), 6)
        self._blocks.append((len(self._rows), block))
        self._packed_lines += len(self._rows)
        self._bytes += len(block) - sum(map(len, self._rows))
        self._rows.clear()
        self._encoder = RowEncoder()

    def _unpack_oldest(self) -> None:
        if not self._blocks and self._rows:
            self._end_block()
        if self._blocks:
            count, block = self._blocks.popleft()
            self._packed_lines -= count
            self._bytes -= len(block)
            self._first.extend(_unpacked(block))

    def _drop_oldest(self) -> None:
        if self._rows and not self._blocks:
            self._end_block()
        count, block = self._blocks.popleft()
        self._packed_lines -= count
        self._bytes -= len(block)
        # What was unpacked to be sent is older still.
        self.dropped += count + len(self._first)
        self._first.clear()


def _unpacked(block: bytes) -> list[str]:
    data, decoder = zlib.decompress(block), RowDecoder()
    lines, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        lines.append(decoder.decode(data[at + 4 : at + 4 + size]))
        at += 4 + size
    return lines
