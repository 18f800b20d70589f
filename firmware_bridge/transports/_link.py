"""What every transport on the event loop shares: a bounded queue, pauses that grow, and connecting again for ever."""

from __future__ import annotations

import abc
import asyncio
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from firmware_bridge.errors import LinkError
from firmware_bridge.items import RawChunk, TransportItem
from firmware_bridge.samples import LinkEvent, LinkEventKind

QUEUE_BYTES = 1 << 20
"""What may wait for whoever reads: over a minute of the fastest patch. What comes after it is dropped and counted."""
CHUNK_COST = 128
"""What a chunk counts for beyond its bytes, so that many tiny ones are bounded too."""
STALL_S = 15.0
"""A link without data for so long is given up and opened again."""
JITTER = 0.25
"""Part of a pause that varies with the device's name, so that several programs do not try in step."""
CLOSE_STEP_S = 0.25
"""How long one cancellation may take to show."""
CLOSE_S = 4.0
"""How long closing may take; a wedged adapter must not hold back the end of a run."""


@dataclass(eq=False)
class Trouble(Exception):  # noqa: N818 - passes inside the transports; users meet a LinkError made of it
    """Why a link cannot be opened.

    Attributes:
        what: What happened, to what.
        fix: What to do about it.
        passes: Waiting may help.
        adapter: The fault lies on this computer's side, not with the device.
    """

    what: str
    fix: str = ""
    passes: bool = True
    adapter: bool = False

    def __str__(self) -> str:
        return f"{self.what} ({self.fix})" if self.fix else self.what


class Backoff:
    """Pauses that double. Their jitter comes from the name and the number of the pause: the same in every run.

    Args:
        name: Whose pauses they are.
        first_s: The first, in seconds.
        longest_s: The longest.
    """

    def __init__(self, name: str, first_s: float, longest_s: float) -> None:
        self._name, self._first_s, self._longest_s = name, first_s, longest_s
        self._now_s = first_s
        self._count = 0

    def next_s(self) -> float:
        """The next pause in seconds."""
        pause_s = self._now_s
        self._now_s = min(pause_s * 2, self._longest_s)
        self._count += 1
        part = zlib.crc32(f"{self._name} {self._count}".encode()) / 0xFFFF_FFFF
        return pause_s * (1.0 - JITTER + 2.0 * JITTER * part)

    def reset(self) -> None:
        """Begins with the first pause again."""
        self._now_s = self._first_s


class ItemQueue:
    """A bounded queue on one event loop. Events always pass; bytes beyond the bound are dropped and reported.

    Args:
        where: What the bytes come from, for the report.
        limit: Bytes that may wait, each chunk counting ``CHUNK_COST`` more.
    """

    def __init__(self, where: str, limit: int = QUEUE_BYTES) -> None:
        self._where, self._limit = where, limit
        self._items: deque[TransportItem] = deque()
        self._waiting = self._dropped_bytes = self._dropped_chunks = 0
        self._arrived = asyncio.Event()
        self._ended = False

    def put(self, item: TransportItem) -> None:
        """Appends; never waits."""
        if isinstance(item, RawChunk):
            cost = len(item.data) + CHUNK_COST
            if self._waiting + cost > self._limit:
                self._dropped_bytes += len(item.data)
                self._dropped_chunks += 1
                return
            self._waiting += cost
        self._report()
        self._items.append(item)
        self._arrived.set()

    def end(self) -> None:
        """Nothing follows."""
        self._report()
        self._ended = True
        self._arrived.set()

    async def items(self) -> AsyncIterator[TransportItem]:
        """Everything in order, until the end."""
        while True:
            while self._items:
                item = self._items.popleft()
                if isinstance(item, RawChunk):
                    self._waiting -= len(item.data) + CHUNK_COST
                yield item
            if self._ended:
                return
            self._arrived.clear()
            await self._arrived.wait()

    def _report(self) -> None:
        if not self._dropped_chunks:
            return
        data: dict[str, object] = {
            "bytes": self._dropped_bytes,
            "frames": self._dropped_chunks,
            "fault": "overflow",
        }
        detail = f"the program was too slow: {self._dropped_bytes} bytes from {self._where} were dropped"
        self._items.append(LinkEvent(LinkEventKind.CORRUPT, time.monotonic_ns(), detail, data))
        self._dropped_bytes = self._dropped_chunks = 0


