"""Units of laboratory results: convert from the units that hospitals write to the unit of the catalogue.

The table is ``convert/data/units.toml``. A label file may add units for one lab. An unknown unit is refused and never
guessed: the converted value could be wrong by a factor and still look plausible.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources

from convert.datasets.labcatalogue import Lab

TABLE = "units.toml"


def plain_unit(text: str) -> str:
    """Return a unit in the form in which spellings are compared: lower case, without blanks, one sign for micro."""
    return "".join(text.lower().split()).replace("\u03bc", "\u00b5")


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, frozenset[str]], dict[str, dict[str, float]]]:
    text = (resources.files("convert") / "data" / TABLE).read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    spellings = {unit: frozenset(map(plain_unit, names)) for unit, names in raw["spellings"].items()}
    factors = {key: {plain_unit(u): float(f) for u, f in table.items()} for key, table in raw["factors"].items()}
    return spellings, factors


def factor_to_catalogue(lab: Lab, unit: str, added: Mapping[str, float]) -> float | None:
    """Return the factor from a unit to the catalogue's unit of a lab.

    Args:
        lab: The lab.
        unit: Unit as the data set writes it.
        added: Factors of further units of this lab, by the result of `plain_unit`.

    Returns:
        The factor; ``None`` where the unit is not known for this lab.
    """
    spellings, factors = _table()
    name = plain_unit(unit)
    if name in added:
        return added[name]
    if name in spellings.get(lab.unit, frozenset()) or name == plain_unit(lab.unit):
        return 1.0
    return factors.get(lab.key, {}).get(name)


def factors_of(lab: Lab) -> dict[str, float]:
    """Return the factors to the catalogue's unit of a lab from all other units that are known for it."""
    return dict(_table()[1].get(lab.key, {}))
