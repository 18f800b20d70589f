"""Outputs and units in words: ``potassium above 5.0 mmol/L`` for ``potassium_high``.

What a bundle states about an output comes first; without it, the words are made of the laboratory indicator and its
reference limits. Words begin with a lower-case letter, to stand within a sentence; `sentence` is for its beginning.
"""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from edge.bundle.schema import MAX_MEANS_CHARS, OutputHead
from firmware_bridge.text import printable, shortened

MAX_LABEL_CHARS = 80
MAX_UNIT_CHARS = 24
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_NO_UNIT = {"1", "[pH]", "{INR}"}
"""UCUM codes of numbers that people write without a unit."""
_KEY = re.compile(r"(.+?)(?:_(low|high|abnormal))?(?:_(\d+)min)?(?:_(value))?")
_BEYOND = {"low": "below", "high": "above", "abnormal": "outside"}


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


@lru_cache(maxsize=1)
def reference_limits() -> dict[str, ReferenceLimits]:
    """Return the limits by laboratory indicator; they are those of the catalogue in ``convert/data/labs.csv``."""
    text = resources.files(__package__).joinpath("reference_limits.csv").read_text(encoding="utf-8")
    out = {}
    for key, name, unit, low, high in csv.reader(text.splitlines()[1:]):
        out[key] = ReferenceLimits(name, unit, float(low) if low else None, float(high) if high else None)
    return out


def head_words(head: OutputHead) -> str:
    """Return what an output of a bundle estimates: the bundle's own words, if it has any."""
    if head.means is not None:
        return stated_words(head.means)
    if head.kind == "value":
        return output_words(head.lab, None, head.horizon_min)
    if head.direction is None:
        return key_words(head.key)
    return output_words(head.lab, head.direction, head.horizon_min)


def stated_words(means: str) -> str:
    """Return the words of a bundle, which is a foreign file, made safe to show."""
    return shortened(printable(means), MAX_MEANS_CHARS)


def key_words(key: str) -> str:
    """Return the key of an output, such as ``potassium_high_60min``, in words; an unknown key is only cleaned."""
    found = _KEY.fullmatch(key)
    if found is None or found[1] not in reference_limits():
        return label(key)
    return output_words(found[1], found[2], int(found[3]) if found[3] else None)


def output_words(
    lab: str, direction: str | None, horizon_min: int | None = None, *, limits: bool = True, with_unit: bool = False
) -> str:
    """Return what an output estimates, made of its laboratory indicator.

    Args:
        lab: Key of the laboratory indicator.
        direction: ``low``, ``high`` or ``abnormal``; ``None`` for the value itself.
        horizon_min: Horizon, minutes; ``None`` for the present.
        limits: Whether the reference limits apply.
        with_unit: Whether a value is named with its unit.
    """
    name, known = lab_words(lab), reference_limits().get(lab)
    if direction is None:
        unit = unit_words(known.unit) if known else ""
        text = f"{name}, {unit or 'value'}" if with_unit else name
    else:
        cut_off = _cut_off(known, direction) if known and limits else ""
        text = f"{name} {_BEYOND[direction]} {cut_off}" if cut_off else f"{name} {direction}"
    return text if horizon_min is None else f"{text}, within {horizon_min} min"


def lab_words(key: str) -> str:
    """Return the name of a laboratory indicator within a sentence; for an unknown one, its key without underscores."""
    known = reference_limits().get(key)
    if known is None:
        return label(key)
    name, _, kind = known.name.removesuffix(" %").partition(", ")
    word = name.split()[0]
    name = name[0].lower() + name[1:] if word[1:].islower() and word.isalpha() else name
    return f"{kind} {name}" if kind else name


def label(key: str) -> str:
    """Return the key of an output as a short name for people, where there is no room for words."""
    return printable(key).replace("_", " ").strip()[:MAX_LABEL_CHARS]


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case, except within a word such as ``eGFR``."""
    return text[:1].upper() + text[1:] if text.split(" ", maxsplit=1)[0].islower() else text


def unit_words(ucum: str) -> str:
    """Return a UCUM unit as people write it; empty for a number without a unit."""
    if ucum in _NO_UNIT:
        return ""
    text = re.sub(r"(?<=\w)\{", " ", ucum)
    text = re.sub(r"[\[\]{}]", "", text).replace("_", " ").replace("m2", "m²")
    text = re.sub(r"10\*(\d+)", lambda match: f"10{match[1].translate(_SUPERSCRIPTS)}", text)
    text = re.sub(r"\bu(?=[A-Za-z])", "µ", text)
    return shortened(printable(text), MAX_UNIT_CHARS)


def shown_unit(ucum: str) -> str:
    """Return the unit of an estimate as people write it; probabilities are shown in percent."""
    return "%" if ucum == "1" else unit_words(ucum)


def _cut_off(known: ReferenceLimits, direction: str) -> str:
    low, high = known.low, known.high
    ends = {"low": (low,), "high": (high,), "abnormal": (low, high)}[direction]
    if None in ends:
        return ""
    digits = max((len(f"{end:g}".partition(".")[2]) for end in (low, high) if end is not None), default=0)
    text = " to ".join(f"{end:.{digits}f}" for end in ends if end is not None)
    return f"{text} {unit_words(known.unit)}".strip()
