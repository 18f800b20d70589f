"""A clock for days in minutes: the clocks of the process follow the link, not the processor.

The kit limits events, gaps and silences by the clocks of the host. At four hundred times real time these limits would
be four hundred times stricter than on a device, and would prove nothing. Timers of threads and of the event loop keep
the real clock, so that nothing waits longer than it must.
"""

from __future__ import annotations

import time


class VirtualClock:
    """The time of the link.

    Attributes:
        now_ns: Monotonic time, ns; whoever delivers data sets it.
    """

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self._unix_ns = time.time_ns() - now_ns

    def install(self) -> None:
        """Replace the clocks that count nanoseconds. To be called before the kit is imported."""
        time.monotonic_ns = lambda: self.now_ns
        time.time_ns = lambda: self._unix_ns + self.now_ns
