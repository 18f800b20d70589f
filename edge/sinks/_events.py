"""The log of link events in a session folder: bounded per day, however often the program starts."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge.records import utc_text
from edge.sinks._append import AppendFile
from firmware_bridge.parts import parts

if TYPE_CHECKING:
    from firmware_bridge.samples import LinkEvent

DAY_BYTES = 1_000_000
"""Most bytes that the file grows by within any 24 hours."""
_HOURS = 25
"""Clock hours that cover any 24 hours."""
_LIFTED = ("count", "first", "last")
"""Keys of joined events that are written at the top level of the line instead of in ``data``."""


class EventLog:
    """Appends one line per event, or per number of joined events (`edge.intake.gate`).

    The gate already bounds the lines of one run. The limit here also holds for a program that is started again and
    again in the same folder.

    Args:
        file: The file, or its parts; the limit applies to all of them together.
        session: Identifier of the run.

    Attributes:
        omitted: Events so far that did not fit into the limit.
    """

    def __init__(self, file: AppendFile, session: str) -> None:
        self._file, self._session = file, session
        self._hours: deque[list[int]] = deque(maxlen=_HOURS)
        """Clock hour and the bytes written in it."""
        self.omitted = 0

    def open(self) -> None:
        """Open or create the file, and find out how much was written within the last day.

        Raises:
            OutputError: The file cannot be written, or has another format.
        """
        self._file.open()
        for hour, size in _recent(parts(self._file.first)):
            self._book(hour, size)

    def event(self, ev: LinkEvent) -> None:
        """Append a line.

        Raises:
            OutputError: The disk is full or failed.
        """
        now_ns = time.time_ns()
        data = dict(ev.data)
        record: dict[str, object] = {"time": utc_text(now_ns), "session": self._session, "kind": str(ev.kind)}
        record |= {key: data.pop(key) for key in _LIFTED if "count" in ev.data and key in data}
        record |= {"detail": ev.detail, "data": data}
        line = json.dumps(record, separators=(",", ":"), default=str)
        hour = now_ns // (3600 * 10**9)
        used = sum(size for before, size in self._hours if hour - before < _HOURS)
        if used + len(line) + 1 > DAY_BYTES:
            self.omitted += 1
            return
        self._book(hour, len(line) + 1)
        self._file.write_line(line)

    def close(self) -> None:
        """Flush everything to the medium.

        Raises:
            OutputError: The medium failed.
        """
        self._file.close()

    def _book(self, hour: int, size: int) -> None:
        # A clock that was set back writes into the newest hour.
        if self._hours and self._hours[-1][0] >= hour:
            self._hours[-1][1] += size
        else:
            self._hours.append([hour, size])


def _recent(files: Sequence[Path]) -> list[tuple[int, int]]:
    """Return the clock hour and the size of the last lines of the parts, as many as fit into the limit of a day."""
    out: list[tuple[int, int]] = []
    left, now = DAY_BYTES, time.time_ns() // (3600 * 10**9)
    for path in reversed(files):
        tail = _tail(path, left)
        left -= len(tail)
        hours = [(_hour_of(line), len(line)) for line in tail.splitlines(keepends=True)]
        out[:0] = [(hour, size) for hour, size in hours if hour is not None and now - _HOURS < hour <= now]
        if left <= 0:
            break
    return out


def _tail(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read(most)
    except OSError:
        return b""


def _hour_of(line: bytes) -> int | None:
    try:
        text = json.loads(line)["time"]
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) // 3600
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
