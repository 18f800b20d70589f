"""The clock of the kit's own patch: a 32-bit tick that wraps, unwrapped by the sample index. Sans-IO."""

from __future__ import annotations

from firmware_bridge.wire.messages import Hello

RATE_TOLERANCE = 50
"""Relative difference allowed between true and nominal rate, as 1/N (Polar's own specification: 2 %)."""
HALF, WRAP, NS = 1 << 31, 1 << 32, 1_000_000_000

Line = tuple[int, int, int]
"""Index, unwrapped tick and arrival time, ns, of the frame before."""


def signed(difference: int) -> int:
    """Return the difference of two wrapping counters as a number with a sign."""
    return (difference + HALF) % WRAP - HALF


def unwrapped(line: Line | None, index: int, tick: int, arrival_ns: int, hello: Hello) -> int | None:
    """Unwrap the tick of a frame.

    Args:
        line: The frame before; ``None`` if there is none.
        index: Index of the first sample of the frame.
        tick: Its tick as received.
        arrival_ns: Its arrival time, ns.
        hello: Description of the patch.

    Returns:
        The tick, or ``None`` if it does not fit the ticks before it.
    """
    if line is None:
        return tick
    last_index, last_tick, last_arrival_ns = line
    gone = (index - last_index) * hello.tick_hz * hello.fs_den // hello.fs_num
    tolerance = gone // RATE_TOLERANCE + hello.tick_hz // 2
    if tolerance >= HALF:
        # After a pause of many wraps the nominal rate is too coarse; two crystals agree within 0.1 %.
        gone = (arrival_ns - last_arrival_ns) * hello.tick_hz // NS
        tolerance = min(gone // 1000 + 10 * hello.tick_hz, HALF - 1)
    error = signed(tick - last_tick - gone)
    return last_tick + gone + error if abs(error) <= tolerance else None
