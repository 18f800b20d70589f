"""The kit's own raw recording (``.aer``): every byte of a link as it arrived, so that a session can be replayed.

Append-only and without a footer: whatever was written stays readable. Little-endian::

    magic    8   "AECGRAW1"
    length   4   of the header, u32, at most 64 KiB
    header   n   JSON, UTF-8: device, url, session, wall and monotonic clock at the start
    crc32    4   of the header
    record*      arrival_ns i64, kind u8, channel u8, 0 u16, length u32, payload, crc32 u32 of all before it

Kinds: 0 received bytes, 1 link event (JSON), 2 name of a channel (channel 0 is ``data``), 3 sent bytes. A truncated
file is read up to its last whole record. ``docs/wire-protocol.md`` describes the format for other readers.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from firmware_bridge.errors import InputError, OutputError
from firmware_bridge.items import DATA_CHANNEL, RawChunk, TransportItem
from firmware_bridge.samples import LinkEvent, LinkEventKind

MAGIC = b"AECGRAW1"
"""First bytes of a recording; the digit is the version."""
SUFFIX = ".aer"
HEADER_MAX = 1 << 16
"""Longest header that is read, bytes."""
PAYLOAD_MAX = 1 << 16
"""Longest payload, bytes; longer data are split when written."""
SYNC_S = 2.0
"""Longest time between a write and the sync to the disk."""
_HEAD = struct.Struct("<qBBHI")
_U32 = struct.Struct("<I")
_RECEIVED, _EVENT, _CHANNEL, _SENT = range(4)


@dataclass(frozen=True, slots=True)
class RawLogHeader:
    """The header of a recording.

    Attributes:
        device: Name of the device that decodes the bytes.
        url: Source URL that was recorded.
        session: Identifier of the session.
        start_unix_ns: Wall clock at the start, nanoseconds since 1970.
        start_monotonic_ns: Host monotonic clock at the start, the clock of every ``arrival_ns``.
        host_clock: ``False`` if ``arrival_ns`` was derived from signal time (a simulation at full speed).
        extra: Any other JSON fields.
    """

    device: str
    url: str
    session: str
    start_unix_ns: int
    start_monotonic_ns: int
    host_clock: bool = True
    extra: Mapping[str, object] = field(default_factory=dict)


class RawLogWriter:
    """Writes a recording. Each call passes its records to the operating system: they survive a killed process.

    A separate thread syncs to the disk every two seconds, because a sync may block for long on an SD card.

    Args:
        path: File to create; it must not exist (a recording is never overwritten).
        header: Header of the recording.

    Raises:
        OutputError: The file cannot be written.
    """

    def __init__(self, path: Path, header: RawLogHeader) -> None:
        self.path = path
        self.dropped = 0
        """Records that arrived after the disk failed."""
        self._channels = {DATA_CHANNEL: 0}
        self._failed = False
        self._dirty = threading.Event()
        self._stop = threading.Event()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _output_error(path, error) from error
        text = json.dumps(_header_json(header), ensure_ascii=True).encode()
        self._size = 0
        try:
            self._write(MAGIC + _U32.pack(len(text)) + text + _U32.pack(zlib.crc32(text)), records=1)
        except OutputError:
            os.close(self._fd)
            raise
        self._thread = threading.Thread(target=self._sync_loop, name="rawlog-sync", daemon=True)
        self._thread.start()

    def item(self, item: TransportItem) -> None:
        """Append received bytes or a link event.

        Raises:
            OutputError: The disk failed just now. Raised once; later records are counted in ``dropped``.
        """
        if isinstance(item, RawChunk):
            self._bytes(_RECEIVED, item.arrival_ns, item.channel, item.data)
            return
        event = {"kind": str(item.kind), "detail": item.detail, "data": dict(item.data)}
        payload = json.dumps(event, ensure_ascii=True).encode()
        if len(payload) <= PAYLOAD_MAX:
            self._write(_record(item.arrival_ns, _EVENT, 0, payload), records=1)

    def sent(self, arrival_ns: int, data: bytes, channel: str = DATA_CHANNEL) -> None:
        """Append bytes that the host sent; a reader can show them and never passes them to a decoder.

        Raises:
            OutputError: As in ``item``.
        """
        self._bytes(_SENT, arrival_ns, channel, data)

    def close(self) -> None:
        """Sync and close. May be called twice.

        Raises:
            OutputError: The last sync failed and no error was raised before.
        """
        if self._fd < 0:
            return
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

    def _bytes(self, kind: int, arrival_ns: int, channel: str, data: bytes) -> None:
        out = bytearray()
        number = self._channels.get(channel)
        if number is None:
            number = self._channels[channel] = len(self._channels)
            out += _record(arrival_ns, _CHANNEL, number, channel.encode()[:255])
        for at in range(0, len(data), PAYLOAD_MAX):
            out += _record(arrival_ns, kind, number, data[at : at + PAYLOAD_MAX])
        self._write(bytes(out), records=1)

    def _write(self, data: bytes, records: int) -> None:
        if self._failed or self._fd < 0:
            self.dropped += records
            return
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            # Raised once: a caller that continues loses the recording, not the session.
            self._failed = True
            self.dropped += records
            # Half a record would be read as damage; without it the file simply ends.
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise _output_error(self.path, error) from error
        self._size += len(data)
        self._dirty.set()

    def _sync_loop(self) -> None:
        while not self._stop.is_set():
            self._dirty.wait()
            self._dirty.clear()
            if self._stop.wait(SYNC_S):
                return
            # A failing disk shows at the next write, where a caller can handle it.
            with suppress(OSError):
                os.fsync(self._fd)


class RawLogReader:
    """Reads a recording in bounded memory, without trusting its content.

    Args:
        path: File to read.

    Raises:
        InputError: The file is not a recording, its header is damaged, or its version is newer than this program.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""
        """Why reading stopped before the end of the file, set when ``items`` has ended; empty if it did not."""
        self._channels = {0: DATA_CHANNEL}
        with _open(path) as file:
            self.header = self._read_header(file)
            self._start = file.tell()

    def items(self, *, sent: bool = False) -> Iterator[TransportItem]:
        """Yield every whole record in order.

        Args:
            sent: Also yield what the host sent, on channels named ``>name``.

        Raises:
            InputError: The file disappeared or cannot be read any more.
        """
        with _open(self.path) as file:
            total = os.fstat(file.fileno()).st_size
            at = self._start
            try:
                file.seek(at)
                while (record := self._next(file)) is not None:
                    arrival_ns, kind, number, payload = record
                    at = file.tell()
                    item = self._item(arrival_ns, kind, number, payload, sent)
                    if item is not None:
                        yield item
            except OSError as error:
                raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error
            if at < total:
                self.damage = f"{total - at} bytes from byte {at} on are truncated or damaged and were skipped"

    def _next(self, file: BinaryIO) -> tuple[int, int, int, bytes] | None:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        arrival_ns, kind, number, _reserved, length = _HEAD.unpack(head)
        if length > PAYLOAD_MAX:
            return None
        rest = file.read(length + _U32.size)
        if len(rest) < length + _U32.size:
            return None
        payload = rest[:length]
        if zlib.crc32(payload, zlib.crc32(head)) != _U32.unpack(rest[length:])[0]:
            return None
        return arrival_ns, kind, number, payload

    def _item(self, arrival_ns: int, kind: int, number: int, payload: bytes, sent: bool) -> TransportItem | None:
        name = self._channels.get(number, f"channel{number}")
        if kind == _RECEIVED:
            return RawChunk(arrival_ns, name, payload)
        if kind == _EVENT:
            return _event(arrival_ns, payload)
        if kind == _CHANNEL:
            self._channels[number] = payload.decode("utf-8", "replace")[:255]
        elif kind == _SENT and sent:
            return RawChunk(arrival_ns, f">{name}", payload)
        # Other kinds come from a later version that considered them safe to skip.
        return None

    def _read_header(self, file: BinaryIO) -> RawLogHeader:
        magic = file.read(len(MAGIC))
        if magic[:-1] == MAGIC[:-1] and magic[-1:] != MAGIC[-1:]:
            raise InputError(f"{self.path} is a raw recording of a newer version", "update anyecg-edge")
        if magic != MAGIC:
            what = "is empty" if not magic else "is not a raw recording"
            raise InputError(f"{self.path} {what}", f"a recording made with record: starts with {MAGIC.decode()}")
        size = file.read(_U32.size)
        length = _U32.unpack(size)[0] if len(size) == _U32.size else HEADER_MAX + 1
        text = file.read(length) if length <= HEADER_MAX else b""
        crc = file.read(_U32.size)
        if not text or crc != _U32.pack(zlib.crc32(text)):
            raise InputError(f"the header of {self.path} is truncated or damaged")
        try:
            return _header_from(json.loads(text))
        except (ValueError, ArithmeticError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"the header of {self.path} is not valid: {error}") from error


