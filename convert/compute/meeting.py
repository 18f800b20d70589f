"""Rendezvous of a training's workers before TensorFlow starts, which would block on a missing worker without a message.

Each worker listens on its own port until it has reached all the others. Then TensorFlow's server takes over the port.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from firmware_bridge.errors import LinkError

MEET_S = 600.0
"""Seconds to wait for the workers. A batch queue does not start all of them at the same time."""

TRY_S, PAUSE_S = 2.0, 0.2


def meet(hosts: Sequence[str], me: int) -> None:
    """Wait until every worker answers.

    Args:
        hosts: ``HOST:PORT`` of all workers.
        me: Number of this worker.

    Raises:
        LinkError: A worker does not answer, or the port of this worker is in use.
    """
    missing = [host for i, host in enumerate(hosts) if i != me]
    deadline_s = time.monotonic() + MEET_S
    with _listener(hosts[me]) as own:
        while missing := [host for host in missing if not _answers(host)]:
            _accept_all(own)
            if time.monotonic() > deadline_s:
                raise LinkError(
                    f"no answer from {', '.join(missing[:4])} for {MEET_S:.0f} s",
                    "start all workers of TF_CONFIG with the same list, and check the firewall",
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
        raise LinkError(
            f"this worker cannot listen at {host}: {error.strerror}", "stop the program that uses this port"
        ) from error
    own.setblocking(False)
    return own


def _accept_all(own: socket.socket) -> None:
    """Accept and close waiting connections: reaching the port is the whole message."""
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
