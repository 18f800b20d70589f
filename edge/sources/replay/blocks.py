"""Chunks of a recording cut into the blocks that a device would have sent, and handed on when they are due."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import numpy as np

from edge.sources.replay.base import Chunk, Signal
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

Timed = tuple[float, LinkItem]
"""The second of the replay at which an item is due, and the item."""

MAX_LOST = 1 << 40
"""Most samples that one gap can have: a thousand years at 25 Hz. A clock that jumps further is broken."""


class Blocker:
    """Makes blocks of equal length from chunks of any length; a gap ends a block early.

    The blocks do not depend on how the reader cut its chunks.

    Args:
        signal: What the samples are.
        block_s: Length of a block in seconds.
        start_s: Seconds of the recording to leave out at the beginning.
        seconds: Seconds to replay; infinity for all.
    """

    def __init__(self, signal: Signal, block_s: float, start_s: float, seconds: float) -> None:
        self._signal = signal
        self._length = max(1, round(block_s * signal.fs_hz))
        self._from = round(start_s * signal.fs_hz)
        self._to = self._from + seconds * signal.fs_hz
        self._position = 0
        """Sample of the recording, missing ones counted, that comes next."""
        self._lost = 0
        self._parts: list[Chunk] = []
        self._held = 0
        self.any_sample = False
        """At least one sample was there."""

    @property
    def full(self) -> bool:
        """All that was asked for has come."""
        return self._position >= self._to

    def push(self, chunk: Chunk) -> Iterator[Timed]:
        """The blocks that ``chunk`` completes."""
        if chunk.restarted:
            yield from self._flush()
            arrival_ns = self._arrival_ns()
            yield arrival_ns / 1e9, LinkEvent(LinkEventKind.RESTARTED, arrival_ns, "the recording's clock goes back")
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
        """The last block; an empty one where the recording ends with missing samples."""
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
"""Blocks between two chances for other tasks when nothing is waited for."""


async def paced(items: Iterator[Timed], speed: float) -> AsyncIterator[LinkItem]:
    """Hands on each item when it is due.

    Arrival times stay in the time of the recording at every speed, so the estimates are the same at every speed.

    Args:
        items: Seconds at which each is due, and the item.
        speed: Factor of real time; infinity for no waiting.
    """
    begin = time.monotonic()
    for number, (due_s, item) in enumerate(items):
        if not math.isinf(speed):
            await asyncio.sleep(max(0.0, due_s / speed - (time.monotonic() - begin)))
        elif number % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
        yield item
