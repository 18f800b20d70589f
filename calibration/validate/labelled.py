"""A labelled data set: recordings, their patients, laboratory results, and the part to judge.

A patient in two parts of a split makes the results too good, and recordings without a patient cannot be resampled by
patient. Both are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from calibration.checks.defaults import SplitName
from convert.datasets.csvrows import Row, rows_of
from convert.datasets.described import RecordingOptions
from convert.datasets.heads import TeacherHead
from convert.datasets.mcmed import Part, Split
from convert.datasets.outputs_file import Direction
from convert.datasets.pairs import Recording, find_recordings
from convert.datasets.visit_data import VisitData, open_visits
from convert.labels.plan import LabelPlan
from convert.labels.renal import renal_groups
from convert.labels.travelling_plan import ChosenPlan
from convert.teacher.hard_labels import TABLE, by_table, labels_at
from edge.bundle.reader import Bundle
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of a patient at a visit; empty or ``None`` if the data set does not state it.

    Attributes:
        sex: Sex as written.
        age: Age, years.
        renal: Group by the patient's diagnosis codes, see :mod:`convert.labels.renal`.
    """

    sex: str = ""
    age: float | None = None
    renal: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The recordings to judge.

    Attributes:
        folder: Folder of the data set.
        split: Part of the data set.
        recordings: The recordings, sorted by name.
        patient: Number of the patient of each recording, ``(recordings,)``.
        persons: What is known of the patient of each recording.
        device: Name of the device of each recording; empty if unknown.
        simulated: Whether the simulator wrote the recordings.
        sha256: SHA-256 over names, patients and sizes of the recordings and over the file of labels.
        remarks: Remarks for the reader of the report, one sentence each.
    """

    folder: Path
    split: SplitName
    recordings: tuple[Recording, ...]
    patient: NDArray[np.int64]
    persons: tuple[Person, ...]
    device: tuple[str, ...]
    simulated: bool
    sha256: str
    remarks: tuple[str, ...]


def open_labelled(
    folder: Path,
    split: SplitName,
    *,
    one_recording_a_patient: bool = False,
    limit: int | None = None,
    options: RecordingOptions | None = None,
) -> Labelled:
    """Find the recordings of a part of a data set.

    Args:
        folder: Folder in the MC-MED layout, or with recordings and ``labels.csv``.
        split: Part of the data set.
        one_recording_a_patient: Treat each recording of a folder without patient identifiers as a separate patient.
        limit: Maximum number of recordings; ``None`` for all.
        options: Options of the command about all recordings.

    Raises:
        InputError: There is no recording, a patient is in two parts of the split, or the patient of a recording is not
            known.
    """
    found = find_recordings(folder, options)
    remarks: list[str] = []
    simulated = False
    if found[0].visit is not None:
        data = open_visits(folder)
        simulated = data.simulated
        found, persons = _of_visits(data, found, split)
        table = data.lab_table
    else:
        table = _table_of(folder, split)
        found = _with_patients(table, found, one_recording_a_patient=one_recording_a_patient)
        persons = [Person() for _ in found]
    if limit is not None and limit < len(found):
        remarks.append(f"only the first {limit} of {len(found)} recordings were used")
        found, persons = found[:limit], persons[:limit]
    if not found:
        raise InputError(f"the part '{split}' of {folder} has no recording", "choose another --split")
    numbers = {name: i for i, name in enumerate(sorted({r.patient for r in found}))}
    return Labelled(
        folder=folder,
        split=split,
        recordings=tuple(found),
        patient=np.array([numbers[r.patient] for r in found], dtype=np.int64),
        persons=tuple(persons),
        device=tuple(_device(r) for r in found),
        simulated=simulated,
        sha256=_fingerprint(found, split, table),
        remarks=tuple(remarks),
    )


def _of_visits(data: VisitData, found: Sequence[Recording], split: SplitName) -> tuple[list[Recording], list[Person]]:
    visits = {v.csn: v for v in data.visits()}
    if split == "all":
        chosen = set(visits)
    else:
        kind: Split = "chrono" if split == "chrono-test" else "random"
        part: Part = "val" if split == "val" else "test"
        chosen = set(data.split(part, kind))
        _refuse_overlap(data, {c: v.mrn for c, v in visits.items()}, chosen, kind, part)
    kept = [r for r in found if r.visit in chosen]
    renal = renal_groups(data.diagnoses(), {v.mrn for v in visits.values()})
    rows = [visits.get(r.visit) if r.visit is not None else None for r in kept]
    return kept, [Person() if v is None else Person(v.sex, v.age, renal.get(v.mrn, "")) for v in rows]


def _refuse_overlap(data: VisitData, mrn: dict[int, int], chosen: set[int], kind: Split, part: Part) -> None:
    ours = {mrn[c] for c in chosen if c in mrn}
    parts: tuple[Part, ...] = ("train", "val", "test")
    for other in parts:
        if other == part:
            continue
        listed = data.split(other, kind)
        twice = chosen.intersection(listed)
        if twice:
            raise InputError(
                f"{len(twice)} visits are in both '{part}' and '{other}' of split_{kind}, such as {min(twice)}",
                "remove each visit from one part",
            )
        theirs = {mrn[c] for c in listed if c in mrn}
        both = ours & theirs
        if both:
            raise InputError(
                f"{len(both)} patients are in both '{part}' and '{other}' of split_{kind}, such as MRN {min(both)}",
                "split the data by patient; a model that knows a patient gives results that are too good",
            )


def _table_of(folder: Path, split: SplitName) -> Path:
    """Return the table of labels of a plain folder, which has no splits."""
    if split != "all":
        raise InputError(
            f"{folder} has no split '{split}'", "use --split all: only data in the MC-MED layout have splits"
        )
    return folder / TABLE


def _with_patients(table: Path, found: list[Recording], *, one_recording_a_patient: bool) -> list[Recording]:
    """Return the recordings of a plain folder with the patients named in the table of labels."""
    if not table.is_file():
        raise InputError(f"no labels in {table.parent}", f"expected {TABLE}, or labs.csv and visits.csv of MC-MED")
    found = [r for r in found if r.name != table.stem]  # the table itself looks like a recording
    rows = list(rows_of(table, ()))
    columns = rows[0].columns if rows else {}
    if "record" in columns and "patient" in columns:
        owner = _owners(rows)
        unassigned = next((r.name for r in found if not owner.get(r.name)), None)
        if unassigned is not None:
            dotted = next((name for name in owner if Path(name).with_suffix("").as_posix() == unassigned), None)
            fix = "fill in the column 'patient'" if dotted is None else f"write {unassigned}, not {dotted}"
            raise InputError(f"{table} names no patient for recording {unassigned!r}", fix)
        other = next((r for r in found if r.patient not in {r.name, owner[r.name]}), None)
        if other is not None:
            raise InputError(
                f"{table} says patient {owner[other.name]!r} of {other.name!r}, but recordings.toml {other.patient!r}",
                "remove the patient from one of them",
            )
        return [replace(r, patient=owner[r.name]) for r in found]
    if "patient" in columns or one_recording_a_patient or all(r.patient != r.name for r in found):
        return found
    raise InputError(
        f"{table} has no column 'patient', which intervals need",
        "add it or patient in recordings.toml, or use --one-recording-a-patient to treat each as a separate patient",
    )


def _owners(rows: Sequence[Row]) -> dict[str, str]:
    """Return the patient of each recording in a table of labels.

    Raises:
        InputError: A recording has two patients, or the name of a patient is written in two ways.
    """
    owner: dict[str, tuple[str, int]] = {}
    spelling: dict[str, tuple[str, int]] = {}
    for row in rows:
        record, patient = row.text("record"), row.text("patient")
        said, line = owner.setdefault(record, (patient, row.line))
        if said != patient:
            raise InputError(
                f"{row.path} lines {line} and {row.line} give the recording {record[:60]!r} to two patients, "
                f"{said[:40]!r} and {patient[:40]!r}",
                "correct the column 'patient'",
            )
        first, line = spelling.setdefault(patient.casefold(), (patient, row.line))
        if first != patient:
            raise InputError(
                f"{row.path} lines {line} and {row.line} write a patient in two ways, {first[:40]!r} and "
                f"{patient[:40]!r}",
                "write one patient in one way, and two patients differently",
            )
    return {record: patient for record, (patient, _) in owner.items()}


def heads_of(bundle: Bundle) -> tuple[TeacherHead, ...]:
    """Return the outputs of a bundle, in the order of its manifest."""
    return tuple(
        TeacherHead(h.key, h.lab, h.loinc, h.unit, h.kind, cast("Direction | None", h.direction), h.horizon_min)
        for h in bundle.manifest.outputs
    )


def labels_for(
    data: Labelled,
    heads: Sequence[TeacherHead],
    recording: NDArray[np.int32],
    start_s: NDArray[np.float64],
    plan: LabelPlan | None = None,
) -> NDArray[np.float64]:
    """Return the labels of each window.

    Args:
        data: The data set.
        heads: Heads to label.
        recording: Index of the recording of each window, ``(n,)``.
        start_s: Signal time of the first sample of each window, seconds, ``(n,)``.
        plan: Rules from results to labels; ``None`` for those of the kit.

    Returns:
        0 or 1, or the value in its unit, ``(n, heads)``; NaN if unknown.

    Raises:
        InputError: There is no label, or a label is invalid.
    """
    found = labels_at(data.folder, heads, data.recordings, recording, start_s, plan)
    return np.asarray(found, dtype=np.float64)


def labels_header(data: Labelled, chosen: ChosenPlan) -> dict[str, str]:
    """Return how the labels were made: by a plan from timed results, or by a table of labels."""
    if by_table(data.folder):
        return {"said_by": TABLE, "rule": f"as in {TABLE}", "sha256": ""}
    return chosen.for_report()


def _device(recording: Recording) -> str:
    """Return the sampling rate as the name of the device, because the supported data sets name no device."""
    segment = getattr(recording.items, "segment", None)
    return "" if segment is None else f"{segment.header.fs_hz:g} Hz"


def _fingerprint(recordings: Sequence[Recording], split: str, table: Path) -> str:
    rows = [[r.name, r.patient, r.size, *filter(None, [r.stated])] for r in recordings]
    digest = hashlib.sha256(json.dumps([split, rows]).encode())
    try:
        with open_regular(table) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"cannot read {table}: {error.strerror}") from error
    return digest.hexdigest()


def counted(values: Sequence[str]) -> dict[str, int]:
    """Count each value, most frequent first."""
    return dict(Counter(values).most_common())
