"""TCP ports of this computer that nothing listens at, now or a moment later."""

from __future__ import annotations

import itertools
import os
import socket

FIRST, COUNT = 10_000, 20_000
"""Ports below those that the kernel assigns automatically."""

_candidates = (FIRST + (os.getpid() * 37 + i) % COUNT for i in itertools.count())
"""Each process starts at another port, and no port is returned twice: tests run in parallel."""


def ports(count: int) -> list[int]:
    """Return ``count`` free ports."""
    found: list[int] = []
    while len(found) < count:
        port = next(_candidates)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
    return found
