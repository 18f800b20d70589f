"""Checks of labelled data before a long run, and the size of data that a claim needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from calibration.checks.labels import check_labelled
    from calibration.checks.plan_size import plan_sizes

__all__ = ["check_labelled", "plan_sizes"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"check_labelled": "labels", "plan_sizes": "plan_size"})
