"""Writer of a simulated cohort in the MC-MED layout.

The cohort is written to a hidden folder beside the target, which is renamed when it is complete, so the target never
has a partial cohort. The bytes depend on the plan only.
"""

from __future__ import annotations

import csv
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np

from convert.datasets.mcmed import mrn_of
from convert.datasets.wfdb16 import write_record
from convert.simulate.cohort import SECOND_VISIT, Visit, draw_visit, visits_of
from convert.simulate.dirt import plant_dirt
from convert.simulate.patient import FS_HZ, LEAD, NOTICE, ecg_of
from convert.simulate.rows import LAB_COLUMNS, VISIT_COLUMNS, lab_rows, visit_row
from firmware_bridge.errors import OutputError, UsageError

GAIN_PER_MV = 1000.0
"""Counts per millivolt in the files: steps of 1 uV, range ±32 mV (arbitrary, because the gain of MC-MED is unknown)."""

MAX_PATIENTS = 400_000
"""Maximum number of patients with unique identifiers."""

_NO_WAVEFORM = 0.03
"""Share of visits without an ECG, which also occur in MC-MED."""

_TWO_SEGMENTS = 0.2
"""Share of recordings that are interrupted once."""

_SPARE_BYTES = 64 << 20
"""Disk space that must remain free, bytes."""

Progress = Callable[[int], None]
"""Function that is called with the number of finished patients."""


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """Options of a cohort.

    Attributes:
        patients: Number of patients.
        seed: Seed of the cohort.
        seconds: Length of the ECG of a visit, seconds.
        dirt: Plant faults of real data (:mod:`convert.simulate.dirt`).
        test_share: Share of the patients in the part ``test``, 0 to 0.8. MC-MED has a tenth, which leaves few test
            patients in a small cohort.
        visits: Mean number of visits of a patient, 1 to 4; MC-MED has 1.68 (118,385 visits of 70,545 patients).
            ``None``: 12 % of the patients have two visits.
    """

    patients: int
    seed: int
    seconds: float = 120.0
    dirt: bool = False
    test_share: float = 0.1
    visits: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.patients <= MAX_PATIENTS:
            raise UsageError(f"cannot simulate {self.patients} patients", f"give a number from 1 to {MAX_PATIENTS}")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed} is negative", "give 0 or more")
        if not 10.0 <= self.seconds <= 86400.0:
            raise UsageError(f"cannot simulate {self.seconds} s of ECG", "give a number of seconds from 10 to 86400")
        if not 0.0 <= self.test_share <= 0.8:
            raise UsageError(f"--test-share is {self.test_share:g}", "give 0 to 0.8")
        if self.visits is not None and not 1.0 <= self.visits <= 4.0:
            raise UsageError(f"--visits is {self.visits:g}", "give 1 to 4")


@dataclass(frozen=True, slots=True)
class CohortSummary:
    """Size of a cohort.

    Attributes:
        patients: Number of patients.
        visits: Number of visits.
        with_ecg: Number of visits with an ECG.
        recordings: Number of recordings; an ECG that was interrupted has two.
        lab_rows: Number of rows in ``labs.csv``.
        signal_s: Total length of the ECGs, seconds.
    """

    patients: int
    visits: int
    with_ecg: int
    recordings: int
    lab_rows: int
    signal_s: float


