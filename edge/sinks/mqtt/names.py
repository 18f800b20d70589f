"""Names of topics and entities. What a bundle or a URL says is cleaned before it becomes a part of one."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterable
from pathlib import Path

MAX_SLUG_CHARS = 64
_OTHER = re.compile(r"[^a-z0-9]+")


def slug(text: str) -> str:
    """Return text as lower-case letters, digits and underscores; ``x`` if nothing is left."""
    return _OTHER.sub("_", text.lower()).strip("_")[:MAX_SLUG_CHARS] or "x"


def slugs(keys: Iterable[str]) -> dict[str, str]:
    """Return a slug for each key; keys that would share one get a number."""
    out: dict[str, str] = {}
    used: set[str] = set()
    for key in keys:
        base = name = slug(key)
        number = 2
        while name in used:
            name, number = f"{base}_{number}", number + 1
        used.add(name)
        out[key] = name
    return out


def node_id(name: str, source_url: str) -> str:
    """Return the identifier of a patch in topics.

    By default a keyed hash of the source: the same after every start, but neither the address of the patch, nor the
    name of a recording, which may be a person's, can be found from it.

    Args:
        name: Name that the user has chosen; empty for none.
        source_url: URL of the source.
    """
    if name:
        return slug(name)
    path = re.sub(r"(?<=[?&])(speed|wait)=[^&]*&?", "", source_url).rstrip("?&")
    return hashlib.blake2b(path.encode("utf-8", "replace"), digest_size=4, key=_machine()).hexdigest()


def _machine() -> bytes:
    """Return what only this computer knows, as machine-id(5) asks for: the number itself never leaves it."""
    try:
        number = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        number = b""
    return hashlib.sha256(b"anyecg-mqtt\0" + (number or socket.gethostname().encode())).digest()
