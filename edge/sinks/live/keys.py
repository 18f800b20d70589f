"""Keys that a person presses while the live view is on the screen."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TextIO

WAIT_S = 0.25
"""Longest time until the thread sees that the view has closed, s."""


class Keys:
    """Reads single keys from the terminal of the process, in a thread, until it is closed.

    Ctrl-C and Ctrl-Z keep their meaning. In the background, the process is not in charge of the terminal and reads
    nothing.

    Args:
        fd: The terminal.
        calls: What each key calls, in the thread.
    """

    def __init__(self, fd: int, calls: Mapping[str, Callable[[], object]]) -> None:
        import termios
        import tty

        self._fd = fd
        self._calls = calls
        self._before = termios.tcgetattr(fd)
        tty.setcbreak(fd, termios.TCSANOW)
        self._closed = threading.Event()
        threading.Thread(target=self._loop, name="keys", daemon=True).start()

    @classmethod
    def of(cls, output: TextIO, calls: Mapping[str, Callable[[], object]]) -> Keys | None:
        """Return the keys of standard input if it is the terminal of ``output`` and this process may read it."""
        with suppress(OSError, ValueError, ImportError, AttributeError):
            fd = sys.stdin.fileno()
            if os.isatty(fd) and os.ttyname(fd) == os.ttyname(output.fileno()) and _in_charge(fd):
                return cls(fd, calls)
        return None

    def _loop(self) -> None:
        with suppress(OSError, ValueError, RuntimeError):  # the terminal is gone, or the run has ended
            while not self._closed.is_set():
                ready, _, _ = select.select([self._fd], [], [], WAIT_S)
                if not ready or not _in_charge(self._fd):
                    self._closed.wait(0.0 if not ready else WAIT_S)
                    continue
                pressed = os.read(self._fd, 16)
                if not pressed:
                    return
                for key in pressed.decode("ascii", "replace"):
                    if key in self._calls:
                        self._calls[key]()

    def close(self) -> None:
        """Restore the terminal. It may be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        import termios

        with suppress(termios.error, OSError):
            if _in_charge(self._fd):
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)


def _in_charge(fd: int) -> bool:
    return os.tcgetpgrp(fd) == os.getpgrp()
