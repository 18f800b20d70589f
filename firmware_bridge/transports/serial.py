"""Serial ports on pyserial: a reader thread, a bounded queue to the event loop, and reconnection for ever.

pyserial's reads block, and its asyncio variants block the loop or lose the order of events, so a thread of its own
reads and opens. It takes whatever is there at once and waits for one byte otherwise: no latency is added.
"""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.errors import LinkError
from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.transports import DATA_CHANNEL, RawChunk, TransportItem

if TYPE_CHECKING:
    import serial

QUEUE_BYTES = 1 << 20
"""What may wait for the event loop: over a minute of the fastest patch. What comes after it is dropped and counted."""
STALL_S = 15.0
"""An open port that gives nothing for so long is closed and opened again."""
BACKOFF_S = (0.2, 10.0)
"""First and longest pause between two attempts to open; each is twice the one before."""
JITTER = 0.25
"""Part of a pause that varies, so that several programs do not try in step."""
READ_TIMEOUT_S = 0.2
"""How long the thread waits for a byte before it looks whether it should end."""
WRITE_TIMEOUT_S = 1.0
"""How long a write may take; commands are short."""
READ_MAX = 1 << 16
"""Most bytes in one chunk."""


class SerialTransport:
    """A serial port by name; ``/dev/serial/by-id/...`` names survive renumbering.

    Nothing is opened before ``stream`` is iterated.

    Args:
        port: Name of the port.
        baud: Rate; a pseudo-terminal and USB CDC ignore it.
        wait: Wait for a device that is not there. ``False``: it is an error at the start; later on, a lost device is
            waited for in either case.
        stall_s: See ``STALL_S``.
        backoff_s: See ``BACKOFF_S``.
    """

    def __init__(
        self,
        port: str,
        baud: int,
        *,
        wait: bool = True,
        stall_s: float = STALL_S,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self._name = port
        self._baud = baud
        self._wait = wait
        self._stall_s = stall_s
        self._backoff = _Backoff(*backoff_s)
        self._port: serial.Serial | None = None
        self._lock = threading.Lock()
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
        """Everything that arrives, until ``close``.

        Raises:
            LinkError: The port is in use, not permitted or no serial port at the start; or not there, without waiting.
        """
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        try:
            while True:
                await self._ready.wait()
                self._ready.clear()
                while (item := self._take()) is not None:
                    yield item
                if self._done:
                    break
        finally:
            self._stop.set()
        if self._error is not None:
            raise self._error

    async def write(self, data: bytes, channel: str = DATA_CHANNEL) -> bool:  # noqa: ARG002 - a port has one channel
        """Sends; ``False`` where the port is not open or does not take it."""
        return await asyncio.to_thread(self._write, data)

    async def close(self) -> None:
        """Ends the thread and frees the port."""
        self._stop.set()
        port = self._port
        if port is not None:
            # May be closing on the other side at this moment; then there is nothing to cancel.
            with suppress(Exception):
                port.cancel_read()
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
            if isinstance(item, RawChunk):
                if self._queued_bytes + len(item.data) > QUEUE_BYTES:
                    self._overflow += len(item.data)
                    return
                if self._overflow:
                    self._queue.append(_overflowed(self._overflow))
                    self._overflow = 0
                self._queued_bytes += len(item.data)
            self._queue.append(item)
        self._wake()

    def _wake(self) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            # The loop is closed: nobody listens any more.
            self._stop.set()

    def _event(self, kind: LinkEventKind, detail: str, **data: object) -> None:
        self._put(LinkEvent(kind, time.monotonic_ns(), detail, data))

    def _run(self) -> None:
        try:
            self._connect_for_ever()
        except LinkError as error:
            self._error = error
        finally:
            self._done = True
            self._wake()

    def _connect_for_ever(self) -> None:
        first, said = True, ""
        while not self._stop.is_set():
            try:
                port = _open(self._name, self._baud)
            except _CannotOpenError as error:
                if first and not (self._wait and error.passes):
                    raise LinkError(error.what, error.fix) from error
                if error.what != said:
                    said = error.what
                    self._event(LinkEventKind.INFO, f"{error.what}; waiting for it", port=self._name)
                self._stop.wait(self._backoff.next_s())
                continue
            first, said = False, ""
            self._port = port
            self._event(LinkEventKind.CONNECTED, f"{self._name} is open", port=self._name)
            kind, reason = self._pump(port)
            self._port = None
            with suppress(Exception):
                port.close()
            self._event(kind, reason, port=self._name)
            self._stop.wait(self._backoff.next_s())

    def _pump(self, port: serial.Serial) -> tuple[LinkEventKind, str]:
        last_s = time.monotonic()
        while not self._stop.is_set():
            try:
                data = port.read(1)
                if data and (waiting := min(port.in_waiting, READ_MAX)):
                    data += port.read(waiting)
            except (OSError, TypeError) as error:
                # SerialException is an OSError; a plain OSError(5) and a TypeError come from a port torn away.
                reason = getattr(error, "strerror", None) or "unplugged, or another program reads it too"
                return LinkEventKind.DISCONNECTED, f"{self._name} is gone: {reason}"
            if data:
                last_s = time.monotonic()
                self._backoff.reset()
                self._put(RawChunk(time.monotonic_ns(), DATA_CHANNEL, data))
            elif time.monotonic() - last_s > self._stall_s:
                reason = f"nothing came from {self._name} for {self._stall_s:g} s; opening it again"
                return LinkEventKind.STALLED, reason
        return LinkEventKind.DISCONNECTED, f"{self._name} was closed"

    def _write(self, data: bytes) -> bool:
        port = self._port
        if port is None:
            return False
        try:
            return bool(port.write(data) == len(data))
        except (OSError, TypeError):
            return False


class _Backoff:
    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._now_s = first_s

    def next_s(self) -> float:
        pause_s = self._now_s
        self._now_s = min(pause_s * 2, self._longest_s)
        # The clock's last digits are as good as a random number here.
        return pause_s * (1.0 - JITTER + 2.0 * JITTER * (time.monotonic_ns() % 1000) / 1000)

    def reset(self) -> None:
        self._now_s = self._first_s


@dataclass(eq=False)
class _CannotOpenError(Exception):
    what: str
    fix: str
    passes: bool
    """Waiting may help."""


def _open(name: str, baud: int) -> serial.Serial:
    try:
        import serial
    except ImportError as error:
        raise _CannotOpenError("pyserial is not installed", "pip install pyserial", passes=False) from error
    try:
        port = serial.Serial(name, baud, timeout=READ_TIMEOUT_S, write_timeout=WRITE_TIMEOUT_S, exclusive=True)
    except (OSError, ValueError) as error:
        raise _explained(name, error) from error
    _claim(port)
    return port


def _claim(port: serial.Serial) -> None:
    """Keeps other programs off, and asks the driver not to collect bytes for 16 ms as FTDI's does. Best effort."""
    with suppress(Exception):
        import fcntl
        import termios

        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
    with suppress(Exception):
        port.set_low_latency_mode(True)


def _explained(name: str, error: Exception) -> _CannotOpenError:
    code = getattr(error, "errno", None)
    if code in {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO}:
        return _CannotOpenError(f"no such device: {name}", _ports_here(), passes=True)
    if code in {errno.EACCES, errno.EPERM}:
        fix = "sudo usermod -aG dialout $USER, then log in again"
        return _CannotOpenError(f"no permission to open {name}", fix, passes=False)
    if code in {errno.EBUSY, errno.EAGAIN}:
        fix = "end the program that has it (fuser shows which)"
        return _CannotOpenError(f"{name} is in use by another program", fix, passes=False)
    return _CannotOpenError(f"{name} is not a serial port", _ports_here(), passes=False)


def _ports_here() -> str:
    by_id = sorted(str(path) for path in Path("/dev/serial/by-id").glob("*"))
    plain = sorted(str(path) for kind in ("ttyACM*", "ttyUSB*") for path in Path("/dev").glob(kind))
    found = (by_id or plain)[:5]
    return f"ports here: {', '.join(found)}" if found else "connect it; no serial port is here now"


def _overflowed(size: int) -> LinkEvent:
    detail = f"the program was too slow: {size} bytes from the port were dropped"
    return LinkEvent(LinkEventKind.CORRUPT, time.monotonic_ns(), detail, {"bytes": size, "fault": "overflow"})
