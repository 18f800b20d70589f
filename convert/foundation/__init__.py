"""Conversion of a whole teacher into a foundation bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.foundation.config import FoundationConfig
    from convert.foundation.run import convert_foundation

__all__ = ["FoundationConfig", "convert_foundation"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "FoundationConfig": "config",
            "convert_foundation": "run",
        },
    )
