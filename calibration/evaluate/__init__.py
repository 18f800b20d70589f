"""Evaluation of a teacher on prepared segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from calibration.evaluate.run import EvaluateOptions, evaluate

__all__ = ["EvaluateOptions", "evaluate"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "EvaluateOptions": "run",
            "evaluate": "run",
        },
    )
