"""The items that a transport delivers: raw bytes with their arrival time, and link events."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.samples import LinkEvent

DATA_CHANNEL = "data"
"""Channel of a transport with a single one, and of the samples on others (BLE characteristics)."""


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
