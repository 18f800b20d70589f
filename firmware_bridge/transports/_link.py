"""What all transports on the event loop share: a bounded queue, growing pauses, and reconnection until closed."""

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
from firmware_bridge.items import OVERFLOW, RawChunk, TransportItem
from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.transports._waiting import Waiting

QUEUE_BYTES = 1 << 20
"""Bytes that may wait for the reader: over a minute of the fastest patch. Further bytes are dropped and counted."""
CHUNK_COST = 128
"""Bytes that a chunk counts beyond its length, so that many small ones are bounded too."""
EVENTS_MAX = 1024
"""Events that may wait for the reader: hundreds of reconnections. Of further ones the last is kept."""
STALL_S = 15.0
"""Time without data after which a link is closed and opened again."""
JITTER = 0.25
"""Part of a pause that varies with the device's name, so that several programs do not retry in step."""
SOON_S = 1.0
"""Longest pause before an attempt that costs little and is the only way to notice that a device is back, in seconds."""
WATCH_S = 0.25
"""Time between two looks at what shows the return of a device without opening it, in seconds."""
CLOSE_STEP_S = 0.25
"""Time for one cancellation to take effect, in seconds."""
CLOSE_S = 4.0
"""Time that closing may take, in seconds; a hanging adapter must not delay the end of a run."""


@dataclass(eq=False)
class Trouble(Exception):  # noqa: N818 - stays inside the transports; users see the LinkError made of it
    """Why a link cannot be opened.

    Attributes:
        what: What happened, to what.
        fix: What to do about it.
        passes: Whether waiting may help.
        adapter: Whether the fault lies with this computer, not the device.
        retry_s: Longest pause before the next attempt, seconds; ``None`` for that of the transport.
    """

    what: str
    fix: str = ""
    passes: bool = True
    adapter: bool = False
    retry_s: float | None = None

    def __str__(self) -> str:
        return f"{self.what} ({self.fix})" if self.fix else self.what


class Backoff:
    """Pauses that double. Their jitter derives from the name and the pause's number: the same in every run.

    Args:
        name: Name of the device or port.
        first_s: First pause, seconds.
        longest_s: Longest pause, seconds.
    """

    def __init__(self, name: str, first_s: float, longest_s: float) -> None:
        self._name, self._first_s, self._longest_s = name, first_s, longest_s
        self._now_s = first_s
        self._count = 0

    def next_s(self, longest_s: float | None = None) -> float:
        """Return the next pause in seconds.

        Args:
            longest_s: Limit of this pause; ``None`` for none but that of the pauses.
        """
        pause_s = self._now_s
        self._now_s = min(pause_s * 2, self._longest_s)
        if longest_s is not None:
            pause_s = min(pause_s, longest_s / (1.0 + JITTER))
        self._count += 1
        part = zlib.crc32(f"{self._name} {self._count}".encode()) / 0xFFFF_FFFF
        return pause_s * (1.0 - JITTER + 2.0 * JITTER * part)

    def reset(self) -> None:
        """Start with the first pause again."""
        self._now_s = self._first_s


class ItemQueue:
    """A bounded queue on one event loop. Bytes beyond the limit are dropped and reported, events beyond it joined.

    Args:
        where: Source of the bytes, for the report.
        limit: Bytes that may wait; each chunk counts ``CHUNK_COST`` more.
    """

    def __init__(self, where: str, limit: int = QUEUE_BYTES) -> None:
        self._where, self._limit = where, limit
        self._items: deque[TransportItem] = deque()
        self._waiting = self._events = self._dropped_bytes = self._dropped_chunks = 0
        self._arrived = asyncio.Event()
        self._ended = False

    def put(self, item: TransportItem) -> None:
        """Append an item; never waits."""
        if isinstance(item, RawChunk):
            cost = len(item.data) + CHUNK_COST
            if self._waiting + cost > self._limit:
                self._dropped_bytes += len(item.data)
                self._dropped_chunks += 1
                return
            self._waiting += cost
        self._report()
        self._append(item)
        self._arrived.set()

    def end(self) -> None:
        """Mark the end: nothing follows."""
        self._report()
        self._ended = True
        self._arrived.set()

    async def items(self) -> AsyncIterator[TransportItem]:
        """Yield all items in order, until the end."""
        while True:
            while self._items:
                item = self._items.popleft()
                if isinstance(item, RawChunk):
                    self._waiting -= len(item.data) + CHUNK_COST
                else:
                    self._events -= 1
                yield item
            if self._ended:
                return
            self._arrived.clear()
            await self._arrived.wait()

    def _append(self, item: TransportItem) -> None:
        last = self._items[-1] if self._items else None
        if isinstance(item, LinkEvent):
            if self._events >= EVENTS_MAX and isinstance(last, LinkEvent):
                self._items[-1] = item
                return
            self._events += 1
        self._items.append(item)

    def _report(self) -> None:
        if not self._dropped_chunks:
            return
        data: dict[str, object] = {
            "bytes": self._dropped_bytes,
            "frames": self._dropped_chunks,
            "fault": OVERFLOW,
        }
        detail = f"the program was too slow: {self._dropped_bytes} bytes from {self._where} were dropped"
        self._append(LinkEvent(LinkEventKind.CORRUPT, time.monotonic_ns(), detail, data))
        self._dropped_bytes = self._dropped_chunks = 0


