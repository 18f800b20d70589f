"""The items that a transport delivers: raw bytes with their arrival time, and link events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from firmware_bridge.samples import LinkEvent, LinkEventKind

DATA_CHANNEL = "data"
"""Channel of a transport with a single one, and of the samples on others (BLE characteristics)."""

HOLE_BYTES = "hole_bytes"
"""Key in the data of a ``CORRUPT`` event from a raw recording: received bytes that are missing in this place."""


OVERFLOW = "overflow"
"""Value of ``fault`` in the data of a ``CORRUPT`` event about bytes that a slow program dropped."""

PIECE_BYTES = 4096
"""Most bytes that a program decodes at once, so that a flood leaves it time for signals and timers."""


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
    """Return the received bytes that are missing in this place; ``None`` for any other event.

    A damaged raw recording lost them, or a program that was too slow dropped them.
    """
    if event.kind is not LinkEventKind.CORRUPT:
        return None
    size = event.data.get(HOLE_BYTES, event.data.get("bytes") if event.data.get("fault") == OVERFLOW else None)
    return size if isinstance(size, int) else None


def pieces(item: TransportItem) -> Iterator[TransportItem]:
    """Yield a long chunk in pieces, and any other item as it is; decoders do not depend on the cut."""
    if isinstance(item, LinkEvent) or len(item.data) <= PIECE_BYTES:
        yield item
        return
    for at in range(0, len(item.data), PIECE_BYTES):
        yield RawChunk(item.arrival_ns, item.channel, item.data[at : at + PIECE_BYTES])
