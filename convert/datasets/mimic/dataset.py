"""Reader of MIMIC-IV-ECG with the results of MIMIC-IV, with the interface of the MC-MED reader.

A patient's dates are shifted together, so times are comparable within a patient only, and there is no split by time.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from convert.datasets.csvrows import Row, rows_of
from convert.datasets.labcatalogue import Lab, catalogue
from convert.datasets.mcmed import LabRow, LabValue, Part, Segment, Split, VisitRow, parse_value, seed_of
from convert.datasets.mimic.items import read_items
from convert.datasets.mimic.layout import (
    DIAGNOSES,
    LAB_EVENTS,
    LAB_ITEMS,
    PATIENTS,
    RECORD_LIST,
    MimicPlace,
    header_of,
    needed_table,
    table,
)
from convert.datasets.mimic.records import Ecg, EcgVisit, by_subject, read_ecgs, visits_of
from convert.datasets.patient_split import part_of
from convert.datasets.wfdb16 import read_header
from firmware_bridge.errors import InputError

LEADS = ("I", "II")
"""Leads that are read by default: what a patch on the chest is nearest to."""

ECG_S = 10.0
"""Length of every ECG of MIMIC-IV-ECG, s."""

REACH = timedelta(hours=12)
"""A result belongs to the visit of its patient's nearest ECG, at most this far away: half the gap between visits, so
that it belongs to one visit only."""

HIDDEN = "___"
"""Text that the de-identification hides."""

NEEDED = ("subject_id", "itemid", "charttime", "storetime", "value", "valuenum", "valueuom", "ref_range_lower",
          "ref_range_upper")  # fmt: skip


class MimicDataset:
    """MIMIC-IV-ECG and MIMIC-IV on disk: the full sets, the open demos, or simulated data in the same layout.

    Args:
        place: Folders of the two data sets.
        leads: Leads to read.

    Attributes:
        root: Folder with the list of records.
        leads: Leads to read.
        left_out: Number of ECGs that are left out, by reason.

    Raises:
        InputError: A table is missing or damaged.
    """

    def __init__(self, place: MimicPlace, leads: tuple[str, ...] = LEADS) -> None:
        self.root, self._hosp, self.leads = place.ecg, place.hosp, leads
        self._list = needed_table(self.root, RECORD_LIST)
        ecgs, self.left_out = read_ecgs(self._list)
        self._people = {} if self._hosp is None else _read_people(needed_table(self._hosp, PATIENTS))
        if self._hosp is not None:
            known = [ecg for ecg in ecgs if ecg.subject in self._people]
            self.left_out += Counter(ecg_patient_unknown=len(ecgs) - len(known))
            ecgs = known
        self._visits = {visit.visit: visit for visit in visits_of(ecgs)}
        self._of = by_subject(list(self._visits.values()))

    @property
    def simulated(self) -> bool:
        """Whether the simulator wrote the data set."""
        return (self.root / "NOTICE").exists()

    @cached_property
    def seed(self) -> int | None:
        """Seed of simulated data from its NOTICE; ``None`` for real data."""
        return seed_of(self.root)

    @property
    def tables(self) -> tuple[Path, ...]:
        """Tables that determine the result."""
        if self._hosp is None:
            return (self._list,)
        return (self._list, *(needed_table(self._hosp, name) for name in (PATIENTS, LAB_ITEMS, LAB_EVENTS)))

    @property
    def lab_table(self) -> Path:
        """Table of the results.

        Raises:
            InputError: There are only ECGs.
        """
        if self._hosp is None:
            raise InputError(
                f"{self.root} holds ECGs without results", "put MIMIC-IV, or its demo, beside it in one folder"
            )
        return needed_table(self._hosp, LAB_EVENTS)

    def token(self, patient: str) -> str:
        """Return the identifier of a patient that is hashed; see :mod:`convert.teacher.patients`."""
        return token_of_subject(patient, self.seed)

    def ecgs(self, visit: int) -> tuple[Ecg, ...]:
        """Return the ECGs of a visit in the order of time."""
        return self._visits[visit].ecgs

    def visits(self) -> Iterator[VisitRow]:
        """Yield the visits, sorted by patient and time, with the age from the anchor."""
        for visit in self._visits.values():
            yield self._row(visit)

    def _row(self, visit: EcgVisit) -> VisitRow:
        sex, anchor_age, anchor_year = self._people.get(visit.subject, ("", None, None))
        start = visit.ecgs[0].time
        age = None if anchor_age is None or anchor_year is None else anchor_age + start.year - anchor_year
        return VisitRow(visit.visit, visit.subject, age, sex, start)

    def diagnoses(self) -> Iterator[tuple[int, int, str]]:
        """Yield patient, version of the ICD and code of each diagnosis of the patients with an ECG, of all admissions.

        Raises:
            InputError: The table is damaged.
        """
        path = None if self._hosp is None else table(self._hosp, DIAGNOSES)
        if path is None:
            return
        for row in rows_of(path, ("subject_id", "icd_code", "icd_version")):
            subject = row.integer("subject_id")
            if subject in self._of:
                yield subject, row.integer("icd_version"), row.text("icd_code")

    def split(self, part: Part, kind: Split = "random") -> list[int]:
        """Return the visits of one part; a hash of the identifier assigns each patient: 80, 10 and 10 %.

        Raises:
            InputError: A split by time is asked for.
        """
        if kind != "random":
            raise InputError(
                "MIMIC-IV has no split by time, because the dates of each patient are shifted", "use the random split"
            )
        return [v.visit for v in self._visits.values() if part_of_subject(v.subject) == part]

    def waveform_summary(self) -> dict[int, tuple[int, float]]:
        """Return number and duration in seconds of the ECGs of each visit."""
        return {v.visit: (len(v.ecgs), ECG_S * len(v.ecgs)) for v in self._visits.values()}

    def segments(self, visit: int) -> Iterator[Segment]:
        """Yield the ECGs of a visit in their order, once for each lead.

        Raises:
            InputError: A header cannot be read.
        """
        for ecg in self.ecgs(visit):
            header = read_header(header_of(self.root, ecg.path))
            for lead in self.leads:
                yield Segment(visit, ecg.study, header, lead, ecg.time)

    def labs(self, keys: Collection[str] | None = None, csns: Collection[int] | None = None) -> Iterator[LabRow]:
        """Yield laboratory rows in file order; ``left_out`` names why a row belongs to no visit.

        Args:
            keys: Catalogue keys to yield; ``None`` for all rows, including those of unknown items.
            csns: Visits to yield; ``None`` for all, including rows of no visit.

        Raises:
            InputError: A table cannot be read or lacks a column.
        """
        path = self.lab_table
        assert self._hosp is not None
        items = read_items(needed_table(self._hosp, LAB_ITEMS))
        times = {subject: _Times(visits) for subject, visits in self._of.items()}
        known: dict[str, Lab | None] = {}
        for row in rows_of(path, NEEDED):
            component = items.get(row.integer("itemid"), "an item that d_labitems does not list")
            if component not in known:
                known[component] = catalogue().find(component)
            lab = known[component]
            if keys is not None and (lab is None or lab.key not in keys):
                continue
            found = self._lab_row(row, component, lab, times)
            if csns is None or (found.csn in csns and not found.left_out):
                yield found

    def _lab_row(self, row: Row, component: str, lab: Lab | None, times: dict[int, _Times]) -> LabRow:
        subject, taken = row.integer("subject_id"), row.time("charttime")
        text = row.text("value")
        found = LabRow(
            csn=-1, result_time=row.time("storetime"), order_time=taken, component=component, lab=lab,
            value=_value(row, text), text=text, units=row.text("valueuom"), low=row.number("ref_range_lower"),
            high=row.number("ref_range_upper"),
        )  # fmt: skip
        if subject not in times:
            return replace(found, left_out="patient_without_ecg")
        if taken is None:
            return replace(found, left_out="no_time")
        visit = times[subject].nearest(taken)
        if visit is None:
            return replace(found, left_out="no_ecg_near")
        hidden = HIDDEN in text and found.value is None
        return replace(found, csn=visit, left_out="hidden" if hidden else "")


class _Times:
    """Times of the ECGs of one patient."""

    def __init__(self, visits: list[EcgVisit]) -> None:
        self._at = [ecg.time for visit in visits for ecg in visit.ecgs]
        self._visit = [visit.visit for visit in visits for _ in visit.ecgs]

    def nearest(self, time: datetime) -> int | None:
        """Return the visit of the nearest ECG within :data:`REACH`; the earlier one of two equally near ones."""
        place = bisect.bisect_left(self._at, time)
        near = [i for i in (place - 1, place) if 0 <= i < len(self._at)]
        best = min(near, key=lambda i: abs(self._at[i] - time))
        return self._visit[best] if abs(self._at[best] - time) <= REACH else None


def _value(row: Row, text: str) -> LabValue | None:
    """Return a result; ``valuenum`` is empty where ``value`` is text, and drops the sign of ``>10``."""
    said, number = parse_value(text), row.number("valuenum")
    if said is not None and (said.censored or number is None):
        return said
    return None if number is None else LabValue(number, "")


def _read_people(path: Path) -> dict[int, tuple[str, float | None, int | None]]:
    people: dict[int, tuple[str, float | None, int | None]] = {}
    for row in rows_of(path, ("subject_id", "gender", "anchor_age", "anchor_year")):
        year = row.number("anchor_year")
        people[row.integer("subject_id")] = (
            row.text("gender"), row.number("anchor_age"), None if year is None else int(year),
        )  # fmt: skip
    return people


def part_of_subject(subject: int) -> Part:
    """Return the part of a patient."""
    return part_of(f"mimic {subject}")


def token_of_subject(subject: str, seed: int | None) -> str:
    """Return the identifier of a patient of MIMIC-IV that is hashed.

    Args:
        subject: Identifier of the patient.
        seed: Seed of simulated data; ``None`` for real data.
    """
    return f"mimic {subject}" if seed is None else f"simulated mimic {seed} {subject}"