class Reconnecting(abc.ABC):
    """Opens a link, listens, closes it and reopens it, until it is closed. Opens nothing before ``stream`` is iterated.

    Args:
        where: Name of the peer, for the user.
        wait: Whether to wait for a missing device at the start. ``False`` makes it an error; later on, the transport
            waits for a lost device in either case.
        insist: Whether to wait even if waiting alone does not help, as without permission: a service does.
        stall_s: Seconds without data after which the link is reopened.
        backoff_s: First and longest pause between two attempts, seconds.
    """

    def __init__(
        self, where: str, *, wait: bool, stall_s: float, backoff_s: tuple[float, float], insist: bool = False
    ) -> None:
        self._where, self._wait, self._insist, self._stall_s = where, wait, insist, stall_s
        self._backoff = Backoff(where, *backoff_s)
        self._queue = ItemQueue(where)
        self._task: asyncio.Task[None] | None = None
        self._closed = self._ending = False
        self._waiting = Waiting()

    async def stream(self) -> AsyncIterator[TransportItem]:
        """Yield everything that arrives, until ``close``.

        Raises:
            LinkError: The link cannot be opened at the start, and waiting would not help or is disabled.
        """
        if self._closed:
            return
        self._task = asyncio.create_task(self._run(), name=f"link {self._where}")
        async for item in self._queue.items():
            yield item
        with suppress(asyncio.CancelledError):
            await self._task

    async def close(self) -> None:
        """End ``stream`` and release the device."""
        self._closed = True
        if self._task is None:
            return
        deadline_s = time.monotonic() + CLOSE_S
        while not self._task.done() and time.monotonic() < deadline_s:
            # Repeatedly: a library below may swallow a cancellation that comes at the wrong moment.
            if not self._ending:
                self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_STEP_S)

    @abc.abstractmethod
    async def _connect(self) -> LinkEvent:
        """Open the link and return its CONNECTED event.

        Raises:
            Trouble: The link cannot be opened now.
        """

    @abc.abstractmethod
    async def _listen(self) -> tuple[LinkEventKind, str]:
        """Put received bytes into the queue until the link is lost or silent; return which, and why."""

    @abc.abstractmethod
    async def _shut(self) -> None:
        """Close the link in any state. Never raises, and never takes long."""

    def _escalation(self, trouble: Trouble, failures: int) -> str:
        """Return additional advice after that many failures in a row; empty for none."""
        del trouble, failures
        return ""

    async def _perhaps_back(self, trouble: Trouble | None) -> None:
        """Return once something changed that may have brought the device back; by default never.

        Args:
            trouble: Why the last attempt failed; ``None`` after a lost connection.
        """
        del trouble
        await asyncio.Event().wait()

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
                    # Only the first attempt decides: what comes while a device is waited for may pass as well.
                    if first and not failures and not (self._wait and (trouble.passes or self._insist)):
                        raise LinkError(trouble.what, trouble.fix) from trouble
                    failures += 1
                    self._complain(trouble, failures)
                    await self._pause(trouble, trouble.retry_s)
                    continue
                first, failures = False, 0
                self._waiting.over()
                self._opened(connected)
                kind, reason = await self._listen()
                self._queue.put(self._event(kind, reason, where=self._where))
                await self._shut()
                # Only an open link shows that a silent device sends again.
                await self._pause(None, SOON_S if kind is LinkEventKind.STALLED else None)
        finally:
            self._ending = True
            with suppress(asyncio.CancelledError):
                await self._shut()
            self._queue.end()

    def _opened(self, connected: LinkEvent) -> None:
        self._queue.put(connected)

    def _complain(self, trouble: Trouble, failures: int) -> None:
        more = self._escalation(trouble, failures)
        fix = more or trouble.fix
        event = self._waiting.event(self._where, trouble.what, fix, "trying again", now=bool(more), failures=failures)
        if event is not None:
            self._queue.put(event)

    async def _pause(self, trouble: Trouble | None, longest_s: float | None) -> None:
        """Wait before the next attempt; shorter if the device may be back."""
        try:
            async with asyncio.timeout(self._backoff.next_s(longest_s)):
                await self._perhaps_back(trouble)
        except TimeoutError:
            return
        self._backoff.reset()
