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
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - names, nothing is written there
HIDDEN = _HOMES + _TEMPORARY
"""Folders that the service does not see."""
_SEAL = "# Written by 'anyecg service install'; for changes: sudo systemctl edit anyecg@NAME\n# sha256 "
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
_FIX = "install it in /opt/anyecg"


def render(python: Path | None = None, groups: Sequence[str] = GROUPS) -> str:
    """Return the unit for one installation of the kit, sealed.

    Args:
        python: The interpreter of the installation; by default that of this process.
        groups: Groups of the service, of those that this computer has: an unknown one would keep it from starting.

    Raises:
        UsageError: The path of the installation has characters that systemd or the shell would read otherwise.
    """
    python = python or Path(sys.executable)
    homes = [path for path in _places(python) if lies_in(path, _HOMES)]
    for path in (python, *homes):
        if not _PLAIN.fullmatch(str(path)):
            raise UsageError(f"{path} of the installation has characters that a unit cannot hold", _FIX)
    home = ["ProtectHome=yes"]
    if homes:
        # The kit lies in a home: only its own folders are visible, read-only.
        home = ["ProtectHome=tmpfs", *(f"BindReadOnlyPaths={path}" for path in homes)]
    text = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    return seal(
        text.replace("@ANYECG@", _command(python))
        .replace("@GROUPS@", " ".join(groups))
        .replace("@HOME@", "\n".join(home))
    )


def need_visible(python: Path | None = None) -> None:
    """Check that a service sees the installation of the kit.

    Args:
        python: As for `render`.

    Raises:
        UsageError: A part of it lies in a folder for temporary files, of which every service has its own.
    """
    for path in _places(python or Path(sys.executable)):
        if lies_in(path, _TEMPORARY):
            raise UsageError(f"the kit is installed in {path}, which no service can see", _FIX)


def lies_in(path: Path, folders: Sequence[str]) -> bool:
    """Return whether a path lies in one of the folders, before or after links are followed."""
    return any(one.is_relative_to(folder) for one in (path, path.resolve()) for folder in folders)


def seal(text: str) -> str:
    """Return the text with its seal in front."""
    return f"{_SEAL}{_digest(text)}\n{text}"


def sealed(text: str) -> bool:
    """Return whether a unit is as this program wrote it, in this version or another one."""
    digest, _end, rest = text.removeprefix(_SEAL).partition("\n")
    return text.startswith(_SEAL) and digest == _digest(rest)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _command(python: Path) -> str:
    script = python.with_name("anyecg")
    return str(script) if script.exists() else f"{python} -P -m edge.cli"


def _places(python: Path) -> list[Path]:
    """Return the folders of an installation: the environment, its interpreter, and the kit if it lies elsewhere."""
    found = {python.parent.parent}
    if python == Path(sys.executable):
        found |= {Path(sys.prefix), Path(sys.base_prefix)}
        kit = Path(__file__).parents[2]
        if not any(kit.is_relative_to(path) for path in found):
            found.add(kit)  # an editable installation
    return sorted(found)
