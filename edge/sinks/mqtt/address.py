"""The address of a broker, and the password for it.

::

    mqtts://user@broker.lan:8883/prefix?name=bedroom&ca=/etc/anyecg/ca.pem&password_file=/etc/anyecg/mqtt-password

A URL with a password is refused: the list of processes and the shell's history would show it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from edge.process.secret import credential, read_secret
from firmware_bridge.errors import UsageError
from firmware_bridge.suggest import did_you_mean
from firmware_bridge.text import printable

PASSWORD_VARIABLE = "ANYECG_MQTT_PASSWORD"  # noqa: S105 - the name of a variable
CREDENTIAL = "mqtt-password"
"""Name of the password among systemd's credentials."""
PORTS = {"mqtts": 8883, "mqtt": 1883}
KEYS = ("name", "ca", "password_file", "discovery", "every")
PREFIX = "anyecg"
DISCOVERY = "homeassistant"
MAX_NAME_CHARS = 64
MAX_URL_CHARS = 4096
EVERY_S = 10.0
"""Seconds between two states while nothing changes."""

_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,7}")
_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
_EXAMPLE = "write mqtts://USER@HOST/PREFIX"
_SAFE = (
    f"remove it from the URL; set {PASSWORD_VARIABLE}, or write it to a file and add ?password_file=FILE"
    " (a password that was typed in a command is in the shell's history: change it)"
)


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker, and how this patch appears there.

    Attributes:
        host: Name or address of the broker.
        port: TCP port.
        tls: Whether the connection is encrypted.
        user: Name of the user; empty for none.
        prefix: First levels of every topic but those of discovery.
        name: Name of the patch; empty to derive one from this computer and the source.
        ca: File of the certificate authority; ``None`` for those of the system.
        password_file: File with the password.
        discovery: Prefix of Home Assistant's discovery topics; ``None`` for no discovery.
        every_s: Seconds between two states while nothing changes.
    """

    host: str
    port: int
    tls: bool
    user: str = ""
    prefix: str = PREFIX
    name: str = ""
    ca: Path | None = None
    password_file: Path | None = None
    discovery: str | None = DISCOVERY
    every_s: float = field(default=EVERY_S)

    @property
    def place(self) -> str:
        """The broker as messages name it, without the user."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Broker:
        """Parse a URL. No message repeats it, because it could hold a password.

        Raises:
            UsageError: It is not a broker's URL, or has a password.
        """
        if len(text) > MAX_URL_CHARS:
            raise UsageError("the broker's URL is too long", _EXAMPLE)
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise UsageError("the broker's URL has an invalid host or port", _EXAMPLE) from None
        if parts.scheme not in PORTS:
            raise UsageError("the broker's URL must begin with mqtts:// or mqtt://", _EXAMPLE)
        if parts.password is not None:
            raise UsageError("the broker's URL must not hold a password", _SAFE)
        host = parts.hostname or ""
        if not _HOST.fullmatch(host):
            raise UsageError("the broker's URL names no valid host", _EXAMPLE)
        if parts.fragment:
            raise UsageError("the broker's URL must not hold '#'", _EXAMPLE)
        keys = _keys(parts.query)
        tls = parts.scheme == "mqtts"
        if "ca" in keys and not tls:
            raise UsageError("ca= needs an encrypted connection", "write mqtts:// instead of mqtt://")
        discovery = keys.get("discovery", DISCOVERY)
        return cls(
            host=host,
            port=port or PORTS[parts.scheme],
            tls=tls,
            user=_line(unquote(parts.username or ""), "user"),
            prefix=_topic(parts.path.strip("/") or PREFIX, "prefix"),
            name=_line(keys.get("name", ""), "name"),
            ca=Path(keys["ca"]) if "ca" in keys else None,
            password_file=Path(keys["password_file"]) if "password_file" in keys else None,
            discovery=None if discovery == "off" else _topic(discovery, "discovery prefix"),
            every_s=_seconds(keys.get("every", f"{EVERY_S:g}")),
        )

    def password(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """Return the password: from the file, the environment, or systemd's credentials; ``None`` without a user.

        Raises:
            UsageError: There is none for the user, or the file cannot be used.
        """
        if not self.user:
            if self.password_file is not None:
                raise UsageError("password_file= needs a user", "write mqtts://USER@HOST/PREFIX?password_file=FILE")
            return None
        if self.password_file is not None:
            return read_secret(self.password_file, "password")
        if PASSWORD_VARIABLE in environment:
            return environment[PASSWORD_VARIABLE]
        found = credential(CREDENTIAL, "password", environment)
        if found is not None:
            return found
        raise UsageError(
            f"there is no password for the user of {self.place}",
            f"set {PASSWORD_VARIABLE}, or add ?password_file=FILE to the URL",
        )


def _keys(query: str) -> dict[str, str]:
    keys: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in {"password", "pass", "passwd"}:
            raise UsageError("the broker's URL must not hold a password", _SAFE)
        if key not in KEYS:
            known = f"{did_you_mean(key, KEYS)}known keys: {', '.join(KEYS)}"
            raise UsageError(f"the broker's URL has the unknown key '{key}'", known)
        if key in keys:
            raise UsageError(f"the broker's URL has the key '{key}' twice", "keep one")
        if not value:
            raise UsageError(f"the key '{key}' of the broker's URL has no value", f"write {key}=VALUE")
        keys[key] = value
    return keys


def _topic(text: str, what: str) -> str:
    if not _TOPIC.fullmatch(text):
        raise UsageError(
            f"the {what} of the topics has characters that a topic should not have",
            "use letters, digits, '-', '_', and '/' between levels",
        )
    return text


def _line(text: str, what: str) -> str:
    if len(text) > MAX_NAME_CHARS or printable(text) != text:
        raise UsageError(
            f"the {what} in the broker's URL is not usable", f"use at most {MAX_NAME_CHARS} printable characters"
        )
    return text.strip()


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 1.0 <= value <= 3600.0:
        raise UsageError(f"every={text} is outside 1 to 3600 s", "write every=10")
    return value
