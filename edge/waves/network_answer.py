"""The network's own answer beside a fused estimate, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from edge.rounding import significant, significant_pair
from firmware_bridge.reading import is_number


class NetworkAnswer(NamedTuple):
    """What the network alone says, where an estimate is fused with the waves.

    Attributes:
        value: Probability; ``None`` if there is none.
        interval: Lower and upper bound; ``None`` if there is none.
        threshold: Decision threshold of the network alone; ``None`` without one.
        flag: Whether ``value`` reaches it; ``None`` without one.
    """

    value: float | None
    interval: tuple[float, float] | None
    threshold: float | None
    flag: bool | None


def network_dict(answer: NetworkAnswer) -> dict[str, object]:
    """Return the JSON object of ``network``: fixed keys, rounded numbers."""
    return {
        "value": significant(answer.value),
        "interval": significant_pair(answer.interval),
        "threshold": significant(answer.threshold),
        "flag": None if answer.flag is None else bool(answer.flag),
    }


def network_from(d: Any) -> NetworkAnswer | None:
    """Read the JSON object of ``network``; ``None`` for ``None``.

    Raises:
        KeyError: A key is missing.
        TypeError: A value has the wrong type.
    """
    if d is None:
        return None
    if not isinstance(d, Mapping):
        raise TypeError("network is no object")
    bounds, flag = d["interval"], d["flag"]
    if flag is not None and not isinstance(flag, bool):
        raise TypeError("the flag of the network is no boolean")
    if bounds is not None and not (isinstance(bounds, list) and len(bounds) == 2):
        raise TypeError("the interval of the network is no pair")
    interval = None if bounds is None else (_number(bounds[0]), _number(bounds[1]))
    return NetworkAnswer(_optional(d["value"]), interval, _optional(d["threshold"]), flag)


def _optional(x: object) -> float | None:
    return None if x is None else _number(x)


def _number(x: object) -> float:
    if not is_number(x):
        raise TypeError("an answer of the network is no number")
    return x
