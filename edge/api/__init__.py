"""The interface for programs and notebooks: what ``import edge`` offers. See ``docs/python.md`` and ``docs/api.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.api.array_stream import ArrayStream
    from edge.api.bundle import Bundle, load_bundle
    from edge.api.items import Beat, Samples, Waves
    from edge.api.open import open  # noqa: A004  # as wave.open, gzip.open: used as edge.open
    from edge.api.session import Session, read_session
    from edge.api.stream import Results, Stream
    from edge.api.tables import Estimates

__all__ = [
    "ArrayStream",
    "Beat",
    "Bundle",
    "Estimates",
    "Results",
    "Samples",
    "Session",
    "Stream",
    "Waves",
    "load_bundle",
    "open",
    "read_session",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "ArrayStream": "array_stream",
            "Beat": "items",
            "Bundle": "bundle",
            "Estimates": "tables",
            "Results": "stream",
            "Samples": "items",
            "Session": "session",
            "Stream": "stream",
            "Waves": "items",
            "load_bundle": "bundle",
            "open": "open",
            "read_session": "session",
        },
    )
