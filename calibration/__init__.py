"""Host-side calibration of devices, probabilities and persons, and validation. Needs the ``convert`` extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from calibration.baselines.run import BaselinePlan, fit_baselines
    from calibration.evaluate.run import EvaluateOptions
    from calibration.validate.run import ValidateOptions

__all__ = ["BaselinePlan", "EvaluateOptions", "ValidateOptions", "fit_baselines"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "BaselinePlan": "baselines.run",
            "EvaluateOptions": "evaluate.run",
            "ValidateOptions": "validate.run",
            "fit_baselines": "baselines.run",
        },
    )
