"""The grid: samples of any clock and rate on one uniform time axis, with named gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.grid.clock import HostClock, SampleClock
    from edge.grid.resample import Resampler
    from edge.grid.segment import Segment
    from edge.grid.timeline import Gap, Timeline, Uniform

__all__ = ["Gap", "HostClock", "Resampler", "SampleClock", "Segment", "Timeline", "Uniform"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Gap": "timeline",
            "HostClock": "clock",
            "Resampler": "resample",
            "SampleClock": "clock",
            "Segment": "segment",
            "Timeline": "timeline",
            "Uniform": "timeline",
        },
    )
