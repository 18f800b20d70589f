"""What damage to a raw recording cost: the bytes that were skipped, and the samples that are lost by it."""

from __future__ import annotations

from firmware_bridge.items import HOLE_BYTES, TransportItem
from firmware_bridge.rawlog import RawLogReader
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock


class Damage:
    """Counts the samples that are missing behind the damaged places of a recording.

    The next block behind such a place tells how many are missing before it; nothing tells this of a damaged end.
    """

    def __init__(self) -> None:
        self._behind = False
        self.samples = 0

    def record(self, raw: TransportItem) -> None:
        """Take a record of the recording, after what its decoder made of it."""
        self._behind = self._behind or (isinstance(raw, LinkEvent) and HOLE_BYTES in raw.data)

    def block(self, block: SampleBlock) -> None:
        """Take the next block."""
        self.samples += block.lost if self._behind else 0
        self._behind = False

    def event(self, reader: RawLogReader, arrival_ns: int) -> LinkEvent:
        """Return the event that tells the user at the end of a damaged recording."""
        facts = {"bytes": reader.skipped_bytes, "samples": self.samples, "text": reader.damage}
        detail = f"{reader.path.name}: {reader.damage}; {self.samples} samples are lost by this"
        if self._behind or reader.truncated:
            detail += ", besides those at its end"
        return LinkEvent(LinkEventKind.INFO, arrival_ns, detail, {"decided": {"damage": facts}})
