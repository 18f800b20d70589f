"""Ports of this computer at which nothing listens now, nor a moment later."""

from __future__ import annotations

import itertools
import os
import socket

FIRST, COUNT = 10_000, 20_000
"""Below the ports that the kernel gives to whoever asks for any."""

_candidates = (FIRST + (os.getpid() * 37 + i) % COUNT for i in itertools.count())
"""Each process begins elsewhere, and none is given out twice: tests run beside one another."""


def ports(count: int) -> list[int]:
    """Returns so many free ports."""
    found: list[int] = []
    while len(found) < count:
        port = next(_candidates)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
    return found
