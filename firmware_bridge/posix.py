"""What only POSIX systems have. On Windows the kit reads and writes files, and runs no patch and no model."""

from __future__ import annotations

import os
import sys

from firmware_bridge.errors import UsageError

WINDOWS: bool = sys.platform == "win32"
CLOSE_ON_EXEC: int = getattr(os, "O_CLOEXEC", getattr(os, "O_NOINHERIT", 0)) | getattr(os, "O_BINARY", 0)
"""Flag of `os.open`: children do not inherit the file, and its bytes are not changed."""
NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)


def need_posix(what: str) -> None:
    """Refuse what the kit does on Linux and macOS only.

    Raises:
        UsageError: This is Windows.
    """
    if WINDOWS:
        raise UsageError(f"{what} is not supported on Windows", "use Linux or macOS; on this computer, WSL 2")


def lock(fd: int, *, shared: bool = False) -> None:
    """Lock a file until it is closed; do nothing on Windows, where nothing runs for long.

    Raises:
        BlockingIOError: Another process has locked it.
        OSError: It cannot be locked.
    """
    if WINDOWS:
        return
    import fcntl

    fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
