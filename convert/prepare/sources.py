"""Sources of segments and results: the MC-MED layout, real or simulated.

The module ``convert.prepare.recordings`` reads plain folders of recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.datasets.mcmed import McMedDataset, Part, Segment, Split
from convert.labels.labs import RawLab, raw_lab
from edge.frontend.ecgfounder import FS_HZ, WINDOW_SAMPLES
from firmware_bridge.errors import InputError

PARTS: tuple[Part, ...] = ("train", "val", "test")
SECONDS = 10.0

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit of the MC-MED layout, or a recording of a folder.

    Attributes:
        visit: Number of the visit.
        name: Name in messages.
        age: Age in years; NaN if unknown.
        sex: Sex as the data set writes it.
    """

    visit: int
    name: str
    age: float
    sex: str


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient with at least one visit.

    Attributes:
        patient: Identifier of the patient.
        part: Part of the split.
        visits: Visits, sorted by number.
    """

    patient: str
    part: Part
    visits: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Segments of one recording, not yet read.

    Attributes:
        recording: Name of the recording.
        start_s: Start of each segment, ``(n,)`` float64: seconds since 1970 UTC, or since the start of a recording
            that has no clock.
        read: Function that reads the segment of an index: ``(5000,)`` at 500 Hz, in mV, NaN where a sample is missing.
        scale_known: Whether the samples are in millivolts, not in counts.
    """

    recording: str
    start_s: F64
    read: Callable[[int], F64]
    scale_known: bool = True


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Segments or recordings that are left out.

    Attributes:
        recording: Name of the recording.
        reason: One of the reasons in ``docs/prepare.md``.
        count: Number of left-out segments or recordings.
    """

    recording: str
    reason: str
    count: int = 1


class Opener(Protocol):
    """Opens the recordings of a visit. Any process can call it."""

    def __call__(self, visit: int, hop_s: float) -> Iterator[Batch | LeftOut]:
        """Yield the segments of a visit's recordings in their order.

        Args:
            visit: Number of the visit.
            hop_s: Time between the starts of two segments, seconds.

        Raises:
            InputError: A recording cannot be read.
        """


class Source(Protocol):
    """A data set.

    Attributes:
        name: Name in the summary.
        simulated: Whether the simulator wrote the data set.
        elsewhere: Visits that are not prepared, with the reason.
        listing: Text that identifies the recordings, where the tables do not.
        origin: Where the recordings come from, for the manifest: ``kind`` is ``mcmed``, ``simulated`` (with its
            ``seed``), ``mimic`` or ``records`` (with the ``sizes`` of the recordings' files).
        files: Tables that determine the result.
        opener: Opener of the recordings.
    """

    name: str
    simulated: bool
    elsewhere: dict[int, str]
    listing: str
    origin: dict[str, Any]
    files: tuple[Path, ...]
    opener: Opener

    def patients(self) -> list[Patient]:
        """Return the patients with a visit in the split, sorted by part and identifier."""

    def rows(self) -> Iterator[RawLab]:
        """Yield the laboratory rows in file order."""


class McMedSource:
    """A data set in an MC-MED folder.

    Args:
        root: The folder.
        split: Name of the split.

    Raises:
        InputError: The folder is not an MC-MED folder, a table or split is missing, or a patient is in two parts of
            the split.
    """

    def __init__(self, root: Path, split: Split = "random") -> None:
        self._data = McMedDataset(root)
        self.name = f"MC-MED layout, split_{split}"
        self.simulated = self._data.simulated
        self.elsewhere: dict[int, str] = {}
        self.listing = ""
        seed = self._data.seed
        self.origin: dict[str, Any] = {"kind": "mcmed"} if seed is None else {"kind": "simulated", "seed": seed}
        # A worker of a cluster has another working directory.
        self.opener: Opener = _McMedOpener(self._data.root.absolute())
        base = self._data.root
        tables = ("visits.csv", "labs.csv", "waveform_summary.csv", *(f"split_{split}_{part}.csv" for part in PARTS))
        self.files = tuple(base / name for name in tables)
        self._parts = self._read_parts(split)
        self._patients = self._read_patients()

    def patients(self) -> list[Patient]:
        """Return the patients with a visit in the split, sorted by part and MRN."""
        return self._patients

    def rows(self) -> Iterator[RawLab]:
        """Yield the rows of ``labs.csv`` in file order."""
        for row in self._data.labs():
            yield raw_lab(row)

    def _read_parts(self, split: Split) -> dict[int, Part]:
        parts: dict[int, Part] = {}
        for part in PARTS:
            for csn in self._data.split(part, split):
                other = parts.setdefault(csn, part)
                if other != part:
                    raise InputError(
                        f"the visit {csn} is in both '{other}' and '{part}' of split_{split}", "remove it from one part"
                    )
        if not parts:
            raise InputError(
                f"the files split_{split}_*.csv in {self._data.root} list no visit", "check that the copy is complete"
            )
        return parts

    def _read_patients(self) -> list[Patient]:
        summary = self._data.waveform_summary()
        visits: dict[int, list[Visit]] = {}
        part_of: dict[int, Part] = {}
        for row in self._data.visits():
            part = self._parts.get(row.csn)
            if part is None:
                self.elsewhere[row.csn] = "not_in_split"
                continue
            other = part_of.setdefault(row.mrn, part)
            if other != part:
                raise InputError(
                    f"the patient {row.mrn} is in both '{other}' and '{part}' of the split",
                    "split by patient: a patient in two parts makes every result of the evaluation too good",
                )
            if row.csn not in summary:
                self.elsewhere[row.csn] = "visit_without_waveform"
                continue
            age = float("nan") if row.age is None else row.age
            visits.setdefault(row.mrn, []).append(Visit(row.csn, str(row.csn), age, row.sex))
        if not visits:
            raise InputError(
                f"no visit of {self._data.root} is in the split and has an ECG", "check that the copy is complete"
            )
        order = sorted(visits, key=lambda mrn: (PARTS.index(part_of[mrn]), mrn))
        return [Patient(str(mrn), part_of[mrn], tuple(sorted(visits[mrn], key=lambda v: v.visit))) for mrn in order]


@dataclass(frozen=True, slots=True)
class _McMedOpener:
    root: Path

    def __call__(self, visit: int, hop_s: float) -> Iterator[Batch | LeftOut]:
        """Yield the segments of a visit, one batch for each record."""
        records = list(McMedDataset(self.root).segments(visit))
        if not records:
            yield LeftOut(str(visit), "no_record")
        for record in records:
            start = record.start
            start_s = None if start is None else start.timestamp()
            yield of_record(record, hop_s, f"{record.csn}_{record.number}", start_s)


def of_record(record: Segment, hop_s: float, name: str, start_s: float | None) -> Batch | LeftOut:
    """Return the segments of one record.

    Args:
        record: The record and its lead.
        hop_s: Time between the starts of two segments, seconds.
        name: Name of the recording.
        start_s: Time of its first sample, seconds since 1970; ``None`` where it is not known.
    """
    header = record.header
    if record.lead.lower() not in {signal.lead.lower() for signal in header.signals}:
        return LeftOut(name, "no_lead")
    length = _length(header.n, record)
    count = int((length / header.fs_hz - SECONDS + 1e-9) // hop_s) + 1
    if count < 1:
        return LeftOut(name, "short")
    if start_s is None:
        return LeftOut(name, "no_start_time", count)
    return Batch(name, start_s + hop_s * np.arange(count, dtype=np.float64), _RecordReader(record, hop_s))


def _length(announced: int, record: Segment) -> int:
    if announced:
        return announced
    if not record.header.plain:
        raise InputError(f"{record.header.path} does not give the length of the record", "copy it again")
    path = record.header.path.parent / record.header.signals[0].file
    try:
        return int(path.stat().st_size) // (2 * len(record.header.signals))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "check that the copy is complete") from error


@dataclass(frozen=True, slots=True)
class _RecordReader:
    record: Segment
    hop_s: float

    def __call__(self, i: int) -> F64:
        fs_hz = self.record.header.fs_hz
        first = round(i * self.hop_s * fs_hz)
        samples = self.record.read(first, first + round(SECONDS * fs_hz)).astype(np.float64)
        return on_grid(samples, fs_hz)


def on_grid(samples: F64, fs_hz: float) -> F64:
    """Return ten seconds at 500 Hz; other rates are interpolated linearly, as ECGFounder does."""
    if fs_hz == FS_HZ and len(samples) == WINDOW_SAMPLES:
        return samples
    if len(samples) < round(SECONDS * fs_hz):
        raise InputError("a record is shorter than its header says", "copy it again")
    # Lead II of MC-MED has 500 Hz. Other rates are resampled as PKUDigitalHealth/ECGFounder does.
    grid = np.linspace(0.0, len(samples) - 1, WINDOW_SAMPLES)
    return np.interp(grid, np.arange(len(samples)), samples)
