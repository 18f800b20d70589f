"""Reads raw recordings, damaged ones too."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from firmware_bridge.errors import InputError
from firmware_bridge.items import DATA_CHANNEL, HOLE_BYTES, RawChunk, TransportItem
from firmware_bridge.parts import part_number, parts
from firmware_bridge.rawlog.format import (
    CHANNEL,
    EVENT,
    FIRST_PART,
    FOLLOWS,
    HEAD,
    HEADER_MAX,
    MAGIC,
    PAYLOAD_MAX,
    RECEIVED,
    SENT,
    U32,
    RawLogHeader,
    header_from,
)
from firmware_bridge.rawlog.resync import Budget, next_record, repaired_header
from firmware_bridge.reading import open_regular
from firmware_bridge.samples import LinkEvent, LinkEventKind

_Record = tuple[int, int, int, bytes]
_OVERHEAD = HEAD.size + U32.size


class RawLogReader:
    """Reads a recording in bounded memory, without trusting its content.

    A damaged record costs that record: reading continues at the next one with a valid checksum.

    Args:
        path: File to read.

    Raises:
        InputError: The file is not a recording, its header is damaged, or its version is newer than this program.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""
        """What was skipped, set when ``items`` has ended; empty if nothing was."""
        self.skipped_bytes = 0
        """Bytes of the file that belong to no whole record, set when ``items`` has ended."""
        self.truncated = False
        """Whether some of them are at the end, set when ``items`` has ended."""
        self._channels = {0: DATA_CHANNEL}
        self._repaired = False
        with _open(path) as file:
            self.header = self._read_header(file)
            self._start = file.tell()

    def items(self, *, sent: bool = False) -> Iterator[TransportItem]:
        """Yield every whole record in order, those of the parts that follow this file included.

        In the place of damaged records comes an event ``CORRUPT`` whose ``data[HOLE_BYTES]`` is the number of received
        bytes that they held, as far as it can be known.

        Args:
            sent: Also yield what the host sent, on channels named ``>name``.

        Raises:
            InputError: The file disappeared or cannot be read any more.
        """
        yield from self.own_items(sent)
        said = [self.damage] if self.damage else []
        part = self.following()
        while part is not None:
            yield from part.own_items(sent)
            self.skipped_bytes += part.skipped_bytes
            said += [f"{part.path.name}: {part.damage}"] if part.damage else []
            self.damage = "; ".join(said)
            part = part.following()

    def following(self) -> RawLogReader | None:
        """Return the part that follows this file, if the writer began one."""
        try:
            path = next((p for p in parts(self.path.with_name(FIRST_PART)) if _follows(self.path.name, p.name)), None)
            part = None if path is None or not is_rawlog(path) else RawLogReader(path)
        except (OSError, InputError):
            return None
        same = part is not None and part.header.extra.get(FOLLOWS) == self.path.name
        return part if same and part is not None and part.header.session == self.header.session else None

    def own_items(self, sent: bool) -> Iterator[TransportItem]:
        """Yield the records of this file; see `items`."""
        holes: list[int] = []
        try:
            with _open(self.path) as file:
                total = os.fstat(file.fileno()).st_size
                budget = Budget.of(total)
                at, last_ns = self._start, None
                file.seek(at)
                while at < total:
                    record = _next(file)
                    if record is None:
                        found = next_record(file, at + 1, last_ns, budget)
                        if found is None:
                            break
                        holes.append(found - at)
                        held = _received_bytes(file, at, found)
                        file.seek(found)
                        record, at = _next(file), found
                        if record is None:
                            break
                        yield _hole(record[0], holes[-1], held)
                    at += _OVERHEAD + len(record[3])
                    last_ns = record[0]
                    item = self._item(*record, sent)
                    if item is not None:
                        yield item
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error
        self._conclude(holes, at, total)

    def _conclude(self, holes: list[int], end: int, total: int) -> None:
        self.skipped_bytes, self.truncated = sum(holes) + total - end, end < total
        said = []
        if self._repaired:
            said.append("one damaged byte of the header was repaired")
        if holes:
            where = "1 place" if len(holes) == 1 else f"{len(holes)} places"
            said.append(f"{sum(holes)} bytes in {where} are damaged and were skipped")
        if end < total:
            said.append(f"{total - end} bytes from byte {end} on are truncated or damaged and were skipped")
        self.damage = "; ".join(said)

    def _item(self, arrival_ns: int, kind: int, number: int, payload: bytes, sent: bool) -> TransportItem | None:
        name = self._channels.get(number, f"channel{number}")
        if kind == RECEIVED:
            return RawChunk(arrival_ns, name, payload)
        if kind == EVENT:
            return _event(arrival_ns, payload)
        if kind == CHANNEL:
            self._channels[number] = payload.decode("utf-8", "replace")[:255]
        elif kind == SENT and sent:
            return RawChunk(arrival_ns, f">{name}", payload)
        # Other kinds come from a later version that considered them safe to skip.
        return None

    def _read_header(self, file: BinaryIO) -> RawLogHeader:
        magic = file.read(len(MAGIC))
        if not _is_magic(magic):
            if magic[:-1] == MAGIC[:-1]:
                raise InputError(f"{self.path} is a raw recording of a newer version", "update anyecg-edge")
            what = "is empty" if not magic else "is not a raw recording"
            raise InputError(f"{self.path} {what}", f"a recording made with record: starts with {MAGIC.decode()}")
        data = file.read(HEADER_MAX + 2 * U32.size)
        found = _header_text(data)
        if found is None and magic == MAGIC:
            found = repaired_header(data)
            self._repaired = found is not None
        if found is None:
            raise InputError(f"the header of {self.path} is truncated or damaged")
        text, size = found
        file.seek(len(MAGIC) + size)
        try:
            return header_from(json.loads(text))
        except (ValueError, ArithmeticError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"the header of {self.path} is not valid: {error}") from error


