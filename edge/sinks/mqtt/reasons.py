"""Why a broker cannot be used, in words for people."""

from __future__ import annotations

import socket


def refusal(answer: str) -> str:
    """Return the answer of a broker that refuses a connection, with advice."""
    advice = {
        "Not authorized": "not authorized; check user and password",
        "Bad user name or password": "wrong user or password",
        "Unsupported protocol version": "the broker does not speak MQTT 5; update it",
    }
    return advice.get(answer, answer.lower())


def reason(error: Exception, *, tls: bool) -> str:
    """Return why a connection could not be made.

    Args:
        error: The error of the network.
        tls: Whether the connection was to be encrypted.
    """
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid here: {error.verify_message}; add ?ca=FILE for an authority of your own"
    if isinstance(error, ssl.SSLError) or (tls and isinstance(error, ConnectionResetError)):
        return "it does not encrypt the connection; is this its port for TLS?"
    if isinstance(error, socket.gaierror):
        return "unknown host name"
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return str(error)
