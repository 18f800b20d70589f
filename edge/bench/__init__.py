"""Measurement of the budgets on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.bench.run import measure

__all__ = ["measure"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "measure": "run",
        },
    )
