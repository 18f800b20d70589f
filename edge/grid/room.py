"""How long a gap can be: real time must have passed for it, whatever a peer states."""

from __future__ import annotations

SPARE_S = 5.0
"""Gap that needs no real time, s: frames arrive late and together. The host's time refills it."""

RATE_MAX = 1000.0
"""Fastest simulation for which gaps are right, in signal time per time of the host."""


class GapRoom:
    """Limits gaps to the time that passed on the host and is not filled with samples.

    One impossible index, tick or number must not move the signal time by an hour. A peer whose samples come faster
    than real time, such as a simulation, has a clock that runs faster by the same factor.
    """

    def __init__(self) -> None:
        self._first_ns: int | None = None
        self._last_ns = 0
        self._received_s = 0.0
        self._silent_s = 0.0
        """Time that passed and for which there are no samples, s."""
        self._spare_s = SPARE_S

    def limit_s(self, arrival_ns: int, block_s: float) -> float:
        """Return the longest gap possible before a block that arrives now, s.

        Args:
            arrival_ns: Arrival time of the block.
            block_s: Length of the block, s.
        """
        first = self._first_ns is None
        if first:
            self._first_ns = self._last_ns = arrival_ns
        passed_s = (arrival_ns - self._last_ns) * 1e-9
        if passed_s > 0.0:  # blocks of one chunk arrive together
            self._last_ns = arrival_ns
            self._spare_s = min(SPARE_S, self._spare_s + passed_s)
            self._silent_s += passed_s * self._rate()
        self._silent_s = max(0.0, self._silent_s - block_s)
        if not first:  # whose samples were measured before the time that is counted here
            self._received_s += block_s
        return self._silent_s + self._spare_s

    def take(self, gap_s: float) -> None:
        """Record a gap of at most the limit."""
        from_silence_s = min(gap_s, self._silent_s)
        self._silent_s -= from_silence_s
        self._spare_s -= gap_s - from_silence_s

    def _rate(self) -> float:
        """Return the signal time that was received per time of the host, at least 1."""
        host_s = (self._last_ns - (self._first_ns or 0)) * 1e-9
        return 1.0 if host_s <= 0 else min(max(1.0, self._received_s / host_s), RATE_MAX)
