"""Front ends, which turn a signal into the input of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.frontend.ecgfounder import EcgFounderFrontEnd
    from edge.frontend.stream import StreamFilter, normalise_window, window_input_int8

__all__ = ["EcgFounderFrontEnd", "StreamFilter", "normalise_window", "window_input_int8"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "EcgFounderFrontEnd": "ecgfounder",
            "StreamFilter": "stream",
            "normalise_window": "stream",
            "window_input_int8": "stream",
        },
    )
