"""Opening a teacher, its labels, and the patients that it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.teacher.hard_labels import hard_labels
    from convert.teacher.open import CheckpointOptions, open_teacher
    from convert.teacher.patients import patients_file
    from convert.teacher.place import brought_by
    from convert.teacher.soft_labels import label

__all__ = ["CheckpointOptions", "brought_by", "hard_labels", "label", "open_teacher", "patients_file"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "CheckpointOptions": "open",
            "brought_by": "place",
            "hard_labels": "hard_labels",
            "label": "soft_labels",
            "open_teacher": "open",
            "patients_file": "patients",
        },
    )
