"""Rows of ``visits.csv`` and ``labs.csv`` as MC-MED writes them (columns: dkimlab/MCMED, data-dictionary.md)."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from convert.datasets.labcatalogue import catalogue, spelling
from convert.simulate.cohort import Visit

VISIT_COLUMNS = (
    "MRN", "CSN", "Visit_no", "Visits", "Age", "Gender", "Race", "Ethnicity", "Means_of_arrival", "Triage_Temp",
    "Triage_HR", "Triage_RR", "Triage_SpO2", "Triage_SBP", "Triage_DBP", "Triage_acuity", "CC", "ED_dispo",
    "Hours_to_next_visit", "Dispo_class_next_visit", "ED_LOS", "Hosp_LOS", "DC_dispo", "Payor_class", "Admit_service",
    "Dx_ICD9", "Dx_ICD10", "Dx_name", "Arrival_time", "Roomed_time", "Dispo_time", "Admit_time", "Departure_time",
)  # fmt: skip
"""Columns of ``visits.csv``; columns that the simulator does not draw are empty."""

LAB_COLUMNS = (
    "CSN", "Order_time", "Result_time", "Display_name", "Abnormal", "Component_name", "Component_result",
    "Component_value", "Component_units", "Component_abnormal", "Component_nml_low", "Component_nml_high",
)  # fmt: skip
"""Columns of ``labs.csv``."""

_PANELS: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    ("Metabolic Panel, Comprehensive", 0.97, (
        "sodium", "potassium", "chloride", "co2_total", "anion_gap", "glucose", "calcium", "creatinine", "bun", "egfr",
        "albumin", "alt", "ast", "bilirubin_total",
    )),
    ("Magnesium, Serum", 0.8, ("magnesium",)),
    ("CBC with Differential (CBCD)", 0.97, ("wbc", "hemoglobin", "hematocrit", "rbc", "mcv", "platelets")),
    ("T4, Free", 0.6, ("free_t4",)),
    ("TSH w/ Reflex FT4", 0.5, ("tsh",)),
    ("Lactate, Whole Blood", 0.4, ("lactate",)),
    ("Troponin I, High Sensitivity", 0.5, ("hs_troponin_i",)),
)  # fmt: skip
"""Name of the order, share of the visits with it, and its labs. The shares are arbitrary; thyroid tests are far more
frequent than in reality."""

_DIGITS = {
    "sodium": 0, "chloride": 0, "co2_total": 0, "anion_gap": 0, "glucose": 0, "bun": 0, "egfr": 0, "alt": 0, "ast": 0,
    "platelets": 0, "hs_troponin_i": 0, "creatinine": 2, "free_t4": 2, "tsh": 3, "rbc": 2,
}  # fmt: skip
"""Number of reported decimals by lab; one by default."""

_REPORTABLE: dict[str, tuple[float, float]] = {
    "glucose": (20.0, 700.0), "free_t4": (0.25, 6.0), "tsh": (0.01, 80.0), "hs_troponin_i": (3.0, 15000.0),
    "egfr": (5.0, 120.0), "bilirubin_total": (0.2, 30.0), "potassium": (1.5, 8.0), "lactate": (0.5, 15.0),
}  # fmt: skip
"""Range that an analyser reports; beyond it the value is written ``<low`` or ``>high``, as in the real data."""

_UNITS = {"10*3/uL": "K/uL", "10*6/uL": "MIL/uL", "mL/min/{1.73_m2}": "mL/min/1.73 m2", "m[IU]/L": "uIU/mL"}
"""Spelling of a UCUM unit in the hospital; other units have the same spelling."""

_SEX_RANGE = {("hemoglobin", "F"): (12.0, 16.0), ("hemoglobin", "M"): (13.5, 17.5)}
"""Reference ranges by sex (Tietz 5th ed); other labs have the range of the catalogue."""

_HEMOLYZED = 0.01
"""Share of potassium results that are not a number."""

_REPEATED = 0.2
"""Share of the visits with a second metabolic panel."""

_REPEAT_CHANGE = 0.012
"""Standard deviation of the relative change between the two panels."""


def visit_row(
    visit: Visit, mrn: int, csn: int, visits: int, arrival: datetime, rng: np.random.Generator
) -> tuple[object, ...]:
    """Return the row of ``visits.csv``, in the order of `VISIT_COLUMNS`."""
    who = visit.demographics
    z = rng.standard_normal(6)
    stay_h = float(np.clip(4.8 + 2.0 * z[0], 1.5, 14.0))
    systolic = round(130.0 + 18.0 * float(z[1]))
    known: dict[str, object] = {
        "MRN": mrn, "CSN": csn, "Visit_no": visit.visit + 1, "Visits": visits, "Age": who.age, "Gender": who.sex,
        "Race": who.race, "Ethnicity": who.ethnicity, "Means_of_arrival": "Self",
        "Triage_Temp": f"{36.7 + 0.35 * z[2]:.1f}",
        "Triage_HR": f"{max(30.0, visit.latents.hr_bpm + 5.0 * z[3]):.1f}",
        "Triage_RR": f"{18.0 + round(1.5 * float(z[4])):.1f}",
        "Triage_SpO2": f"{min(100.0, 98.0 + round(float(z[5]))):.1f}",
        "Triage_SBP": f"{systolic:.1f}", "Triage_DBP": f"{round(0.6 * systolic):.1f}",
        "Triage_acuity": "3-Urgent", "CC": "SIMULATED", "ED_dispo": "Discharge", "ED_LOS": f"{stay_h:.2f}",
        "Arrival_time": _iso(arrival), "Roomed_time": _iso(arrival + timedelta(minutes=9)),
        "Departure_time": _iso(arrival + timedelta(hours=stay_h)),
    }  # fmt: skip
    return tuple(known.get(column, "") for column in VISIT_COLUMNS)


def lab_rows(visit: Visit, csn: int, arrival: datetime, rng: np.random.Generator) -> list[tuple[object, ...]]:
    """Return the visit's rows of ``labs.csv``, oldest order first."""
    rows: list[tuple[object, ...]] = []
    for panel, (order, share, keys) in enumerate(_PANELS):
        wanted, again, order_min, wait_min = rng.random(4)
        if wanted >= share:
            continue
        ordered = arrival + timedelta(seconds=round(300.0 + 1500.0 * order_min))
        resulted = ordered + timedelta(seconds=round(1500.0 + 3600.0 * wait_min))
        rows += _panel(visit, csn, order, keys, ordered, resulted, rng, 0.0)
        if panel == 0 and again < _REPEATED:
            later = timedelta(minutes=150)
            rows += _panel(visit, csn, order, keys, ordered + later, resulted + later, rng, _REPEAT_CHANGE)
    return rows


