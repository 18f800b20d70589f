"""Sinks that write estimates as JSON Lines, to a file or to standard output."""

from __future__ import annotations

import os
import select
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from edge.process.files import output_error
from edge.process.streams import was_closed
from edge.records import to_json
from edge.sinks import BaseSink, SinkClosedError
from edge.sinks._append import AppendFile
from edge.store.blocks import BlockReader, BlockWriter
from edge.store.compact import RING_BYTES
from firmware_bridge.errors import OutputError
from firmware_bridge.full_disk import NoWatch, Waiting

if TYPE_CHECKING:
    from edge.records import Estimate, RunSummary
    from firmware_bridge.full_disk import Watch

STARTS_WITH = b'{"schema":"anyecg.estimate/'
"""Start of every file of estimates: another file of JSON is not continued, nor its last line cut off."""
WAITING_LINES = 64
"""Lines of a block that waits; they are made text again all at once."""


class _EstimateFile(AppendFile):
    """JSON Lines; while the disk is full they wait in the compact form, so that an hour of them fits into memory."""

    def __init__(self, path: Path, watch: Watch | None) -> None:
        super().__init__(path, STARTS_WITH, what="estimates")
        self._blocks = BlockWriter(block_lines=WAITING_LINES)
        self._waiting = Waiting("estimates for --out", RING_BYTES, watch or NoWatch())

    def write_line(self, line: str) -> None:
        """Append ``line`` and a newline atomically.

        Raises:
            OutputError: The disk failed or was removed, or something that is no file cannot take the line.
        """
        try:
            if not self._waiting.active:
                try:
                    self.append(line.encode() + b"\n")
                except OSError as error:
                    if not self._regular:
                        raise
                    self._waiting.begin(error, self.path)
                    self._blocks.restart()
                else:
                    return
            if self._waiting.push(self._blocks.line(line), self._blocks.block):
                self._blocks.restart()
            self._waiting.retry(self._append_block)
        except OSError as error:
            raise output_error(self.path, error) from None

    def _end_waiting(self) -> int:
        return self._waiting.end(self._append_block)

    def _append_block(self, data: bytes) -> None:
        lines = BlockReader(BytesIO(data)).lines()
        self.append(b"".join(line.encode() + b"\n" for line in lines))
        # The block is gone from memory: further lines of it could not be read.
        self._blocks.restart()


class JsonlSink(BaseSink):
    """Writes one line per estimate to an append-only file.

    Each line reaches the kernel before the call returns, so ``kill -9`` loses nothing; a power cut loses at most the
    last two seconds. While the disk is full, lines wait in memory. An existing file is continued.

    Args:
        path: The file.
        watch: Takes note of a full disk.
    """

    def __init__(self, path: Path | str, watch: Watch | None = None) -> None:
        self._file = _EstimateFile(Path(path), watch)

    def open(self) -> None:
        """Open the file and repair its end.

        Raises:
            OutputError: The file cannot be written, or has another format.
        """
        self._file.open()

    def estimate(self, e: Estimate) -> None:
        """Append one line.

        Raises:
            OutputError: The disk failed.
        """
        self._file.write_line(to_json(e))

    def close(self, summary: RunSummary | None = None) -> None:
        """Flush everything to the medium.

        Raises:
            OutputError: The medium failed, or the disk is still full.
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
        """Find standard output.

        Raises:
            OutputError: The command was started with a closed standard output.
        """
        if self._fd is None:
            if was_closed(1):
                raise OutputError("standard output is closed", "open it, or name a file with --out")
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


def open_jsonl(out: str, watch: Watch | None = None) -> JsonlSink | StdoutJsonlSink:
    """Return the sink for ``--out``: ``-`` is standard output, anything else a file."""
    return StdoutJsonlSink() if out == "-" else JsonlSink(out, watch)
