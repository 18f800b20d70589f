"""Simulated patients in the layout of MIMIC-IV-ECG and MIMIC-IV, with the oddities of the real tables.

Two folders are written below the target: ``ecg`` with twelve leads of ten seconds, and ``clinical`` with ``hosp``.
Every oddity that a reader must leave out or convert is counted in ``PLANTED.json``.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.datasets.wfdb16 import write_leads
from convert.labels.renal import RENAL_GROUPS, renal_group
from convert.simulate.cohort import Visit, draw_visit
from convert.simulate.mimic_rows import DIAGNOSIS_COLUMNS, ITEMS, LAB_COLUMNS, Planted, diagnosis_rows, lab_rows
from convert.simulate.patient import FS_HZ, NOTICE, ecg_of
from firmware_bridge.errors import OutputError, UsageError

GAIN_PER_MV = 200.0
"""Counts per millivolt, as in MIMIC-IV-ECG."""

SECONDS = 10.0
EVERY, FLAT, GAP, MISSING = 60, 7, 27, 47
"""Of each sixty ECGs, the one with this number has a flat signal, missing samples, or no files."""

CLOCK_SD_MIN = 8.0
"""Standard deviation of the error of the ECG machines' clocks, minutes (arbitrary; the real one is not published)."""

SECOND_ECG = 0.35
"""Share of visits with a second ECG hours later."""

MAX_VISITS = 7


@dataclass(frozen=True, slots=True)
class MimicPlan:
    """Options of a simulated MIMIC-IV.

    Attributes:
        patients: Patients of MIMIC-IV; the open demo has 100.
        seed: Seed of all random draws.
        ecgs: ECGs in total; the open demo has 659.
        with_ecg: Share of the patients with an ECG; 92 % in the demo.
        full: Use the folder depth of the full set instead of that of the demo.
        compressed: Write ``.csv.gz`` instead of ``.csv``.
        oddities: Plant the oddities of real tables.
    """

    patients: int = 100
    seed: int = 0
    ecgs: int = 659
    with_ecg: float = 0.92
    full: bool = False
    compressed: bool = True
    oddities: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.patients <= 10_000 or not 1 <= self.ecgs <= MAX_VISITS * 2 * self.patients:
            raise UsageError(
                f"cannot simulate {self.ecgs} ECGs of {self.patients} patients",
                f"give 2 to 10000 patients with at most {2 * MAX_VISITS} ECGs each",
            )


@dataclass(slots=True)
class _Written:
    records: list[tuple[object, ...]] = field(default_factory=list)
    labs: list[tuple[object, ...]] = field(default_factory=list)
    people: list[tuple[object, ...]] = field(default_factory=list)
    diagnoses: list[tuple[object, ...]] = field(default_factory=list)
    planted: Planted = field(default_factory=Planted)
    study: int = 40_000_000


def write_mimic(plan: MimicPlan, out: Path) -> dict[str, dict[str, int]]:
    """Write the data set.

    Args:
        plan: Options of the data set.
        out: Output folder, new or empty.

    Returns:
        Counts of the planted oddities, as in ``PLANTED.json``.

    Raises:
        OutputError: The folder is not empty or cannot be written.
    """
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError(f"{out} is not a new or empty folder", "name a new folder")
        hosp = out / "clinical" / "hosp"
        hosp.mkdir(parents=True)
        (out / "ecg").mkdir()
        written = _Written()
        for index in range(plan.patients):
            _patient(plan, index, out / "ecg", written)
        _odd_records(plan, written)
        _tables(plan, out, written)
        counts = written.planted.as_dict()
        (out / "PLANTED.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}", "name another --out") from error
    return counts


def subject_of(index: int) -> int:
    """Return the identifier of a patient."""
    return 10_000_000 + index * 6007 % 999_983


def _ecgs_of(plan: MimicPlan, index: int) -> int:
    with_ecg = max(1, round(plan.with_ecg * plan.patients))
    if index >= with_ecg:
        return 0
    return plan.ecgs // with_ecg + (index < plan.ecgs % with_ecg)


def _patient(plan: MimicPlan, index: int, ecg: Path, written: _Written) -> None:
    rng = np.random.default_rng([plan.seed, index, 0x313])
    subject, left = subject_of(index), _ecgs_of(plan, index)
    first = draw_visit(plan.seed, index, 0)
    begin = datetime(2120, 1, 1, tzinfo=UTC) + timedelta(days=int(rng.integers(0, 25_000)))
    # The anchor year is another year than that of most ECGs, so that ages come from the difference.
    anchor = begin.year + int(rng.integers(-3, 4))
    age = min(max(first.demographics.age + anchor - begin.year, 18), 91)
    written.people.append((subject, first.demographics.sex, age, anchor, "2011 - 2013", ""))
    # Draws of their own, so that the codes change no other table.
    coded = diagnosis_rows(first.labs["egfr"], subject, np.random.default_rng([plan.seed, index, 0x1CD]))
    written.diagnoses += coded
    if not left:
        written.labs += lab_rows(first, subject, begin, rng, written.planted, near=False, oddities=plan.oddities)
        return
    groups = {renal_group(int(str(row[4])), str(row[3])) for row in coded}
    written.planted.renal[next((g for g in RENAL_GROUPS if g in groups), RENAL_GROUPS[-1])] += 1
    arrival = begin
    for number in range(MAX_VISITS):
        if not left:
            break
        visit = draw_visit(plan.seed, index, number)
        wanted = 2 if left > MAX_VISITS - number or rng.random() < SECOND_ECG else 1
        count = min(left, wanted)
        left -= count
        for k in range(count):
            taken = arrival + timedelta(minutes=30.0 + 180.0 * k)
            _ecg(plan, visit, k, subject, taken, ecg, rng, written)
        written.labs += lab_rows(visit, subject, arrival, rng, written.planted, near=True, oddities=plan.oddities)
        arrival += timedelta(days=float(rng.uniform(3.0, 300.0)))


