"""Progress of long work: what, how far, how fast, how long still."""

from __future__ import annotations

import time
from typing import TextIO

TTY_PERIOD_S = 0.5
FILE_PERIOD_S = 15.0
"""A log file gets a line now and then; a terminal gets one line that moves."""


class Progress:
    """One line of progress on a stream.

    Args:
        label: What is being done.
        total: Number of steps.
        unit: What a step is, in the plural.
        stream: Where to write; ``None`` for silence.
        done: Steps that were done before this run.
    """

    def __init__(self, label: str, total: int, unit: str, stream: TextIO | None, done: int = 0) -> None:
        self._label, self._total, self._unit, self._stream = label, total, unit, stream
        self._first = done
        self._start_s = self._shown_s = time.monotonic()
        self._tty = stream is not None and stream.isatty()

    def step(self, done: int, note: str = "") -> None:
        """Report ``done`` steps in all; writes only when it is time to.

        Args:
            done: Steps done, earlier runs included.
            note: Something to add to the line.
        """
        now = time.monotonic()
        due = now - self._shown_s >= (TTY_PERIOD_S if self._tty else FILE_PERIOD_S)
        if self._stream is None or not (due or done >= self._total):
            return
        self._shown_s = now
        rate = (done - self._first) / max(now - self._start_s, 1e-9)
        left_s = (self._total - done) / rate if rate > 0 else float("inf")
        left = f"{int(left_s // 60)}:{int(left_s % 60):02d} left" if left_s < 1e6 else "?"
        line = f"{self._label}: {done}/{self._total} {self._unit}, {rate:.1f}/s, {left} {note}".rstrip()
        if self._tty:
            self._stream.write(f"\r\x1b[K{line}" + ("\n" if done >= self._total else ""))
        else:
            self._stream.write(line + "\n")
        self._stream.flush()
