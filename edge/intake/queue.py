"""The queue between the receiver and the worker: bounded, whatever it holds, and never searched."""

from __future__ import annotations

import dataclasses
from collections import deque

from firmware_bridge.samples import LinkEvent, LinkItem, SampleBlock

MAX_SAMPLES = 1 << 19
"""Most samples that may wait: 2 MB, nine minutes at 1 kHz."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An item in the queue.

    Attributes:
        item: The block or event.
        received_ns: Host monotonic clock when it was received.
        to_engine: Whether the engine gets it; a record about many events is not an event itself.
        to_sinks: Whether the sinks get it; events beyond their rate reach the engine only.
    """

    item: LinkItem
    received_ns: int
    to_engine: bool = True
    to_sinks: bool = True


class LinkQueue:
    """Entries in order. When it is full, the oldest block is dropped, and the next block carries the loss.

    Events are kept: the gate before the queue bounds their number, and those for the engine alone, which mean the same
    any number of times, are kept once.

    Args:
        items: Most entries.

    Attributes:
        dropped_samples: Samples dropped so far.
        lost: Samples missing just before the first block in the queue, which will carry them.
    """

    def __init__(self, items: int) -> None:
        self._limit = items
        self._front: list[Entry] = []
        """Events older than every block in the queue."""
        self._entries: deque[Entry] = deque()
        self._samples = 0
        self.lost = self.dropped_samples = 0

    def __len__(self) -> int:
        return len(self._front) + len(self._entries)

    @property
    def full(self) -> bool:
        """Whether the next entry needs the place of another."""
        return len(self) >= self._limit or self._samples >= MAX_SAMPLES

    def put(self, entry: Entry) -> None:
        """Append an entry; never waits."""
        if self._entries and _same(self._entries[-1], entry):
            return
        while self.full and self._entries:
            self._drop_oldest()
        if isinstance(entry.item, SampleBlock):
            self._samples += len(entry.item)
        self._entries.append(entry)

    def take(self, most: int) -> list[Entry]:
        """Remove and return the next entries, at most ``most``."""
        out = self._front[:most]
        del self._front[:most]
        while self._entries and len(out) < most:
            entry = self._entries.popleft()
            if isinstance(entry.item, SampleBlock):
                self._samples -= len(entry.item)
                if self.lost:
                    block = dataclasses.replace(entry.item, lost=entry.item.lost + self.lost)
                    entry, self.lost = dataclasses.replace(entry, item=block), 0
            out.append(entry)
        return out

    def drop(self) -> None:
        """Drop everything."""
        while self._entries:
            self._drop_oldest()
        self._front.clear()

    def _drop_oldest(self) -> None:
        entry = self._entries.popleft()
        if isinstance(entry.item, SampleBlock):
            self._samples -= len(entry.item)
            self.dropped_samples += len(entry.item)
            self.lost += len(entry.item) + entry.item.lost
        elif not any(_same(one, entry) for one in self._front[-_KINDS:]):
            self._front.append(entry)


_KINDS = 8
"""Newest events among which one for the engine alone is not kept twice; there are fewer kinds of them."""


def _same(one: Entry, other: Entry) -> bool:
    """Return whether two entries are the same to the engine, and no sink gets the second."""
    a, b = one.item, other.item
    return not other.to_sinks and isinstance(a, LinkEvent) and isinstance(b, LinkEvent) and a.kind is b.kind
