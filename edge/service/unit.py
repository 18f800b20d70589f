"""The text of the unit: the template in this package, for the place where the kit is installed, with a seal.

The seal is a hash in the first lines. A unit whose seal does not fit was changed by hand and is not overwritten.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from firmware_bridge.errors import UsageError

TEMPLATE = "anyecg@.service"
"""Name of the unit, in this package and in systemd's folder."""
GROUPS = ("dialout", "bluetooth")
"""Groups that may open serial ports and use BlueZ."""
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - names, nothing is written there
"""Folders that the service does not see."""
_HOMES = HIDDEN[:3]
_SEAL = "# Written by 'anyecg service install'; for changes: sudo systemctl edit anyecg@NAME\n# sha256 "
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")


def render(python: Path | None = None, groups: Sequence[str] = GROUPS) -> str:
    """Return the unit for one installation of the kit, sealed.

    Args:
        python: The interpreter of the installation; by default that of this process.
        groups: Groups of the service, of those that this computer has: an unknown one would keep it from starting.

    Raises:
        UsageError: The path of the installation has characters that systemd or the shell would read otherwise.
    """
    command, homes = _command(python or Path(sys.executable))
    home = ["ProtectHome=yes"]
    if homes:
        # The kit lies in a home: only its own folders are visible, read-only.
        home = ["ProtectHome=tmpfs", *(f"BindReadOnlyPaths={path}" for path in homes)]
    text = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    return seal(
        text.replace("@ANYECG@", command).replace("@GROUPS@", " ".join(groups)).replace("@HOME@", "\n".join(home))
    )


def seal(text: str) -> str:
    """Return the text with its seal in front."""
    return f"{_SEAL}{_digest(text)}\n{text}"


def sealed(text: str) -> bool:
    """Return whether a unit is as this program wrote it, in this version or another one."""
    digest, _end, rest = text.removeprefix(_SEAL).partition("\n")
    return text.startswith(_SEAL) and digest == _digest(rest)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _command(python: Path) -> tuple[str, list[Path]]:
    """Return the command that starts the kit, and the folders of the installation that lie in a home."""
    script = python.with_name("anyecg")
    command = str(script) if script.exists() else f"{python} -P -m edge.cli"
    if not _PLAIN.fullmatch(str(python)):
        raise UsageError(
            f"the kit is installed in {python.parent}, whose name has characters that a unit cannot hold",
            "install it in /opt/anyecg",
        )
    places = {python.parent.parent, *(Path(p) for p in (sys.prefix, sys.base_prefix) if python == Path(sys.executable))}
    return command, sorted(place for place in places if str(place).startswith(tuple(f"{home}/" for home in _HOMES)))
