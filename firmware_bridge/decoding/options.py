"""Options of decoders, given as text in URLs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from firmware_bridge.errors import UsageError
from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ

LSB_MV_OPTION = "millivolts per count as measured with this particular board; without it the unit stays counts"
"""Meaning of the option ``lsb_mv`` of devices with an unknown scale."""

NUMBER_MAX = 10
"""Digits of an option's value; a longer number is a mistake."""


def choice(name: str, text: str, allowed: Sequence[int]) -> int:
    """Parse one of a few whole numbers.

    Raises:
        UsageError: The text is not one of them; the message lists them.
    """
    value = int(text) if text.isascii() and text.isdigit() and len(text) < NUMBER_MAX else None
    if value is None or value not in allowed:
        raise UsageError(f"{name}={text!r} is not possible", f"{name} is one of {', '.join(map(str, allowed))}")
    return value


def number(name: str, text: str, low: float, high: float) -> float:
    """Parse a finite number.

    Raises:
        UsageError: The text is not a number from ``low`` to ``high``.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise UsageError(f"{name}={text!r} is not possible", f"{name} is a number from {low:g} to {high:g}")
    return value


def sampling_rate(text: str) -> float:
    """Parse a sampling rate that an ECG stream may have, Hz.

    Raises:
        UsageError: The text is not such a rate.
    """
    return number("rate", text, MIN_FS_HZ, MAX_FS_HZ)


def scale(text: str | None) -> float | None:
    """Parse millivolts per count; return ``None`` if the option is absent.

    Raises:
        UsageError: The text is not a positive number.
    """
    return None if text is None else number("lsb_mv", text, 1e-12, 1e3)


def usable_rate(fs_hz: float) -> bool:
    """Return whether an ECG stream may have this sampling rate, Hz."""
    return MIN_FS_HZ <= fs_hz <= MAX_FS_HZ
