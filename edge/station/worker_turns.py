"""Turns for the workers of several pipelines: threads that work at the same time only wait for the interpreter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LONGEST_S = 0.01
"""Time after which the next worker starts although this one has not finished, s. A worker that waits for a disk or
hangs delays the others by no more."""


class WorkerTurns:
    """Starts pieces of work one after another, in the order in which they are asked for."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def run(self, start: Callable[[], asyncio.Future[T]]) -> T:
        """Start a piece of work when its turn has come, and return its result.

        Args:
            start: Function that starts it.
        """
        async with self._turn:
            work = start()
            await asyncio.wait({work}, timeout=LONGEST_S)
        return await work
