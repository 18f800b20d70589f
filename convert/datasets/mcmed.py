"""Reader of the MC-MED layout (PhysioNet 10.13026/wvyw-g663, version 1.0.1), and of simulated data in the same layout.

::

    visits.csv               MRN, CSN, Age, Gender, ..., Dx_ICD9, Dx_ICD10, ..., Arrival_time, Departure_time
    pmh.csv                  MRN, Noted_date, CodeType, Code, ...: earlier diagnoses, read where it exists
    labs.csv                 CSN, Order_time, Result_time, ..., Component_name, Component_value, Component_nml_low, ...
    waveform_summary.csv     CSN, Type, Segments, Duration
    split_random_train.csv   and _val, _test, and split_chrono_*: one CSN per line, no header
    waveforms/959/98874959/II/98874959_1.hea and .dat

Columns are found by name, so further columns or another order are accepted. Rows are streamed, because the real
``labs.csv`` has millions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.datasets.csvrows import lines_of, rows_of
from convert.datasets.labcatalogue import Lab, catalogue
from convert.datasets.wfdb16 import Header, read_header, read_samples
from firmware_bridge.errors import InputError
from firmware_bridge.reading import read_limited

Split = Literal["random", "chrono"]
Part = Literal["train", "val", "test"]
Censoring = Literal["", "<", ">"]

ECG = "II"
"""The only ECG lead of the data set and the name of its folders."""

MAX_NOTICE_BYTES = 1 << 20

_PRIME, _FACTOR = 999_983, 6007
"""Constants of :func:`mrn_of`; its inverse gives the number of a simulated patient."""

_SEED = re.compile(r"^patients \d+, seed (\d{1,18}),", re.MULTILINE)
"""The seed in a NOTICE that the simulator wrote."""

_VALUE = re.compile(r"^\s*(?P<sign><=?|>=?|≤|≥)?\s*(?P<number>[-+]?(?:\d{1,12}(?:,\d{3})*(?:\.\d*)?|\.\d+))\s*$")


@dataclass(frozen=True, slots=True)
class LabValue:
    """A laboratory result as a number.

    Attributes:
        number: The number, in the unit of the row.
        censored: ``">"`` where the laboratory reported "more than", ``"<"`` for "less than", else empty.
    """

    number: float
    censored: Censoring


@dataclass(frozen=True, slots=True)
class LabRow:
    """One row of ``labs.csv``.

    Attributes:
        csn: CSN of the visit.
        result_time: Time of the result; the data set has no collection time.
        order_time: Time of the order; ``None`` where empty.
        component: ``Component_name`` as written.
        lab: Entry in the catalogue; ``None`` where unknown.
        value: The number; ``None`` for text such as ``HEMOLYZED``.
        text: ``Component_value`` as written.
        units: ``Component_units`` as written.
        low: Lower limit of the range in the row; ``None`` where empty.
        high: Upper limit of that range; ``None`` where empty.
        left_out: Why the row belongs to no visit or has no usable result; empty where it does.
    """

    csn: int
    result_time: datetime | None
    order_time: datetime | None
    component: str
    lab: Lab | None
    value: LabValue | None
    text: str
    units: str
    low: float | None
    high: float | None
    left_out: str = ""


HISTORY = "pmh.csv"
"""Table of earlier diagnoses."""

DIAGNOSES = {9: "Dx_ICD9", 10: "Dx_ICD10"}
"""Column of ``visits.csv`` with the primary diagnosis, by version of the ICD."""


@dataclass(frozen=True, slots=True)
class VisitRow:
    """One row of ``visits.csv``, with the columns that the kit uses.

    Attributes:
        csn: CSN of the visit.
        mrn: MRN of the patient.
        age: Age, years; ``None`` where empty.
        sex: Sex as written (``"F"``, ``"M"``).
        arrival: Time of arrival at the department.
    """

    csn: int
    mrn: int
    age: float | None
    sex: str
    arrival: datetime | None


@dataclass(frozen=True, slots=True)
class Segment:
    """One uninterrupted run of a lead.

    Attributes:
        csn: CSN of the visit.
        number: Number of the segment in the visit, from 1; in MIMIC-IV the identifier of the ECG.
        header: Header with sampling rate, length and start.
        lead: Lead to read.
        began: Start where a table of the data set states it; ``None`` for that of the header.
    """

    csn: int
    number: int
    header: Header
    lead: str = ECG
    began: datetime | None = None

    @property
    def start(self) -> datetime | None:
        """Time of the first sample, UTC; ``None`` where the header does not give it."""
        return self.header.start if self.began is None else self.began

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Return samples in millivolts, NaN where the record has none; see `convert.datasets.wfdb16.read_samples`."""
        return read_samples(self.header, self.lead, start, stop)


