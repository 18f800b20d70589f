"""What a clinician asks of a validation: operating points, predictive values, benefit, alerts, other sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from calibration.clinical.chapter import clinical_chapter

__all__ = ["clinical_chapter"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"clinical_chapter": "chapter"})
