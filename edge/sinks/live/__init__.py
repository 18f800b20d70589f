"""The live view in a terminal, and its picture as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.sinks.live.state import LiveState
    from edge.sinks.live.svg import SvgSink
    from edge.sinks.live.view import LiveSink, open_view

__all__ = ["LiveSink", "LiveState", "SvgSink", "open_view"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "LiveSink": "view",
            "LiveState": "state",
            "SvgSink": "svg",
            "open_view": "view",
        },
    )
