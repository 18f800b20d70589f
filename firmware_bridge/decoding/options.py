"""Options of decoders, which come as text from URLs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from firmware_bridge.errors import UsageError

LSB_MV_OPTION = "millivolts per count as measured with this very device; without it no millivolts are claimed"
"""What the option ``lsb_mv`` of devices of unknown scale means."""

NUMBER_MAX = 10
"""Digits; a longer number is a mistake."""


def choice(name: str, text: str, allowed: Sequence[int]) -> int:
    """One of some whole numbers.

    Raises:
        UsageError: It is none of them; the message lists them.
    """
    value = int(text) if text.isascii() and text.isdigit() and len(text) < NUMBER_MAX else None
    if value is None or value not in allowed:
        raise UsageError(f"{name}={text!r} is not possible", f"{name} is one of {', '.join(map(str, allowed))}")
    return value


def number(name: str, text: str, low: float, high: float) -> float:
    """A finite number.

    Raises:
        UsageError: It is none, or outside ``low`` to ``high``.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise UsageError(f"{name}={text!r} is not possible", f"{name} is a number from {low:g} to {high:g}")
    return value


def sampling_rate(text: str) -> float:
    """Samples a second, such as an ECG stream may have.

    Raises:
        UsageError: It is none.
    """
    return number("rate", text, 60.0, 4000.0)


def scale(text: str | None) -> float | None:
    """Millivolts per count; ``None`` where they are not given.

    Raises:
        UsageError: It is no positive number.
    """
    return None if text is None else number("lsb_mv", text, 1e-12, 1e3)
