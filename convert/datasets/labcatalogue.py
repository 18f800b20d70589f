"""The catalogue of laboratory indicators: key, LOINC, UCUM unit, reference range, and the spellings of data sets.

The table is ``convert/data/labs.csv``. The ranges are general adult ranges with their source in the table. Ranges in
the rows of a data set, as in MC-MED, take precedence. ``mcmed_names`` are spellings that occur in that data set.
``assumed_names`` are further spellings for the look-up that no public source confirms.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from firmware_bridge.errors import InputError

TABLE = "labs.csv"
"""File in ``convert/data`` that holds the catalogue."""


@dataclass(frozen=True, slots=True)
class Lab:
    """One laboratory indicator.

    Attributes:
        key: Short name in this project, such as ``"potassium"``.
        name: Full name, for display.
        loinc: LOINC code of the measured quantity.
        unit: UCUM unit.
        ref_low: Lower reference limit in ``unit``; ``None`` where there is none.
        ref_high: Upper reference limit in ``unit``; ``None`` where there is none.
        range_source: Source of the range.
        mcmed_names: Spellings that occur in ``Component_name`` of MC-MED.
        assumed_names: Further spellings, not confirmed.
    """

    key: str
    name: str
    loinc: str
    unit: str
    ref_low: float | None
    ref_high: float | None
    range_source: str
    mcmed_names: tuple[str, ...]
    assumed_names: tuple[str, ...]


class LabCatalogue(Mapping[str, Lab]):
    """All labs by key, in the order of the table; see `catalogue`."""

    def __init__(self, labs: list[Lab]) -> None:
        self._labs = {lab.key: lab for lab in labs}
        self._by_name: dict[str, str] = {}
        for lab in labs:
            for name in (lab.key, lab.name, *lab.mcmed_names, *lab.assumed_names):
                owner = self._by_name.setdefault(normalised(name), lab.key)
                if owner != lab.key:
                    raise InputError(
                        f"the name {name!r} belongs to two labs, {owner} and {lab.key}", f"correct {TABLE}"
                    )

    def __getitem__(self, key: str) -> Lab:
        return self._labs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._labs)

    def __len__(self) -> int:
        return len(self._labs)

    def find(self, component_name: str) -> Lab | None:
        """Return the lab that a data set calls ``component_name``, or ``None``.

        Case, punctuation and spacing are ignored, because MC-MED writes ``_`` for a comma: ``PROTEIN_ TOTAL``. There is
        no guessing: ``CORRECTED CALCIUM`` is not calcium.
        """
        key = self._by_name.get(normalised(component_name))
        return None if key is None else self._labs[key]


def spelling(lab: Lab) -> str:
    """Return the ``Component_name`` of a lab: a name from MC-MED if one is known, else an assumed name."""
    return (lab.mcmed_names or lab.assumed_names or (lab.name.upper(),))[0]


def normalised(name: str) -> str:
    """Return ``name`` in the form in which spellings are compared: lower case words, with ``%`` kept."""
    return " ".join(re.findall(r"[a-z0-9]+|%", name.lower()))


@lru_cache(maxsize=1)
def catalogue() -> LabCatalogue:
    """Return the catalogue.

    Raises:
        InputError: The table in the package is damaged.
    """
    text = (resources.files("convert") / "data" / TABLE).read_text(encoding="utf-8")
    try:
        return LabCatalogue([_lab(row) for row in csv.DictReader(text.splitlines())])
    except (KeyError, ValueError) as error:
        raise InputError(f"the lab catalogue {TABLE} is damaged: {error!r}", "reinstall anyecg-edge") from error


def _lab(row: dict[str, str]) -> Lab:
    return Lab(
        key=row["key"],
        name=row["name"],
        loinc=row["loinc"],
        unit=row["unit_ucum"],
        ref_low=_limit(row["ref_low"]),
        ref_high=_limit(row["ref_high"]),
        range_source=row["range_source"],
        mcmed_names=_names(row["mcmed_names"]),
        assumed_names=_names(row["assumed_names"]),
    )


def _limit(text: str) -> float | None:
    return float(text) if text else None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(";") if name)
