"""``anyecg bundle``: one module per group of actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.cli.bundle.show import main

__all__ = ["main"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"main": "show"})
