"""A file that only grows, and reaches the disk within seconds.

Every write goes to the kernel at once, so a killed process loses nothing. A background thread flushes the file to the
medium, because an SD card can take a second for that and the link must not wait.
"""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

from edge.process.files import output_error, sync_folder
from firmware_bridge.posix import CLOSE_ON_EXEC

SYNC_INTERVAL_S = 2.0
"""Longest time of results that a power failure loses, s."""


class SyncedFile:
    """Bytes appended to one file.

    Args:
        path: The file.
        private: Whether only the owner may read a new file.
    """

    def __init__(self, path: Path, *, private: bool = False) -> None:
        self.path = path
        self.size = 0
        """Size of the file, bytes, without a write that failed half-way."""
        self._mode = 0o600 if private else 0o644
        self._fd = -1
        self._regular = False
        self._dirty = threading.Event()
        self._stop = threading.Event()
        self._sync_error: OSError | None = None
        self._syncer: threading.Thread | None = None

    def open_new(self) -> None:
        """Create the file, which must not exist.

        Raises:
            OSError: The file cannot be created.
        """
        self._open_fd(os.O_EXCL)
        with suppress(OSError):
            sync_folder(self.path.parent)
        self._start_syncing()

    def append(self, data: bytes) -> None:
        """Append ``data``, or leave the file as it was.

        Raises:
            OSError: The disk is full, failed, or was removed; or an earlier flush to the medium failed.
        """
        if self._sync_error is not None:
            error, self._sync_error = self._sync_error, None
            raise error
        try:
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            self._cut_back()
            raise
        self.size += len(data)
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
            raise output_error(self.path, error)

    def _open_fd(self, flags: int) -> None:
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | CLOSE_ON_EXEC | flags, self._mode)
        self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self.size = 0

    def _start_syncing(self) -> None:
        self._stop.clear()
        self._syncer = threading.Thread(target=self._sync_loop, name=f"fsync {self.path.name}", daemon=True)
        self._syncer.start()

    def _cut_back(self) -> None:
        if self._regular:
            with suppress(OSError):  # the next start repairs it
                os.ftruncate(self._fd, self.size)

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
