"""Where the files of the service lie, on this computer or in a folder that holds the system of another one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge.process.files import output_error, write_atomically
from edge.service.unit import GROUPS, TEMPLATE
from firmware_bridge.child import child_environment
from firmware_bridge.errors import CheckFailedError, UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""Name of an instance: nothing that systemd would escape."""
RUNNING = Path("/run/systemd/system")
"""Folder that exists while systemd runs the system; see sd_booted(3)."""
ANSWER_S = 120.0
"""Time that systemctl may take, s; it waits until the service is ready."""


@dataclass(frozen=True, slots=True)
class Place:
    """A system with its files and, if it runs, its service manager.

    Attributes:
        root: Root of the file system.
        live: Whether systemd runs from it; otherwise only files are written.
    """

    root: Path = Path("/")
    live: bool = True

    @property
    def unit(self) -> Path:
        """The unit of all instances."""
        return self.root / "etc/systemd/system" / TEMPLATE

    @property
    def old_unit(self) -> Path:
        """The unit of earlier versions, which had one patch."""
        return self.root / "etc/systemd/system/anyecg.service"

    def options(self, name: str) -> Path:
        """Return the file with the options of an instance."""
        return self.root / "etc/anyecg" / f"{name}.toml"

    def wanted(self, name: str) -> Path:
        """Return the link that starts an instance at boot."""
        return self.root / "etc/systemd/system/multi-user.target.wants" / instance(name)

    def recordings(self, name: str) -> Path:
        """Return the folder in which an instance writes its sessions."""
        return self.root / "var/lib/anyecg" / name

    def names(self) -> list[str]:
        """Return the names of the instances that have options."""
        return sorted(p.stem for p in (self.root / "etc/anyecg").glob("*.toml") if NAME.fullmatch(p.stem))

    def groups(self) -> tuple[str, ...]:
        """Return which of the groups of the service this system has; both if it does not say."""
        try:
            lines = (self.root / "etc/group").read_text("utf-8", "replace").splitlines()
        except OSError:
            return GROUPS
        known = {line.partition(":")[0] for line in lines}
        return tuple(group for group in GROUPS if group in known)

    def write(self, path: Path, text: str) -> bool:
        """Write a file that every user may read; return whether it changed.

        Raises:
            OutputError: It cannot be written.
        """
        if read(path) == text:
            return False
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_atomically(path, text)
            path.chmod(0o644)
        except OSError as error:
            raise output_error(path, error) from None
        return True

    def systemctl(self, *words: str) -> str:
        """Run systemctl and return what it prints.

        Raises:
            CheckFailedError: It failed; the message has its last line.
        """
        command = ["systemctl", *words]
        try:
            done = subprocess.run(  # noqa: S603 - a fixed program; the names are checked
                command, check=False, capture_output=True, text=True, errors="replace", timeout=ANSWER_S,
                env=child_environment(),
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CheckFailedError(f"{' '.join(command)} failed: {error}", "systemctl status") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            unit = words[-1] if words[-1].startswith("anyecg@") else ""
            raise CheckFailedError(
                f"{' '.join(command)} failed: {last}", f"journalctl -n 20 -u {unit}" if unit else "systemctl status"
            )
        return done.stdout


def instance(name: str) -> str:
    """Return the name of an instance of the unit."""
    return TEMPLATE.replace("@", f"@{name}")


def checked_name(name: str) -> str:
    """Return the name of an instance.

    Raises:
        UsageError: systemd or a file system would read it otherwise.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a name for a service", "use up to 32 of a-z, 0-9, - and _")
    return name


def need_systemd(place: Place) -> None:
    """Check that there is a service manager to talk to.

    Raises:
        CheckFailedError: systemd does not run this system.
    """
    if place.live and (not RUNNING.is_dir() or shutil.which("systemctl") is None):
        raise CheckFailedError(
            "systemd does not run this system, so there are no services",
            "start 'anyecg run --wait' by other means; --print shows the unit, --root DIR writes it for another system",
        )


def may_write(place: Place) -> bool:
    """Return whether this user may change the services."""
    return not place.live or os.geteuid() == 0


def read(path: Path) -> str | None:
    """Return the text of a file; ``None`` if there is none."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return None
