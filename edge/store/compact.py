"""The estimates of a session on disk, in the compact form and in parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edge.process.files import full_error, output_error
from edge.store.blocks import BlockWriter
from edge.store.synced import SyncedFile
from firmware_bridge.full_disk import NoWatch, Waiting, Watch
from firmware_bridge.parts import next_part

RING_BYTES = 4 << 20
"""Estimates that wait in memory while the disk is full, bytes: an hour of 108 outputs every second needs half of it."""
PART_S = 86400.0
"""Longest time of one part, s, so that old parts can be removed by age."""


class CompactFile:
    """Lines appended to the parts of one sequence. Every opening begins a new part; no file is ever repaired.

    Args:
        first: Name of the first part.
        part_bytes: Size at which the next part begins, bytes; ``None`` for one part.
        watch: Takes note of a full disk.
        rotated: Called after a part is closed.
    """

    def __init__(
        self,
        first: Path,
        part_bytes: int | None = None,
        watch: Watch | None = None,
        rotated: Callable[[], None] = lambda: None,
    ) -> None:
        self._first, self._part_bytes, self._rotated = first, part_bytes, rotated
        self._waiting = Waiting("estimates", RING_BYTES, watch or NoWatch())
        self._file: SyncedFile | None = None
        self._blocks = BlockWriter()
        self._began_s = 0.0

    def write_line(self, line: str) -> None:
        """Append ``line``. While the disk is full it waits in memory.

        Raises:
            OutputError: The disk failed or was removed.
        """
        try:
            if self._file is not None and not self._waiting.active and self._over(self._file):
                self._end_part()
            data = self._blocks.line(line)
            if self._waiting.write(data, self._append, self._path, self._blocks.block):
                self._blocks.restart()
        except OSError as error:
            raise output_error(self._path, error) from None

    def close(self) -> None:
        """Flush everything to the medium and close the file.

        Raises:
            OutputError: The medium failed, or the disk is still full.
        """
        try:
            left = self._waiting.end(self._append)
        except OSError as error:
            raise output_error(self._path, error) from None
        finally:
            file, self._file = self._file, None
            if file is not None:
                file.close()
        if left:
            raise full_error(self._path, left, "estimates")

    @property
    def _path(self) -> Path:
        return self._first if self._file is None else self._file.path

    def _append(self, data: bytes) -> None:
        if self._file is None:
            file = SyncedFile(next_part(self._first), private=True)
            file.open_new()
            self._file, self._began_s = file, time.monotonic()
        self._file.append(data)

    def _over(self, file: SyncedFile) -> bool:
        big = self._part_bytes is not None and file.size >= self._part_bytes
        return big or time.monotonic() - self._began_s > PART_S

    def _end_part(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self._blocks = BlockWriter()
        self._rotated()
