"""Better int8 models: steps between the calibration of a float model and the converter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.quantization.records import StepRow
    from convert.quantization.steps import improve
    from convert.quantization.tuning import TuneOptions, tune

__all__ = ["StepRow", "TuneOptions", "improve", "tune"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "StepRow": "records",
            "TuneOptions": "tuning",
            "improve": "steps",
            "tune": "tuning",
        },
    )
