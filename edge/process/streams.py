"""Standard input, output and error of a command, whatever state they arrive in.

A service manager or a shell may start a command with any of them closed, full, or limited to ASCII. None of this may
end it with an internal error or put its messages into a file that happens to get a free descriptor.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any

from firmware_bridge.posix import CLOSE_ON_EXEC

_MEDIUM_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
_closed: set[int] = set()


def prepare_streams() -> None:
    """Make the standard streams safe to use; call it before anything is opened or written.

    A closed stream becomes ``/dev/null``. Standard output escapes what its encoding cannot write. Standard error never
    fails: a message that cannot be written is dropped, because a run must not end with its log.
    """
    for fd, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free descriptor, so this very one.
            os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            os.set_inheritable(fd, True)
            _closed.add(fd)
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # open until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    # A stream that a caller put there, such as a test, stays.
    own = sys.__stderr__
    if own is not None and sys.stderr is own:
        raw = io.BufferedWriter(_QuietFile(2, "wb", closefd=False))
        sys.stderr = io.TextIOWrapper(raw, encoding=own.encoding, errors="backslashreplace", line_buffering=True)


def was_closed(fd: int) -> bool:
    """Return whether a standard stream was closed when the command started."""
    return fd in _closed


def is_medium_fault(error: OSError) -> bool:
    """Return whether the place that was written to failed: a full or read-only disk, a used-up quota, a dead device."""
    return error.errno in _MEDIUM_FAULTS


def discard_output() -> None:
    """Drop what standard output still holds and gets from now on, so that the process can end without an error."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY | CLOSE_ON_EXEC)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


class _QuietFile(io.FileIO):
    """A file that drops what it cannot write."""

    def write(self, data: Any, /) -> int:
        try:
            written = super().write(data)
        except OSError:
            written = None
        return memoryview(data).nbytes if written is None else written
