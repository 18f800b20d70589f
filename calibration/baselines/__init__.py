"""Simpler models for comparison: age, sex and ECG intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from calibration.baselines.run import BaselinePlan, fit_baselines

__all__ = ["BaselinePlan", "fit_baselines"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "BaselinePlan": "run",
            "fit_baselines": "run",
        },
    )
