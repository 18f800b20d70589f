"""Laboratory items of MIMIC-IV by label, fluid and category. A number alone would mix blood and urine.

``convert/data/mimic_items.csv`` maps them to the catalogue. Items of another fluid, and whole blood where the catalogue
means serum or plasma, are other measurements; a label file can name them, such as
``"Potassium, Whole Blood (Blood, Blood Gas)"``.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from pathlib import Path

from convert.datasets.csvrows import rows_of
from convert.datasets.labcatalogue import catalogue, normalised, spelling

TABLE = "mimic_items.csv"

_Item = tuple[str, str, str]


@lru_cache(maxsize=1)
def _known() -> dict[_Item, str]:
    text = (resources.files("convert") / "data" / TABLE).read_text(encoding="utf-8")
    return {
        _item(row["label"], row["fluid"], row["category"]): spelling(catalogue()[row["key"]])
        for row in csv.DictReader(text.splitlines())
    }


def _item(label: str, fluid: str, category: str) -> _Item:
    return normalised(label), normalised(fluid), normalised(category)


def read_items(path: Path) -> dict[int, str]:
    """Return the name of each item: the spelling of MC-MED for a lab, else ``label (fluid, category)``.

    A label plan for one of the two data sets then serves the other.

    Args:
        path: ``d_labitems.csv``, plain or compressed.

    Raises:
        InputError: The file cannot be read or lacks a column.
    """
    found: dict[int, str] = {}
    for row in rows_of(path, ("itemid", "label", "fluid", "category")):
        label, fluid, category = row.text("label"), row.text("fluid"), row.text("category")
        found[row.integer("itemid")] = _known().get(_item(label, fluid, category), f"{label} ({fluid}, {category})")
    return found
