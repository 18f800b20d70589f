"""The server of the page: one thread, a bounded number of connections, nothing that a browser does reaches the run.

All sockets are non-blocking and belong to one thread, which sleeps while nobody looks. A slow browser costs a bounded
buffer and loses updates; it then gets the whole state anew.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from edge.http.address import HttpAddress
from edge.http.broadcast import Broadcast
from edge.http.connection import Connection
from edge.http.patch import PatchSink
from edge.http.request import RefusedError
from edge.http.response import event_stream, response
from edge.http.routes import Routes, Told
from edge.http.token import Door
from firmware_bridge.errors import OutputError, UsageError

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle
    from edge.sources import SourceInfo

MAX_VIEWERS = 8
MAX_CONNECTIONS = 32
MAX_ACCEPTS = 16
"""Connections that are taken between two ticks."""
TICK_S = 0.125
"""Time between two updates of the viewers, s."""
IDLE_S = 1.0
"""The same while connections are open and nobody looks, for their time limits."""
CLOSE_S = 1.0
"""Longest time that `PageServer.close` waits for the thread, s."""
BACKLOG = 16

_FULL = b"There are too many viewers. Close the page in another window, then load this one again.\n"


class PageServer:
    """Serves the page of any number of patches, from `start` to `close`.

    Args:
        address: The address, such as ``127.0.0.1:8080``.
        token: The token; ``None`` for none, which only an address of this computer allows.
        max_viewers: Most viewers.
        show_token: Whether `invitation` has the token, because nobody knows it yet.

    Raises:
        UsageError: The address is malformed, or other computers reach it and there is no token.
    """

    def __init__(
        self,
        address: str | HttpAddress,
        token: str | None = None,
        *,
        max_viewers: int = MAX_VIEWERS,
        show_token: bool = False,
    ) -> None:
        self._address = HttpAddress.parse(address) if isinstance(address, str) else address
        if token is None and not self._address.loopback:
            raise UsageError(f"the page at {self._address.host} needs a token", "other computers can reach it")
        self._max_viewers = max_viewers
        self._query = f"?token={token}" if show_token else ""
        self._patches: tuple[PatchSink, ...] = ()
        self._numbers = 0
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._open: dict[socket.socket, Connection] = {}
        self._accepted, self._full = 0, False
        """Connections since the last tick, and whether no more are taken for now."""
        self._broadcast = Broadcast()
        self._routes = Routes(self._address, Door(token), lambda: self._patches, time.monotonic)

    @property
    def address(self) -> str:
        """The address of the page for a browser, such as ``http://127.0.0.1:8080/``."""
        return self._address.url(self._routes.port)

    @property
    def invitation(self) -> str:
        """What a person opens: the address, with the token if it is new. It must not get into a log or file."""
        return self.address + self._query

    @property
    def patches(self) -> Sequence[PatchSink]:
        """The patches on the page."""
        return self._patches

    def start(self) -> None:
        """Listen, and serve from a thread of its own.

        Raises:
            OutputError: The port is in use or not allowed, or the address is not one of this computer.
        """
        self._listener = self._listen()
        self._routes.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._loop, name="page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop at once, also while viewers are connected. It may be called twice."""
        self._stop.set()
        with suppress(OSError):
            self._wake_out.send(b"x")
        if self._thread is not None:
            self._thread.join(CLOSE_S)
            self._thread = None
        self._wake_in.close()
        self._wake_out.close()

    def patch(self, name: str, source: SourceInfo, bundle: Bundle, hop_s: float) -> PatchSink:
        """Add a patch, before or while the page is served.

        Args:
            name: Name for people; a second patch of the same name gets a number.
            source: Description of its source.
            bundle: The bundle that makes its estimates.
            hop_s: Seconds between estimates.

        Returns:
            The sink that shows the patch. After its `close` the patch stays on the page as ended, until `remove`, or
            until a patch of the same name is added.
        """
        with self._lock:
            self._numbers += 1
            kept = [one for one in self._patches if not (one.name == name and one.ended)]
            used = {one.name for one in kept}
            unique, number = name, 2
            while unique in used:
                unique, number = f"{name} {number}", number + 1
            sink = PatchSink(self._numbers, unique, source, bundle, hop_s)
            self._patches = (*kept, sink)
        return sink

    def remove(self, sink: PatchSink) -> None:
        """Take a patch off the page."""
        with self._lock:
            self._patches = tuple(one for one in self._patches if one is not sink)

    def _listen(self) -> socket.socket:
        listener = socket.socket(self._address.family, socket.SOCK_STREAM)
        try:
            # Another program at the port is still noticed: on Linux the option only ignores ended connections.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self._address.place)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            place = f"{self._address.host}:{self._address.port}"
            raise OutputError(f"cannot show the page at {place}: {_reason(error)}", _fix(error)) from None
        return listener

    def _loop(self) -> None:
        assert self._listener is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_in, selectors.EVENT_READ)
            selector.register(self._listener, selectors.EVENT_READ)
            due_s = 0.0
            while not self._stop.is_set():
                for key, events in selector.select(self._wait_s(due_s)):
                    self._handle(selector, key, events)
                now_s = time.monotonic()
                if now_s >= due_s:
                    due_s = now_s + TICK_S
                    self._tick(selector, now_s)
            self._end(selector)

    def _wait_s(self, due_s: float) -> float | None:
        """Return the time until there is something to do besides the sockets, s; ``None`` for none."""
        if not self._open and not self._full:
            return None
        return max(0.0, due_s - time.monotonic()) if self._full or self._viewers() else IDLE_S

    def _handle(self, selector: selectors.BaseSelector, key: selectors.SelectorKey, events: int) -> None:
        if key.fileobj is self._listener:
            self._accept(selector)
            return
        connection = key.data
        if not isinstance(connection, Connection):
            return
        now_s = time.monotonic()
        try:
            if events & selectors.EVENT_READ:
                self._read(connection, now_s)
            if connection.write(now_s):
                self._drop(selector, connection)
                return
        except Exception:  # noqa: BLE001 - an error in one answer costs its connection, not the page
            self._drop(selector, connection)
            return
        self._watch(selector, connection)

    def _read(self, connection: Connection, now_s: float) -> None:
        try:
            request = connection.read()
            if request is None:
                return
            viewers = len(self._viewers())
            answer = self._routes.answer(request, Told(viewers, self._broadcast.dropped))
        except RefusedError as refused:
            connection.reply(response(refused.status, f"{refused.text}\n".encode()), now_s)
            return
        if isinstance(answer, bytes):
            connection.reply(answer, now_s)
        elif viewers >= self._max_viewers:
            connection.reply(response(503, _FULL, headers=("Retry-After: 60",)), now_s)
        else:
            connection.stream(event_stream(), now_s)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        assert self._listener is not None
        try:
            sock, _peer = self._listener.accept()
        except OSError:
            return
        connection = Connection(sock, time.monotonic())
        self._open[sock] = connection
        selector.register(sock, selectors.EVENT_READ, connection)
        self._accepted += 1
        if self._accepted >= MAX_ACCEPTS or len(self._open) >= MAX_CONNECTIONS:
            # The others wait in the queue of the system, and cost the run nothing.
            self._full = True
            selector.unregister(self._listener)

    def _tick(self, selector: selectors.BaseSelector, now_s: float) -> None:
        viewers = self._viewers()
        if viewers:
            try:
                self._broadcast.send(self._patches, viewers, now_s)
            except Exception:  # noqa: BLE001 - the viewers connect again; the page and the run go on
                for viewer in viewers:
                    self._drop(selector, viewer)
        for connection in list(self._open.values()):
            if now_s > connection.until_s and not (connection.viewer and not connection.waiting):
                self._drop(selector, connection)
                continue
            try:
                if connection.waiting and connection.write(now_s):
                    self._drop(selector, connection)
                    continue
            except OSError:
                self._drop(selector, connection)
                continue
            self._watch(selector, connection)
        self._accepted = 0
        if self._full and self._listener is not None and len(self._open) < MAX_CONNECTIONS:
            self._full = False
            selector.register(self._listener, selectors.EVENT_READ)

    def _end(self, selector: selectors.BaseSelector) -> None:
        now_s = time.monotonic()
        for connection in list(self._open.values()):
            with suppress(OSError):
                if connection.viewer:
                    connection.push(self._broadcast.farewell())
                connection.write(now_s)
            self._drop(selector, connection)
        if self._listener is not None:
            self._listener.close()

    def _viewers(self) -> list[Connection]:
        return [one for one in self._open.values() if one.viewer]

    def _watch(self, selector: selectors.BaseSelector, connection: Connection) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.waiting else 0)
        if selector.get_key(connection.sock).events != events:
            selector.modify(connection.sock, events, connection)

    def _drop(self, selector: selectors.BaseSelector, connection: Connection) -> None:
        with suppress(KeyError, ValueError):
            selector.unregister(connection.sock)
        self._open.pop(connection.sock, None)
        connection.close()


def _reason(error: OSError) -> str:
    return {
        errno.EADDRINUSE: "the port is in use",
        errno.EACCES: "this user may not use the port",
        errno.EADDRNOTAVAIL: "this computer does not have the address",
    }.get(error.errno or 0, (error.strerror or str(error)).lower())


def _fix(error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return "name one of its addresses, or 0.0.0.0 for all"
    return "name another port above 1023"