def _ecg(
    plan: MimicPlan, visit: Visit, k: int, subject: int, taken: datetime, root: Path, rng: np.random.Generator,
    written: _Written,
) -> None:  # fmt: skip
    written.study += int(rng.integers(1, 400))
    study = written.study
    off_min = CLOCK_SD_MIN * float(rng.standard_normal()) if plan.oddities else 0.0
    stamp = taken + timedelta(minutes=off_min)
    person = f"p{subject}"
    folders = ["files", *([person[:5]] if plan.full else []), person, f"s{study}"]
    path = "/".join([*folders, str(study)])
    written.records.append((subject, study, study, f"{stamp:%Y-%m-%d %H:%M:%S}", path))
    odd = (len(written.records) - 1) % EVERY if plan.oddities else -1
    n = round(SECONDS * FS_HZ)
    two = ecg_of(visit, (k + 1) * n)[k * n :]
    if odd == FLAT:
        two = np.zeros(n, dtype=np.float32)
        written.planted.ecgs["flat"] += 1
    elif odd == GAP:
        two = two.copy()
        two[1000:1400] = np.nan
        written.planted.ecgs["gap"] += 1
    elif odd == MISSING:
        written.planted.ecgs["no_record"] += 1
        return
    folder = root.joinpath(*folders)
    folder.mkdir(parents=True)
    write_leads(folder, str(study), twelve_leads(two, rng), FS_HZ, GAIN_PER_MV, stamp)


def twelve_leads(two_mv: NDArray[np.float32], rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Return twelve leads from lead II: lead I is smaller, with noise of its own, and the limb leads obey Einthoven.

    Args:
        two_mv: Lead II, ``(n,)``, mV.
        rng: Source of the noise.
    """
    noise = (0.004 * rng.standard_normal(len(two_mv))).astype(np.float32)
    one = (np.float32(0.7) * two_mv + (noise if np.ptp(np.nan_to_num(two_mv)) > 0.0 else 0.0)).astype(np.float32)
    leads = {
        "I": one, "II": two_mv, "III": two_mv - one, "aVR": -0.5 * (one + two_mv), "aVF": two_mv - 0.5 * one,
        "aVL": one - 0.5 * two_mv,
    }  # fmt: skip
    chest = {f"V{k + 1}": np.float32(factor) * two_mv for k, factor in enumerate((-0.5, 0.2, 0.7, 1.2, 1.1, 0.9))}
    return {name: np.asarray(x, dtype=np.float32) for name, x in {**leads, **chest}.items()}


def _odd_records(plan: MimicPlan, written: _Written) -> None:
    """Plant entries of the list of records that no reader can use."""
    if not plan.oddities:
        return
    strangers = [(19_999_000 + k, 49_999_000 + k) for k in range(3)]
    for subject, study in strangers:
        person = f"p{subject}"
        path = f"files/{person}/s{study}/{study}"
        written.records.append((subject, study, study, "2150-01-01 10:00:00", path))
        written.planted.records["ecg_patient_unknown"] += 1
    first = written.records[0]
    written.records.append(first)
    written.planted.records["ecg_listed_twice"] += 1
    for k in range(2):
        written.records.append((first[0], 49_990_000 + k, 49_990_000 + k, "", f"files/none/s{k}/{k}"))
        written.planted.records["ecg_without_time"] += 1


def _tables(plan: MimicPlan, out: Path, written: _Written) -> None:
    hosp, suffix = out / "clinical" / "hosp", ".csv.gz" if plan.compressed else ".csv"
    records = ("subject_id", "study_id", "file_name", "ecg_time", "path")
    _table(out / "ecg" / "record_list.csv", records, written.records)
    people = ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod")
    _table(hosp / f"patients{suffix}", people, written.people)
    _table(hosp / f"diagnoses_icd{suffix}", DIAGNOSIS_COLUMNS, written.diagnoses)
    _table(hosp / f"d_labitems{suffix}", ("itemid", "label", "fluid", "category"), [*ITEMS.values()])
    numbered = [(k, *row) for k, row in enumerate(written.labs, 1)]
    _table(hosp / f"labevents{suffix}", LAB_COLUMNS, numbered)
    note = f"{NOTICE}\n\npatients {plan.patients}, seed {plan.seed}, ecgs {plan.ecgs}\n"
    (out / "ecg" / "NOTICE").write_text(note, encoding="utf-8")


def _table(path: Path, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
