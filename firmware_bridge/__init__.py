"""Wire protocols and transports of ECG patches. The core is sans-IO: bytes in, sample blocks and link events out."""

from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

__all__ = ["LinkEvent", "LinkEventKind", "LinkItem", "SampleBlock"]
