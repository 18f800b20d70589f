"""The format of the kit's raw recordings (``.aer``): every byte of a link as it arrived, for replays.

Append-only and without a footer: whatever was written stays readable. Little-endian::

    magic    8   "AECGRAW1"
    length   4   of the header, u32, at most 64 KiB
    header   n   JSON, UTF-8: device, url, session, wall and monotonic clock at the start
    crc32    4   of the header
    record*      arrival_ns i64, kind u8, channel u8, 0 u16, length u32, payload, crc32 u32 of all before it

Kinds: 0 received bytes, 1 link event (JSON), 2 name of a channel (channel 0 is ``data``), 3 sent bytes. A damaged
record costs that record: reading continues at the next whole one. ``docs/wire-protocol.md`` describes the format for
other readers.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from firmware_bridge.reading import is_number

MAGIC = b"AECGRAW1"
"""First bytes of a recording; the digit is the version."""
SUFFIX = ".aer"
HEADER_MAX = 1 << 16
"""Longest header that is read, bytes."""
PAYLOAD_MAX = 1 << 16
"""Longest payload, bytes; longer data are split when written."""
MAX_CLOCK_NS = 1 << 63
"""Clocks of the header from here on are refused, ns: 292 years, and the range of every ``arrival_ns``."""
CHANNEL_MAX = 64
"""Number of channels of a recording; a patch has at most a few."""
FIRST_PART = "raw.aer"
"""Name of the first recording in a session folder, where long recordings are written in parts."""
FOLLOWS = "follows"
"""Key in the header of a part: name of the file before it, whose bytes go on here."""
HEAD = struct.Struct("<qBBHI")
U32 = struct.Struct("<I")
RECEIVED, EVENT, CHANNEL, SENT = range(4)
"""Kinds of records."""


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


def header_json(header: RawLogHeader) -> dict[str, object]:
    """Return the JSON object of a header."""
    return {
        **header.extra,
        "device": header.device,
        "url": header.url,
        "session": header.session,
        "start_unix_ns": header.start_unix_ns,
        "start_monotonic_ns": header.start_monotonic_ns,
        "host_clock": header.host_clock,
    }


def header_from(value: object) -> RawLogHeader:
    """Return the header of a JSON object.

    Raises:
        ValueError, ArithmeticError, KeyError, TypeError: The object is not a header.
    """
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    known = ("device", "url", "session", "start_unix_ns", "start_monotonic_ns", "host_clock")
    return RawLogHeader(
        device=str(value["device"])[:200],
        url=str(value["url"])[:4096],
        session=str(value["session"])[:200],
        start_unix_ns=_clock_ns(value["start_unix_ns"]),
        start_monotonic_ns=_clock_ns(value["start_monotonic_ns"]),
        host_clock=bool(value.get("host_clock", True)),
        extra={str(key): item for key, item in value.items() if key not in known},
    )


def _clock_ns(value: object) -> int:
    if not is_number(value, 1 - MAX_CLOCK_NS, MAX_CLOCK_NS - 1):
        raise ValueError("a clock is no possible number")
    return int(value)


def record(arrival_ns: int, kind: int, number: int, payload: bytes) -> bytes:
    """Return the bytes of one record."""
    body = HEAD.pack(arrival_ns, kind, number & 0xFF, 0, len(payload)) + payload
    return body + U32.pack(zlib.crc32(body))
