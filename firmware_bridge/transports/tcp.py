"""TCP to a patch or a bridge that listens: connected again for ever."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time

from firmware_bridge.items import DATA_CHANNEL, RawChunk
from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.transports._link import STALL_S, Reconnecting, Trouble

CONNECT_S = 10.0
"""How long one connection may take."""
BACKOFF_S = (0.2, 10.0)
"""First and longest pause between two attempts."""
READ_MAX = 1 << 16
"""Most bytes in one chunk."""
WRITE_S = 5.0
"""How long one write may take."""
LEAVE_S = 1.0
"""How long closing may take."""
KEEPALIVE_S = (10, 5, 3)
"""A silent peer is asked after so many seconds, then every so many, and is gone after so many questions."""


class TcpTransport(Reconnecting):
    """A client of ``host:port``.

    Args:
        host: Name or address.
        port: 1 to 65535.
        wait: Wait for a peer that is not there. ``False``: it is an error at the start.
        stall_s: Seconds without data until it is connected again.
        backoff_s: See ``BACKOFF_S``.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        wait: bool = True,
        stall_s: float = STALL_S,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        super().__init__(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}", wait=wait, stall_s=stall_s, backoff_s=backoff_s
        )
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def write(self, data: bytes, channel: str = DATA_CHANNEL) -> bool:  # noqa: ARG002 - a socket has one channel
        """Sends; ``False`` without connection."""
        writer = self._writer
        if writer is None or writer.is_closing():
            return False
        try:
            writer.write(data)
            async with asyncio.timeout(WRITE_S):
                await writer.drain()
        except OSError:
            return False
        return True

    async def _connect(self) -> LinkEvent:
        try:
            async with asyncio.timeout(CONNECT_S):
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=READ_MAX)
        except OSError as error:
            raise self._explained(error) from error
        _keep_alive(self._writer.get_extra_info("socket"))
        return self._event(LinkEventKind.CONNECTED, f"{self._where} is connected", where=self._where)

    async def _listen(self) -> tuple[LinkEventKind, str]:
        assert self._reader is not None
        while True:
            try:
                async with asyncio.timeout(self._stall_s):
                    data = await self._reader.read(READ_MAX)
            except TimeoutError as error:
                if error.errno is not None:
                    return LinkEventKind.DISCONNECTED, f"{self._where} is gone: {error.strerror}"
                return (
                    LinkEventKind.STALLED,
                    f"nothing came from {self._where} for {self._stall_s:g} s; connecting again",
                )
            except OSError as error:
                return LinkEventKind.DISCONNECTED, f"{self._where} is gone: {error.strerror or error}"
            if not data:
                return LinkEventKind.DISCONNECTED, f"{self._where} closed the connection"
            self._backoff.reset()
            self._queue.put(RawChunk(time.monotonic_ns(), DATA_CHANNEL, data))

    async def _shut(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is None:
            return
        writer.close()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(LEAVE_S):
                await writer.wait_closed()
        if writer.transport is not None:
            writer.transport.abort()

    def _explained(self, error: OSError) -> Trouble:
        if isinstance(error, socket.gaierror):
            return Trouble(f"the host {self._host!r} is not known", "check the name, or give its address")
        if isinstance(error, TimeoutError):
            return Trouble(f"{self._where} does not answer", "is it on, and in this network?")
        if isinstance(error, ConnectionRefusedError):
            return Trouble(f"nothing listens at {self._where}", "start it there, or check the port")
        if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}:
            return Trouble(f"no way to {self._where}", "check the network: ip route get ADDRESS")
        return Trouble(f"{self._where} cannot be reached: {error.strerror or error}", "check host and port")


def _keep_alive(sock: socket.socket) -> None:
    """Lets the system find out about a peer that lost its power. Best effort."""
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        idle_s, every_s, times = KEEPALIVE_S
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, every_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, times)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
