"""Workers of a training come together before TensorFlow is asked, which would wait for them for ever and let nobody in.

Each listens on its own port until it has reached everybody else's; then TensorFlow's server takes the port over.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from firmware_bridge.errors import LinkError

MEET_S = 600.0
"""How long the workers may take: a queue does not start all of them at the same moment."""

TRY_S, PAUSE_S = 2.0, 0.2


def meet(hosts: Sequence[str], me: int) -> None:
    """Returns when every worker answers.

    Args:
        hosts: ``HOST:PORT`` of all.
        me: Number of this one.

    Raises:
        LinkError: One does not, or this one's port is taken.
    """
    missing = [host for i, host in enumerate(hosts) if i != me]
    deadline_s = time.monotonic() + MEET_S
    with _listener(hosts[me]) as own:
        while missing := [host for host in missing if not _answers(host)]:
            _let_in(own)
            if time.monotonic() > deadline_s:
                raise LinkError(
                    f"no answer from {', '.join(missing[:4])} for {MEET_S:.0f} s",
                    "start all workers of TF_CONFIG with the same list; does a firewall let them?",
                )
            time.sleep(PAUSE_S)


def _listener(host: str) -> socket.socket:
    port = int(host.rpartition(":")[2])
    try:
        if socket.has_dualstack_ipv6():
            own = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            own = socket.create_server(("", port))
    except OSError as error:
        raise LinkError(f"this worker cannot listen at {host}: {error.strerror}", "is another one running?") from error
    own.setblocking(False)
    return own


def _let_in(own: socket.socket) -> None:
    """Whoever reaches this one need not say anything."""
    while True:
        try:
            own.accept()[0].close()
        except OSError:
            return


def _answers(host: str) -> bool:
    name, _, port = host.rpartition(":")
    try:
        with socket.create_connection((name.strip("[]"), int(port)), timeout=TRY_S):
            return True
    except (OSError, ValueError):
        return False
