"""Names of outputs, labs and units in words, for pages: ``potassium above 5.0 mmol/L`` for ``potassium_high``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from convert.datasets.labcatalogue import Lab, catalogue

CUT_OFFS = (
    "Cut-offs in names are the adult reference limits of the kit's catalogue of laboratory tests. Results that come "
    "with the limits of their own laboratory are judged by those."
)
"""The sentence that explains the cut-offs in the names of outputs."""

_KEY = re.compile(r"(.+?)(?:_(low|high|abnormal))?(?:_(\d+)min)?(?:_(value))?")
_UNITS = {"{1.73_m2}": "1.73 m²", "10*3": "10³", "10*6": "10⁶", "umol": "µmol", "/uL": "/µL", "[IU]": "IU",
          "[pH]": "", "mm[Hg]": "mmHg", "{INR}": "", "{FEU}": " FEU"}  # fmt: skip
_BEYOND = {"low": "below", "high": "above", "abnormal": "outside"}


def unit_words(ucum: str) -> str:
    """Return a UCUM unit as people write it; empty for a number without a unit."""
    for code, text in _UNITS.items():
        ucum = ucum.replace(code, text)
    return "" if ucum == "1" else ucum


def lab_words(key: str) -> str:
    """Return the name of a lab within a sentence; for an unknown lab, its key without underscores."""
    lab = catalogue().get(key)
    if lab is None:
        return key.replace("_", " ")
    name, _, kind = lab.name.removesuffix(" %").partition(", ")
    word = name.split()[0]
    name = name[0].lower() + name[1:] if word[1:].islower() and word.isalpha() else name
    return f"{kind} {name}" if kind else name


def output_words(lab: str, direction: str | None, horizon_min: int | None = None, *, limits: bool = True) -> str:
    """Return what an output estimates, in words.

    Args:
        lab: Key of the lab.
        direction: ``low``, ``high`` or ``abnormal``; ``None`` for the value itself.
        horizon_min: Horizon, minutes; ``None`` for the present.
        limits: Whether the cut-offs of the catalogue apply.
    """
    name = lab_words(lab)
    known = catalogue().get(lab)
    if direction is None:
        unit = unit_words(known.unit) if known else ""
        text = f"{name}, {unit}" if unit else f"{name}, value"
    else:
        cut_off = _cut_off(known, direction) if known and limits else ""
        text = f"{name} {_BEYOND[direction]} {cut_off}" if cut_off else f"{name} {direction}"
    return text if horizon_min is None else f"{text}, within {horizon_min} min"


def key_words(key: str, *, limits: bool = True) -> str:
    """Return the key of an output, such as ``potassium_high_60min``, in words."""
    found = _KEY.fullmatch(key)
    if found is None or found[1] not in catalogue():
        return key.replace("_", " ")
    return output_words(found[1], found[2], int(found[3]) if found[3] else None, limits=limits)


def names_of(heads: Iterable[Mapping[str, Any]], *, limits: bool = True) -> dict[str, str]:
    """Return the name of each head of a report by its key.

    Args:
        heads: Heads with ``key``, ``lab``, ``direction`` and ``horizon_min``.
        limits: Whether the cut-offs of the catalogue apply.
    """
    return {h["key"]: output_words(h["lab"], h["direction"], h["horizon_min"], limits=limits) for h in heads}


def _cut_off(lab: Lab, direction: str) -> str:
    low, high = lab.ref_low, lab.ref_high
    ends = {"low": (low,), "high": (high,), "abnormal": (low, high)}[direction]
    if None in ends:
        return ""
    digits = max((len(f"{end:g}".partition(".")[2]) for end in (low, high) if end is not None), default=0)
    text = " to ".join(f"{end:.{digits}f}" for end in ends if end is not None)
    return f"{text} {unit_words(lab.unit)}".strip()


def sentence(text: str) -> str:
    """Return a text with its first letter in upper case, except within a word such as ``eGFR``."""
    return text[:1].upper() + text[1:] if text.split(" ", maxsplit=1)[0].islower() else text