def csn_of(index: int, visit: int) -> int:
    """Return the visit number, which is unique because 7919 and the prime 999983 have no common factor."""
    # Two visits of every patient fill one million numbers; later visits use the millions below.
    return 98_000_000 - 1_000_000 * (visit // 2) + (2 * index + visit % 2) * 7919 % 999_983


def write_cohort(plan: CohortPlan, out: Path, progress: Progress | None = None) -> CohortSummary:
    """Write the data set.

    Args:
        plan: Options of the cohort.
        out: Output folder, new or empty; its parent is created if needed.
        progress: Function that is called after each patient.

    Raises:
        OutputError: ``out`` is not empty or cannot be written, or the disk is full. No partial files remain.
    """
    out = out.absolute()
    try:
        _refuse_full(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        _check_space(plan, out.parent)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}", "name another --out") from error
    try:
        work.chmod(0o755)
        summary = _write(plan, work, progress)
        # The rename must not reach the disk before the files.
        os.sync()
        if out.exists():
            out.rmdir()
        work.replace(out)
    except OSError as error:
        raise OutputError(
            f"cannot write {out}: {error.strerror}", "free some space; no partial files remain"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return summary


def _refuse_full(out: Path) -> None:
    if out.is_dir():
        if any(out.iterdir()):
            raise OutputError(f"{out} is not empty", "name a new folder, or empty this one")
    elif out.exists():
        raise OutputError(f"{out} is not a folder", "name a new folder")


def _check_space(plan: CohortPlan, parent: Path) -> None:
    visits = 1.05 * plan.patients * (plan.visits or 1.0 + SECOND_VISIT)
    needed = int(visits * (plan.seconds * FS_HZ * 2 + 6000)) + _SPARE_BYTES
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise OutputError(
            f"{parent} has {free >> 20} MiB free, but {needed >> 20} MiB are needed",
            "use fewer --patients or another folder",
        )


def _write(plan: CohortPlan, work: Path, progress: Progress | None) -> CohortSummary:
    arrivals: dict[int, datetime] = {}
    csns: dict[int, list[int]] = {}
    signal_s, recordings = 0.0, 0
    with (
        _Table(work / "visits.csv", VISIT_COLUMNS) as visits,
        _Table(work / "labs.csv", LAB_COLUMNS) as labs,
        _Table(work / "waveform_summary.csv", ("CSN", "Type", "Segments", "Duration")) as waves,
    ):
        for index in range(plan.patients):
            count = visits_of(plan.seed, index, plan.visits)
            arrivals[index] = arrival = _first_arrival(plan.seed, index)
            csns[index] = [csn_of(index, number) for number in range(count)]
            for number, csn in enumerate(csns[index]):
                visit = draw_visit(plan.seed, index, number)
                rng = np.random.default_rng([plan.seed, index, number, 0xC5])
                visits.add(visit_row(visit, mrn_of(index), csn, count, arrival, rng))
                labs.add(*lab_rows(visit, csn, arrival, rng))
                segments = _waveforms(plan, work, visit, csn, arrival, rng)
                if segments:
                    waves.add((csn, LEAD, segments, f"{plan.seconds:.3f}"))
                    signal_s += plan.seconds
                    recordings += segments
                arrival += timedelta(days=float(rng.uniform(3.0, 300.0)))
            if progress is not None:
                progress(index + 1)
    _splits(work, plan, csns, arrivals)
    if plan.dirt:
        plant_dirt(work, plan.seed)
    note = f"{NOTICE}\n\npatients {plan.patients}, seed {plan.seed}, seconds {plan.seconds:g}\n"
    (work / "NOTICE").write_text(note, encoding="utf-8")
    return CohortSummary(plan.patients, visits.rows, waves.rows, recordings, labs.rows, signal_s)


def _first_arrival(seed: int, index: int) -> datetime:
    rng = np.random.default_rng([seed, index, 0xA5])
    return datetime(2230, 1, 1, tzinfo=UTC) + timedelta(seconds=int(rng.integers(0, 2 * 365 * 86400)))


def _waveforms(
    plan: CohortPlan, work: Path, visit: Visit, csn: int, arrival: datetime, rng: np.random.Generator
) -> int:
    """Write the ECG of a visit in one or two segments and return their number; 0 for a visit without an ECG."""
    absent, cut, at, delay_min, gap_s = rng.random(5)
    if absent < _NO_WAVEFORM:
        return 0
    n = round(plan.seconds * FS_HZ)
    ecg_mv = ecg_of(visit, n)
    edges = [0, int((0.3 + 0.4 * at) * n), n] if cut < _TWO_SEGMENTS else [0, n]
    folder = work / "waveforms" / f"{csn % 1000:03d}" / str(csn) / LEAD
    folder.mkdir(parents=True)
    start = arrival + timedelta(minutes=round(10.0 + 50.0 * delay_min))
    for i, (first, last) in enumerate(itertools.pairwise(edges)):
        moment = start + timedelta(seconds=first / FS_HZ + i * round(5.0 + 115.0 * gap_s))
        write_record(folder, f"{csn}_{i + 1}", LEAD, ecg_mv[first:last], FS_HZ, GAIN_PER_MV, moment)
    return len(edges) - 1


def _splits(work: Path, plan: CohortPlan, csns: dict[int, list[int]], arrivals: dict[int, datetime]) -> None:
    """Write two splits by patient: a random one, and one by the time of the first visit (latest patients in test)."""
    shuffled = np.random.default_rng([plan.seed, 0x5917]).permutation(len(csns)).tolist()
    in_time = sorted(csns, key=lambda index: (arrivals[index], index))
    for kind, order in (("random", shuffled), ("chrono", in_time)):
        n_val, n_test = round(0.1 * len(order)), round(plan.test_share * len(order))
        n_train = len(order) - n_val - n_test
        parts = {"train": order[:n_train], "val": order[n_train : n_train + n_val], "test": order[n_train + n_val :]}
        for part, members in parts.items():
            lines = sorted(csn for index in members for csn in csns[index])
            text = "".join(f"{csn}\n" for csn in lines)
            (work / f"split_{kind}_{part}.csv").write_text(text, encoding="ascii")


class _Table:
    """A CSV file being written."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.rows = 0
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(columns)

    def add(self, *rows: tuple[object, ...]) -> None:
        self._writer.writerows(rows)
        self.rows += len(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
