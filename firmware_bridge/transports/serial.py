"""Serial ports with pyserial: a reader thread, a bounded queue to the event loop, and reconnection until closed.

pyserial's reads block, and its asyncio variants block the loop or lose the order of events, so a separate thread reads
and opens. It takes all available bytes at once and otherwise waits for one byte. Bytes that follow each other closely
are joined (``_gather.py``).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

from firmware_bridge.errors import LinkError
from firmware_bridge.items import DATA_CHANNEL, OVERFLOW, RawChunk, TransportItem
from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.transports._gather import Gatherer
from firmware_bridge.transports._link import QUEUE_BYTES, SOON_S, STALL_S, WATCH_S, Backoff, Trouble
from firmware_bridge.transports._waiting import Waiting
from firmware_bridge.transports.serial_open import WRITE_TIMEOUT_S, gone_reason, hints, identity, open_port

if TYPE_CHECKING:
    import serial

__all__ = ["BACKOFF_S", "READ_MAX", "STALL_S", "SerialTransport"]

BACKOFF_S = (0.2, 10.0)
"""First and longest pause between two attempts to open, in seconds; each is twice the one before."""
READ_MAX = 1 << 16
"""Largest number of bytes in one chunk."""
QUEUE_ITEMS = 8192
"""Chunks and events that may wait for the reader: minutes. Of further events the last is kept."""


class SerialTransport:
    """A serial port by name; ``/dev/serial/by-id/...`` names survive renumbering.

    Nothing is opened before ``stream`` is iterated.

    Args:
        port: Name of the port.
        baud: Baud rate; pseudo-terminals and USB CDC ignore it.
        wait: Whether to wait for a missing device at the start. ``False`` makes it an error; later on, the transport
            waits for a lost device in either case.
        insist: Whether to wait even if waiting alone does not help, as without permission: a service does.
        stall_s: See ``STALL_S``.
        backoff_s: See ``BACKOFF_S``.
    """

    def __init__(
        self,
        port: str,
        baud: int,
        *,
        wait: bool = True,
        insist: bool = False,
        stall_s: float = STALL_S,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self._name = port
        self._baud = baud
        self._wait, self._insist = wait, insist
        self._stall_s = stall_s
        self._backoff = Backoff(port, *backoff_s)
        self._port: serial.Serial | None = None
        self._lock = threading.Lock()
        # Held while the port is written to or closed: another port may already have the descriptor of a closed one.
        self._use = threading.Lock()
        self._queue: deque[TransportItem] = deque()
        self._queued_bytes = 0
        self._overflow = 0
        self._error: LinkError | None = None
        self._stop = threading.Event()
        self._done = False
        self._thread = threading.Thread(target=self._run, name=f"serial {port}", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = asyncio.Event()

    async def stream(self) -> AsyncIterator[TransportItem]:
        """Yield everything that arrives, until ``close``.

        Raises:
            LinkError: At the start the port is in use, not permitted, not a serial port, or missing without ``wait``.
        """
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        # Only ``close`` ends the thread: a reader that leaves early still has to tell the device to stop.
        while True:
            await self._ready.wait()
            self._ready.clear()
            while (item := self._take()) is not None:
                yield item
            if self._done:
                break
        if self._error is not None:
            raise self._error

    async def write(self, data: bytes, channel: str = DATA_CHANNEL) -> bool:  # noqa: ARG002 - a port has one channel
        """Send; ``False`` if the port is not open or does not accept the bytes."""
        return await asyncio.to_thread(self._write, data)

    async def close(self) -> None:
        """End the thread and release the port."""
        self._stop.set()
        port = self._port
        if port is not None:
            # The other thread may be closing it at this moment; then there is nothing to cancel.
            with suppress(Exception):
                port.cancel_read()
                port.cancel_write()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 2.0 + WRITE_TIMEOUT_S)

    def _take(self) -> TransportItem | None:
        with self._lock:
            if not self._queue:
                return None
            item = self._queue.popleft()
            if isinstance(item, RawChunk):
                self._queued_bytes -= len(item.data)
            return item

    def _put(self, item: TransportItem) -> None:
        with self._lock:
            full = len(self._queue) >= QUEUE_ITEMS
            if isinstance(item, RawChunk):
                if full or self._queued_bytes + len(item.data) > QUEUE_BYTES:
                    self._overflow += len(item.data)
                    return
                if self._overflow:
                    self._queue.append(_overflowed(self._overflow))
                    self._overflow = 0
                self._queued_bytes += len(item.data)
            elif full and isinstance(self._queue[-1], LinkEvent):
                self._queue.pop()
            self._queue.append(item)
        self._wake()

    def _wake(self) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            # The loop is closed: nothing listens any more.
            self._stop.set()

    def _event(self, kind: LinkEventKind, detail: str, **data: object) -> None:
        self._put(LinkEvent(kind, time.monotonic_ns(), detail, data))

    def _run(self) -> None:
        try:
            self._reconnect_until_closed()
        except LinkError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001  # a silent end would look like the end of the data
            self._error = LinkError(f"the reader of {self._name} failed: {type(error).__name__}: {error}")
        finally:
            self._done = True
            self._wake()

    def _reconnect_until_closed(self) -> None:
        first, waiting, failures = True, Waiting(), 0
        while not self._stop.is_set():
            seen = identity(self._name)
            try:
                port = open_port(self._name, self._baud)
            except Trouble as error:
                # Only the first attempt decides: a port that appears later may have its permissions a moment after.
                if first and not failures and not (self._wait and (error.passes or self._insist)):
                    raise LinkError(error.what, error.fix) from error
                failures += 1
                event = waiting.event(
                    self._name, error.what, error.fix, "waiting for it", port=self._name, failures=failures
                )
                if event is not None:
                    self._put(event)
                self._pause(seen, error.retry_s)
                continue
            with self._use:
                self._port = port
            self._event(LinkEventKind.CONNECTED, f"{self._name} is open", port=self._name, baud=self._baud)
            for hint in hints(self._name) if first else ():
                self._event(LinkEventKind.INFO, hint, port=self._name)
            first, failures = False, 0
            waiting.over()
            kind, reason = self._pump(port)
            with self._use:
                self._port = None
                with suppress(Exception):
                    port.close()
            self._event(kind, reason, port=self._name)
            # Only an open port shows that a silent patch sends again.
            self._pause(seen, SOON_S if kind is LinkEventKind.STALLED else None)

    def _pause(self, seen: tuple[int, ...], longest_s: float | None) -> None:
        """Wait before the next attempt to open; shorter if the port is not the one that was seen: it may be back."""
        until_s = time.monotonic() + self._backoff.next_s(longest_s)
        while (left_s := until_s - time.monotonic()) > 0.0 and not self._stop.wait(min(left_s, WATCH_S)):
            if identity(self._name) != seen:
                self._backoff.reset()
                return

    def _pump(self, port: serial.Serial) -> tuple[LinkEventKind, str]:
        last_s = time.monotonic()
        gatherer = Gatherer(self._stop.wait)

        def more() -> bytes:
            waiting = min(port.in_waiting, READ_MAX)
            return bytes(port.read(waiting)) if waiting else b""

        while not self._stop.is_set():
            data, gone = bytearray(), None
            try:
                gatherer.read(data, lambda: port.read(1), more)
            except (OSError, TypeError, ValueError) as error:
                # SerialException is an OSError; a removed port raises a plain OSError(5) and others.
                gone = f"{self._name} is gone: {gone_reason(self._name, error)}"
            if data:
                last_s = time.monotonic()
                self._backoff.reset()
                # Bytes may have arrived before the port went, and may end a frame.
                self._put(RawChunk(gatherer.arrival_ns, DATA_CHANNEL, bytes(data)))
            if gone is not None:
                return LinkEventKind.DISCONNECTED, gone
            if not data and time.monotonic() - last_s > self._stall_s:
                reason = f"no data from {self._name} for {self._stall_s:g} s; reopening it"
                return LinkEventKind.STALLED, reason
        return LinkEventKind.DISCONNECTED, f"{self._name} was closed"

    def _write(self, data: bytes) -> bool:
        with self._use:
            if self._port is None:
                return False
            try:
                return bool(self._port.write(data) == len(data))
            except (OSError, TypeError):
                return False


def _overflowed(size: int) -> LinkEvent:
    detail = f"the program was too slow: {size} bytes from the port were dropped"
    return LinkEvent(LinkEventKind.CORRUPT, time.monotonic_ns(), detail, {"bytes": size, "fault": OVERFLOW})
