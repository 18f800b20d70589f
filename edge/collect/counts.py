"""What a collector has done: for the progress line, and for the summary at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """Numbers since the start.

    Attributes:
        messages: Messages that have arrived.
        stored: Hops that are in the store and were not there before.
        known: Hops that were there before.
        refused: Messages that are not stored, by reason.
        patches: Names of the patches that were seen, up to a limit.
        connections: Connections to the broker.
        waits: How often the store could not take anything.
    """

    messages: int = 0
    stored: int = 0
    known: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    patches: set[str] = field(default_factory=set)
    connections: int = 0
    waits: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return the counts as a JSON object."""
        return {
            "messages": self.messages,
            "stored": self.stored,
            "already_stored": self.known,
            "refused": dict(sorted(self.refused.items())),
            "patches": len(self.patches),
            "connections": self.connections,
            "waits": self.waits,
        }

    def text(self, place: str) -> str:
        """Return the summary for people."""
        lines = [f"stored      {self.stored:,} estimates and abstentions of {len(self.patches):,} patches in {place}"]
        if self.known:
            lines.append(f"repeated    {self.known:,} were stored before")
        if self.refused:
            why = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.refused.items()))
            lines.append(f"refused     {sum(self.refused.values()):,} messages: {why}")
        return "".join(f"{line}\n" for line in lines)
