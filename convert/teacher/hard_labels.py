"""Hard labels: measured laboratory results.

They come from an MC-MED folder, whose results are matched to windows by time as in ``anyecg prepare``, or from a folder
with ``labels.csv``, which has one row for each recording or patient and one column for each output.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.datasets.csvrows import Row, rows_of
from convert.datasets.heads import TeacherHead
from convert.datasets.pairs import Recording, seconds_of, start_of
from convert.datasets.visit_data import VisitData, has_visits, open_visits
from convert.labels.pairing import SEGMENT_S
from convert.labels.plan import LabelPlan
from convert.labels.travelling_plan import default_plan
from convert.labels.visits import VisitResults
from convert.teacher.soft_labels import Labels
from firmware_bridge.errors import InputError

TABLE = "labels.csv"
IDENTIFIERS = ("record", "patient")

F32 = NDArray[np.float32]


def hard_labels(
    folder: Path,
    heads: Sequence[TeacherHead],
    recordings: Sequence[Recording],
    labels: Labels,
    plan: LabelPlan | None = None,
) -> F32:
    """Return the hard labels of windows that a teacher has labelled; see :func:`labels_at`."""
    return labels_at(folder, heads, recordings, labels.recording, labels.start_s, plan)


def labels_at(
    folder: Path,
    heads: Sequence[TeacherHead],
    recordings: Sequence[Recording],
    recording: NDArray[np.int32],
    start_s: NDArray[np.float64],
    plan: LabelPlan | None = None,
) -> F32:
    """Return the hard labels of windows of ten seconds.

    Args:
        folder: An MC-MED folder, or a folder with ``labels.csv``.
        heads: The teacher's outputs.
        recordings: Recordings of the windows.
        recording: Index of each window's recording, ``(windows,)``.
        start_s: Start of each window, seconds since the start of its recording, ``(windows,)``.
        plan: Rule that makes labels from the results of an MC-MED folder; ``None`` for
            :func:`convert.labels.travelling_plan.default_plan`. A table of labels ignores it.

    Returns:
        ``(windows, heads)`` float32: 0 or 1 for a probability, the value for a value, NaN where unknown.

    Raises:
        InputError: The folder has no labels, its labels belong to other patients or to none of the teacher's outputs,
            or a unit is unknown.
    """
    if by_table(folder):
        found = _from_table(folder / TABLE, heads, recordings, recording)
    elif has_visits(folder):
        found = _from_visits(open_visits(folder), heads, recordings, recording, start_s, plan or default_plan())
    else:
        expected = f"expected {TABLE}, labs.csv and visits.csv of MC-MED, or MIMIC-IV-ECG and MIMIC-IV"
        raise InputError(f"no labels in {folder}", expected)
    if np.all(np.isnan(found)):
        raise _no_label(folder)
    return found


def check_some_label(
    folder: Path, heads: Sequence[TeacherHead], recordings: Sequence[Recording], plan: LabelPlan | None = None
) -> None:
    """Check that some ten seconds of some recording have a label, before hours of work that needs labels.

    Which windows the quality gate accepts is known only after that work, so they may still have none.

    Args:
        folder: As for :func:`labels_at`.
        heads: The teacher's outputs.
        recordings: The recordings.
        plan: As for :func:`labels_at`.

    Raises:
        InputError: As for :func:`labels_at`.
    """
    if by_table(folder) or not has_visits(folder):
        labels_at(folder, heads, recordings, np.arange(len(recordings), dtype=np.int32), np.zeros(len(recordings)))
        return
    visits = {r.visit for r in recordings if r.visit is not None}
    results = _results(open_visits(folder), heads, recordings, visits, plan or default_plan())
    for r in recordings:
        begin = start_of(r)
        if r.visit is not None and begin is not None:
            first_s = begin.timestamp()
            if results.labelled(r.visit, first_s, first_s + max(0.0, seconds_of(r) - SEGMENT_S)):
                return
    raise _no_label(folder)


def _no_label(folder: Path) -> InputError:
    return InputError(
        f"{folder} has no label for any window and output", "check that its labels belong to these recordings"
    )


def by_table(folder: Path) -> bool:
    """Whether the labels come from a table, so that no label plan is needed."""
    return (folder / TABLE).is_file()


def _from_table(
    path: Path, heads: Sequence[TeacherHead], recordings: Sequence[Recording], recording: NDArray[np.int32]
) -> F32:
    rows = list(rows_of(path, ()))
    columns = list(rows[0].columns) if rows else []
    by = next((name for name in IDENTIFIERS if name in columns), None)
    if by is None:
        raise InputError(f"{path} has neither a column 'record' nor 'patient'", "add one, and at least one row")
    keys = {h.key: j for j, h in enumerate(heads)}
    unknown = [c for c in columns if c and c not in keys and c not in IDENTIFIERS]
    if unknown:
        raise InputError(f"{path}: the teacher has no output {unknown[0]!r}", f"use {', '.join(list(keys)[:8])} ...")
    known: dict[str, list[int]] = defaultdict(list)
    for i, r in enumerate(recordings):
        known[r.name if by == "record" else r.patient].append(i)
    table = np.full((len(recordings), len(heads)), np.nan, np.float32)
    line = np.zeros((len(recordings), len(heads)), np.int64)
    for row in rows:
        name = row.text(by)
        if name not in known:
            raise InputError(
                f"{path} line {row.line}: the data have no {by} {name[:60]!r}", "correct or remove the row"
            )
        values = _row_values(row, heads, columns)
        for i in known[name]:
            _refuse_contradiction(path, heads, name, (table[i], line[i]), (values, row.line))
            line[i] = np.where(np.isnan(values), line[i], row.line)
            table[i] = np.where(np.isnan(values), table[i], values)
    return np.asarray(table[recording], dtype=np.float32)


def _refuse_contradiction(
    path: Path, heads: Sequence[TeacherHead], name: str, old: tuple[F32, NDArray[np.int64]], new: tuple[F32, int]
) -> None:
    """Refuse two rows that give one recording or patient different labels; the last one must not win silently."""
    differ = np.flatnonzero(~np.isnan(old[0]) & ~np.isnan(new[0]) & (old[0] != new[0]))
    if len(differ):
        j = int(differ[0])
        raise InputError(
            f"{path} lines {int(old[1][j])} and {new[1]} contradict each other: {heads[j].key} of {name[:60]!r} is "
            f"{old[0][j]:g} and {new[0][j]:g}",
            "keep one of the two rows",
        )


def _row_values(row: Row, heads: Sequence[TeacherHead], columns: Sequence[str]) -> F32:
    values = np.full(len(heads), np.nan, np.float32)
    for j, head in enumerate(heads):
        text = row.text(head.key) if head.key in columns else ""
        if not text:
            continue
        value = row.number(head.key)
        if value is None or (not head.is_value and value not in (0.0, 1.0)):
            what = "a number" if head.is_value else "0 or 1"
            raise InputError(f"{row.path} line {row.line}: {head.key} is {text[:40]!r}, expected {what}")
        values[j] = value
    return values


def _from_visits(
    data: VisitData,
    heads: Sequence[TeacherHead],
    recordings: Sequence[Recording],
    recording: NDArray[np.int32],
    start_s: NDArray[np.float64],
    plan: LabelPlan,
) -> F32:
    results = _results(data, heads, recordings, {recordings[i].visit for i in np.unique(recording)}, plan)
    begins = [start_of(r) for r in recordings]
    begin_s = np.array([np.nan if b is None else b.timestamp() for b in begins], dtype=np.float64)
    # Windows of recordings without a visit belong to the visit -1, which has no results.
    visit = np.array([-1 if r.visit is None else r.visit for r in recordings], dtype=np.int64)[recording]
    at = begin_s[recording] + start_s
    out = np.full((len(recording), len(heads)), np.nan, np.float32)
    order = np.argsort(visit, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(visit[order])) + 1):
        if len(rows):
            out[rows] = results.targets(int(visit[rows[0]]), at[rows])
    return out


def _results(
    data: VisitData,
    heads: Sequence[TeacherHead],
    recordings: Sequence[Recording],
    asked: AbstractSet[int | None],
    plan: LabelPlan,
) -> VisitResults:
    """Return the results of the visits that are asked for, of which some recording must have one."""
    visits = {r.visit for r in recordings if r.visit is not None}
    if not visits:
        raise InputError(
            f"{data.root} has labels by visit, but the recordings have no visits", f"write a {TABLE} for them"
        )
    unknown = visits - {visit.csn for visit in data.visits()}
    if unknown:
        raise InputError(
            f"{data.root} does not have the visit {min(unknown)} of the recordings ({len(unknown)} visits missing)"
        )
    return VisitResults(data, heads, visits & asked, plan)