def _panel(
    visit: Visit, csn: int, order: str, keys: tuple[str, ...], ordered: datetime, resulted: datetime,
    rng: np.random.Generator, change: float,
) -> list[tuple[object, ...]]:  # fmt: skip
    rows: list[tuple[object, ...]] = []
    for key in keys:
        lab = catalogue()[key]
        low, high = _SEX_RANGE.get((key, visit.demographics.sex), (lab.ref_low, lab.ref_high))
        number = visit.labs[key] * (1.0 + change * float(rng.standard_normal()))
        text = _reported(key, number)
        outside = (low is not None and number < low) or (high is not None and number > high)
        if key == "potassium" and rng.random() < _HEMOLYZED:
            text, outside = "HEMOLYZED", False
        flag = "Abnormal" if outside else "Normal"
        rows.append((
            csn, _iso(ordered), _iso(resulted), order, flag, spelling(lab), text, text,
            _UNITS.get(lab.unit, lab.unit), flag, "" if low is None else low, "" if high is None else high,
        ))  # fmt: skip
    return rows


def _reported(key: str, number: float) -> str:
    low, high = _REPORTABLE.get(key, (-np.inf, np.inf))
    digits = _DIGITS.get(key, 1)
    if number < low:
        return f"<{low:.{digits}f}"
    if number > high:
        return f">{high:.{digits}f}"
    return f"{number:.{digits}f}"


def _iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}Z"
