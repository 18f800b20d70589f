"""The items that a transport delivers: raw bytes with their arrival time, and link events."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.samples import LinkEvent, LinkEventKind

DATA_CHANNEL = "data"
"""Channel of a transport with a single one, and of the samples on others (BLE characteristics)."""

HOLE_BYTES = "hole_bytes"
"""Key in the data of a ``CORRUPT`` event from a raw recording: received bytes that are missing in this place."""


@dataclass(frozen=True, slots=True)
class RawChunk:
    """Bytes as they arrived, split where the transport happened to split them.

    Attributes:
        arrival_ns: Host monotonic clock when the last byte was read.
        channel: Source of the bytes, such as the short name of a BLE characteristic.
        data: The bytes, at least one.
    """

    arrival_ns: int
    channel: str
    data: bytes


TransportItem = RawChunk | LinkEvent


def hole_bytes(event: LinkEvent) -> int | None:
    """Return the received bytes that a damaged raw recording lost in this place; ``None`` for any other event."""
    size = event.data.get(HOLE_BYTES) if event.kind is LinkEventKind.CORRUPT else None
    return size if isinstance(size, int) else None
