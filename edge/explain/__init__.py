"""What an estimate rests on: parts of the average beat are replaced, and the model runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.explain.reasons import Explainer, Reasons

__all__ = ["Explainer", "Reasons"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"Explainer": "reasons", "Reasons": "reasons"})
