"""Hard labels: what the laboratory really found, where anybody measured it.

Either an MC-MED folder, whose results are matched to windows by time, or a folder with ``labels.csv``: one row a
recording or patient, one column an output.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.csvrows import Row, rows_of
from convert.distil_heads import TeacherHead
from convert.distil_records import Recording, start_of, utc
from convert.labcatalogue import catalogue
from convert.mcmed import LabRow, McMedDataset
from convert.teacher_labels import Labels
from firmware_bridge.errors import InputError

NEAR_MINUTES = 60.0
"""A result counts for windows this near to its order: CardioLab's estimation task (arXiv 2411.14886)."""

TABLE = "labels.csv"
IDENTIFIERS = ("record", "patient")

F32 = NDArray[np.float32]


def hard_labels(folder: Path, heads: Sequence[TeacherHead], recordings: Sequence[Recording], labels: Labels) -> F32:
    """What is known of each window.

    Args:
        folder: An MC-MED folder, or one with ``labels.csv``.
        heads: The teacher's outputs.
        recordings: Those that were labelled.
        labels: The labelled windows.

    Returns:
        ``(windows, heads)``: 0 or 1 for a probability, the value for a value, NaN where unknown.

    Raises:
        InputError: The folder holds neither; or its labels are of patients that the data do not have; or none of them
            is about an output of the teacher.
    """
    if (folder / TABLE).is_file():
        found = _from_table(folder / TABLE, heads, recordings, labels)
    elif (folder / "labs.csv").is_file() or (folder / "data" / "labs.csv").is_file():
        found = _from_mcmed(McMedDataset(folder), heads, recordings, labels)
    else:
        raise InputError(f"no labels in {folder}", f"expected {TABLE}, or labs.csv and visits.csv of MC-MED")
    if np.all(np.isnan(found)):
        raise InputError(f"{folder} holds no label of any output for any window", "is it of these recordings?")
    return found


def _from_table(path: Path, heads: Sequence[TeacherHead], recordings: Sequence[Recording], labels: Labels) -> F32:
    rows = list(rows_of(path, ()))
    columns = list(rows[0].columns) if rows else []
    by = next((name for name in IDENTIFIERS if name in columns), None)
    if by is None:
        raise InputError(f"{path} has neither a column 'record' nor 'patient'", "and at least one row is needed")
    keys = {h.key: j for j, h in enumerate(heads)}
    strange = [c for c in columns if c and c not in keys and c not in IDENTIFIERS]
    if strange:
        raise InputError(f"{path}: the teacher has no output {strange[0]!r}", f"it has {', '.join(list(keys)[:8])} ...")
    known: dict[str, list[int]] = defaultdict(list)
    for i, r in enumerate(recordings):
        known[r.name if by == "record" else r.patient].append(i)
    table = np.full((len(recordings), len(heads)), np.nan, np.float32)
    for row in rows:
        name = row.text(by)
        if name not in known:
            raise InputError(f"{path} line {row.line}: the data have no {by} {name[:60]!r}")
        values = _row_values(row, heads, columns)
        for i in known[name]:
            table[i] = np.where(np.isnan(values), table[i], values)
    return np.asarray(table[labels.recording], dtype=np.float32)


def _row_values(row: Row, heads: Sequence[TeacherHead], columns: Sequence[str]) -> F32:
    values = np.full(len(heads), np.nan, np.float32)
    for j, head in enumerate(heads):
        text = row.text(head.key) if head.key in columns else ""
        if not text:
            continue
        value = row.number(head.key)
        if value is None or (not head.is_value and value not in (0.0, 1.0)):
            what = "a number" if head.is_value else "0 or 1"
            raise InputError(f"{row.path} line {row.line}: {head.key} is {text[:40]!r}, not {what}")
        values[j] = value
    return values


def _from_mcmed(
    data: McMedDataset, heads: Sequence[TeacherHead], recordings: Sequence[Recording], labels: Labels
) -> F32:
    visits = {r.visit for r in recordings if r.visit is not None}
    if not visits:
        raise InputError(f"{data.root} has labels by visit, the data have no visits", f"write a {TABLE} for them")
    wanted = {h.lab for h in heads}
    by_visit: dict[int, dict[str, list[LabRow]]] = defaultdict(lambda: defaultdict(list))
    listed = {visit.csn for visit in data.visits()}
    strange = visits - listed
    if strange:
        raise InputError(f"{data.root} does not know the visit {min(strange)} of the data ({len(strange)} such visits)")
    for row in data.labs(wanted, visits):
        if row.lab is not None and row.value is not None and (row.order_time or row.result_time):
            by_visit[row.csn][row.lab.key].append(row)
    out = np.full((len(labels), len(heads)), np.nan, np.float32)
    starts = [start_of(r) for r in recordings]
    for i, number in enumerate(labels.recording):
        start, visit = starts[number], recordings[number].visit
        if start is None or visit is None or visit not in by_visit:
            continue
        at = utc(float(labels.start_s[i]) + 5.0, start)
        for j, head in enumerate(heads):
            row_now = _nearest(by_visit[visit].get(head.lab, ()), at)
            if row_now is not None:
                out[i, j] = _target(head, row_now)
    return out


def _nearest(rows: Iterable[LabRow], at: datetime) -> LabRow | None:
    best, best_s = None, NEAR_MINUTES * 60.0
    for row in rows:
        # The data set has no collection time; blood is drawn soon after the order and long before the result.
        time = row.order_time or row.result_time
        if time is not None and abs((time - at).total_seconds()) <= best_s:
            best, best_s = row, abs((time - at).total_seconds())
    return best


def _target(head: TeacherHead, row: LabRow) -> float:
    assert row.value is not None
    number = row.value.number
    if head.is_value:
        return number if not row.value.censored else float("nan")
    lab = catalogue().get(head.lab)
    low = row.low if row.low is not None else (lab.ref_low if lab else None)
    high = row.high if row.high is not None else (lab.ref_high if lab else None)
    beyond = []
    if head.direction in ("low", "abnormal") and low is not None:
        beyond.append(number < low)
    if head.direction in ("high", "abnormal") and high is not None:
        beyond.append(number > high)
    return float(any(beyond)) if beyond else float("nan")
