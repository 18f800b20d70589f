"""Turn laboratory results into labels, by one rule for preparation, distillation and validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.labels.pairing import label_visit
    from convert.labels.plan import LabelPlan, read_plan
    from convert.labels.visits import VisitResults

__all__ = ["LabelPlan", "VisitResults", "label_visit", "read_plan"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "LabelPlan": "plan",
            "VisitResults": "visits",
            "label_visit": "pairing",
            "read_plan": "plan",
        },
    )
