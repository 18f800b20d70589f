"""Opens a serial port exclusively and with low latency, and explains why it cannot be opened."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.transports._link import SOON_S, Trouble
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
"""Time that a read waits for a byte, in seconds; the reader then checks whether to end."""
WRITE_TIMEOUT_S = 1.0
"""Time that a write may take, in seconds; commands are short."""
PORTS_SHOWN = 5
"""Ports that are suggested if the named one does not exist."""
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO, errno.ENOTCONN, errno.EBADF}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_BUSY = {errno.EBUSY, errno.EAGAIN}
_NO_TTY = {errno.ENOTTY, errno.EISDIR, errno.EINVAL, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, None}


def open_port(name: str, baud: int) -> serial.Serial:
    """Open a port for this process only.

    Raises:
        Trouble: The port cannot be opened; the message has the reason and what to do.
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


def identity(name: str) -> tuple[int, ...]:
    """Return what changes when a port comes, goes, is replaced or gets other permissions; empty without a port."""
    try:
        status = os.stat(name)  # noqa: PTH116 - the name is text, and this runs several times a second
    except (OSError, ValueError):
        return ()
    return (
        status.st_dev,
        status.st_ino,
        status.st_rdev,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_ctime_ns,
    )


def hints(name: str, root: Path = ROOT) -> list[str]:
    """Return hints about a port that was just opened, one sentence each; usually none."""
    out = []
    lasting = lasting_name(name, root)
    if lasting is not None:
        out.append(f"{name} may get another number when it is plugged in again; its permanent name is {lasting}")
    timer = latency_timer(name, root)
    if timer is not None and timer[0] > SLOW_TIMER_MS:
        out.append(
            f"the USB chip of {name} buffers bytes for {timer[0]} ms: echo 1 | sudo tee {timer[1]}"
            " (a udev rule makes this permanent, see docs/troubleshooting.md)"
        )
    others = () if _is_pseudo(name) else holders(name, root)
    if others:
        out.append(f"{name} is also open in {_listed(others)}: each program gets part of the bytes; {release(others)}")
    return out


def gone_reason(name: str, error: Exception) -> str:
    """Return why an open port fails, from the exception of a read."""
    strerror = getattr(error, "strerror", None)
    if strerror:
        return str(strerror)
    others = holders(name) if Path(name).exists() and not _is_pseudo(name) else ()
    return f"{_listed(others)} also reads it; {release(others)}" if others else "unplugged"


def release(others: tuple[Holder, ...]) -> str:
    """Return the action that releases a port held by other programs."""
    if any("ModemManager" in holder.command for holder in others):
        return "sudo systemctl disable --now ModemManager"
    pids = " ".join(str(holder.pid) for holder in others if holder.pid)
    return f"end it: kill {pids}" if pids else "end the program that uses it"


def _claim(port: serial.Serial) -> None:
    """Lock the port, and asks the driver not to buffer bytes for 16 ms as FTDI's does. Best effort."""
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
        fix = release(others) if others else f"end the program that uses it; sudo fuser -v {name} shows which"
        # Nothing shows from outside that a port is released.
        return Trouble(f"{name} is in use by {who}", fix, passes=False, retry_s=SOON_S)
    if code in _NO_TTY:
        return Trouble(f"{name} is not a serial port", _ports_here(), passes=False)
    return Trouble(f"{name} cannot be opened: {os.strerror(code or 0)}", "plug it in again", passes=True)


def _errno(error: BaseException) -> int | None:
    code = getattr(error, "errno", None)
    if code is None and error.__context__ is not None:
        # A port removed while it is being opened: pyserial keeps the termios code only in the text.
        first = error.__context__.args[0] if error.__context__.args else None
        code = first if isinstance(first, int) else None
    return code


def _is_pseudo(name: str) -> bool:
    """Return whether it is a pseudo-terminal, which its creator rightly holds open."""
    return real_path(Path(name)).startswith("/dev/pts/")


def _listed(others: tuple[Holder, ...]) -> str:
    return " and ".join(str(holder) for holder in others)


def _ports_here() -> str:
    found = [port.name for port in list_ports()][:PORTS_SHOWN]
    return f"available ports: {', '.join(found)}" if found else "connect it; there is no serial port now"
