"""Opening a serial port so that nobody else has it and no byte waits, and saying why it cannot be opened."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.transports._link import Trouble
from firmware_bridge.transports.serial_ports import (
    ROOT,
    SLOW_TIMER_MS,
    Holder,
    holders,
    lasting_name,
    latency_timer,
    list_ports,
    real_path,
)

if TYPE_CHECKING:
    import serial

READ_TIMEOUT_S = 0.2
"""How long a read waits for a byte; the reader then looks whether it should end."""
WRITE_TIMEOUT_S = 1.0
"""How long a write may take; commands are short."""
PORTS_SHOWN = 5
"""Ports that are suggested where the one that was named is not here."""
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO, errno.ENOTCONN, errno.EBADF}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_BUSY = {errno.EBUSY, errno.EAGAIN}
_NO_TTY = {errno.ENOTTY, errno.EISDIR, errno.EINVAL, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, None}


def open_port(name: str, baud: int) -> serial.Serial:
    """Opens a port for this process alone.

    Raises:
        Trouble: With the reason and what to do.
    """
    try:
        import serial
    except ImportError as error:
        raise Trouble("pyserial is not installed", "pip install pyserial", passes=False) from error
    try:
        # exclusive takes an advisory lock (flock), which works on every kind of port.
        port = serial.Serial(name, baud, timeout=READ_TIMEOUT_S, write_timeout=WRITE_TIMEOUT_S, exclusive=True)
    except (OSError, ValueError) as error:
        raise _explained(name, error) from error
    _claim(port)
    return port


def hints(name: str, root: Path = ROOT) -> list[str]:
    """What a person should know of a port that was just opened, a sentence each; usually nothing."""
    out = []
    lasting = lasting_name(name, root)
    if lasting is not None:
        out.append(f"{name} may have another number after the next plugging in; its lasting name is {lasting}")
    timer = latency_timer(name, root)
    if timer is not None and timer[0] > SLOW_TIMER_MS:
        out.append(
            f"the USB chip of {name} collects bytes for {timer[0]} ms: echo 1 | sudo tee {timer[1]}"
            " (a udev rule makes it last, see docs/troubleshooting.md)"
        )
    others = () if _is_pseudo(name) else holders(name, root)
    if others:
        out.append(f"{name} is also open in {_listed(others)}: each gets a part of the bytes; {release(others)}")
    return out


def gone_reason(name: str, error: Exception) -> str:
    """Why an open port gives no more, from what reading it raised."""
    strerror = getattr(error, "strerror", None)
    if strerror:
        return str(strerror)
    others = holders(name) if Path(name).exists() and not _is_pseudo(name) else ()
    return f"{_listed(others)} reads it, too; {release(others)}" if others else "unplugged"


def release(others: tuple[Holder, ...]) -> str:
    """What frees a port that others have."""
    if any("ModemManager" in holder.command for holder in others):
        return "sudo systemctl disable --now ModemManager"
    pids = " ".join(str(holder.pid) for holder in others if holder.pid)
    return f"end it: kill {pids}" if pids else "end the program that has it"


def _claim(port: serial.Serial) -> None:
    """Keeps other programs off, and asks the driver not to collect bytes for 16 ms as FTDI's does. Best effort."""
    with suppress(Exception):
        import fcntl
        import termios

        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
    with suppress(Exception):
        port.set_low_latency_mode(True)


def _explained(name: str, error: Exception) -> Trouble:
    code = _errno(error)
    if code in _GONE:
        return Trouble(f"no such device: {name}", _ports_here(), passes=True)
    if code in _FORBIDDEN:
        fix = "sudo usermod -aG dialout $USER, then log in again"
        return Trouble(f"no permission to open {name}", fix, passes=False)
    if code in _BUSY:
        others = holders(name)
        who = _listed(others) if others else "another program"
        fix = release(others) if others else f"end the program that has it; sudo fuser -v {name} shows which"
        return Trouble(f"{name} is in use by {who}", fix, passes=False)
    if code in _NO_TTY:
        return Trouble(f"{name} is not a serial port", _ports_here(), passes=False)
    return Trouble(f"{name} cannot be opened: {os.strerror(code or 0)}", "plug it in again", passes=True)


def _errno(error: BaseException) -> int | None:
    code = getattr(error, "errno", None)
    if code is None and error.__context__ is not None:
        # A port that goes while it is being opened: pyserial keeps termios' code only in the text.
        first = error.__context__.args[0] if error.__context__.args else None
        code = first if isinstance(first, int) else None
    return code


def _is_pseudo(name: str) -> bool:
    """Whether it is a pseudo-terminal, which is held open by whoever made it, rightly."""
    return real_path(Path(name)).startswith("/dev/pts/")


def _listed(others: tuple[Holder, ...]) -> str:
    return " and ".join(str(holder) for holder in others)


def _ports_here() -> str:
    found = [port.name for port in list_ports()][:PORTS_SHOWN]
    return f"ports here: {', '.join(found)}" if found else "connect it; no serial port is here now"
