"""A sink: ``--sink csv:rate.csv`` writes time, heart rate and the reason of an abstention, one row for each hop."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from edge.records import Estimate, RunSummary
from edge.sinks import BaseSink
from firmware_bridge.errors import OutputError, UsageError


def open_csv(rest: str) -> CsvSink:
    """Return the sink for the text after ``csv:``."""
    if not rest:
        raise UsageError("the sink csv names no file", "write --sink csv:FILE")
    return CsvSink(Path(rest))


class CsvSink(BaseSink):
    """Overrides what it needs of the six methods of a sink."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def open(self) -> None:
        """Create the file."""
        try:
            self._file = self._path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}", "choose another file") from None
        self._file.write("time,heart_rate_bpm,abstained\n")

    def estimate(self, e: Estimate) -> None:
        """Write one row."""
        if self._file is not None:
            rate = "" if e.heart_rate_bpm is None else f"{e.heart_rate_bpm:.1f}"
            self._file.write(f"{e.time},{rate},{e.abstained or ''}\n")

    def close(self, summary: RunSummary | None) -> None:
        """Close the file."""
        del summary
        if self._file is not None:
            self._file.close()
