"""The compact form of estimates on disk: self-contained blocks of checked records, one record a line.

Append-only and without a footer. Little-endian::

    block*   magic 8 "AECGEST1", number u64 of lines before it in the file, record*
    record   length u24 of the payload, crc32 u32, payload

A payload is the row of one line (`edge.store.rows`), deflated without a header up to a sync flush, of which the last
four bytes (00 00 FF FF) are left out. Rows and deflate streams begin anew with each block. The checksum of a record
covers the ones before it in its block, so no record can take the place of another. A killed process leaves at most one
unfinished record; a damaged record costs the rest of its block, and the next block says how many lines that was.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from edge.records import MAX_LINE_BYTES
from edge.store.rows import RowDecoder, RowEncoder, RowError

MAGIC = b"AECGEST1"
"""First bytes of a block; the digit is the version."""
SUFFIX = ".aee"
BLOCK_LINES = 512
"""Lines of a block: repeating the template costs one percent."""
_NUMBER = struct.Struct("<Q")
_RECORD = struct.Struct("<I")
_HEAD_BYTES = 7
_BLOCK_BYTES = len(MAGIC) + _NUMBER.size
_FLUSH = b"\x00\x00\xff\xff"
MAX_RECORD_BYTES = 1 << 21
"""Longest payload; a line of a megabyte fits. The first bytes of MAGIC are a greater length, so they begin a block."""
MAX_ROW_BYTES = 3 * MAX_LINE_BYTES
"""Longest row after inflating: no payload can fill the memory of a reader."""
_SEARCH_BYTES = 1 << 16


class BlockWriter:
    """Turns lines into the bytes of a file.

    Args:
        block_lines: Lines of a block.
    """

    def __init__(self, block_lines: int = BLOCK_LINES) -> None:
        self.lines = 0
        """Lines so far."""
        self._block_lines = block_lines
        self.block = 0
        """Number of the current block, from 1; changes when a line begins a new one."""
        self._left = 0
        self._crc = 0
        self._rows = RowEncoder()
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)

    def line(self, line: str) -> bytes:
        """Return the bytes to append for one line, without its newline; all of them, in order, make the file."""
        head = b""
        if self._left == 0 or self._rows.full:
            head = self._begin()
        payload = self._deflate.compress(self._rows.encode(line)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        payload = payload.removesuffix(_FLUSH)
        self._crc = zlib.crc32(payload, self._crc)
        self._left -= 1
        self.lines += 1
        return head + len(payload).to_bytes(3, "little") + _RECORD.pack(self._crc) + payload

    def restart(self) -> None:
        """Begin a new block with the next line, because the current one is not whole on the disk."""
        self._left = 0

    def _begin(self) -> bytes:
        head = MAGIC + _NUMBER.pack(self.lines)
        self.block += 1
        self._left, self._crc = self._block_lines, zlib.crc32(head)
        self._rows = RowEncoder()
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        return head


class BlockReader:
    """Reads the lines of a file in bounded memory, without trusting its content.

    Args:
        file: The open file, at its first byte.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.lost_lines = 0
        """Lines that are missing between others, according to the later blocks."""
        self.damaged_bytes = 0
        """Bytes that belong to no whole record and are followed by whole records."""
        self.tail_bytes = 0
        """Bytes of an unfinished record at the end."""
        self.number = 0
        """Number of the newest line in the file, from 1; lines that are missing before it count."""
        self._file = file

    def lines(self) -> Iterator[str]:
        """Yield every line that can be read, without its newline.

        Raises:
            OSError: The file cannot be read.
        """
        end = 0
        while True:
            head = self._file.read(_BLOCK_BYTES)
            if len(head) == _BLOCK_BYTES and head.startswith(MAGIC):
                yield from self._block(head)
                after = self._file.tell()
                end = after if after > end + _BLOCK_BYTES else end
            elif head:
                self._file.seek(-len(head) + 1, 1)
            # The block ended, or its rest is damaged: go on at the next one.
            found = self._search()
            if found is None:
                self.tail_bytes = self._file.tell() - end
                return
            self.damaged_bytes += found - end
            end = found
            self._file.seek(found)

    def _block(self, head: bytes) -> Iterator[str]:
        (number,) = _NUMBER.unpack_from(head, len(MAGIC))
        rows, inflate, crc = RowDecoder(), zlib.decompressobj(-zlib.MAX_WBITS), zlib.crc32(head)
        while record := self._record(crc):
            crc, payload = record
            try:
                row = inflate.decompress(payload + _FLUSH, MAX_ROW_BYTES)
                line = rows.decode(row)
            except (zlib.error, RowError, UnicodeDecodeError):
                self._file.seek(-_HEAD_BYTES - len(payload), 1)
                return  # the checksum is right: another program wrote it
            # Only now is the number known to be right: the checksum of the first record covers it.
            self.lost_lines += max(0, number - self.number)
            self.number = max(self.number, number) + 1
            number = 0
            yield line

    def _record(self, crc: int) -> tuple[int, bytes] | None:
        """Return checksum and payload of the next record; ``None``, at its first byte, if there is no whole one."""
        at = self._file.tell()
        head = self._file.read(_HEAD_BYTES)
        length = int.from_bytes(head[:3], "little")
        if len(head) == _HEAD_BYTES and length <= MAX_RECORD_BYTES:
            payload = self._file.read(length)
            crc = zlib.crc32(payload, crc)
            if len(payload) == length and _RECORD.pack(crc) == head[3:]:
                return crc, payload
        self._file.seek(at)
        return None

    def _search(self) -> int | None:
        """Return the place of the next block from here on."""
        at, before = self._file.tell(), b""
        while piece := self._file.read(_SEARCH_BYTES):
            found = (before + piece).find(MAGIC)
            if found >= 0:
                return at - len(before) + found
            at += len(piece)
            before = piece[-len(MAGIC) + 1 :]
        return None
