"""The intake: what a source delivers on its way to the engine, bounded whatever arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.intake.gate import EventGate
    from edge.intake.queue import Entry, LinkQueue

__all__ = ["Entry", "EventGate", "LinkQueue"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Entry": "queue",
            "EventGate": "gate",
            "LinkQueue": "queue",
        },
    )