class Reconnecting(abc.ABC):
    """Opens, listens, closes and begins again, until it is closed. Nothing is opened before ``stream`` is iterated.

    Args:
        where: What is reached, for people.
        wait: Wait for a device that is not there. ``False``: it is an error at the start; later on, a lost device is
            waited for in either case.
        stall_s: Seconds without data until a link is opened again.
        backoff_s: First and longest pause between two attempts.
    """

    def __init__(self, where: str, *, wait: bool, stall_s: float, backoff_s: tuple[float, float]) -> None:
        self._where, self._wait, self._stall_s = where, wait, stall_s
        self._backoff = Backoff(where, *backoff_s)
        self._queue = ItemQueue(where)
        self._task: asyncio.Task[None] | None = None
        self._closed = self._ending = False
        self._said = ""

    async def stream(self) -> AsyncIterator[TransportItem]:
        """Everything that arrives, until ``close``.

        Raises:
            LinkError: It cannot be opened at the start, and waiting would not help or was not wanted.
        """
        if self._closed:
            return
        self._task = asyncio.create_task(self._run(), name=f"link {self._where}")
        async for item in self._queue.items():
            yield item
        with suppress(asyncio.CancelledError):
            await self._task

    async def close(self) -> None:
        """Ends ``stream`` and frees the device."""
        self._closed = True
        if self._task is None:
            return
        deadline_s = time.monotonic() + CLOSE_S
        while not self._task.done() and time.monotonic() < deadline_s:
            # Again and again: a library below may swallow a cancellation that comes at the wrong moment.
            if not self._ending:
                self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_STEP_S)

    @abc.abstractmethod
    async def _connect(self) -> LinkEvent:
        """Opens the link and gives its CONNECTED event.

        Raises:
            Trouble: It cannot be opened now.
        """

    @abc.abstractmethod
    async def _listen(self) -> tuple[LinkEventKind, str]:
        """Puts what arrives into the queue until the link is lost or silent; says which, and why."""

    @abc.abstractmethod
    async def _shut(self) -> None:
        """Closes the link, whatever state it is in. Never raises, and never takes long."""

    def _escalation(self, trouble: Trouble, failures: int) -> str:
        """What more there is to say after so many failures in a row; empty for nothing."""
        del trouble, failures
        return ""

    def _event(self, kind: LinkEventKind, detail: str, **data: object) -> LinkEvent:
        return LinkEvent(kind, time.monotonic_ns(), detail, data)

    async def _run(self) -> None:
        first, failures = True, 0
        try:
            while not self._closed:
                try:
                    connected = await self._connect()
                except Trouble as trouble:
                    await self._shut()
                    if first and not (self._wait and trouble.passes):
                        raise LinkError(trouble.what, trouble.fix) from trouble
                    failures += 1
                    self._complain(trouble, failures)
                else:
                    first, failures, self._said = False, 0, ""
                    self._opened(connected)
                    kind, reason = await self._listen()
                    self._queue.put(self._event(kind, reason, where=self._where))
                    await self._shut()
                await asyncio.sleep(self._backoff.next_s())
        finally:
            self._ending = True
            with suppress(asyncio.CancelledError):
                await self._shut()
            self._queue.end()

    def _opened(self, connected: LinkEvent) -> None:
        self._queue.put(connected)

    def _complain(self, trouble: Trouble, failures: int) -> None:
        more = self._escalation(trouble, failures)
        if trouble.what == self._said and not more:
            return
        self._said = trouble.what
        detail = "; ".join(filter(None, (trouble.what, more or trouble.fix, "trying again")))
        data: dict[str, object] = {"where": self._where, "failures": failures, "fix": more or trouble.fix}
        self._queue.put(self._event(LinkEventKind.INFO, detail, **data))
