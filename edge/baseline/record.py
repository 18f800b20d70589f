"""What an estimate says of the change against the wearer's quiet hour, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, cast, get_args

from edge.rounding import fixed, written
from firmware_bridge.reading import is_integer, is_number

Quantity = Literal["qtc_ms", "t_mv", "r_mv", "t_over_r", "st_mv"]
"""Name of a quantity that is compared, with its unit; ``t_over_r`` is a ratio."""
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)

DIGITS: Mapping[Quantity, int] = MappingProxyType({"qtc_ms": 0, "t_mv": 3, "r_mv": 3, "t_over_r": 3, "st_mv": 3})
"""Decimals of each quantity that are written."""

PostureSource = Literal["measured", "published", "unknown"]
"""Where the part of posture in a band comes from: this person, a publication, or nowhere."""
POSTURE_SOURCES: tuple[PostureSource, ...] = get_args(PostureSource)

ChangeReason = Literal[
    "other_device", "other_lead", "other_profile", "few_windows", "not_sinus", "rate_outside", "rate_unsteady",
    "band", "band_unknown", "scale_unknown", "not_in_baseline",
]  # fmt: skip
"""Reason of a missing change: docs/baseline.md explains each."""
CHANGE_REASONS: tuple[ChangeReason, ...] = get_args(ChangeReason)

MAX_CHANGE = 1e6
"""Largest change or bound that a reader accepts, in any unit."""
MAX_COUNT = 100_000
"""Largest number of windows that a reader accepts."""


@dataclass(frozen=True, slots=True)
class QuantityChange:
    """The change of one quantity, in its unit.

    Attributes:
        value: Median of the last minutes less the median of the quiet hour.
        low: Lowest change that scatter, posture and rate alone explain.
        high: Highest one.
        posture: Where the part of posture comes from; with ``unknown`` the band has only the other parts.
        within: Whether the change lies in the band; ``None`` outside of a band whose part of posture is unknown.
    """

    value: float
    low: float
    high: float
    posture: PostureSource
    within: bool | None


NO_VALUES: Mapping[Quantity, QuantityChange] = MappingProxyType({})
NOTHING_MISSING: Mapping[Quantity, ChangeReason] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Change:
    """The change of the last minutes against the wearer's quiet hour.

    Attributes:
        minutes: Minutes over which it is a median.
        windows: Windows in the median, none of which overlap.
        values: The change of each quantity that can be told.
        missing: The reason for each other quantity.
    """

    minutes: float
    windows: int
    values: Mapping[Quantity, QuantityChange] = field(default_factory=lambda: NO_VALUES)
    missing: Mapping[Quantity, ChangeReason] = field(default_factory=lambda: NOTHING_MISSING)


def change_dict(change: Change) -> dict[str, object]:
    """Return the JSON object of ``change``: fixed keys, rounded numbers."""
    out: dict[str, object] = {"minutes": fixed(change.minutes, 1), "windows": int(change.windows)}
    for name in QUANTITIES:
        found = change.values.get(name)
        out[name] = None if found is None else _quantity_dict(found, DIGITS[name])
    out["missing"] = dict(change.missing)
    return out


def _quantity_dict(found: QuantityChange, digits: int) -> dict[str, object]:
    numbers = {key: written(getattr(found, key), digits) for key in ("value", "low", "high")}
    return {**numbers, "posture": found.posture, "within": found.within}


def change_from(d: Mapping[str, object] | None) -> Change | None:
    """Read the JSON object of ``change``; ``None`` for ``None``.

    Raises:
        KeyError: A key is missing.
        TypeError: A value has the wrong type.
        ValueError: A reason is unknown or a number is impossible.
    """
    if d is None:
        return None
    values: dict[Quantity, QuantityChange] = {}
    for name in QUANTITIES:
        found = cast("Mapping[str, object] | None", d[name])
        if found is not None:
            values[name] = _quantity_from(found)
    missing = cast("Mapping[Quantity, ChangeReason]", d["missing"])
    for name, reason in missing.items():
        if name not in QUANTITIES or reason not in CHANGE_REASONS:
            raise ValueError(f"unknown reason {reason!r:.60} of {name!r:.60}")
    windows = d["windows"]
    if not is_integer(windows, 0, MAX_COUNT):
        raise ValueError("the windows of a change are not a possible number")
    return Change(_number(d["minutes"]), windows, values, dict(missing))


def _quantity_from(d: Mapping[str, object]) -> QuantityChange:
    posture = next((known for known in POSTURE_SOURCES if known == d["posture"]), None)
    if posture is None:
        raise ValueError("the source of a band is unknown")
    within = d["within"]
    if within is not None and not isinstance(within, bool):
        raise TypeError("'within' is no boolean")
    return QuantityChange(_number(d["value"]), _number(d["low"]), _number(d["high"]), posture, within)


def _number(x: object) -> float:
    if not is_number(x, -MAX_CHANGE, MAX_CHANGE):
        raise ValueError("a number of a change is not a possible one")
    return x
