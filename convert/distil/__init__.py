"""Distillation: from a teacher to a student in a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.distil.run import DistilConfig, convert_micro

__all__ = ["DistilConfig", "convert_micro"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "DistilConfig": "run",
            "convert_micro": "run",
        },
    )
