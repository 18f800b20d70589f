"""Parity: how much the forms of one model differ, link by link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.parity.forms import ParityReport, compare

__all__ = ["ParityReport", "compare"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "ParityReport": "forms",
            "compare": "forms",
        },
    )
