"""The page of a command: its address and token, checked before anything else begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from edge.http.address import HttpAddress
from edge.http.server import PageServer
from edge.http.token import TOKEN_VARIABLE, given_token, new_token
from firmware_bridge.errors import UsageError


@contextmanager
def open_page(address: str | None, token_file: str | None, stream: TextIO) -> Iterator[PageServer | None]:
    """Serve the page, and say where.

    Args:
        address: The address; ``None`` for no page.
        token_file: File with the token; ``None`` for the environment, or a new token where one is needed.
        stream: Output for the address, and for a new token, which is nowhere else.

    Yields:
        The server; ``None`` without an address.

    Raises:
        UsageError: The address or the token is not usable.
        OutputError: The port is in use or not allowed.
    """
    if address is None:
        yield None
        return
    place = HttpAddress.parse(address)
    token = given_token(token_file)
    made = token is None and not place.loopback
    if made:
        if not stream.isatty():
            raise UsageError(
                "the page needs a token, and a new one is shown on a terminal only, never in a log",
                f"set {TOKEN_VARIABLE}, or name a file with 'anyecg run --http-token-file'",
            )
        token = new_token()
    server = PageServer(place, token, show_token=made)
    server.start()
    try:
        stream.write(f"page: {server.invitation}\n")
        if not place.loopback:
            stream.write("note: the page is not encrypted; serve it in a network that you trust only\n")
        stream.flush()
        yield server
    finally:
        server.close()
