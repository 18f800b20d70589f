"""Lists the serial ports, their USB devices and their users, from /sys, /dev and /proc; opens none of them.

Opening a port can reset the board behind it. Every function takes the root of the file system as an argument, so that
tests can simulate any machine.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
"""File system root of this machine."""
SLOW_TIMER_MS = 2
"""Latency timer above which the user is warned, ms: FTDI's default of 16 ms delays every frame by up to that."""
HOLDERS_MAX = 8
"""Processes that are named, at most; even two are rare."""
COMMAND_CHARS = 60
"""Characters of a command line that are shown."""
PARENTS_MAX = 8
"""Levels of /sys between a port and its USB device, at most; three or four in practice."""
ON_BOARD = ("serial0", "serial1")
"""Names that Raspberry Pi OS gives to the enabled UARTs on its pin header."""


@dataclass(frozen=True, slots=True)
class SerialPort:
    """A serial port of this machine.

    Attributes:
        device: Name that may change on replugging, such as ``/dev/ttyUSB0``.
        by_id: Name that stays with the device; ``None`` if udev made none.
        usb: USB vendor and product id; ``None`` for a UART of the board.
        description: The device's own description; may be empty.
    """

    device: str
    by_id: str | None
    usb: tuple[int, int] | None
    description: str

    @property
    def name(self) -> str:
        """Return the name to use in a URL."""
        return self.by_id or self.device


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port open.

    Attributes:
        pid: Process id; 0 if the process is not visible from here (another container).
        command: Command line, shortened.
    """

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})" if self.pid else "a process that is not visible from here"


def list_ports(root: Path = ROOT) -> list[SerialPort]:
    """Return all ports with a USB device and the enabled UARTs of the board, sorted by name."""
    by_id = _aliases(root / "dev/serial/by-id", root)
    on_board = _aliases(root / "dev", root, ON_BOARD)
    out = []
    for name in _names(root / "sys/class/tty"):
        usb = _usb_folder(root / "sys/class/tty" / name / "device")
        if usb is None and name not in on_board:
            continue
        described = " ".join(filter(None, (_text(usb / part) for part in ("manufacturer", "product")))) if usb else ""
        port = SerialPort(
            device=f"/dev/{name}",
            by_id=by_id.get(name, on_board.get(name)),
            usb=_usb_ids(usb) if usb else None,
            description=described or ("" if usb else "UART on the board"),
        )
        out.append(port)
    return out


def lasting_name(port: str, root: Path = ROOT) -> str | None:
    """Return the by-id name of a port; ``None`` if there is none or the port has one already."""
    if "/by-id/" in port or "/by-path/" in port:
        return None
    return _aliases(root / "dev/serial/by-id", root).get(Path(real_path(root / port.lstrip("/"))).name)


def latency_timer(port: str, root: Path = ROOT) -> tuple[int, str] | None:
    """Return how long the USB chip buffers bytes, ms, and the file that sets it; ``None`` without a timer."""
    name = Path(real_path(root / port.lstrip("/"))).name
    path = f"sys/bus/usb-serial/devices/{name}/latency_timer"
    text = _text(root / path)
    return (int(text), f"/{path}") if text.isdecimal() else None


def holders(port: str, root: Path = ROOT) -> tuple[Holder, ...]:
    """Return other processes that use a port: those with a lock on it, else all visible ones that have it open.

    Only root sees the open files of other users; everyone sees their locks.
    """
    real = real_path(root / port.lstrip("/"))
    try:
        status = os.stat(real)  # noqa: PTH116 - the resolved name is already text
    except OSError:
        return ()
    pids = _lockers(root, f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}")
    if not pids:
        pids = [int(pid) for pid in _names(root / "proc") if pid.isdecimal() and _has_open(root / "proc" / pid, real)]
    found = dict.fromkeys(pid for pid in pids if pid != os.getpid())
    return tuple(Holder(pid, _command(root / "proc" / str(pid))) for pid in list(found)[:HOLDERS_MAX])


def real_path(path: Path) -> str:
    """Return the path without symbolic links. ``realpath`` itself raises if a link disappears meanwhile."""
    try:
        return os.path.realpath(path)
    except OSError:
        return str(path)


def _lockers(root: Path, inode: str) -> list[int]:
    out = []
    for line in _text(root / "proc/locks").splitlines():
        fields = line.split()
        # "1: FLOCK  ADVISORY  WRITE 512 00:1a:3 0 EOF"; a waiting one has "->" in second place.
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5] == inode and fields[4].lstrip("-").isdecimal():
            out.append(max(int(fields[4]), 0))
    return out


def _has_open(process: Path, real: str) -> bool:
    for number in _names(process / "fd"):
        with suppress(OSError):
            if os.readlink(process / "fd" / number) == real:  # noqa: PTH115 - a socket is not a path
                return True
    return False


def _command(process: Path) -> str:
    words = _text(process / "cmdline").replace("\0", " ").split() or [_text(process / "comm") or "a program"]
    line = " ".join([Path(words[0]).name, *words[1:]])
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= COMMAND_CHARS else line[: COMMAND_CHARS - 1] + "…"


def _aliases(folder: Path, root: Path, only: tuple[str, ...] | None = None) -> dict[str, str]:
    out: dict[str, str] = {}
    for name in only or _names(folder):
        with suppress(OSError):
            target = Path(os.readlink(folder / name)).name  # noqa: PTH115 - a dangling link has a name, too
            out.setdefault(target, f"/{(folder / name).relative_to(root)}")
    return out


def _usb_folder(device: Path) -> Path | None:
    at = Path(real_path(device))
    for folder in (at, *list(at.parents)[:PARENTS_MAX]):
        if (folder / "idVendor").exists():
            return folder
    return None


def _usb_ids(folder: Path) -> tuple[int, int] | None:
    try:
        return int(_text(folder / "idVendor"), 16), int(_text(folder / "idProduct"), 16)
    except ValueError:
        return None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - only the names are needed
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
