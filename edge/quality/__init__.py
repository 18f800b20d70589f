"""The quality gate, which decides whether a model may read a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.quality.gate import Quality, QualityGate

__all__ = ["Quality", "QualityGate"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Quality": "gate",
            "QualityGate": "gate",
        },
    )
