"""Statistics: discrimination, calibration, intervals. numpy and scipy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.stats.decide import Rule
    from convert.stats.delong import delong_difference
    from convert.stats.metrics import auroc
    from convert.stats.probability import Platt
    from convert.stats.resampling import Resampler

__all__ = ["Platt", "Resampler", "Rule", "auroc", "delong_difference"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Platt": "probability",
            "Resampler": "resampling",
            "Rule": "decide",
            "auroc": "metrics",
            "delong_difference": "delong",
        },
    )
