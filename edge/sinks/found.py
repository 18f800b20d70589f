"""A sink that tells the user at the end what the reader of a recording found on the way, such as skipped rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from edge.sinks import BaseSink
from edge.sinks.live.frame import clean

if TYPE_CHECKING:
    from edge.records import RunSummary
    from firmware_bridge.samples import LinkEvent

MAX_NOTES = 20
"""Most notes of one run; a reader finds more only in a badly damaged recording."""


class FoundSink(BaseSink):
    """Writes the findings of a reader as notes, after the screen is gone.

    Args:
        stream: The output.
        name: Name of the patch, at the beginning of each note; empty for none.
    """

    def __init__(self, stream: TextIO, name: str = "") -> None:
        self._stream = stream
        self._head = f"{clean(name)}: " if name else ""
        self._notes: list[str] = []

    def open(self) -> None:
        """Do nothing."""

    def event(self, ev: LinkEvent) -> None:
        """Keep what the reader found."""
        if "decided" in ev.data and len(self._notes) < MAX_NOTES:
            self._notes.append(clean(ev.detail))

    def close(self, summary: RunSummary | None) -> None:
        """Write the notes, which hold for a failed run as well."""
        del summary
        for note in self._notes:
            self._stream.write(f"note: {self._head}{note}\n")
        self._notes = []
