"""Finds the next whole record behind damage, and repairs a header in which one byte is damaged."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from firmware_bridge.rawlog.format import CHANNEL_MAX, HEAD, HEADER_MAX, PAYLOAD_MAX, SENT, U32

BLOCK = 1 << 20
"""Bytes searched at a time."""
CLOCK_BACK_NS = 60 * 10**9
"""Time by which a record may be older than the one before it, ns: bytes and events come from different threads."""
CLOCK_AHEAD_NS = 400 * 86_400 * 10**9
"""Time by which a record may be newer than the one before it, ns."""
SPENT_MIN = 64 << 20
"""Bytes of checksums that a search may compute in any file; more are allowed in proportion to its size."""
REPAIR_MAX = 4096
"""Longest header that is repaired, bytes; those of the kit have about 300."""


@dataclass(slots=True)
class Budget:
    """Bytes of checksums that searches in one file may still compute.

    A file made on purpose could offer a long record at every byte; without a limit, reading would take far too long.
    """

    left: int

    @classmethod
    def of(cls, file_bytes: int) -> Budget:
        """Return the budget for a file."""
        return cls(SPENT_MIN + 16 * file_bytes)


def next_record(file: BinaryIO, start: int, after_ns: int | None, budget: Budget) -> int | None:
    """Return the position of the first whole record at ``start`` or later; ``None`` if there is none.

    Args:
        file: The recording.
        start: First position that is tried.
        after_ns: Arrival time of the last whole record, ns; ``None`` if there was none.
        budget: What the search may still cost; it is reduced.
    """
    longest = HEAD.size + PAYLOAD_MAX + U32.size
    while True:
        file.seek(start)
        data = file.read(BLOCK + longest)
        if len(data) < HEAD.size + U32.size:
            return None
        for at in _heads(data[: BLOCK + HEAD.size]):
            arrival_ns, _kind, _number, _zero, length = HEAD.unpack_from(data, at)
            end = at + HEAD.size + length
            if end + U32.size > len(data) or not _plausible(arrival_ns, after_ns):
                continue
            budget.left -= HEAD.size + length
            if budget.left < 0:
                return None
            if zlib.crc32(data[at:end]) == U32.unpack_from(data, end)[0]:
                return start + at
        start += BLOCK


def _heads(data: bytes) -> Iterator[int]:
    """Yield the positions where a head of a known kind may begin."""
    x = np.frombuffer(data, np.uint8)
    n = len(x) - HEAD.size + 1
    if n <= 0:
        return
    kind, number, zero_1, zero_2, low_1, low_2, length_3, length_4 = (x[8 + i : 8 + i + n] for i in range(8))
    fits = (kind <= SENT) & (number < CHANNEL_MAX) & (zero_1 == 0) & (zero_2 == 0) & (length_4 == 0)
    fits &= (length_3 == 0) | ((length_3 == 1) & (low_1 == 0) & (low_2 == 0))
    yield from np.flatnonzero(fits).tolist()


def _plausible(arrival_ns: int, after_ns: int | None) -> bool:
    return after_ns is None or -CLOCK_BACK_NS <= arrival_ns - after_ns <= CLOCK_AHEAD_NS


def repaired_header(data: bytes) -> tuple[bytes, int] | None:
    """Return the text of a header of which one byte is damaged, and its size with length and checksum.

    Args:
        data: The file from the length of the header on.

    Returns:
        ``None`` unless exactly one byte of length, text or checksum explains the damage.
    """
    length = U32.unpack_from(data)[0] if len(data) >= U32.size else 0
    text, crc = data[U32.size : U32.size + length], data[U32.size + length : 2 * U32.size + length]
    if 0 < length <= REPAIR_MAX and len(crc) == U32.size:
        found = _text_repaired(text, crc)
        if found is not None:
            return found, 2 * U32.size + length
    return _other_length(data)


def _text_repaired(text: bytes, crc: bytes) -> bytes | None:
    """Return the text if one byte of the checksum is damaged, or the text with its one damaged byte corrected."""
    have, want = U32.pack(zlib.crc32(text)), crc
    if sum(a != b for a, b in zip(have, want, strict=True)) == 1 and _is_json(text):
        return text
    wanted = U32.unpack(want)[0]
    # The checksum is linear: what one changed byte does to it does not depend on the others.
    difference = zlib.crc32(text) ^ wanted
    zero = zlib.crc32(bytes(len(text)))
    for at in range(len(text)):
        before, behind = bytes(at), bytes(len(text) - at - 1)
        for bit in range(8):
            if zlib.crc32(before + bytes((1 << bit,)) + behind) ^ zero == difference:
                fixed = text[:at] + bytes((text[at] ^ (1 << bit),)) + text[at + 1 :]
                return fixed if _is_json(fixed) else None
    return None


def _other_length(data: bytes) -> tuple[bytes, int] | None:
    """Return the text if only its length is damaged: the end of the JSON object gives the length."""
    shown = data[U32.size : U32.size + HEADER_MAX].decode("latin-1")
    try:
        _value, length = json.JSONDecoder().raw_decode(shown)
    except (ValueError, RecursionError):
        return None
    text, crc = data[U32.size : U32.size + length], data[U32.size + length : 2 * U32.size + length]
    return (text, 2 * U32.size + length) if crc == U32.pack(zlib.crc32(text)) else None


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
