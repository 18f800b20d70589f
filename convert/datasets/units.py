"""Units of laboratory results: what hospitals write, turned into the catalogue's unit, or refused.

The table is ``convert/data/units.toml``. A label file may add units of one lab. Nothing is guessed: a value in a unit
that nobody named would be wrong by a factor and still look like a value.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources

from convert.datasets.labcatalogue import Lab

TABLE = "units.toml"


def plain_unit(text: str) -> str:
    """A unit in the form in which spellings are compared: lower case without blanks, one sign for micro."""
    return "".join(text.lower().split()).replace("\u03bc", "\u00b5")


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, frozenset[str]], dict[str, dict[str, float]]]:
    text = (resources.files("convert") / "data" / TABLE).read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    spellings = {unit: frozenset(map(plain_unit, names)) for unit, names in raw["spellings"].items()}
    factors = {key: {plain_unit(u): float(f) for u, f in table.items()} for key, table in raw["factors"].items()}
    return spellings, factors


def factor_to_catalogue(lab: Lab, unit: str, added: Mapping[str, float]) -> float | None:
    """Factor from a unit as written to the catalogue's unit of a lab.

    Args:
        lab: The lab.
        unit: As the data set writes it.
        added: Further units of this lab, as `plain_unit` has them.

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
