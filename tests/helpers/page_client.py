"""A plain client of the page: whole answers, and the stream of events."""

from __future__ import annotations

import json
import socket
import time
from types import TracebackType
from typing import Any, NamedTuple, Self


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: str


def connect(port: int) -> socket.socket:
    """Return a connection to the page."""
    return socket.create_connection(("127.0.0.1", port), 10.0)


def raw(port: int, data: bytes) -> Answer:
    """Send bytes and return the answer."""
    with connect(port) as sock:
        sock.sendall(data)
        got = b""
        while piece := sock.recv(65536):
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Answer(int(first.split(" ")[1]), headers, body.decode())


def get(port: int, path: str, *headers: str, host: str = "localhost", method: str = "GET") -> Answer:
    """Ask for a path."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    return raw(port, "\r\n".join(lines).encode())


def post(port: int, path: str, body: str) -> Answer:
    """Send a form."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return raw(port, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())


class Viewer:
    """A viewer of the stream of events.

    Args:
        port: Port of the page.
        headers: Further header lines.
    """

    def __init__(self, port: int, *headers: str) -> None:
        self.sock = connect(port)
        self.sock.sendall("\r\n".join(["GET /events HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
        self._data = b""
        until_s = time.monotonic() + 10.0
        while b"\r\n\r\n" not in self._data:
            assert time.monotonic() < until_s
            self._data += self.sock.recv(4096)
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        self.status = int(head.split(b" ")[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        self.sock.close()

    def event(self, name: str) -> Any:
        """Return the data of the next event of a kind."""
        until_s = time.monotonic() + 20.0
        while True:
            while b"\n\n" in self._data:
                block, _, self._data = self._data.partition(b"\n\n")
                lines = dict(line.split(": ", 1) for line in block.decode().splitlines() if ": " in line)
                if lines.get("event") == name:
                    return json.loads(lines["data"])
            assert time.monotonic() < until_s, f"no event {name}"
            piece = self.sock.recv(65536)
            assert piece, "the stream has ended"
            self._data += piece