def _follows(name: str, other: str) -> bool:
    return 0 < part_number(FIRST_PART, name) == part_number(FIRST_PART, other) - 1


def _is_magic(magic: bytes) -> bool:
    """Return whether a file begins like a recording of this version, of which at most one byte is damaged."""
    wrong = [i for i, (a, b) in enumerate(zip(magic, MAGIC, strict=False)) if a != b]
    later = wrong == [len(MAGIC) - 1] and magic[-1:].isdigit()
    return len(magic) == len(MAGIC) and len(wrong) <= 1 and not later


def _header_text(data: bytes) -> tuple[bytes, int] | None:
    length = U32.unpack_from(data)[0] if len(data) >= U32.size else HEADER_MAX + 1
    text, crc = data[U32.size : U32.size + length], data[U32.size + length : 2 * U32.size + length]
    valid = 0 < length <= HEADER_MAX and crc == U32.pack(zlib.crc32(text))
    return (text, 2 * U32.size + length) if valid else None


def _next(file: BinaryIO) -> _Record | None:
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    arrival_ns, kind, number, _reserved, length = HEAD.unpack(head)
    if length > PAYLOAD_MAX:
        return None
    rest = file.read(length + U32.size)
    if len(rest) < length + U32.size:
        return None
    payload = rest[:length]
    if zlib.crc32(payload, zlib.crc32(head)) != U32.unpack(rest[length:])[0]:
        return None
    return arrival_ns, kind, number, payload


def _received_bytes(file: BinaryIO, start: int, end: int) -> int:
    """Return how many received bytes the damaged stretch from ``start`` to ``end`` held, at most."""
    file.seek(start)
    head = file.read(HEAD.size)
    if end - start > _OVERHEAD + PAYLOAD_MAX or HEAD.unpack(head)[4] != end - start - _OVERHEAD:
        return max(0, end - start - _OVERHEAD)
    # Its length is right, so this is one record, and its kind is right unless only that byte is damaged.
    rest = file.read(end - start - HEAD.size)
    payload, crc = rest[: -U32.size], rest[-U32.size :]
    received = head[:8] + bytes((RECEIVED,)) + head[9:]
    is_received = head[8] == RECEIVED or U32.pack(zlib.crc32(payload, zlib.crc32(received))) == crc
    return len(payload) if is_received else 0


def _hole(arrival_ns: int, skipped: int, held: int) -> LinkEvent:
    detail = f"{skipped} bytes of the recording are damaged and were skipped"
    return LinkEvent(LinkEventKind.CORRUPT, arrival_ns, detail, {"bytes": skipped, HOLE_BYTES: held})


def is_rawlog(path: Path) -> bool:
    """Return whether a file starts like a raw recording, of any version."""
    try:
        with open_regular(path) as file:
            return file.read(len(MAGIC))[:-1] == MAGIC[:-1]
    except (OSError, ValueError):
        return False


def _event(arrival_ns: int, payload: bytes) -> LinkEvent | None:
    try:
        value = json.loads(payload)
        data = {key: item for key, item in dict(value["data"]).items() if key != HOLE_BYTES}
        return LinkEvent(LinkEventKind(value["kind"]), arrival_ns, str(value["detail"])[:1000], data)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _open(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except FileNotFoundError as error:
        raise InputError(f"no such file: {path}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
