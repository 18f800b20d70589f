"""The rhythm of a window and of the last minutes, from RR intervals, the shapes of beats, and P waves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.rhythm.minutes import RhythmMeter
    from edge.rhythm.record import RhythmRecord

__all__ = ["RhythmMeter", "RhythmRecord"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"RhythmMeter": "minutes", "RhythmRecord": "record"})
