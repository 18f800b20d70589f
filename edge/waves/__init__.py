"""Intervals and waves of the average beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.waves.features import FEATURES, Feature, segment_features

__all__ = ["FEATURES", "Feature", "segment_features"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "FEATURES": "features",
            "Feature": "features",
            "segment_features": "features",
        },
    )
