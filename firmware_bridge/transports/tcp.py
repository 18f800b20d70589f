"""TCP to a patch or a bridge that listens; reconnects until closed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time

from firmware_bridge.items import DATA_CHANNEL, RawChunk
from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.transports._gather import CHUNK_BYTES, GATHER_S
from firmware_bridge.transports._link import SOON_S, STALL_S, Reconnecting, Trouble

CONNECT_S = 10.0
"""Time that one connection may take, in seconds."""
BACKOFF_S = (0.2, 10.0)
"""First and longest pause between two attempts, in seconds."""
READ_MAX = 1 << 16
"""Largest number of bytes in one chunk."""
WRITE_S = 5.0
"""Time that one write may take, in seconds."""
LEAVE_S = 1.0
"""Time that closing may take, in seconds."""
SLACK_S = 0.005
"""Time after a pause for collecting within which data still belong to a stream without pauses, in seconds."""
KEEPALIVE_S = (10, 5, 3)
"""Keep-alive: idle seconds before the first probe, seconds between probes, and probes until the peer counts as gone."""


class TcpTransport(Reconnecting):
    """A TCP client of ``host:port``.

    Args:
        host: Host name or IP address.
        port: TCP port, 1 to 65535.
        wait: Whether to wait for a missing peer at the start; ``False`` makes it an error.
        insist: Whether to wait even if waiting alone does not help.
        stall_s: Seconds without data after which it reconnects.
        backoff_s: See ``BACKOFF_S``.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        wait: bool = True,
        insist: bool = False,
        stall_s: float = STALL_S,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        super().__init__(where, wait=wait, insist=insist, stall_s=stall_s, backoff_s=backoff_s)
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._gather_s = GATHER_S

    def gather(self, seconds: float) -> None:
        """Read a stream at most once in that time, and together with all others that gather for as long.

        Their bytes then wake the program in the same moment. What arrives after a pause is still read at once.

        Args:
            seconds: The time, s; it is never shorter than ``GATHER_S``.
        """
        self._gather_s = max(GATHER_S, seconds)

    async def write(self, data: bytes, channel: str = DATA_CHANNEL) -> bool:  # noqa: ARG002 - a socket has one channel
        """Send; ``False`` without a connection."""
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
        last_s = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(self._stall_s):
                    data = await self._reader.read(READ_MAX)
            except TimeoutError as error:
                if error.errno is not None:
                    return LinkEventKind.DISCONNECTED, f"{self._where} is gone: {error.strerror}"
                return (
                    LinkEventKind.STALLED,
                    f"no data from {self._where} for {self._stall_s:g} s; reconnecting",
                )
            except OSError as error:
                return LinkEventKind.DISCONNECTED, f"{self._where} is gone: {error.strerror or error}"
            if not data:
                return LinkEventKind.DISCONNECTED, f"{self._where} closed the connection"
            self._backoff.reset()
            self._queue.put(RawChunk(time.monotonic_ns(), DATA_CHANNEL, data))
            last_s, before_s = time.monotonic(), last_s
            most = CHUNK_BYTES * self._gather_s / GATHER_S
            if last_s - before_s < self._gather_s + SLACK_S and len(data) < most:
                await self._collect()
                last_s = time.monotonic()

    async def _collect(self) -> None:
        """Leave the bytes of a stream without pauses to the kernel for a moment: each of them would wake the loop."""
        transport = self._writer.transport if self._writer is not None else None
        if transport is None or transport.is_closing():
            return
        transport.pause_reading()  # type: ignore[attr-defined]  # asyncio declares it for read transports only
        try:
            await asyncio.sleep(self._pause_s())
        finally:
            transport.resume_reading()  # type: ignore[attr-defined]  # as above

    def _pause_s(self) -> float:
        """Return the time for which to leave bytes to the kernel: until the next common moment, if there is one."""
        if self._gather_s <= GATHER_S:
            return GATHER_S
        return self._gather_s - time.monotonic() % self._gather_s

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
            # Without a network every name is unknown for now; a name that does not exist is asked for more seldom.
            retry_s = SOON_S if error.errno == socket.EAI_AGAIN else None
            fix = "check the name and the network, or use its IP address"
            return Trouble(f"the host {self._host!r} is unknown", fix, retry_s=retry_s)
        if isinstance(error, TimeoutError):
            return self._absent(f"{self._where} does not answer", "check that it is on and in this network")
        if isinstance(error, ConnectionRefusedError):
            return self._absent(
                f"nothing listens at {self._where}", "start the patch or bridge there, or check the port"
            )
        if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}:
            return self._absent(f"there is no route to {self._where}", "check the network: ip route get ADDRESS")
        return Trouble(f"{self._where} cannot be reached: {error.strerror or error}", "check host and port")

    @staticmethod
    def _absent(what: str, fix: str) -> Trouble:
        """Return the trouble of a peer whose return only another attempt shows, at the price of one packet."""
        return Trouble(what, fix, retry_s=SOON_S)


def _keep_alive(sock: socket.socket) -> None:
    """Enable keep-alive probes, which detect a peer that lost power. Best effort."""
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        idle_s, every_s, times = KEEPALIVE_S
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, every_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, times)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
