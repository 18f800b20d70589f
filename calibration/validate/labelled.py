"""A labelled data set: recordings, whose they are, what the laboratory found, and which part is to be judged.

A patient who is on both sides of a split would make every number too good, and a data set that does not say whose a
recording is cannot be resampled by patient; both are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from convert.datasets.csvrows import rows_of
from convert.datasets.heads import Direction, TeacherHead
from convert.datasets.mcmed import McMedDataset, Part, Split
from convert.datasets.pairs import Recording, find_recordings
from convert.labels.plan import LabelPlan
from convert.labels.travelling_plan import ChosenPlan
from convert.teacher.hard_labels import TABLE, by_table, labels_at
from edge.bundle.reader import Bundle
from firmware_bridge.errors import InputError

SplitName = Literal["test", "val", "chrono-test", "all"]
SPLITS: tuple[SplitName, ...] = ("test", "val", "chrono-test", "all")


@dataclass(frozen=True, slots=True)
class Person:
    """What a data set says of the patient at a visit; ``None`` or empty where it does not."""

    sex: str = ""
    age: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The recordings to judge.

    Attributes:
        folder: Where they are.
        split: Which part.
        recordings: In the order of their names.
        patient: Number of each recording's patient, ``(recordings,)``.
        persons: Of each recording.
        device: What recorded each, as far as it is known.
        simulated: The simulator wrote them.
        sha256: Of the names, patients and sizes of the recordings and of the labels' file.
        remarks: What the reader should know, one sentence each.
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
    folder: Path, split: SplitName, *, one_recording_a_patient: bool = False, limit: int | None = None
) -> Labelled:
    """Finds the recordings of a part of a data set.

    Args:
        folder: In the MC-MED layout, or any recordings beside ``labels.csv``.
        split: Which part.
        one_recording_a_patient: Says of a folder without patient identifiers that nobody is in it twice.
        limit: Take the first so many recordings only.

    Raises:
        InputError: There are none, a patient is on both sides of the split, or nobody says whose they are.
    """
    found = find_recordings(folder)
    remarks: list[str] = []
    simulated = False
    if found[0].visit is not None:
        data = McMedDataset(folder)
        simulated = data.simulated
        found, persons = _mcmed(data, found, split)
        table = data.root / "labs.csv"
    else:
        if split != "all":
            raise InputError(f"{folder} has no split '{split}'", "such a folder is judged whole: --split all")
        table = folder / TABLE
        found = _with_patients(table, found, one_recording_a_patient=one_recording_a_patient)
        persons = [Person() for _ in found]
    if limit is not None and limit < len(found):
        remarks.append(f"only the first {limit} of {len(found)} recordings were taken")
        found, persons = found[:limit], persons[:limit]
    if not found:
        raise InputError(f"the part '{split}' of {folder} has no recording")
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


def _mcmed(data: McMedDataset, found: Sequence[Recording], split: SplitName) -> tuple[list[Recording], list[Person]]:
    visits = {v.csn: v for v in data.visits()}
    if split == "all":
        chosen = set(visits)
    else:
        kind: Split = "chrono" if split == "chrono-test" else "random"
        part: Part = "val" if split == "val" else "test"
        chosen = set(data.split(part, kind))
        _refuse_overlap(data, {c: v.mrn for c, v in visits.items()}, chosen, kind, part)
    kept = [r for r in found if r.visit in chosen]
    persons = [Person(visits[r.visit].sex, visits[r.visit].age) if r.visit in visits else Person() for r in kept]
    return kept, persons


def _refuse_overlap(data: McMedDataset, mrn: dict[int, int], chosen: set[int], kind: Split, part: Part) -> None:
    ours = {mrn[c] for c in chosen if c in mrn}
    parts: tuple[Part, ...] = ("train", "val", "test")
    for other in parts:
        if other == part:
            continue
        theirs = {mrn[c] for c in data.split(other, kind) if c in mrn}
        both = ours & theirs
        if both:
            raise InputError(
                f"{len(both)} patients are in both '{part}' and '{other}' of split_{kind}, such as MRN {min(both)}",
                "split by patient: what a model has seen of somebody makes every number about them too good",
            )


def _with_patients(table: Path, found: list[Recording], *, one_recording_a_patient: bool) -> list[Recording]:
    """Recordings of a plain folder with the patients that the labels' table names."""
    if not table.is_file():
        raise InputError(f"no labels in {table.parent}", f"expected {TABLE}, or labs.csv and visits.csv of MC-MED")
    found = [r for r in found if r.name != table.stem]  # the table itself looks like a recording
    rows = list(rows_of(table, ()))
    columns = rows[0].columns if rows else {}
    if "record" in columns and "patient" in columns:
        owner = {row.text("record"): row.text("patient") for row in rows}
        nobody = next((r.name for r in found if not owner.get(r.name)), None)
        if nobody is not None:
            raise InputError(f"{table} does not say whose recording {nobody!r} is", "fill in the column 'patient'")
        return [Recording(r.name, owner[r.name], r.visit, r.size, r.place, r.items, r.training_only) for r in found]
    if "patient" in columns or one_recording_a_patient:
        return found
    raise InputError(
        f"{table} has no column 'patient': intervals must know whose a recording is",
        "add the column, or say --one-recording-a-patient where nobody is in it twice",
    )


def heads_of(bundle: Bundle) -> tuple[TeacherHead, ...]:
    """The outputs of a bundle, in the order of its manifest."""
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
    """What the laboratory found for each window.

    Args:
        data: The data set.
        heads: What is asked for.
        recording: Index of each window's recording, ``(n,)``.
        start_s: Signal time of its first sample, ``(n,)``.
        plan: How labels are made of results; ``None`` for the kit's own.

    Returns:
        ``(n, heads)``: 0 or 1, or the value; NaN where unknown.

    Raises:
        InputError: There is no label at all, or one that is none.
    """
    found = labels_at(data.folder, heads, data.recordings, recording, start_s, plan)
    return np.asarray(found, dtype=np.float64)


def labels_header(data: Labelled, chosen: ChosenPlan) -> dict[str, str]:
    """How labels were made: a plan of results by time, or a table that says it."""
    if by_table(data.folder):
        return {"said_by": TABLE, "rule": f"as {TABLE} says", "sha256": ""}
    return chosen.for_report()


def _device(recording: Recording) -> str:
    """The rate stands for the device: no data set at hand names it."""
    segment = getattr(recording.items, "segment", None)
    return "" if segment is None else f"{segment.header.fs_hz:g} Hz"


def _fingerprint(recordings: Sequence[Recording], split: str, table: Path) -> str:
    rows = [[r.name, r.patient, r.size] for r in recordings]
    digest = hashlib.sha256(json.dumps([split, rows]).encode())
    try:
        with table.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"cannot read {table}: {error.strerror}") from error
    return digest.hexdigest()


def counted(values: Sequence[str]) -> dict[str, int]:
    """How often each value occurs, most frequent first."""
    return dict(Counter(values).most_common())
