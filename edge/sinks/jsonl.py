"""Sinks that write estimates as JSON Lines, to a file or to standard output."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge.process.files import output_error
from edge.records import to_json
from edge.sinks import BaseSink, SinkClosedError
from edge.sinks._append import AppendFile

if TYPE_CHECKING:
    from edge.records import Estimate, RunSummary


class JsonlSink(BaseSink):
    """Writes one line per estimate to an append-only file.

    Each line reaches the kernel before the call returns, so ``kill -9`` loses nothing; a power cut loses at most the
    last two seconds. An existing file is continued.

    Args:
        path: The file.
    """

    def __init__(self, path: Path | str) -> None:
        self._file = AppendFile(Path(path), starts_with=b"{")

    def open(self) -> None:
        """Open the file and repair its end.

        Raises:
            OutputError: The file cannot be written, or has another format.
        """
        self._file.open()

    def estimate(self, e: Estimate) -> None:
        """Append one line.

        Raises:
            OutputError: The disk is full or failed.
        """
        self._file.write_line(to_json(e))

    def close(self, summary: RunSummary | None = None) -> None:
        """Flush everything to the medium.

        Raises:
            OutputError: The medium failed.
        """
        del summary  # a file of estimates has no place for it
        self._file.close()


class StdoutJsonlSink(BaseSink):
    """Writes one line per estimate to standard output, unbuffered.

    Args:
        fd: File descriptor to write to; ``None`` for standard output.
    """

    def __init__(self, fd: int | None = None) -> None:
        self._fd = fd

    def open(self) -> None:
        """Find standard output."""
        if self._fd is None:
            sys.stdout.flush()
            self._fd = sys.stdout.fileno()

    def estimate(self, e: Estimate) -> None:
        """Write one line.

        Raises:
            SinkClosedError: The reader has closed the output.
            OutputError: The estimate cannot be written.
        """
        fd = 1 if self._fd is None else self._fd
        data = to_json(e).encode("ascii") + b"\n"
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                select.select([], [fd], [])
            except BrokenPipeError:
                raise SinkClosedError("the reader has closed the output") from None
            except OSError as error:
                raise output_error("the output", error) from None


def open_jsonl(out: str) -> JsonlSink | StdoutJsonlSink:
    """Return the sink for ``--out``: ``-`` is standard output, anything else a file."""
    return StdoutJsonlSink() if out == "-" else JsonlSink(out)
