"""The address at which the page is served, and the hosts by which a browser may ask for it."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from firmware_bridge.errors import UsageError

MAX_CHARS = 300
_ADDRESS = re.compile(r"(?:(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]):)?(?P<port>[0-9]{1,5})")
_HOST = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_EXAMPLE = "write --http 127.0.0.1:8080, or --http 0.0.0.0:8080 for other computers"
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Hosts that name this computer in a browser on it."""


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """An address to listen at.

    Attributes:
        host: Address or name, without brackets.
        port: TCP port; 0 for any free one.
        family: ``socket.AF_INET`` or ``socket.AF_INET6``.
        place: The address of the socket.
    """

    host: str
    port: int
    family: int
    place: tuple[Any, ...]

    @classmethod
    def parse(cls, text: str) -> HttpAddress:
        """Parse ``HOST:PORT``, ``[IPV6]:PORT`` or ``PORT``; without a host it is this computer alone.

        Raises:
            UsageError: It is not an address, or its host is unknown.
        """
        found = _ADDRESS.fullmatch(text) if len(text) <= MAX_CHARS else None
        if found is None or int(found["port"]) > 65535:
            raise UsageError("the address of the page must be HOST:PORT", _EXAMPLE)
        host, port = (found["host"] or "127.0.0.1").strip("[]"), int(found["port"])
        try:
            known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError):
            raise UsageError(f"the host '{host}' of the page is unknown", _EXAMPLE) from None
        family, _type, _protocol, _name, place = known[0]
        return cls(host, port, family, tuple(place))

    @property
    def loopback(self) -> bool:
        """Whether only programs on this computer can reach it."""
        return is_loopback(str(self.place[0]))

    @property
    def everywhere(self) -> bool:
        """Whether it is the wildcard address, at which a server listens on all interfaces."""
        return ip_address(str(self.place[0])).is_unspecified

    def url(self, port: int) -> str:
        """Return the address of the page for a browser.

        Args:
            port: The port in use.
        """
        host = own_address(self.family) if self.everywhere else self.host
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def allows(self, host: str) -> bool:
        """Return whether a browser may ask for this host.

        A page of another site can let a browser resolve its own name to 127.0.0.1 (DNS rebinding), and would then
        read what only this computer may see. Such a request still names the other site. At other addresses the token
        is the protection.

        Args:
            host: The ``Host`` header.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        if not self.loopback:
            return True
        name = found["host"].lower()
        return name in _OWN_NAMES or name.strip("[]") in {self.host.lower(), str(self.place[0])}


def is_loopback(address: str) -> bool:
    """Return whether a numeric address is one of this computer alone."""
    return ip_address(address).is_loopback


def own_address(family: int) -> str:
    """Return the address by which other computers most likely reach this one; its name if there is no network."""
    target = ("2001:db8::1", 9) if family == socket.AF_INET6 else ("192.0.2.1", 9)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(target)  # chooses a route; a datagram socket sends nothing by it
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()
