"""Preparing a data set: ten-second segments, labels, split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.prepare.run import PrepareOptions

__all__ = ["PrepareOptions"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "PrepareOptions": "run",
        },
    )