class McMedDataset:
    """An MC-MED data set on disk, real or simulated.

    Args:
        root: The folder with ``visits.csv``, or the one above its ``data/``.

    Raises:
        InputError: The folder does not have the layout; the message names the missing files.
    """

    def __init__(self, root: str | Path) -> None:
        given = Path(root)
        nested = given / "data"
        self.root = nested if not (given / "visits.csv").exists() and (nested / "visits.csv").exists() else given
        if not given.is_dir():
            what = "is a file, not a folder" if given.exists() else "does not exist"
            raise InputError(f"the MC-MED folder {given} {what}")
        missing = [name for name in ("visits.csv", "labs.csv", "waveforms") if not (self.root / name).exists()]
        if missing:
            fix = "expected the folder with visits.csv, labs.csv, waveform_summary.csv and waveforms/"
            raise InputError(f"{self.root} is not an MC-MED data set: no {', no '.join(missing)} in it", fix)

    @property
    def simulated(self) -> bool:
        """Whether the simulator wrote the data set."""
        return (self.root / "NOTICE").exists()

    @cached_property
    def seed(self) -> int | None:
        """Seed of a simulated cohort from its NOTICE; ``None`` for real data."""
        return seed_of(self.root)

    @property
    def lab_table(self) -> Path:
        """Table of the results."""
        return self.root / "labs.csv"

    def token(self, patient: str) -> str:
        """Return the identifier of a patient that is hashed; see :mod:`convert.teacher.patients`."""
        return token_of_mrn(patient, self.seed)

    def visits(self) -> Iterator[VisitRow]:
        """Yield the visits in file order.

        Raises:
            InputError: The file cannot be read, lacks a column, holds a CSN or MRN that is not a number, or gives a
                visit to two patients.
        """
        owner: dict[int, tuple[int, int]] = {}
        for row in rows_of(self.root / "visits.csv", ("CSN", "MRN", "Age", "Gender", "Arrival_time")):
            csn, mrn = row.integer("CSN"), row.integer("MRN")
            said, line = owner.setdefault(csn, (mrn, row.line))
            if said != mrn:
                raise InputError(
                    f"{row.path} lines {line} and {row.line} give the visit {csn} to two patients, {said} and {mrn}",
                    "correct the column MRN",
                )
            yield VisitRow(
                csn=csn,
                mrn=mrn,
                age=row.number("Age"),
                sex=row.text("Gender"),
                arrival=row.time("Arrival_time"),
            )

    def diagnoses(self) -> Iterator[tuple[int, int, str]]:
        """Yield patient, version of the ICD and code of each diagnosis, of visits and of earlier years (``pmh.csv``).

        Raises:
            InputError: A table is damaged.
        """
        for row in rows_of(self.root / "visits.csv", ("MRN",)):
            for version, column in DIAGNOSES.items():
                if column in row.columns and row.text(column):
                    yield row.integer("MRN"), version, row.text(column)
        if (self.root / HISTORY).is_file():
            for row in rows_of(self.root / HISTORY, ("MRN", "CodeType", "Code")):
                yield row.integer("MRN"), 9 if row.text("CodeType").endswith("9") else 10, row.text("Code")

    def patients(self) -> dict[int, list[int]]:
        """Return the CSNs of each MRN, in file order."""
        out: dict[int, list[int]] = {}
        for visit in self.visits():
            out.setdefault(visit.mrn, []).append(visit.csn)
        return out

    def split(self, part: Part, kind: Split = "random") -> list[int]:
        """Return the CSNs of one part of a split.

        Raises:
            InputError: The file is missing or holds a line that is not a CSN.
        """
        path = self.root / f"split_{kind}_{part}.csv"
        out = []
        for number, line in enumerate(lines_of(path), start=1):
            if not line.strip():
                continue
            if not line.strip().isdecimal():
                raise InputError(
                    f"{path} line {number}: {line.strip()[:40]!r} is not a CSN", "expected one CSN per line, no header"
                )
            out.append(int(line))
        return out

    def labs(self, keys: Collection[str] | None = None, csns: Collection[int] | None = None) -> Iterator[LabRow]:
        """Yield laboratory rows in file order.

        Args:
            keys: Catalogue keys to yield; ``None`` for every row, including those of unknown labs.
            csns: CSNs of the visits to yield, preferably as a set; ``None`` for all.

        Raises:
            InputError: The file cannot be read, lacks a column, or holds a CSN that is not a number.
        """
        needed = ("CSN", "Order_time", "Result_time", "Component_name", "Component_value", "Component_units",
                  "Component_nml_low", "Component_nml_high")  # fmt: skip
        known: dict[str, Lab | None] = {}
        for row in rows_of(self.root / "labs.csv", needed):
            component = row.text("Component_name")
            if component not in known:
                known[component] = catalogue().find(component)
            lab = known[component]
            if keys is not None and (lab is None or lab.key not in keys):
                continue
            csn = row.integer("CSN")
            if csns is not None and csn not in csns:
                continue
            text = row.text("Component_value")
            yield LabRow(
                csn=csn,
                result_time=row.time("Result_time"),
                order_time=row.time("Order_time"),
                component=component,
                lab=lab,
                value=parse_value(text),
                text=text,
                units=row.text("Component_units"),
                low=row.number("Component_nml_low"),
                high=row.number("Component_nml_high"),
            )

    def waveform_summary(self) -> dict[int, tuple[int, float]]:
        """Return number of segments and duration in seconds of lead II, by CSN of the visits that have it."""
        out: dict[int, tuple[int, float]] = {}
        for row in rows_of(self.root / "waveform_summary.csv", ("CSN", "Type", "Segments", "Duration")):
            if row.text("Type") == ECG:
                out[row.integer("CSN")] = (int(row.number("Segments") or 0), row.number("Duration") or 0.0)
        return out

    def segments(self, csn: int) -> Iterator[Segment]:
        """Yield the lead II segments of a visit in their order; none where the visit has no ECG.

        Raises:
            InputError: A header cannot be read.
        """
        for number, path in self.headers(csn):
            yield Segment(csn, number, read_header(path))

    def headers(self, csn: int) -> list[tuple[int, Path]]:
        """Return number and header file of the lead II segments of a visit in their order, without reading them.

        Raises:
            InputError: The folder cannot be listed.
        """
        folder = self.root / "waveforms" / f"{csn % 1000:03d}" / str(csn) / ECG
        pattern = re.compile(rf"{csn}_(\d{{1,9}})\.hea")
        try:
            names = [pattern.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
        except OSError as error:
            raise InputError(f"cannot list {folder}: {error.strerror}") from error
        numbers = sorted(int(match.group(1)) for match in names if match)
        return [(number, folder / f"{csn}_{number}.hea") for number in numbers]


def seed_of(root: Path) -> int | None:
    """Return the seed of a simulated data set from the NOTICE in its folder; ``None`` for real data."""
    try:
        found = _SEED.search(read_limited(root / "NOTICE", MAX_NOTICE_BYTES).decode("utf-8", "replace"))
    except OSError:
        return None
    return None if found is None else int(found.group(1))


def mrn_of(index: int) -> int:
    """Return the MRN of a simulated patient, scattered so that it carries no information."""
    return 99_000_000 + index * _FACTOR % _PRIME


def token_of_mrn(mrn: str, seed: int | None) -> str:
    """Return the identifier that is hashed for a patient in the MC-MED layout.

    Args:
        mrn: Medical record number, as in ``visits.csv``.
        seed: Seed of a simulated cohort; ``None`` for real data.
    """
    if seed is None:
        return f"mcmed {mrn}"
    index = (int(mrn) - mrn_of(0)) * pow(_FACTOR, -1, _PRIME) % _PRIME
    return f"simulated patient {seed} {index}"


def parse_value(text: str) -> LabValue | None:
    """Return the number in a ``Component_value``: ``"4.1"``, ``">10.0"``, ``"1,200"``; ``None`` for anything else."""
    match = _VALUE.match(text)
    if match is None:
        return None
    number = float(match["number"].replace(",", ""))
    sign = match["sign"] or ""
    censored: Censoring = ">" if sign in {">", ">=", "≥"} else "<" if sign else ""
    return LabValue(number, censored)
