"""Joins the bytes of many small reads, so that waking the rest of the program costs no more than its work.

Bytes after a pause pass as soon as no more follow, so a frame is neither cut nor delayed. In a stream without pauses
bytes are collected for 40 ms. A port that delivers a byte every millisecond then wakes the event loop 25 times a
second instead of a thousand times, and no byte is later than 40 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable

GATHER_S = 0.04
"""Time between two chunks of a stream without pauses, and longest delay of a byte, seconds."""
SETTLE_S = 0.002
"""Silence after which a frame that follows a pause counts as complete, seconds: 20 bytes at 115200 baud."""
CHUNK_BYTES = 1536
"""Bytes that may gather: the kernel keeps 4095 of a terminal, then the sender must wait."""


class Gatherer:
    """Collects the bytes of one connection.

    Args:
        pause: Function that waits for some seconds.
        clock_ns: Monotonic clock, ns.

    Attributes:
        arrival_ns: Host monotonic clock when the last byte was read.
    """

    def __init__(
        self, pause: Callable[[float], object] = time.sleep, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._pause, self._clock_ns = pause, clock_ns
        self._passed_ns = self._due_ns = clock_ns()
        self._dense = False
        self.arrival_ns = 0

    def read(self, data: bytearray, first: Callable[[], bytes], more: Callable[[], bytes]) -> None:
        """Read the next chunk.

        Args:
            data: Buffer to extend, empty; what was read before an exception of the functions stays in it.
            first: Function that waits for bytes and returns them; none if it waited in vain.
            more: Function that returns the bytes that have arrived since, without waiting.
        """
        if self._dense:
            # No first read: in a stream without pauses it would only wake this thread once more.
            self._wait_until_due()
            self._take(data, more)
        if not data:
            if not self._take(data, first):
                self._dense = False
                return
            self._take(data, more)
            self._dense = self._clock_ns() < self._due_ns
            if self._dense:
                self._wait_until_due()
                self._take(data, more)
            else:
                self._settle(data, more)
        now_ns = self._clock_ns()
        # At the rate of this chunk, so many bytes take:
        fill_ns = CHUNK_BYTES * (now_ns - self._passed_ns) // len(data) if len(data) < CHUNK_BYTES else 0
        self._passed_ns, self._due_ns = now_ns, now_ns + min(round(GATHER_S * 1e9), fill_ns)

    def _take(self, data: bytearray, read: Callable[[], bytes]) -> bool:
        got = read()
        if got:
            self.arrival_ns = self._clock_ns()
            data += got
        return bool(got)

    def _settle(self, data: bytearray, more: Callable[[], bytes]) -> None:
        end_ns = self._clock_ns() + round(GATHER_S * 1e9)
        while len(data) < CHUNK_BYTES and self._clock_ns() < end_ns:
            self._pause(SETTLE_S)
            if not self._take(data, more):
                return
        self._dense = True

    def _wait_until_due(self) -> None:
        left_ns = self._due_ns - self._clock_ns()
        if left_ns > 0:
            self._pause(left_ns * 1e-9)
