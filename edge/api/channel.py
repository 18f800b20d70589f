"""A bounded queue from the thread of a run to its consumer, which is another thread or an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

WAITING_MAX = 256
"""Items of a recording that wait for their consumer; then the recording waits."""
LIVE_WAITING_MAX = 65_536
"""Items of a live source that wait for their consumer; then the oldest is dropped: a patch does not wait."""


class Channel(Generic[T]):
    """Items in order, then the end or an error.

    The producer never blocks. Of a live source the oldest items are dropped when too many wait, and counted; any other
    producer asks `full` and waits for the call of ``on_room``.

    Args:
        live: Whether items are dropped.
        on_room: Function to call, in the thread of the consumer, when items were taken.

    Attributes:
        dropped: Number of items that were dropped.
        refusing: Whether the run was ended by its consumer, or by another iteration.
    """

    def __init__(self, *, live: bool, on_room: Callable[[], None]) -> None:
        self._live, self._on_room = live, on_room
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._ended = self.refusing = False
        self._error: BaseException | None = None
        self.dropped = 0

    @property
    def full(self) -> bool:
        """Whether a producer that can wait must wait."""
        return not self._live and not self.refusing and len(self._items) >= WAITING_MAX

    def put(self, item: T) -> None:
        """Append an item and wake the consumer."""
        with self._changed:
            if self.refusing:
                return
            if self._live and len(self._items) >= LIVE_WAITING_MAX:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._wake()

    def end(self, error: BaseException | None) -> None:
        """End the items, with an error for the consumer if the run failed."""
        with self._changed:
            self._ended = True
            self._error = self._error or error
            self._wake()

    def refuse(self, error: BaseException | None = None) -> None:
        """Discard what waits and what comes; a consumer that asks for more gets the error."""
        with self._changed:
            self.refusing = True
            self._error = error
            self._items.clear()
            self._wake()
        self._on_room()

    def get(self) -> list[T]:
        """Wait for items and return all of them; an empty list at the end.

        Raises:
            BaseException: The run failed, or was ended by another iteration.
        """
        with self._changed:
            while not self._ready():
                self._changed.wait()
            taken = self._take()
        self._on_room()
        return taken

    async def aget(self) -> list[T]:
        """Wait for items without blocking the event loop; see `get`."""
        while True:
            with self._changed:
                if self._ready():
                    taken = self._take()
                    break
                waiter = self._wait_for_it()
            await waiter
        self._on_room()
        return taken

    async def aend(self) -> None:
        """Wait until the run has ended, without blocking the event loop."""
        while True:
            with self._changed:
                if self._ended:
                    return
                waiter = self._wait_for_it()
            await waiter

    def _ready(self) -> bool:
        return bool(self._items) or self._ended or self.refusing

    def _take(self) -> list[T]:
        taken = list(self._items)
        self._items.clear()
        if not taken and self._error is not None:
            error, self._error = self._error, None
            raise error
        return taken

    def _wait_for_it(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters.append((loop, waiter))
        return waiter

    def _wake(self) -> None:
        self._changed.notify_all()
        waiters, self._waiters = self._waiters, []
        for loop, waiter in waiters:
            with suppress(RuntimeError):  # the loop of the consumer is closed: nobody waits
                loop.call_soon_threadsafe(_wake, waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
