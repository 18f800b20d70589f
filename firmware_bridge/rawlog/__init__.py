"""The kit's raw recordings (``.aer``): every byte of a link as it arrived, so that a session can be replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from firmware_bridge.rawlog.format import MAGIC, PAYLOAD_MAX, SUFFIX, RawLogHeader
    from firmware_bridge.rawlog.reader import RawLogReader, is_rawlog
    from firmware_bridge.rawlog.writer import RawLogWriter

__all__ = ["MAGIC", "PAYLOAD_MAX", "SUFFIX", "RawLogHeader", "RawLogReader", "RawLogWriter", "is_rawlog"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "MAGIC": "format",
            "PAYLOAD_MAX": "format",
            "SUFFIX": "format",
            "RawLogHeader": "format",
            "RawLogReader": "reader",
            "RawLogWriter": "writer",
            "is_rawlog": "reader",
        },
    )