def is_rawlog(path: Path) -> bool:
    """Return whether a file starts like a raw recording, of any version."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC))[:-1] == MAGIC[:-1]
    except (OSError, ValueError):
        return False


def _record(arrival_ns: int, kind: int, number: int, payload: bytes) -> bytes:
    body = _HEAD.pack(arrival_ns, kind, number & 0xFF, 0, len(payload)) + payload
    return body + _U32.pack(zlib.crc32(body))


def _event(arrival_ns: int, payload: bytes) -> LinkEvent | None:
    try:
        value = json.loads(payload)
        return LinkEvent(LinkEventKind(value["kind"]), arrival_ns, str(value["detail"])[:1000], dict(value["data"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _header_json(header: RawLogHeader) -> dict[str, object]:
    return {
        **header.extra,
        "device": header.device,
        "url": header.url,
        "session": header.session,
        "start_unix_ns": header.start_unix_ns,
        "start_monotonic_ns": header.start_monotonic_ns,
        "host_clock": header.host_clock,
    }


def _header_from(value: object) -> RawLogHeader:
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    known = ("device", "url", "session", "start_unix_ns", "start_monotonic_ns", "host_clock")
    return RawLogHeader(
        device=str(value["device"])[:200],
        url=str(value["url"])[:4096],
        session=str(value["session"])[:200],
        start_unix_ns=int(value["start_unix_ns"]),
        start_monotonic_ns=int(value["start_monotonic_ns"]),
        host_clock=bool(value.get("host_clock", True)),
        extra={str(key): item for key, item in value.items() if key not in known},
    )


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}") from error


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
