"""The bundle: its schema, and a reader that checks every part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle, load_bundle, resolve
    from edge.bundle.schema import Manifest, OutputHead

__all__ = ["Bundle", "Manifest", "OutputHead", "load_bundle", "resolve"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Bundle": "reader",
            "Manifest": "schema",
            "OutputHead": "schema",
            "load_bundle": "reader",
            "resolve": "reader",
        },
    )
