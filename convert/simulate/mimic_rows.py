"""Rows of ``labevents`` as MIMIC-IV writes them, with the oddities of the real table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from convert.datasets.labcatalogue import catalogue
from convert.simulate.cohort import Visit

LAB_COLUMNS = (
    "labevent_id", "subject_id", "hadm_id", "specimen_id", "itemid", "order_provider_id", "charttime", "storetime",
    "value", "valuenum", "valueuom", "ref_range_lower", "ref_range_upper", "flag", "priority", "comments",
)  # fmt: skip
"""Columns of ``labevents.csv``."""

DIAGNOSIS_COLUMNS = ("subject_id", "hadm_id", "seq_num", "icd_code", "icd_version")
"""Columns of ``diagnoses_icd.csv``."""

ITEMS: dict[str, tuple[int, str, str, str]] = {
    "sodium": (50983, "Sodium", "Blood", "Chemistry"),
    "potassium": (50971, "Potassium", "Blood", "Chemistry"),
    "chloride": (50902, "Chloride", "Blood", "Chemistry"),
    "co2_total": (50882, "Bicarbonate", "Blood", "Chemistry"),
    "glucose": (50931, "Glucose", "Blood", "Chemistry"),
    "calcium": (50893, "Calcium, Total", "Blood", "Chemistry"),
    "magnesium": (50960, "Magnesium", "Blood", "Chemistry"),
    "creatinine": (50912, "Creatinine", "Blood", "Chemistry"),
    "bun": (51006, "Urea Nitrogen", "Blood", "Chemistry"),
    "hemoglobin": (51222, "Hemoglobin", "Blood", "Hematology"),
    "wbc": (51301, "White Blood Cells", "Blood", "Hematology"),
    "platelets": (51265, "Platelet Count", "Blood", "Hematology"),
    "free_t4": (50995, "Thyroxine (T4), Free", "Blood", "Chemistry"),
    "lactate": (50813, "Lactate", "Blood", "Blood Gas"),
    "whole blood": (50822, "Potassium, Whole Blood", "Blood", "Blood Gas"),
    "urine": (51097, "Potassium, Urine", "Urine", "Chemistry"),
    "same label": (51100, "Sodium", "Urine", "Chemistry"),
}
"""Item of each lab; the last three are measurements of other specimens, one with the label of a blood test."""

_UNITS = {"mmol/L": "mEq/L", "10*3/uL": "K/uL"}
_PLAIN = ("lactate",)
"""Labs whose unit MIMIC-IV writes as the catalogue does."""

OTHER = ("whole blood", "urine", "same label")
ODD_SHARE = 0.03
"""Share of the visits with each kind of oddity."""


@dataclass(slots=True)
class Planted:
    """Counts of the planted oddities by the reason that ``anyecg prepare`` gives.

    Attributes:
        records: Entries of the list of records that are left out.
        ecgs: ECGs whose segments are left out; each has as many segments as leads.
        rows: Rows of ``labevents`` that are left out.
        notes: Used rows with a note.
        renal: Patients with an ECG, by the group of their diagnosis codes.
    """

    records: Counter[str] = field(default_factory=Counter)
    ecgs: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    renal: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return all counts by name."""
        return {name: dict(sorted(getattr(self, name).items())) for name in self.__slots__}


def lab_rows(
    visit: Visit, subject: int, arrival: datetime, rng: np.random.Generator, planted: Planted, *, near: bool,
    oddities: bool,
) -> list[tuple[object, ...]]:  # fmt: skip
    """Return the rows of a visit, without their number.

    Args:
        visit: The visit with its laboratory values.
        subject: Identifier of the patient.
        arrival: Time of arrival; the first ECG is half an hour later.
        rng: Source of all draws.
        planted: Counts that are increased.
        near: Whether the patient has an ECG.
        oddities: Plant oddities.
    """
    drawn = arrival + timedelta(minutes=float(rng.uniform(10.0, 50.0)))
    stored = drawn + timedelta(minutes=float(rng.uniform(25.0, 90.0)))
    rows: list[tuple[object, ...]] = []
    for key in ITEMS:
        if key in OTHER:
            continue
        if key in {"free_t4", "lactate"} and rng.random() < 0.5:
            continue
        row = _Row(visit, subject, key, drawn, stored)
        if oddities:
            row.odd(rng, planted, counted=near)
        rows.append(row.cells())
        _count_plain(row, planted, near=near)
    if oddities:
        rows += _strange(visit, subject, drawn, stored, rng, planted, near=near)
    return rows


def diagnosis_rows(egfr: float, subject: int, rng: np.random.Generator) -> list[tuple[object, ...]]:
    """Return the rows of ``diagnoses_icd`` of one admission of a patient.

    A reduced eGFR below 60 is coded as chronic kidney disease, as in real records not always; every version of the ICD
    occurs. The shares are arbitrary.

    Args:
        egfr: Estimated glomerular filtration rate, mL/min/1.73 m2.
        subject: Identifier of the patient.
        rng: Source of all draws.
    """
    version = 9 if rng.random() < 0.5 else 10
    codes = [("4019", "I10")[version - 9]]
    if rng.random() < (0.85 if egfr < 60.0 else 0.02):
        codes.append((("5853", "5856", "5859"), ("N183", "N186", "N189"))[version - 9][int(rng.integers(3))])
    if rng.random() < (0.2 if egfr < 60.0 else 0.05):
        codes.append(("5849", "N179")[version - 9])
    admission = 20_000_000 + subject % 9_999_991
    return [(subject, admission, k, code, version) for k, code in enumerate(codes, 1)]


