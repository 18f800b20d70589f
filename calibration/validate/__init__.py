"""Validation of a bundle on labelled recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from calibration.validate.run import ValidateOptions, validate

__all__ = ["ValidateOptions", "validate"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "ValidateOptions": "run",
            "validate": "run",
        },
    )
