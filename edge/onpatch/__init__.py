"""Estimates that a patch makes itself: their identity, their check against the host's, and which one is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.onpatch.engine import TrustingEngine
    from edge.onpatch.fixed import FixedHead, fixed_heads, identity

__all__ = ["FixedHead", "TrustingEngine", "fixed_heads", "identity"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "FixedHead": "fixed",
            "TrustingEngine": "engine",
            "fixed_heads": "fixed",
            "identity": "fixed",
        },
    )
