"""An append-only text file that survives a power cut and a full disk.

Every complete line goes to the kernel at once, so a killed process loses nothing. A background thread flushes it to the
medium, because an SD card can take a second for that and the link must not wait.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

from edge.process.files import output_error
from firmware_bridge.errors import OutputError

SYNC_INTERVAL_S = 2.0
"""Longest time of results that a power failure loses, s."""

MAX_TAIL_BYTES = 1 << 20
"""Longest partial last line, bytes; a file with a longer one was not written by the kit."""


class AppendFile:
    """Lines appended to one file.

    An existing file is continued; a last line that a power cut left incomplete is removed first. The file is locked, so
    two runs cannot mix their lines.

    Args:
        path: The file.
        starts_with: First bytes of a file of this kind; a file that begins differently is refused.
        header: First line of a new file, without its newline; empty for none.
    """

    def __init__(self, path: Path, starts_with: bytes, header: str = "") -> None:
        self._path = path
        self._starts_with = starts_with
        self._header = header
        self._fd = -1
        self._regular = False
        self._size = 0
        self._dirty = threading.Event()
        self._stop = threading.Event()
        self._sync_error: OSError | None = None
        self._syncer: threading.Thread | None = None

    def open(self) -> None:
        """Open or create, repair, lock.

        Raises:
            OutputError: The file cannot be written, is of another kind, or another run is writing it.
        """
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
            if self._regular:
                self._lock()
                self._repair()
        except OSError as error:
            self._drop()
            raise output_error(self._path, error) from None
        except OutputError:
            self._drop()
            raise
        if self._regular:
            if self._header and self._size == 0:
                self.write_line(self._header)
            self._syncer = threading.Thread(target=self._sync_loop, name=f"fsync {self._path.name}", daemon=True)
            self._syncer.start()

    def write_line(self, line: str) -> None:
        """Append ``line`` and a newline atomically.

        Raises:
            OutputError: The disk is full, failed, or was removed.
        """
        if self._sync_error is not None:
            error, self._sync_error = self._sync_error, None
            raise output_error(self._path, error)
        data = line.encode() + b"\n"
        try:
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            self._cut_back()
            raise output_error(self._path, error) from None
        self._size += len(data)
        self._dirty.set()

    def close(self) -> None:
        """Flush everything to the medium and close the file.

        Raises:
            OutputError: The medium failed.
        """
        if self._fd < 0:
            return
        self._stop.set()
        self._dirty.set()
        if self._syncer is not None:
            self._syncer.join()
        error = self._sync_error
        try:
            if self._regular:
                os.fsync(self._fd)
        except OSError as late:
            error = late
        self._drop()
        if error is not None:
            raise output_error(self._path, error)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"another run is writing {self._path}", "stop it, or choose another file") from None

    def _repair(self) -> None:
        """Cut off a last line without a newline, and the zeros that some file systems leave after a power cut."""
        self._size = os.fstat(self._fd).st_size
        if self._size == 0:
            return
        head = os.pread(self._fd, len(self._starts_with), 0)
        if not self._starts_with.startswith(head) and head.strip(b"\0"):
            raise OutputError(f"{self._path} exists and has another format", "choose another file")
        start = max(0, self._size - MAX_TAIL_BYTES)
        tail = os.pread(self._fd, MAX_TAIL_BYTES, start)
        keep = tail.rfind(b"\n") + 1
        if keep == 0 and start > 0:
            raise OutputError(f"{self._path} exists and does not consist of lines", "choose another file")
        if keep < len(tail):
            self._size = start + keep
            os.ftruncate(self._fd, self._size)

    def _cut_back(self) -> None:
        if self._regular:
            try:
                os.ftruncate(self._fd, self._size)
            except OSError:
                return  # the next start repairs it

    def _sync_loop(self) -> None:
        while not self._stop.is_set():
            self._dirty.wait()
            self._dirty.clear()
            if self._stop.wait(SYNC_INTERVAL_S):
                return
            try:
                os.fsync(self._fd)
            except OSError as error:
                self._sync_error = error
                return

    def _drop(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
