"""``anyecg baseline``: the quiet hour of a wearer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.cli.baseline.command import main

__all__ = ["main"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"main": "command"})
