"""Wall time of samples, and whether the wall clock can be believed. A Pi has no battery clock."""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable

_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""

CHECK_EVERY_S = 10.0


def live_wall_ns(host_ns: int) -> int:
    """Returns Unix time of a host monotonic time of this boot; follows the wall clock when it is set late."""
    return time.time_ns() - (time.monotonic_ns() - host_ns)


def recorded_wall_ns(start_unix_ns: int, start_host_ns: int = 0) -> Callable[[int], int]:
    """Returns the mapping of a recording, whose clock began at ``start_host_ns`` when wall time was known."""
    return lambda host_ns: start_unix_ns + host_ns - start_host_ns


class ClockSync:
    """Asks the kernel, at most every ten seconds, whether the clock is disciplined (NTP or the like)."""

    def __init__(self) -> None:
        self._checked = float("-inf")
        self._synced = False

    def __call__(self) -> bool:
        """Returns whether the wall clock is synchronised."""
        now = time.monotonic()
        if now - self._checked > CHECK_EVERY_S:
            self._checked, self._synced = now, kernel_clock_synced()
        return self._synced


def kernel_clock_synced() -> bool:
    """Returns whether ``adjtimex`` reports a synchronised clock; false where it cannot be asked."""
    adjtimex = _adjtimex()
    if adjtimex is None:
        return False
    buffer = ctypes.create_string_buffer(512)  # struct timex is 208 bytes on 64 bit; modes = 0 only reads
    state = int(adjtimex(buffer))
    return 0 <= state != _TIME_ERROR


@functools.cache
def _adjtimex() -> Callable[[ctypes.Array[ctypes.c_char]], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_int
    return function
