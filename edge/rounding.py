"""How numbers are rounded in JSON."""

from __future__ import annotations

import math


def fixed(x: float | None, digits: int) -> float | None:
    """Return ``x`` rounded to ``digits`` decimals; ``None`` if JSON cannot represent it."""
    if x is None or not math.isfinite(x):
        return None
    return round(float(x), digits) + 0.0  # + 0.0 turns -0.0 into 0.0


def written(x: float | None, digits: int) -> float | None:
    """Return ``x`` rounded like :func:`fixed`, as an integer if ``digits`` is 0."""
    shown = fixed(x, digits)
    return int(shown) if shown is not None and digits == 0 else shown


def significant_pair(pair: tuple[float, float] | None) -> list[float | None] | None:
    """Return both bounds of an interval like :func:`significant`; ``None`` if JSON cannot represent one."""
    if pair is None or not all(math.isfinite(bound) for bound in pair):
        return None
    return [significant(bound) for bound in pair]


def significant(x: float | None) -> float | None:
    """Return ``x`` rounded to 6 significant digits; ``None`` if JSON cannot represent it."""
    if x is None or not math.isfinite(x):
        return None
    return float(f"{x:.6g}") + 0.0
