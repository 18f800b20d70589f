"""An append-only text file that survives a power cut and a full disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from edge.process.files import full_error, output_error, sync_folder
from edge.store.synced import SyncedFile
from firmware_bridge.errors import OutputError
from firmware_bridge.full_disk import FULL_ERRORS, NoWatch, Waiting, Watch
from firmware_bridge.parts import next_part, parts
from firmware_bridge.posix import lock

MAX_TAIL_BYTES = 1 << 20
"""Longest partial last line, bytes; a file with a longer one was not written by the kit."""

RING_BYTES = 256 << 10
"""Lines that wait in memory while the disk is full, bytes: three hours of beats."""


class AppendFile(SyncedFile):
    """Lines appended to one file.

    An existing file is continued; a last line that a power cut left incomplete is removed first. The file is locked, so
    two runs cannot mix their lines. While the disk is full, lines wait in memory, up to `RING_BYTES`.

    Args:
        path: The file, or its first part.
        starts_with: First bytes of a file of this kind; a file that begins differently is refused.
        header: First line of a new file, without its newline; empty for none.
        what: Plural noun for the lines, for messages and counts.
        private: Whether only the owner may read a new file.
        part_bytes: Size at which the next part begins, bytes; ``None`` for one file.
        watch: Takes note of a full disk.

    Attributes:
        first: The file, or its first part.
    """

    def __init__(
        self,
        path: Path,
        starts_with: bytes,
        header: str = "",
        *,
        what: str = "lines",
        private: bool = False,
        part_bytes: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        super().__init__(path, private=private)
        self.first, self._part_bytes = path, part_bytes
        self._starts_with = starts_with
        self._header = header
        self._what = what
        self._waiting = Waiting(what, RING_BYTES, watch or NoWatch())

    def open(self) -> None:
        """Open or create, repair, lock.

        Raises:
            OutputError: The file cannot be written, is of another kind, or another run is writing it.
        """
        try:
            if self._part_bytes is not None:
                self.path = (parts(self.first) or [self.first])[-1]
            self._open()
        except OSError as error:
            self._drop()
            raise output_error(self.path, error) from None
        except OutputError:
            self._drop()
            raise

    def write_line(self, line: str) -> None:
        """Append ``line`` and a newline atomically.

        Raises:
            OutputError: The disk failed or was removed, or something that is no file cannot take the line.
        """
        data = line.encode() + b"\n"
        try:
            if self._part_bytes is not None and self.size >= self._part_bytes and not self._waiting.active:
                self._next_part()
            if self._regular:
                self._waiting.write(data, self.append, self.path)
            else:
                self.append(data)
        except OSError as error:
            raise output_error(self.path, error) from None

    def close(self) -> None:
        """Flush everything to the medium and close the file.

        Raises:
            OutputError: The medium failed, or the disk is still full.
        """
        if self._fd < 0:
            return
        try:
            left = self._end_waiting()
        except OSError as error:
            raise output_error(self.path, error) from None
        finally:
            super().close()
        if left:
            raise full_error(self.path, left, self._what)

    def _end_waiting(self) -> int:
        return self._waiting.end(self.append)

    def _open(self) -> None:
        self._open_fd(0)
        if self._regular:
            self._lock()
            self._repair()
            if self.size == 0:
                with suppress(OSError):  # a new file: its name must survive a power cut, too
                    sync_folder(self.path.parent)
            if self._header and self.size == 0:
                self.append(self._header.encode() + b"\n")
            self._start_syncing()

    def _next_part(self) -> None:
        before = self.path
        super().close()
        try:
            self.path = next_part(self.first)
            self._open()
        except OSError as error:
            self._drop()
            if error.errno not in FULL_ERRORS:
                raise
            # The disk is full right now: go on in the old part until there is room.
            if self.path != before:
                with suppress(OSError):
                    self.path.unlink()
            self.path = before
            self._open()

    def _lock(self) -> None:
        try:
            lock(self._fd)
        except BlockingIOError:
            raise OutputError(f"another run is writing {self.path}", "stop it, or choose another file") from None

    def _repair(self) -> None:
        """Cut off a last line without a newline, and the zeros that some file systems leave after a power cut."""
        self.size = os.fstat(self._fd).st_size
        if self.size == 0:
            return
        head = os.pread(self._fd, len(self._starts_with), 0)
        if not self._starts_with.startswith(head) and head.strip(b"\0"):
            raise OutputError(f"{self.path} exists and has another format", "choose another file")
        start = max(0, self.size - MAX_TAIL_BYTES)
        tail = os.pread(self._fd, MAX_TAIL_BYTES, start)
        keep = tail.rfind(b"\n") + 1
        if keep == 0 and start > 0:
            raise OutputError(f"{self.path} exists and does not consist of lines", "choose another file")
        if keep < len(tail):
            self.size = start + keep
            os.ftruncate(self._fd, self.size)
