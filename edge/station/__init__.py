"""Several patches in one process: one model and one broker connection, but a session and a name for each patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.station.options import PatchOptions, from_sources, from_tables
    from edge.station.shared import SharedModel, SharedSink
    from edge.station.sinks import PatchSinks
    from edge.station.station import Outcome, Patch, Started, Station

__all__ = [
    "Outcome",
    "Patch",
    "PatchOptions",
    "PatchSinks",
    "SharedModel",
    "SharedSink",
    "Started",
    "Station",
    "from_sources",
    "from_tables",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Outcome": "station",
            "Patch": "station",
            "PatchOptions": "options",
            "PatchSinks": "sinks",
            "SharedModel": "shared",
            "SharedSink": "shared",
            "Started": "station",
            "Station": "station",
            "from_sources": "options",
            "from_tables": "options",
        },
    )
