"""What a transport delivers: raw bytes with their arrival time, and link events."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.samples import LinkEvent

DATA_CHANNEL = "data"
"""Channel of transports that have only one, and of the samples on those that have several (BLE characteristics)."""


@dataclass(frozen=True, slots=True)
class RawChunk:
    """Bytes as they arrived, cut where the transport happened to cut them.

    Attributes:
        arrival_ns: Host monotonic clock when the last of them was read.
        channel: Where they came from, such as the short name of a BLE characteristic.
        data: At least one byte.
    """

    arrival_ns: int
    channel: str
    data: bytes


TransportItem = RawChunk | LinkEvent
