"""Blocks cut from the chunks of a recording, as a device would have sent them, and their delivery in time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import numpy as np

from edge.sources.replay.base import Chunk, Signal
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock
from firmware_bridge.text import printable

Timed = tuple[float, LinkItem]
"""Time of the replay at which an item is due, s, and the item."""
Turn = tuple[float, LinkItem | None]
"""The same, or a turn of other tasks without an item."""

MAX_LOST = 1 << 40
"""Most samples in one gap: a thousand years at 25 Hz. A clock that jumps further is broken."""


class Blocker:
    """Makes blocks of equal length from chunks of any length. A gap ends a block early.

    The blocks do not depend on how the reader cut its chunks.

    Args:
        signal: Description of the samples.
        block_s: Length of a block, s.
        start_s: Start of the replay in the recording, s.
        seconds: Length of the replay, s; infinity for all.
    """

    def __init__(self, signal: Signal, block_s: float, start_s: float, seconds: float) -> None:
        self._signal = signal
        self._length = max(1, round(block_s * signal.fs_hz))
        self._from = round(start_s * signal.fs_hz)
        self._to = self._from + seconds * signal.fs_hz
        self._position = 0
        """Index of the next sample in the recording, missing ones included."""
        self._lost = 0
        self._parts: list[Chunk] = []
        self._held = 0
        self.any_sample = False
        """Whether the recording held at least one sample."""

    @property
    def full(self) -> bool:
        """Whether everything to be replayed has been pushed."""
        return self._position >= self._to

    def push(self, chunk: Chunk) -> Iterator[Timed]:
        """Yield the blocks that ``chunk`` completes, after what its reader found."""
        if chunk.note:
            arrival_ns = self._arrival_ns()
            facts = {"decided": dict(chunk.found or {})}
            yield arrival_ns / 1e9, LinkEvent(LinkEventKind.INFO, arrival_ns, printable(chunk.note), facts)
        if chunk.restarted:
            yield from self._flush()
            arrival_ns = self._arrival_ns()
            yield (
                arrival_ns / 1e9,
                LinkEvent(LinkEventKind.RESTARTED, arrival_ns, "the clock of the recording goes back"),
            )
        if chunk.lost > 0:
            yield from self._miss(min(chunk.lost, MAX_LOST))
        if chunk.missing is None:
            yield from self._take(chunk)
            return
        edges = np.flatnonzero(np.diff(chunk.missing)) + 1
        start = 0
        for stop in [*(int(edge) for edge in edges), len(chunk.values)]:
            if stop > start and chunk.missing[start]:
                yield from self._miss(stop - start)
            elif stop > start:
                yield from self._take(_slice(chunk, start, stop))
            start = stop

    def finish(self) -> Iterator[Timed]:
        """Yield the last block; an empty one if the recording ends with missing samples."""
        yield from self._flush()
        if self._lost and self.any_sample:
            yield self._emit(Chunk(np.zeros(0, np.float32)))

    def _miss(self, count: int) -> Iterator[Timed]:
        yield from self._flush()
        begin = max(self._position, self._from)
        self._position += count
        self._lost += int(max(0, min(self._position, self._to) - begin))

    def _take(self, chunk: Chunk) -> Iterator[Timed]:
        first = max(0, self._from - self._position)
        last = int(max(0, min(len(chunk.values), self._to - self._position)))
        self._position += min(first, len(chunk.values))
        while first < last:
            stop = min(last, first + self._length - self._held)
            self._parts.append(_slice(chunk, first, stop))
            self._held += stop - first
            self._position += stop - first
            first = stop
            if self._held == self._length:
                yield from self._flush()
        if last < len(chunk.values):
            self._position = max(self._position, round(self._to))

    def _flush(self) -> Iterator[Timed]:
        if self._parts:
            values = np.concatenate([part.values for part in self._parts])
            yield self._emit(replace(self._parts[-1], values=values))
            self._parts, self._held = [], 0

    def _arrival_ns(self) -> int:
        return max(0, round((self._position - self._from) / self._signal.fs_hz * 1e9))

    def _emit(self, chunk: Chunk) -> Timed:
        arrival_ns = self._arrival_ns()
        clock = chunk.time_ns
        lost, self._lost = self._lost, 0
        self.any_sample = self.any_sample or len(chunk.values) > 0
        block = SampleBlock(
            samples=chunk.values,
            unit=self._signal.unit,
            lsb_mv=self._signal.lsb_mv,
            fs_hz=self._signal.fs_hz,
            device_time_ns=None if clock is None or not len(clock) else int(clock[-1]),
            arrival_ns=arrival_ns,
            lost=lost,
        )
        return arrival_ns / 1e9, block


def _slice(chunk: Chunk, start: int, stop: int) -> Chunk:
    clock = None if chunk.time_ns is None else chunk.time_ns[start:stop]
    return Chunk(chunk.values[start:stop], None, clock)


_YIELD_EVERY = 16
"""Number of blocks after which other tasks get a turn, in a replay without waiting."""


async def paced(items: Iterator[Turn], speed: float) -> AsyncIterator[LinkItem]:
    """Yield each item when it is due.

    Arrival times are those of the recording at every speed, so the estimates do not depend on the speed.

    Args:
        items: Due time, s, and item.
        speed: Factor of real time; infinity for no waiting.
    """
    begin = time.monotonic()
    for number, (due_s, item) in enumerate(items):
        if not math.isinf(speed):
            await asyncio.sleep(max(0.0, due_s / speed - (time.monotonic() - begin)))
        elif number % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
        if item is not None:
            yield item
