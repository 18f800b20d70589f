"""Turns on the event loop for a task that always finds more data: signals, timers and others must run, too."""

from __future__ import annotations

import asyncio
import time

EVERY_S = 0.01
"""Longest time without a turn for others, s."""


class Turns:
    """Gives others a turn when one is due. Awaiting a queue that is never empty gives none."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    async def give(self) -> None:
        """Let others run if they have waited long enough."""
        if time.monotonic() - self._last_s >= EVERY_S:
            await asyncio.sleep(0)
            self._last_s = time.monotonic()
