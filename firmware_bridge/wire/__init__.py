"""The kit's own wire protocol, sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from firmware_bridge.wire.framing import FrameDecoder, FrameError, encode_frame
    from firmware_bridge.wire.messages import decode, encode

__all__ = ["FrameDecoder", "FrameError", "decode", "encode", "encode_frame"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "FrameDecoder": "framing",
            "FrameError": "framing",
            "decode": "messages",
            "encode": "messages",
            "encode_frame": "framing",
        },
    )
