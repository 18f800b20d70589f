"""Progress of long work: task, steps done, speed and time left."""

from __future__ import annotations

import time
from typing import TextIO

TTY_PERIOD_S = 0.5
FILE_PERIOD_S = 15.0
"""Seconds between two lines in a log file. A terminal shows one line that is updated."""


class Progress:
    """One line of progress on a stream.

    Args:
        label: Name of the task.
        total: Number of steps.
        unit: Name of a step, in the plural.
        stream: Stream to write to; ``None`` to write nothing.
        done: Number of steps that earlier runs did.
    """

    def __init__(self, label: str, total: int, unit: str, stream: TextIO | None, done: int = 0) -> None:
        self._label, self._total, self._unit, self._stream = label, total, unit, stream
        self._first = done
        self._start_s = self._shown_s = time.monotonic()
        self._tty = stream is not None and stream.isatty()

    def step(self, done: int, note: str = "", total: int | None = None) -> None:
        """Report the number of steps done. The line is written at most once per period.

        Args:
            done: Steps done, including those of earlier runs.
            note: Text to add to the line.
            total: A new estimate of the number of steps; ``None`` for the last one.
        """
        self._total = total or self._total
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
