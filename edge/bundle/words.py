"""Outputs of a bundle in words: ``Potassium above 5 mmol/L`` instead of ``potassium_high``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from firmware_bridge.text import printable, shortened

if TYPE_CHECKING:
    from edge.bundle.schema import OutputHead

MAX_LABEL_CHARS = 80
MAX_UNIT_CHARS = 24
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class ReferenceLimits(NamedTuple):
    """Reference limits of a laboratory indicator for adults.

    Attributes:
        name: Name for people.
        unit: UCUM unit of the limits.
        low: Lower limit; ``None`` where there is none.
        high: Upper limit; ``None`` where there is none.
    """

    name: str
    unit: str
    low: float | None
    high: float | None


def reference_limits() -> dict[str, ReferenceLimits]:
    """Return the limits by laboratory indicator; they are those of the catalogue in ``convert/data/labs.csv``."""
    text = resources.files(__package__).joinpath("reference_limits.csv").read_text(encoding="utf-8")
    out = {}
    for line in text.splitlines()[1:]:
        # The unit may hold no comma, and neither may the limits; a name may.
        key, rest = line.split(",", 1)
        name, unit, low, high = rest.rsplit(",", 3)
        limits = [float(cell) if cell else None for cell in (low, high)]
        out[key] = ReferenceLimits(name.strip('"'), unit, limits[0], limits[1])
    return out


def output_words(head: OutputHead, limits: Mapping[str, ReferenceLimits]) -> str:
    """Return what an output estimates.

    Args:
        head: The output. Its text comes from a bundle, which is a foreign file.
        limits: What `reference_limits` returns.
    """
    known = limits.get(head.lab)
    name = label(head.lab) if known is None else known.name
    if head.kind == "value" or head.direction is None:
        words = name if head.kind == "value" else label(head.key)
    else:
        words = f"{name} {_limit(head.direction, known)}"
    return words if head.horizon_min is None else f"{words}, within {head.horizon_min} min"


def label(text: str) -> str:
    """Return the key of an output as words for people."""
    words = printable(text).replace("_", " ").strip()[:MAX_LABEL_CHARS]
    return words[:1].upper() + words[1:]


def shown_unit(ucum: str) -> str:
    """Return a UCUM unit as people write it; probabilities are in percent."""
    if ucum == "1":
        return "%"
    text = re.sub(r"(?<=\w)\{", " ", ucum)
    text = re.sub(r"[\[\]{}]", "", text).replace("_", " ").replace("m2", "m²")
    text = re.sub(r"10\*(\d+)", lambda match: f"10{match[1].translate(_SUPERSCRIPTS)}", text)
    text = re.sub(r"\bu(?=[A-Za-z])", "µ", text)
    return shortened(printable(text), MAX_UNIT_CHARS)


def _limit(direction: str, known: ReferenceLimits | None) -> str:
    unit = "" if known is None else f" {shown_unit(known.unit)}"
    if known is not None and direction == "low" and known.low is not None:
        return f"below {known.low:g}{unit}"
    if known is not None and direction == "high" and known.high is not None:
        return f"above {known.high:g}{unit}"
    if known is not None and direction == "abnormal" and known.low is not None and known.high is not None:
        return f"outside {known.low:g} to {known.high:g}{unit}"
    return direction
