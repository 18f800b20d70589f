"""The kit's virtual patch behind a TCP port, in a thread, at a multiple of real time."""

from __future__ import annotations

import select
import selectors
import socket
import threading
import time
from types import TracebackType
from typing import Self

from firmware_bridge.virtual.patch import VirtualPatch

STEP_S = 0.005
SEND_S = 20.0
"""Longest time that a peer may take to read, s."""


class PacedPatch:
    """Serves one peer after the other; the patch goes on sampling without any.

    Args:
        patch: The virtual patch.
        speed: Factor of real time.
    """

    def __init__(self, patch: VirtualPatch, speed: float = 1.0) -> None:
        self.connections = 0
        """Connections so far."""
        self._patch, self._speed = patch, speed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._peer: socket.socket | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._quiet = False
        self._thread = threading.Thread(target=self._serve, name="paced patch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._drop()
        self._listener.close()

    @property
    def delivered(self) -> int:
        """Samples sent so far."""
        return self._patch.truth.delivered_samples

    def send(self, data: bytes) -> None:
        """Send bytes between two frames; nothing without a peer."""
        with self._lock:
            self._send(data)

    def drop(self) -> None:
        """End the connection so that the peer gets everything that was sent."""
        with self._lock:
            self._drop()

    def quiet(self) -> None:
        """Send nothing more."""
        with self._lock:
            self._quiet = True

    def _serve(self) -> None:
        started_s = time.monotonic()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                if waiting.select(STEP_S):
                    peer, _address = self._listener.accept()
                    with self._lock:
                        self._drop()
                        peer.settimeout(SEND_S)
                        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        self._peer = peer
                        self.connections += 1
                with self._lock:
                    if not self._quiet:
                        self._one_step((time.monotonic() - started_s) * self._speed)

    def _one_step(self, now_s: float) -> None:
        if self._peer is not None:
            try:
                if select.select([self._peer], [], [], 0)[0]:
                    data = self._peer.recv(4096)
                    if data:
                        self._patch.receive(data)
                    else:
                        self._drop()
            except OSError:
                self._drop()
        self._send(b"".join(emission.data for emission in self._patch.advance(now_s)))

    def _send(self, data: bytes) -> None:
        if self._peer is not None and data:
            try:
                self._peer.sendall(data)
            except OSError:
                self._drop()

    def _drop(self) -> None:
        peer, self._peer = self._peer, None
        if peer is None:
            return
        self._patch.link_lost()
        try:
            # A socket that is closed with unread bytes resets the connection, and the peer loses what it has not read.
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(4096):
                pass
        except OSError:
            pass
        peer.close()
