"""Evaluation protocols of other groups, for results that are comparable with theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from calibration.protocols.signalmcmed import SignalPlan, signalmcmed

__all__ = ["SignalPlan", "signalmcmed"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"SignalPlan": "signalmcmed", "signalmcmed": "signalmcmed"})
