"""Wall time of samples, and whether the wall clock is set. A Raspberry Pi has no battery clock."""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable

_TIME_ERROR = 5
"""Result of adjtimex(2) if the clock is not synchronised."""

CHECK_EVERY_S = 10.0


def live_wall_ns(host_ns: int) -> int:
    """Return the Unix time of a host monotonic time, both ns; follows the wall clock when it is set late."""
    return time.time_ns() - (time.monotonic_ns() - host_ns)


def recorded_wall_ns(start_unix_ns: int, start_host_ns: int = 0) -> Callable[[int], int]:
    """Return the map from host time to Unix time, ns, of a recording that began at these two times."""
    return lambda host_ns: start_unix_ns + host_ns - start_host_ns


class ClockSync:
    """Asks the kernel, at most every ten seconds, whether the clock is synchronised, for example by NTP."""

    def __init__(self) -> None:
        self._checked = float("-inf")
        self._synced = False

    def __call__(self) -> bool:
        """Return whether the wall clock is synchronised."""
        now = time.monotonic()
        if now - self._checked > CHECK_EVERY_S:
            self._checked, self._synced = now, kernel_clock_synced()
        return self._synced


def kernel_clock_synced() -> bool:
    """Return whether ``adjtimex`` reports a synchronised clock; false if unavailable."""
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
    except (OSError, AttributeError, TypeError):  # Windows has no library without a name
        return None
    function.restype = ctypes.c_int
    return function
