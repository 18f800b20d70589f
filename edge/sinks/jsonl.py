"""Estimates as JSON Lines, to a file or to standard output."""

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
    """One line an estimate, in a file that is only ever appended to.

    What was written is in the kernel's hands before the call returns, so ``kill -9`` loses nothing; a power cut
    loses at most the last two seconds. An existing file is continued.

    Args:
        path: The file.
    """

    def __init__(self, path: Path | str) -> None:
        self._file = AppendFile(Path(path), starts_with=b"{")

    def open(self) -> None:
        """Open the file and repair its end.

        Raises:
            OutputError: It cannot be written, or holds something else.
        """
        self._file.open()

    def estimate(self, e: Estimate) -> None:
        """Append one line.

        Raises:
            OutputError: The disk is full or failed.
        """
        self._file.write_line(to_json(e))

    def close(self, summary: RunSummary | None = None) -> None:
        """Put everything on the medium.

        Raises:
            OutputError: The medium refused it.
        """
        del summary  # a file of estimates has no place for it
        self._file.close()


class StdoutJsonlSink(BaseSink):
    """One line an estimate on standard output, unbuffered.

    Args:
        fd: File descriptor to write to; standard output where it is ``None``.
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
            SinkClosedError: Nobody reads any more.
            OutputError: It cannot be written.
        """
        fd = 1 if self._fd is None else self._fd
        data = to_json(e).encode("ascii") + b"\n"
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                select.select([], [fd], [])
            except BrokenPipeError:
                raise SinkClosedError("whoever read the output went away") from None
            except OSError as error:
                raise output_error("the output", error) from None


def open_jsonl(out: str) -> JsonlSink | StdoutJsonlSink:
    """The sink for ``--out``: ``-`` is standard output, all else a file."""
    return StdoutJsonlSink() if out == "-" else JsonlSink(out)
