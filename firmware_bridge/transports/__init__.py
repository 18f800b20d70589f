"""Transports that carry a patch's bytes to the host. A transport does not interpret the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from firmware_bridge.items import DATA_CHANNEL, RawChunk, TransportItem
    from firmware_bridge.transports.base import GatheringTransport, Transport

__all__ = ["DATA_CHANNEL", "GatheringTransport", "RawChunk", "Transport", "TransportItem"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "DATA_CHANNEL": ".items",
            "GatheringTransport": "base",
            "RawChunk": ".items",
            "Transport": "base",
            "TransportItem": ".items",
        },
    )