def _count_plain(row: _Row, planted: Planted, *, near: bool) -> None:
    if not near:
        planted.rows["patient_without_ecg"] += 1
    elif not row.excluded:
        if row.censored:
            planted.notes["censored"] += 1
        if row.converted:
            planted.notes["converted"] += 1
        if row.bare:
            planted.notes["no_range"] += 1


class _Row:
    """One row and what is odd about it."""

    def __init__(self, visit: Visit, subject: int, key: str, drawn: datetime, stored: datetime) -> None:
        lab = catalogue()[key]
        self.key, self.subject = key, subject
        self.number = round(visit.labs[key], 2)
        self.text, self.value = f"{self.number:g}", f"{self.number:g}"
        self.unit = lab.unit if key in _PLAIN else _UNITS.get(lab.unit, lab.unit)
        self.low, self.high = lab.ref_low, lab.ref_high
        self.drawn, self.stored = f"{drawn:%Y-%m-%d %H:%M:%S}", f"{stored:%Y-%m-%d %H:%M:%S}"
        self.excluded = self.censored = self.converted = self.bare = False

    def odd(self, rng: np.random.Generator, planted: Planted, *, counted: bool) -> None:
        """Plant at most one oddity; ``counted`` is whether the row would otherwise be used."""
        kinds = ("text", "hidden", "empty", "censored", "unit", "bare", "no_time", "backwards", "no_unit", "other_unit")
        chance = float(rng.random())
        kind = kinds[int(chance / ODD_SHARE)] if chance < ODD_SHARE * len(kinds) else ""
        if kind == "empty":  # the number is only in the text
            self.value = ""
        elif kind == "censored":
            self.text, self.value, self.censored = f">{self.number:g}", f"{self.number:g}", True
        elif kind == "bare":
            self.low = self.high = None
            self.bare = True
        elif kind == "unit" and self.key == "calcium":
            self._convert("mmol/L", 4.0078)
        elif kind == "unit" and self.key == "glucose":
            self._convert("mmol/L", 18.016)
        elif kind == "unit" and self.key == "hemoglobin":
            self._convert("g/L", 0.1)
        else:
            self._unusable(kind, planted, counted=counted)

    def _unusable(self, kind: str, planted: Planted, *, counted: bool) -> None:
        reason = {
            "text": "not_a_number", "hidden": "hidden", "no_time": "no_time", "backwards": "result_before_order",
            "no_unit": "no_unit", "other_unit": "unknown_unit",
        }.get(kind)  # fmt: skip
        if reason is None:
            return
        if kind == "text":
            self.text, self.value = "HEMOLYZED", ""
        elif kind == "hidden":
            self.text, self.value = "___", ""
        elif kind == "no_time":
            self.drawn = ""
        elif kind == "backwards":
            self.stored = f"{datetime.fromisoformat(self.drawn) - timedelta(hours=1):%Y-%m-%d %H:%M:%S}"
        else:
            self.unit = "" if kind == "no_unit" else "furlongs"
        self.excluded = True
        if counted:
            planted.rows[reason] += 1

    def _convert(self, unit: str, factor: float) -> None:
        self.unit, self.converted = unit, True
        self.text = self.value = f"{self.number / factor:.6g}"
        self.low = None if self.low is None else round(self.low / factor, 4)
        self.high = None if self.high is None else round(self.high / factor, 4)

    def cells(self) -> tuple[object, ...]:
        """Return the cells after the number of the row."""
        low, high = ("" if x is None else x for x in (self.low, self.high))
        item = ITEMS[self.key][0]
        return (
            self.subject, "", "", item, "", self.drawn, self.stored, self.text, self.value, self.unit, low, high, "",
            "STAT", "___" if self.text == "___" else "",
        )  # fmt: skip


def _strange(
    visit: Visit, subject: int, drawn: datetime, stored: datetime, rng: np.random.Generator, planted: Planted, *,
    near: bool,
) -> list[tuple[object, ...]]:  # fmt: skip
    """Return rows of other specimens, repeated rows and rows far from every ECG."""
    rows: list[tuple[object, ...]] = []
    for key in OTHER:
        if rng.random() < 0.3:
            cells = list(_Row(visit, subject, "potassium", drawn, stored).cells())
            cells[3] = ITEMS[key][0]
            rows.append(tuple(cells))
            planted.rows["unknown_component" if near else "patient_without_ecg"] += 1
    if rng.random() < 0.1:
        # The plain row may be odd, so both are of another time, and exactly one of them repeats the other.
        rows += [_Row(visit, subject, "creatinine", drawn - timedelta(minutes=7), stored).cells()] * 2
        planted.rows["repeated" if near else "patient_without_ecg"] += 1
        if not near:
            planted.rows["patient_without_ecg"] += 1
    if rng.random() < 0.3:
        days = timedelta(days=1, hours=16)
        rows.append(_Row(visit, subject, "bun", drawn + days, stored + days).cells())
        planted.rows["no_ecg_near" if near else "patient_without_ecg"] += 1
    return rows
