"""Requests of HTTP/1.1, sans-IO: bytes in, one request out, everything else refused.

Only what browsers and Prometheus send to this page is accepted. ``http.server`` would read more, and importing it loads
TLS: 3.9 of the 5 MiB that the page may use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import parse_qsl

MAX_HEAD_BYTES = 8192
MAX_BODY_BYTES = 2048
"""The only body is that of the login form."""
MAX_HEADERS = 64
MAX_FIELDS = 8

METHODS = ("GET", "HEAD", "POST")
_LINE = re.compile(rb"([A-Z]{3,8}) (/[\x21-\x7e]{0,2047}) HTTP/1\.([01])")
_HEADER = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}):[ \t]*([\x20-\x7e\t\x80-\xff]*?)[ \t]*")
_ONCE = frozenset({"host", "content-length", "cookie", "authorization"})
NOTHING: Mapping[str, str] = MappingProxyType({})


class RefusedError(Exception):
    """A request that is not answered as asked.

    Args:
        status: Status of the response.
        text: One sentence for the person at the browser.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request.

    Attributes:
        method: ``GET``, ``HEAD`` or ``POST``.
        path: The path as it was sent; no route of this server needs decoding.
        query: Fields of the query.
        headers: Headers by lower-case name.
        body: The body of a ``POST``.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    def cookie(self, name: str) -> str:
        """Return the value of a cookie; empty if there is none."""
        for part in self.headers.get("cookie", "").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
        return ""

    def form(self) -> Mapping[str, str]:
        """Return the fields of a form in the body."""
        if self.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            return NOTHING
        return _fields(self.body.decode("ascii", "replace"))


class RequestReader:
    """Collects the bytes of one request."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._head: Request | None = None
        self._length = 0

    def feed(self, data: bytes) -> Request | None:
        """Take bytes; return the request when it is whole. What follows it is ignored.

        Raises:
            RefusedError: It is malformed, too large or of a kind that the page does not serve.
        """
        self._data += data
        if self._head is None:
            end = self._data.find(b"\r\n\r\n")
            if (end if end >= 0 else len(self._data)) > MAX_HEAD_BYTES:
                raise RefusedError(431, "The header of the request is too large.")
            if end < 0:
                return None
            self._head = _parse(bytes(self._data[:end]))
            self._length = _length(self._head)
            del self._data[: end + 4]
        if len(self._data) < self._length:
            return None
        head = self._head
        return Request(head.method, head.path, head.query, head.headers, bytes(self._data[: self._length]))


def _parse(head: bytes) -> Request:
    first, *lines = head.split(b"\r\n")
    found = _LINE.fullmatch(first)
    if found is None:
        raise RefusedError(400, "This is not a request of HTTP/1.1.")
    method = found[1].decode()
    if method not in METHODS:
        raise RefusedError(405, "The page only answers GET, HEAD and POST.")
    if len(lines) > MAX_HEADERS:
        raise RefusedError(431, "The request has too many headers.")
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise RefusedError(400, "A header of the request is malformed.")
        name = header[1].decode().lower()
        if name in headers and name in _ONCE:
            raise RefusedError(400, "A header of the request is repeated.")
        headers[name] = header[2].decode("latin-1")
    if "transfer-encoding" in headers:
        raise RefusedError(501, "The page does not read chunked requests.")
    if "host" not in headers:
        raise RefusedError(400, "The request names no host.")
    path, _, query = found[2].decode().partition("?")
    return Request(method, path, _fields(query), headers)


def _length(head: Request) -> int:
    text = head.headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise RefusedError(400, "The length of the request is not a number.")
    length = int(text)
    if length and head.method != "POST":
        raise RefusedError(400, "Only POST may have a body.")
    if length > MAX_BODY_BYTES:
        raise RefusedError(413, "The body of the request is too large.")
    return length


def _fields(text: str) -> Mapping[str, str]:
    if not text:
        return NOTHING
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise RefusedError(400, "The request has too many fields.") from None
