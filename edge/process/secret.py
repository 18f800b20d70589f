"""Secrets: in files that only their owner can read, or among the credentials of systemd. Never in an argument."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from firmware_bridge.errors import UsageError
from firmware_bridge.reading import read_limited

MAX_BYTES = 4096


def read_secret(path: Path, what: str, *, private: bool = True) -> str:
    """Return the only line of a file.

    Args:
        path: The file.
        what: The kind of secret, for messages: ``password`` or ``token``.
        private: Whether to refuse a file that every user can read.

    Raises:
        UsageError: The file cannot be read, can be read by everybody, or does not hold one line.
    """
    try:
        if private and path.stat().st_mode & 0o007:
            raise UsageError(f"the {what} in {path} can be read by every user", f"chmod 600 {path}")
        data = read_limited(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(
            f"cannot read the {what} in {path}: {error.strerror}", "check the path and its permissions"
        ) from None
    lines = data.decode("utf-8", "replace").splitlines()
    if len(lines) != 1 or not lines[0]:
        raise UsageError(f"{path} does not hold a {what}", f"write the {what} as its only line")
    return lines[0]


def credential(name: str, what: str, environment: Mapping[str, str]) -> str | None:
    """Return the secret that systemd passes to a service; ``None`` if it passes none of this name.

    Args:
        name: Name of the credential.
        what: The kind of secret, for messages.
        environment: Variables of the process.

    Raises:
        UsageError: The file cannot be read, or does not hold one line.
    """
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = None if folder is None else Path(folder) / name
    return read_secret(path, what, private=False) if path is not None and path.exists() else None
