"""What a connection to a broker needs besides its address: the password, and how to encrypt."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from firmware_bridge.errors import UsageError

if TYPE_CHECKING:
    import ssl

    from edge.sinks.mqtt.address import Broker

HERE = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts to which nothing leaves this computer."""


def access(broker: Broker) -> tuple[str | None, ssl.SSLContext | None]:
    """Return the password of a broker's user and the settings of an encrypted connection; ``None`` for none of them.

    Raises:
        UsageError: The password or the certificate file is not usable.
    """
    password, context = broker.password(), None
    if broker.tls:
        from edge.sinks.mqtt.connection import tls_context

        try:
            context = tls_context(broker.ca)
        except OSError as error:
            raise UsageError(
                f"{broker.ca} is not usable as a certificate authority: {error.strerror or 'no certificate in it'}",
                "name a PEM file with ?ca=FILE",
            ) from None
    elif broker.host not in HERE:
        sys.stderr.write(
            f"note: mqtt:// sends estimates{' and password' if password else ''} unencrypted; use mqtts://\n"
        )
    return password, context
