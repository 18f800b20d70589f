"""The operating system's part of a run: memory, files, systemd, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.process.allocator import keep_small
    from edge.process.budget import BudgetMeter, LatencyMeter
    from edge.process.no_tls import load_asyncio
    from edge.process.systemd import Notifier

__all__ = ["BudgetMeter", "LatencyMeter", "Notifier", "keep_small", "load_asyncio"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "BudgetMeter": "budget",
            "LatencyMeter": "budget",
            "Notifier": "systemd",
            "keep_small": "allocator",
            "load_asyncio": "no_tls",
        },
    )
