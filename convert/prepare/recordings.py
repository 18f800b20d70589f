"""A folder of recordings (WFDB, EDF or any other format that can be replayed) with a CSV of laboratory results.

Each row holds one result: ``record`` (path in the folder without the suffix), ``patient``, ``name``, ``value``,
``unit``, and optionally ``low``, ``high``, ``order_time``, ``result_time``, ``age``, ``sex``, ``part``. A row without
a time applies to the whole recording.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.datasets.csvrows import Row, rows_of
from convert.datasets.described import RecordingOptions, Stated, items_of, open_recording, stated_files
from convert.datasets.mcmed import Part, parse_value
from convert.datasets.patient_split import part_of
from convert.labels.labs import RawLab
from convert.prepare.sources import PARTS, SECONDS, Batch, LeftOut, Opener, Patient, Visit
from convert.teacher.content import content_of
from edge.grid.timeline import Gap, Timeline, Uniform
from edge.sources.replay.folder import recording_files
from edge.tensecond import MIN_S, ten_seconds
from firmware_bridge.errors import InputError

NEEDED = ("record", "patient", "name", "value", "unit")
OPTIONAL = ("low", "high", "order_time", "result_time", "age", "sex", "part")

GRID_HZ = 500
BLOCK_S = 20.0
BATCH = 32
"""Number of segments in memory at a time: 1.3 MB."""

F64 = NDArray[np.float64]


class RecordsSource:
    """A data set that consists of a folder of recordings and a CSV of results.

    Args:
        folder: Folder of the recordings.
        table: CSV file with the results.
        options: Options of the command about all recordings.

    Raises:
        InputError: The folder has no recordings, a column is missing, a patient is in two parts, or a
            ``recordings.toml`` is invalid.
        UsageError: A table and an option contradict each other.
    """

    def __init__(self, folder: Path, table: Path, options: RecordingOptions | None = None) -> None:
        self._table = table
        if not folder.is_dir():
            raise InputError(f"no such folder: {folder}", "--records names a folder of WFDB or EDF recordings")
        found = [p for p in recording_files(folder) if p.absolute() != table.absolute()]
        if not found:
            raise InputError(f"no recording in {folder}", "--records needs WFDB (.hea), EDF or other recordings")
        stated = stated_files(found, folder, options or RecordingOptions())
        found = list(stated)
        names = [p.relative_to(folder).with_suffix("").as_posix() for p in found]
        self._number = {name: i for i, name in enumerate(names)}
        self.name = "recordings with a table of results"
        self.simulated = False
        self._patient_of = [one.entry.patient for one in stated.values()]
        keys = [f" {one.key}" if one.key else "" for one in stated.values()]
        sizes = [f"{n} {p.stat().st_size}{k}" for n, p, k in zip(names, found, keys, strict=True)]
        self.listing = hashlib.sha256("\n".join(sizes).encode()).hexdigest()
        self.files: tuple[Path, ...] = (table,)
        self._visits, self._patients, timeless = self._read()
        self.elsewhere = {i: "recording_without_results" for i in range(len(names)) if i not in self._visits}
        listed = enumerate(zip(found, names, strict=True))
        used = sorted(self._visits)
        self.origin = {
            "kind": "records",
            "sizes": {names[i]: _bytes_of(found[i]) for i in used},
            "contents": {names[i]: content_of(found[i]) for i in used},
        }
        self.opener: Opener = _Opener(tuple((str(p.absolute()), n, i in timeless, stated[p]) for i, (p, n) in listed))

    def patients(self) -> list[Patient]:
        """Return the patients with a recording and a row, sorted by part and identifier."""
        return self._patients

    def rows(self) -> Iterator[RawLab]:
        """Yield the laboratory rows in file order."""
        for row in rows_of(self._table, NEEDED):
            order, result = _time(row, "order_time"), _time(row, "result_time")
            yield RawLab(
                visit=self._number.get(row.text("record"), -1),
                component=row.text("name"),
                value=parse_value(row.text("value")),
                unit=row.text("unit"),
                low=_number(row, "low"),
                high=_number(row, "high"),
                order=order,
                result=result,
                timeless=_timeless(row),
            )

    def _check_patient(self, row: Row, patient: str, stated: str | None) -> None:
        if stated not in {None, patient}:
            raise InputError(
                f"{self._table} line {row.line}: the patient of {row.text('record')} is {patient!r}, but "
                f"recordings.toml says {stated!r}",
                "remove the patient from recordings.toml",
            )

    def _read(self) -> tuple[dict[int, Visit], list[Patient], set[int]]:
        visits: dict[int, Visit] = {}
        owner: dict[int, str] = {}
        parts: dict[str, Part] = {}
        timeless: set[int] = set()
        for row in rows_of(self._table, NEEDED):
            patient, number = row.text("patient"), self._number.get(row.text("record"))
            if not patient:
                raise InputError(f"{self._table} line {row.line}: no patient", "fill in the column 'patient'")
            part = _part(row, patient)
            if parts.setdefault(patient, part) != part:
                raise InputError(
                    f"the patient {patient} is in both '{parts[patient]}' and '{part}'",
                    f"give all rows of the patient the same part ({self._table} line {row.line})",
                )
            if number is None:
                continue
            if owner.setdefault(number, patient) != patient:
                raise InputError(
                    f"{self._table} line {row.line}: the recording {row.text('record')} has two patients",
                    "correct the column 'patient'",
                )
            self._check_patient(row, patient, self._patient_of[number])
            age = _or_nan(_number(row, "age"))
            visits.setdefault(number, Visit(number, row.text("record"), age, _text(row, "sex")))
            if _timeless(row):
                timeless.add(number)
        if not visits:
            raise InputError(
                f"{self._table} names no recording of the folder",
                "the column 'record' must hold the path of a recording without the suffix",
            )
        by_patient: dict[str, list[Visit]] = {}
        for number in sorted(visits):
            by_patient.setdefault(owner[number], []).append(visits[number])
        order = sorted(by_patient, key=lambda p: (PARTS.index(parts[p]), p))
        return visits, [Patient(p, parts[p], tuple(by_patient[p])) for p in order], timeless


def _bytes_of(path: Path) -> int:
    """Return the size of all files of a recording, as :func:`convert.datasets.pairs.find_records` counts them."""
    return sum(p.stat().st_size for p in path.parent.glob(f"{path.stem}.*"))


def _part(row: Row, patient: str) -> Part:
    text = _text(row, "part")
    if not text:
        return part_of(patient)
    for part in PARTS:
        if text == part:
            return part
    raise InputError(f"{row.path} line {row.line}: part is {text[:20]!r}", "write train, val, test, or nothing")


def _text(row: Row, column: str) -> str:
    return row.text(column) if column in row.columns else ""


def _number(row: Row, column: str) -> float | None:
    return row.number(column) if column in row.columns else None


def _time(row: Row, column: str) -> datetime | None:
    return row.time(column) if column in row.columns else None


def _timeless(row: Row) -> bool:
    return not _text(row, "order_time") and not _text(row, "result_time")


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


@dataclass(frozen=True, slots=True)
class _Opener:
    """Opener of a folder of recordings.

    Attributes:
        files: For each recording its path, its name, whether a row without times refers to it, and what is stated
            about it.
    """

    files: tuple[tuple[str, str, bool, Stated], ...]

    def __call__(self, visit: int, hop_s: float) -> Iterator[Batch | LeftOut]:
        """Yield the segments of a recording in batches."""
        path, name, timeless, stated = self.files[visit]
        source = open_recording(Path(path), stated, BLOCK_S)
        begin_ns = source.info.start_unix_ns
        begin_s = 0.0 if begin_ns is None else begin_ns / 1e9
        timeline, cutter = Timeline(GRID_HZ), _Cutter(name, begin_s, hop_s)
        for item in items_of(source):
            for part in timeline.push(item):
                yield from _placed_only(cutter.push(part), begin_ns is not None or timeless)
        yield from _placed_only(cutter.finish(), begin_ns is not None or timeless)


def _placed_only(parts: Iterator[Batch | LeftOut], placed: bool) -> Iterator[Batch | LeftOut]:
    for part in parts:
        if isinstance(part, Batch) and not placed:
            yield LeftOut(part.recording, "no_start_time", len(part.start_s))
        else:
            yield part


class _Cutter:
    """Cuts each run of samples without a gap into ten-second segments, one every hop, and yields them in batches."""

    def __init__(self, name: str, begin_s: float, hop_s: float) -> None:
        self._name, self._begin_s, self._hop = name, begin_s, round(hop_s * GRID_HZ)
        self._n = round(SECONDS * GRID_HZ)
        self._held: F64 = np.empty(0)
        self._first_s, self._at, self._cut, self._scale_known = 0.0, 0, 0, True
        self._open = False
        self._length_s = 0.0
        self._starts: list[float] = []
        self._windows: list[F64] = []

    def push(self, part: Uniform | Gap) -> Iterator[Batch | LeftOut]:
        if isinstance(part, Gap):
            yield from self._end()
            yield LeftOut(self._name, "gap")
            return
        if part.first:
            yield from self._end()
            self._held, self._first_s, self._at, self._cut = np.empty(0), part.start_s, 0, 0
            self._scale_known, self._open = part.scale_known, True
            self._length_s = 0.0
        self._length_s += sum(len(native.samples) / native.fs_hz for native in part.native)
        self._held = np.concatenate((self._held, part.samples))
        while self._cut * self._hop + self._n <= self._at + len(self._held):
            first = self._cut * self._hop - self._at
            self._windows.append(self._held[first : first + self._n].copy())
            self._starts.append(self._begin_s + self._first_s + self._cut * self._hop / GRID_HZ)
            self._cut += 1
            if len(self._windows) >= BATCH:
                yield self._batch()
        spent = min(self._cut * self._hop - self._at, len(self._held))
        self._held, self._at = self._held[spent:], self._at + spent

    def finish(self) -> Iterator[Batch | LeftOut]:
        yield from self._end()

    def _end(self) -> Iterator[Batch | LeftOut]:
        if self._open and not self._cut and self._length_s >= MIN_S:
            # The resampler keeps a few samples, so ten seconds at another rate are slightly less on the grid.
            missing = self._n - len(self._held)
            self._windows.append(ten_seconds(self._held, self._n))
            self._starts.append(self._begin_s + max(0.0, self._first_s - missing // 2 / GRID_HZ))
            self._cut = 1
        if self._windows:
            yield self._batch()
        if self._open and not self._cut:
            yield LeftOut(self._name, "short")
        self._open = False

    def _batch(self) -> Batch:
        windows, starts = self._windows, self._starts
        self._windows, self._starts = [], []
        return Batch(self._name, np.array(starts), windows.__getitem__, self._scale_known)
