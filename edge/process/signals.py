"""Ctrl-C, SIGTERM and SIGHUP end a run in an orderly way: once, however often they come within a second."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from firmware_bridge.errors import EXIT_SIGINT, EXIT_SIGTERM

EXIT_CODES = {signal.SIGINT: EXIT_SIGINT, signal.SIGTERM: EXIT_SIGTERM}
if hasattr(signal, "SIGHUP"):  # not on Windows
    EXIT_CODES[signal.SIGHUP] = 129
REPEAT_S = 1.0
"""Time for which further signals are ignored, s. GNU ``timeout`` and some supervisors send two; a user who presses
Ctrl-C again later wants the program to end at once."""


class Stopper:
    """Asks a run to stop at the first signal, and ends the process at one that comes more than a second later.

    When the run has ended because of a signal, further ones are ignored until the process ends, which is about to print
    its summary.

    Args:
        stop: Called once, in a signal handler; it must be safe there.
    """

    def __init__(self, stop: Callable[[signal.Signals], object]) -> None:
        self._stop = stop
        self._first_s: float | None = None
        self._before: dict[signal.Signals, object] = {}

    def install(self) -> None:
        """Install the handlers; a thread other than the main one has none."""
        for number in EXIT_CODES:
            with suppress(ValueError, OSError):
                self._before[number] = signal.signal(number, self._handle)

    def remove(self) -> None:
        """Restore the handlers from before or, after a signal, ignore further ones."""
        for number, handler in self._before.items():
            # Python itself restores the default of its own handlers while it ends, but leaves ignored signals ignored.
            kept = handler if self._first_s is None else signal.SIG_IGN
            signal.signal(number, kept)  # type: ignore[arg-type]  # what signal.signal returned

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        now_s = time.monotonic()
        if self._first_s is None:
            self._first_s = now_s
            self._stop(signal.Signals(number))
        elif now_s - self._first_s > REPEAT_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
