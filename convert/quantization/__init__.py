"""Better int8 models: steps between the calibration of a float model and the converter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.quantization.improve import improve
    from convert.quantization.records import StepRow

__all__ = ["StepRow", "improve"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "StepRow": "records",
            "improve": "improve",
        },
    )
