"""Wire protocols and transports of ECG patches. The core is sans-IO: bytes in, sample blocks and link events out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

__all__ = ["LinkEvent", "LinkEventKind", "LinkItem", "SampleBlock"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "LinkEvent": "samples",
            "LinkEventKind": "samples",
            "LinkItem": "samples",
            "SampleBlock": "samples",
        },
    )
