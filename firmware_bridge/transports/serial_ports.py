"""Which serial ports are here, what is behind them and who has them: read from /sys, /dev and /proc, never opened.

Opening a port can reset the board behind it, so nothing here does. Every function takes the root of the file system,
so that tests can show it any machine.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
"""The machine itself."""
SLOW_TIMER_MS = 2
"""A latency timer above this is felt: FTDI's default of 16 ms delays every frame by up to that."""
HOLDERS_MAX = 8
"""Processes that are named; more than one is rare already."""
COMMAND_CHARS = 60
"""Of a process's command line that are shown."""
PARENTS_MAX = 8
"""Levels of /sys between a port and the USB device that it belongs to; three or four in practice."""
ON_BOARD = ("serial0", "serial1")
"""Names that Raspberry Pi OS gives the UARTs on its pin header, as far as they are switched on."""


@dataclass(frozen=True, slots=True)
class SerialPort:
    """A serial port of this machine.

    Attributes:
        device: Name that may change at the next plugging in, such as ``/dev/ttyUSB0``.
        by_id: Name that stays with the device; ``None`` where udev made none.
        usb: Vendor and product id; ``None`` for a UART of the board.
        description: What the device calls itself; may be empty.
    """

    device: str
    by_id: str | None
    usb: tuple[int, int] | None
    description: str

    @property
    def name(self) -> str:
        """The name to use in a URL."""
        return self.by_id or self.device


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port open.

    Attributes:
        pid: Its number; 0 where it is outside of what can be seen from here (another container).
        command: Its command line, shortened.
    """

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})" if self.pid else "a process that cannot be seen from here"


def list_ports(root: Path = ROOT) -> list[SerialPort]:
    """All ports with a USB device behind them and the UARTs of the board that are switched on, sorted by name."""
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
    """The by-id name of a port that was named otherwise; ``None`` where there is none or it is one already."""
    if "/by-id/" in port or "/by-path/" in port:
        return None
    return _aliases(root / "dev/serial/by-id", root).get(Path(real_path(root / port.lstrip("/"))).name)


def latency_timer(port: str, root: Path = ROOT) -> tuple[int, str] | None:
    """Milliseconds for which the USB chip collects bytes, and the file that sets it; ``None`` where it has no timer."""
    name = Path(real_path(root / port.lstrip("/"))).name
    path = f"sys/bus/usb-serial/devices/{name}/latency_timer"
    text = _text(root / path)
    return (int(text), f"/{path}") if text.isdecimal() else None


def holders(port: str, root: Path = ROOT) -> tuple[Holder, ...]:
    """Other processes that have a port: those with a lock on it, else all that have it open and can be seen.

    Other users' open files show only to root, their locks to everybody.
    """
    real = real_path(root / port.lstrip("/"))
    try:
        status = os.stat(real)  # noqa: PTH116 - the resolved name is at hand as text
    except OSError:
        return ()
    pids = _lockers(root, f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}")
    if not pids:
        pids = [int(pid) for pid in _names(root / "proc") if pid.isdecimal() and _has_open(root / "proc" / pid, real)]
    found = dict.fromkeys(pid for pid in pids if pid != os.getpid())
    return tuple(Holder(pid, _command(root / "proc" / str(pid))) for pid in list(found)[:HOLDERS_MAX])


def real_path(path: Path) -> str:
    """The path without symbolic links. ``realpath`` itself raises where a link goes while it looks."""
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
            if os.readlink(process / "fd" / number) == real:  # noqa: PTH115 - a socket is no path
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
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are what is needed
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
