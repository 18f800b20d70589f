"""Results that wait in memory while the disk is full: bounded, in order, and what falls out is counted."""

from __future__ import annotations

import errno
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 1 << 16
"""Items are joined to chunks of about this size, because an object for each would need more memory than its bytes."""

RETRY_S = 1.0
"""Time between two attempts to write while the disk is full, s."""

DRAIN_S = 0.2
"""Longest time for which what waited is written before the next item, s: the link and the watchdog must not wait."""

FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that end when somebody makes room: the disk, the quota or the largest file size is used up."""


@dataclass(slots=True)
class _Chunk:
    group: int | None
    items: int = 0
    data: bytearray = field(default_factory=bytearray)


class Ring:
    """The newest items of a sequence, up to a size.

    Args:
        max_bytes: Largest size, bytes. When more is added, the oldest chunks fall out.
    """

    def __init__(self, max_bytes: int) -> None:
        self.dropped = 0
        """Items that fell out, in all."""
        self.size = 0
        """Bytes held."""
        self._max_bytes = max_bytes
        self._chunks: deque[_Chunk] = deque()

    def __len__(self) -> int:
        return sum(chunk.items for chunk in self._chunks)

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def push(self, data: bytes, group: int | None = None) -> bool:
        """Add one item.

        Args:
            data: Its bytes.
            group: Items of one group are only useful together and fall out together; ``None`` for an item by itself.

        Returns:
            Whether items of this very group fell out, so that the next item must begin a new group.
        """
        last = self._chunks[-1] if self._chunks else None
        if last is None or last.group != group or (group is None and len(last.data) >= CHUNK_BYTES):
            last = _Chunk(group)
            self._chunks.append(last)
        last.items += 1
        last.data += data
        self.size += len(data)
        own = False
        while self.size > self._max_bytes:
            chunk = self._chunks.popleft()
            self.size -= len(chunk.data)
            self.dropped += chunk.items
            own |= chunk.group == group and group is not None
        return own

    def drain(self, write: Callable[[bytes], object], limit_s: float = math.inf) -> None:
        """Pass the chunks to ``write``, oldest first, and forget each that it has taken.

        Args:
            write: Takes the bytes of a chunk.
            limit_s: Time after which no further chunk is passed, s.

        Raises:
            OSError: ``write`` raised it; that chunk and all later ones are kept.
        """
        end_s = time.monotonic() + limit_s
        while self._chunks:
            chunk = self._chunks[0]
            write(bytes(chunk.data))
            self._chunks.popleft()
            self.size -= len(chunk.data)
            if time.monotonic() > end_s:
                return


class Watch(Protocol):
    """Takes note of what happens to the results of a run on the disk. Calls may come from any thread."""

    def full(self, what: str, path: Path) -> None:
        """Note that ``what`` now waits in memory, because ``path`` cannot grow."""

    def room(self, what: str) -> None:
        """Note that all of ``what`` that waited is written."""

    def lost_more(self, what: str, count: int) -> None:
        """Note that ``count`` more of ``what`` are lost."""


class NoWatch:
    """Takes note of nothing."""

    def full(self, what: str, path: Path) -> None:
        """Do nothing."""

    def room(self, what: str) -> None:
        """Do nothing."""

    def lost_more(self, what: str, count: int) -> None:
        """Do nothing."""


class Waiting:
    """The way of items to a file, through memory while the disk is full.

    Args:
        what: Plural noun for the items, for messages and counts.
        max_bytes: Largest size of what waits, bytes.
        watch: Takes note of what happens.
    """

    def __init__(self, what: str, max_bytes: int, watch: Watch) -> None:
        self._what, self._watch = what, watch
        self._ring = Ring(max_bytes)
        self._told = 0
        self._tried_s = 0.0

    @property
    def active(self) -> bool:
        """Whether items wait."""
        return bool(self._ring)

    def write(self, data: bytes, write: Callable[[bytes], object], path: Path, group: int | None = None) -> bool:
        """Write one item behind those that wait, or let it wait.

        Args:
            data: The item, as it waits.
            write: Writes what waited, or raises an ``OSError`` and leaves the file as it was.
            path: The file, for messages.
            group: As for `Ring.push`.

        Returns:
            Whether the next item must begin a new group.

        Raises:
            OSError: ``write`` failed for another reason than a full disk.
        """
        if not self._ring:
            try:
                write(data)
            except OSError as error:
                self.begin(error, path)
            else:
                return False
        own = self.push(data, group)
        self.retry(write)
        return own

    def begin(self, error: OSError, path: Path) -> None:
        """Let items wait from now on, if an error says that the disk is full; raise any other error."""
        if error.errno not in FULL_ERRORS:
            raise error
        self._watch.full(self._what, path)
        self._tried_s = time.monotonic()

    def push(self, data: bytes, group: int | None = None) -> bool:
        """Add an item to those that wait; see `Ring.push`."""
        own = self._ring.push(data, group)
        self._tell(self._ring.dropped)
        return own

    def retry(self, write: Callable[[bytes], object], *, now: bool = False) -> None:
        """Write what waits, if it is time to try again.

        Raises:
            OSError: ``write`` failed for another reason than a full disk.
        """
        if not self._ring or (not now and time.monotonic() < self._tried_s + RETRY_S):
            return
        self._tried_s = time.monotonic()
        try:
            self._ring.drain(write, math.inf if now else DRAIN_S)
        except OSError as error:
            if error.errno not in FULL_ERRORS:
                raise
        else:
            self._tried_s = -math.inf  # there is room: go on with the next item
            if not self._ring:
                self._watch.room(self._what)

    def end(self, write: Callable[[bytes], object]) -> int:
        """Write what waits for the last time, and count the rest as lost.

        Returns:
            How many items of the rest are lost.

        Raises:
            OSError: ``write`` failed for another reason than a full disk.
        """
        self.retry(write, now=True)
        left = len(self._ring)
        self._tell(self._ring.dropped + left)
        return left

    def _tell(self, dropped: int) -> None:
        if dropped > self._told:
            self._watch.lost_more(self._what, dropped - self._told)
            self._told = dropped
