"""Virtual patches: for tests and demonstrations without hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from firmware_bridge.virtual.faults import FaultSchedule
    from firmware_bridge.virtual.movesense import VirtualMovesense
    from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
    from firmware_bridge.virtual.polar import VirtualPolar

__all__ = ["FaultSchedule", "PatchConfig", "VirtualMovesense", "VirtualPatch", "VirtualPolar"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "FaultSchedule": "faults",
            "PatchConfig": "patch",
            "VirtualMovesense": "movesense",
            "VirtualPatch": "patch",
            "VirtualPolar": "polar",
        },
    )
