"""The wearer's own quiet hour, and what has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.baseline.file import Baseline, load_baseline
    from edge.baseline.record import Change
    from edge.baseline.trend import Trend

__all__ = ["Baseline", "Change", "Trend", "load_baseline"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__, {"Baseline": "file", "Change": "record", "Trend": "trend", "load_baseline": "file"}
    )
