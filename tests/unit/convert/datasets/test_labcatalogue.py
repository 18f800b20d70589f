"""The lab catalogue is complete and consistent, and its look-up never guesses."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from convert.datasets.labcatalogue import Lab, LabCatalogue, catalogue, normalised
from firmware_bridge.errors import InputError


def test_same_labs_as_the_shared_table(shared_dir: Path) -> None:
    with (shared_dir / "labs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(catalogue()) == [row["key"] for row in rows]
    for row in rows:
        lab = catalogue()[row["key"]]
        assert (lab.name, lab.loinc, lab.unit) == (row["name"], row["loinc"], row["unit_ucum"])
        assert lab.ref_low == (float(row["ref_low"]) if row["ref_low"] else None)
        assert lab.ref_high == (float(row["ref_high"]) if row["ref_high"] else None)


def test_entries_are_plausible() -> None:
    labs = catalogue()
    assert len({lab.loinc for lab in labs.values()}) == len(labs)
    for lab in labs.values():
        digits, check = lab.loinc.split("-")
        assert luhn(digits) == int(check), lab
        assert lab.ref_low is not None or lab.ref_high is not None, lab
        if lab.ref_low is not None and lab.ref_high is not None:
            assert lab.ref_low < lab.ref_high


def luhn(digits: str) -> int:
    """Return the check digit of a LOINC code (mod 10)."""
    total = 0
    for i, char in enumerate(reversed(digits)):
        value = int(char) * (2 if i % 2 == 0 else 1)
        total += value // 10 + value % 10
    return -total % 10


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("SODIUM", "sodium"),
        ("POTASSIUM", "potassium"),
        ("PROTEIN_ TOTAL", "protein_total"),
        ("Protein, total", "protein_total"),
        ("EGFR REFIT WITHOUT RACE (2021)", "egfr"),
        ("HEMOGLOBIN (HGB)", "hemoglobin"),
        ("NEUTROPHIL % (AUTO DIFF)", "neutrophils_pct"),
        ("NEUTROPHIL_ ABSOLUTE (AUTO DIFF)", "neutrophils_abs"),
        ("  white blood cells (wbc) ", "wbc"),
        ("T4_ FREE", "free_t4"),
    ],
)
def test_spellings(spelling: str, key: str) -> None:
    found = catalogue().find(spelling)
    assert found is not None
    assert found.key == key


@pytest.mark.parametrize("spelling", ["CORRECTED CALCIUM", "POTASSIUM_ URINE", "", "%", "SODIUM (POC)"])
def test_unknown_spellings_are_not_guessed(spelling: str) -> None:
    assert catalogue().find(spelling) is None


def test_percent_and_absolute_counts_differ() -> None:
    assert normalised("LYMPHOCYTE % (AUTO DIFF)") != normalised("LYMPHOCYTE_ (AUTO DIFF)")


def test_a_name_that_belongs_to_two_labs_is_refused() -> None:
    a = Lab("a", "Same", "1-8", "g", None, 1.0, "", (), ())
    b = Lab("b", "Other", "2-6", "g", None, 1.0, "", ("SAME",), ())
    with pytest.raises(InputError, match="two labs"):
        LabCatalogue([a, b])
