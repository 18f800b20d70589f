"""Teachers: opening them, their labels, and the patients that they have seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.teacher.hard_labels import hard_labels
    from convert.teacher.open import CheckpointOptions, open_teacher
    from convert.teacher.patients import patients_file
    from convert.teacher.place import provenance_of
    from convert.teacher.soft_labels import label

__all__ = ["CheckpointOptions", "hard_labels", "label", "open_teacher", "patients_file", "provenance_of"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "CheckpointOptions": "open",
            "provenance_of": "place",
            "hard_labels": "hard_labels",
            "label": "soft_labels",
            "open_teacher": "open",
            "patients_file": "patients",
        },
    )
