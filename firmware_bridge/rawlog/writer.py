"""Writes raw recordings."""

from __future__ import annotations

import errno
import json
import os
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from firmware_bridge.errors import OutputError
from firmware_bridge.full_disk import FULL_ERRORS, NoWatch, Waiting, Watch
from firmware_bridge.items import DATA_CHANNEL, RawChunk, TransportItem
from firmware_bridge.posix import CLOSE_ON_EXEC
from firmware_bridge.rawlog.format import (
    CHANNEL,
    EVENT,
    FOLLOWS,
    MAGIC,
    PAYLOAD_MAX,
    RECEIVED,
    SENT,
    U32,
    RawLogHeader,
    header_json,
    record,
)

SYNC_S = 2.0
"""Longest time between a write and the sync to the disk."""
RING_BYTES = 8 << 20
"""Records that wait in memory while the disk is full, bytes: two hours of one lead at 250 Hz."""
NAME_EVERY_NS = 60 * 10**9
"""Time after which the name of a channel is repeated, ns, for a reader that lost the record before."""


class RawLogWriter:
    """Writes a recording. Each call passes its records to the operating system: they survive a killed process.

    A separate thread syncs to the disk every two seconds, because a sync may block for long on an SD card. While the
    disk is full, records wait in memory, up to `RING_BYTES`.

    Args:
        path: File to create; it must not exist (a recording is never overwritten).
        header: Header of the recording.
        watch: Takes note of a full disk.

    Raises:
        OutputError: The file cannot be written.
    """

    def __init__(self, path: Path, header: RawLogHeader, watch: Watch | None = None) -> None:
        self.path = path
        self._header = header
        self._next: Callable[[], Path] | None = None
        self._part_bytes = 0
        self._part_ended: Callable[[], None] = lambda: None
        self.dropped = 0
        """Records that arrived after the disk failed."""
        self._channels = {DATA_CHANNEL: 0}
        self._named_ns: dict[str, int] = {}
        self._failed = False
        self._fd, self._size = -1, 0
        self._last_ns = 0
        self.watch(watch or NoWatch())
        self._dirty = threading.Event()
        self._stop = threading.Event()
        try:
            self._begin(path, header)
        except OSError as error:
            raise _output_error(path, error) from error
        self._thread = threading.Thread(target=self._sync_loop, name="rawlog-sync", daemon=True)
        self._thread.start()

    def watch(self, watch: Watch) -> None:
        """Let ``watch`` take note of a full disk; to be called before the first record."""
        self._waiting = Waiting("raw frames", RING_BYTES, watch)

    def split(self, part_bytes: int, following: Callable[[], Path], ended: Callable[[], None]) -> None:
        """Go on in another file whenever one has reached a size; a reader of the first reads them all.

        Args:
            part_bytes: That size, bytes.
            following: Returns the path of the next part, in the same folder.
            ended: Called after a part is closed.
        """
        self._part_bytes, self._next, self._part_ended = part_bytes, following, ended

    def item(self, item: TransportItem) -> None:
        """Append received bytes or a link event.

        Raises:
            OutputError: The disk failed just now. Raised once; later records are counted in ``dropped``.
        """
        if isinstance(item, RawChunk):
            self._bytes(RECEIVED, item.arrival_ns, item.channel, item.data)
            return
        event = {"kind": str(item.kind), "detail": item.detail, "data": dict(item.data)}
        payload = json.dumps(event, ensure_ascii=True).encode()
        if len(payload) <= PAYLOAD_MAX:
            self._write(record(item.arrival_ns, EVENT, 0, payload), records=1)

    def sent(self, arrival_ns: int, data: bytes, channel: str = DATA_CHANNEL) -> None:
        """Append bytes that the host sent; a reader can show them and never passes them to a decoder.

        Raises:
            OutputError: As in ``item``.
        """
        self._bytes(SENT, arrival_ns, channel, data)

    def close(self) -> None:
        """Sync and close. May be called twice.

        Raises:
            OutputError: The last sync failed and no error was raised before.
        """
        if self._fd < 0:
            return
        left = 0
        try:
            left = self._waiting.end(self._append)
        except OSError as error:
            self._failed = True
            raise _output_error(self.path, error) from error
        finally:
            self._stop.set()
            self._dirty.set()
            self._thread.join()
            fd, self._fd = self._fd, -1
            try:
                os.fsync(fd)
            except OSError as error:
                if error.errno not in {errno.EINVAL, errno.ENOTSUP} and not self._failed:
                    raise _output_error(self.path, error) from error
            finally:
                os.close(fd)
        if left:
            raise OutputError(f"the disk is full: {left} records at the end of {self.path} are lost", "free some space")

    def _bytes(self, kind: int, arrival_ns: int, channel: str, data: bytes) -> None:
        out = bytearray()
        self._last_ns = arrival_ns
        number = self._channels.setdefault(channel, len(self._channels))
        named_ns = self._named_ns.get(channel)
        if number and (named_ns is None or arrival_ns - named_ns >= NAME_EVERY_NS):
            # Twice at first: one damaged byte must not cost the channel.
            self._named_ns[channel] = arrival_ns
            out += record(arrival_ns, CHANNEL, number, channel.encode()[:255]) * (2 if named_ns is None else 1)
        for at in range(0, len(data), PAYLOAD_MAX):
            out += record(arrival_ns, kind, number, data[at : at + PAYLOAD_MAX])
        self._write(bytes(out), records=1)

    def _write(self, data: bytes, records: int) -> None:
        if self._failed or self._fd < 0:
            self.dropped += records
            return
        try:
            if self._next is not None and self._size >= self._part_bytes and not self._waiting.active:
                self._begin_next(self._next())
            self._waiting.write(data, self._append, self.path)
        except OSError as error:
            # Raised once: a caller that continues loses the recording, not the session.
            self._failed = True
            self.dropped += records
            raise _output_error(self.path, error) from error

    def _append(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            # Half a record would be read as damage; without it the file simply ends.
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)
        self._dirty.set()

    def _begin(self, path: Path, header: RawLogHeader) -> None:
        text = json.dumps(header_json(header), ensure_ascii=True).encode()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | CLOSE_ON_EXEC, 0o600)
        try:
            data = MAGIC + U32.pack(len(text)) + text + U32.pack(zlib.crc32(text))
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
        except OSError:
            os.close(fd)
            with suppress(OSError):
                path.unlink()
            raise
        with suppress(OSError):  # so that the name survives a power cut, too
            folder = os.open(path.parent, os.O_RDONLY | CLOSE_ON_EXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._fd, self._size, self.path = fd, len(data), path

    def _begin_next(self, path: Path) -> None:
        old, before = self._fd, self.path.name
        try:
            self._begin(path, replace(self._header, extra=dict(self._header.extra) | {FOLLOWS: before}))
        except OSError as error:
            if error.errno not in FULL_ERRORS:
                raise
            return  # go on in this part until there is room
        with suppress(OSError):
            os.fsync(old)
        os.close(old)
        names = [record(self._last_ns, CHANNEL, n, name.encode()[:255]) for name, n in self._channels.items() if n]
        if names:
            self._waiting.write(b"".join(names), self._append, path)
        self._part_ended()

    def _sync_loop(self) -> None:
        while not self._stop.is_set():
            self._dirty.wait()
            self._dirty.clear()
            if self._stop.wait(SYNC_S):
                return
            # A failing disk shows at the next write, where a caller can handle it.
            with suppress(OSError):
                os.fsync(self._fd)  # the next part, if it began meanwhile: the old one is synced before it is closed


def _output_error(path: Path, error: OSError) -> OutputError:
    fixes = {
        errno.EEXIST: (f"{path} exists already; a recording is never overwritten", "choose another name"),
        errno.ENOSPC: (
            f"the disk is full: recording to {path} ended",
            "free some space; the recording so far is valid",
        ),
        errno.EACCES: (f"no permission to write {path}", "choose a folder that you own"),
        errno.ENOENT: (f"the folder of {path} does not exist", "create it first"),
    }
    what, fix = fixes.get(error.errno or 0, (f"{path} cannot be written: {error.strerror or error}", ""))
    return OutputError(what, fix)
