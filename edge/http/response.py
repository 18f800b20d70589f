"""Responses, with the headers that keep a browser from loading, sending or embedding anything else."""

from __future__ import annotations

from collections.abc import Sequence

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"
METRICS = "text/plain; version=0.0.4; charset=utf-8"
EVENTS = "text/event-stream; charset=utf-8"

PHRASES = {
    200: "OK", 303: "See Other", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 413: "Content Too Large", 421: "Misdirected Request",
    429: "Too Many Requests", 431: "Request Header Fields Too Large", 501: "Not Implemented",
    503: "Service Unavailable",
}  # fmt: skip

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = (
    f"Content-Security-Policy: {POLICY}",
    "X-Content-Type-Options: nosniff",
    "X-Frame-Options: DENY",
    "Referrer-Policy: no-referrer",
    "Cross-Origin-Resource-Policy: same-origin",
    "Cross-Origin-Opener-Policy: same-origin",
    "Permissions-Policy: camera=(), microphone=(), geolocation=()",
    "Cache-Control: no-store",
    "Connection: close",
)


def response(
    status: int, body: bytes = b"", kind: str = TEXT, headers: Sequence[str] = (), *, head: bool = False
) -> bytes:
    """Return a whole response.

    Args:
        status: Status.
        body: The body.
        kind: Media type of the body.
        headers: Further header lines.
        head: Whether to leave the body out, for a ``HEAD`` request.
    """
    start = _start(status, kind, (f"Content-Length: {len(body)}", *headers))
    return start if head else start + body


def event_stream() -> bytes:
    """Return the beginning of a stream of server-sent events. The browser reconnects after two seconds."""
    return _start(200, EVENTS, ("X-Accel-Buffering: no",)) + b"retry: 2000\n\n"


def event(name: str, data: str) -> bytes:
    """Return one server-sent event.

    Args:
        name: Kind of the event.
        data: JSON text, of one line.
    """
    return f"event: {name}\ndata: {data}\n\n".encode()


def _start(status: int, kind: str, headers: Sequence[str]) -> bytes:
    lines = (f"HTTP/1.1 {status} {PHRASES[status]}", f"Content-Type: {kind}", *headers, *_ALWAYS)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
