"""R peaks and heart rate from the 125 Hz stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.beats.detector import RPeakDetector
    from edge.beats.rate import heart_rate_bpm
    from edge.beats.track import HeartRate

__all__ = ["HeartRate", "RPeakDetector", "heart_rate_bpm"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "HeartRate": "track",
            "RPeakDetector": "detector",
            "heart_rate_bpm": "rate",
        },
    )
