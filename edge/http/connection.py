"""One connection of a browser: bytes in until the request is whole, bytes out as the browser takes them."""

from __future__ import annotations

import socket
from contextlib import suppress

from edge.http.request import Request, RequestReader

REQUEST_S = 5.0
"""Time limit for a request to arrive, s."""
REPLY_S = 20.0
"""Time limit for a response to be taken, s, and for a viewer who takes nothing."""
MAX_BACKLOG_BYTES = 256 << 10
"""Updates that wait for one viewer, bytes; beyond it, the viewer loses updates."""
READ_BYTES = 4096


class Connection:
    """A connection. All calls come from the thread of the server.

    Args:
        sock: The socket.
        now_s: Monotonic time, s.
    """

    def __init__(self, sock: socket.socket, now_s: float) -> None:
        sock.setblocking(False)
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.viewer = False
        """Whether it takes the stream of events."""
        self.behind = True
        """Whether the viewer needs the whole state again."""
        self.until_s = now_s + REQUEST_S
        """Monotonic time at which it is closed, s."""
        self.closing = False
        """Whether it is closed after the last byte."""
        self._reader: RequestReader | None = RequestReader()
        self._out = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes that the browser has not taken."""
        return len(self._out)

    def read(self) -> Request | None:
        """Take what has arrived, and return the request when it is whole.

        Raises:
            ConnectionError: The browser has gone.
            RefusedError: The request is not acceptable.
        """
        try:
            data = self.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        if not data:
            raise ConnectionResetError
        if self._reader is None:
            return None  # nothing may follow a request
        request = self._reader.feed(data)
        if request is not None:
            self._reader = None
        return request

    def reply(self, data: bytes, now_s: float) -> None:
        """Send a whole response, then close."""
        self._reader = None
        self.closing = True
        self.until_s = now_s + REPLY_S
        self._out += data

    def stream(self, data: bytes, now_s: float) -> None:
        """Begin a stream of events."""
        self.viewer = True
        self.until_s = now_s + REPLY_S
        self._out += data

    def push(self, data: bytes) -> bool:
        """Queue an update for a viewer; return false if there was no room for it."""
        if len(self._out) + len(data) > MAX_BACKLOG_BYTES and self._out:
            self.behind = True
            return False
        self._out += data
        return True

    def write(self, now_s: float) -> bool:
        """Send what the browser takes now; return whether everything is sent and the connection is to be closed.

        Raises:
            ConnectionError: The browser has gone.
        """
        if self._out:
            try:
                sent = self.sock.send(self._out)
            except (BlockingIOError, InterruptedError):
                return False
            del self._out[:sent]
            if self.viewer:
                self.until_s = now_s + REPLY_S
        return self.closing and not self._out

    def close(self) -> None:
        """Close the socket."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            self.sock.recv(READ_BYTES)  # unread bytes would reset the connection, and the response with it
        self.sock.close()
