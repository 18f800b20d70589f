"""Additive models of the network and of the waves of the ECG, fitted on held-out patients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from calibration.fusion.run import fuse_heads

__all__ = ["fuse_heads"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"fuse_heads": "run"})
