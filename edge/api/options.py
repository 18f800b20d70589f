"""Checks of options that several parts of the interface take."""

from __future__ import annotations

import math

from edge.window import MAX_HOP_S, MIN_HOP_S
from firmware_bridge.errors import UsageError


def check_hop(hop_s: float) -> float:
    """Return the time between estimates, s.

    Raises:
        UsageError: It is outside the supported range.
    """
    if not MIN_HOP_S <= hop_s <= MAX_HOP_S:
        raise UsageError(f"a hop of {hop_s:g} s is outside {MIN_HOP_S:g} to {MAX_HOP_S:g} s", "the default is 1.0")
    return float(hop_s)


def check_seconds(seconds: float | None) -> float | None:
    """Return the limit of signal, s; ``None`` for none.

    Raises:
        UsageError: It is not a positive finite number.
    """
    if seconds is None:
        return None
    if not 0.0 < seconds < math.inf:
        raise UsageError(f"seconds={seconds} is not a positive number", "leave it out for no limit")
    return float(seconds)
