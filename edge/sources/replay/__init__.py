"""Recordings as sources: WFDB, EDF, MATLAB, CSV and the kit's own raw recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.sources.replay.source import ReplaySource, open_replay

__all__ = ["ReplaySource", "open_replay"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "ReplaySource": "source",
            "open_replay": "source",
        },
    )
