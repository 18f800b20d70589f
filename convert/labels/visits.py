"""Laboratory results of visits as labels of windows, by the rules and the code of ``anyecg prepare``.

So the labels that judge and calibrate a model mean the same as its training labels: units, limits, censored values,
pairing and horizons are those of :mod:`convert.labels.labs` and :mod:`convert.labels.pairing`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.datasets.heads import TeacherHead
from convert.datasets.labcatalogue import catalogue
from convert.datasets.units import factor_to_catalogue
from convert.datasets.visit_data import VisitData
from convert.labels.labs import ROW, LabSorter, RawLab, limits_for, raw_lab, read_rows, with_limits
from convert.labels.pairing import SEGMENT_S, UNKNOWN, label_visit
from convert.labels.plan import CandidateHead, LabelPlan
from firmware_bridge.errors import InputError, OutputError

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]

BESIDE_S = 1e-3
"""Distance from a moment at which labels change to the moments before and after it, s."""


class VisitResults:
    """The results of some visits.

    Args:
        data: The data set.
        heads: Heads to label. Labs that are not in the plan have no labels, and neither have values with a horizon.
            Values are in the unit of their head.
        visits: CSNs of the visits.
        plan: The label plan.

    Raises:
        InputError: The table cannot be read, is empty, or holds an unknown unit of a requested lab; or the unit of a
            head is not a unit of its lab.
        OutputError: The intermediate files cannot be written.
    """

    def __init__(self, data: VisitData, heads: Sequence[TeacherHead], visits: Collection[int], plan: LabelPlan) -> None:
        asked = {h.lab for h in heads}
        # An unknown unit matters only for a requested lab.
        self._plan = replace(plan, labs=tuple(lab for lab in plan.labs if lab.key in asked))
        position = {lab.key: i for i, lab in enumerate(self._plan.labs)}
        found = [(j, _candidate(h, position[h.lab])) for j, h in enumerate(heads) if h.lab in position]
        pairs = [(j, candidate) for j, candidate in found if candidate is not None]
        self._candidates = tuple(candidate for _, candidate in pairs)
        self._width = len(heads)
        self._binary = [j for j, c in pairs if c.direction is not None]
        self._values = [j for j, c in pairs if c.direction is None]
        self._factors = np.array([_factor(heads[j], plan) for j in self._values], dtype=np.float64)
        self._rows = _rows(data, set(visits), self._plan) if pairs else np.empty(0, dtype=ROW)

    def targets(self, visit: int, start_s: F64) -> F32:
        """Return the labels of ten-second windows of a visit.

        Args:
            visit: CSN of the visit.
            start_s: Start of each window, seconds since 1970 UTC, ``(n,)``; NaN where unknown.

        Returns:
            Labels, ``(n, heads)``: 0 or 1 for a probability, the value for a value, NaN where unknown.
        """
        out = np.full((len(start_s), self._width), np.nan, dtype=np.float32)
        first, last = np.searchsorted(self._rows["visit"], (visit, visit + 1))
        if first < last and self._candidates:
            found = label_visit(start_s, self._rows[first:last], self._plan, self._candidates)
            out[:, self._binary] = np.where(found.binary == UNKNOWN, np.float32(np.nan), found.binary)
            out[:, self._values] = found.values / self._factors
        return out

    def labelled(self, visit: int, first_s: float, last_s: float) -> bool:
        """Return whether a ten-second window of a visit that starts in a span has a label.

        Between the moments at which labels change they are constant, so only the moments beside these are labelled, and
        the result does not depend on the length of the recording.

        Args:
            visit: CSN of the visit.
            first_s: Earliest start of a window, seconds since 1970 UTC.
            last_s: Latest start of a window.
        """
        first, last = np.searchsorted(self._rows["visit"], (visit, visit + 1))
        changes = self._changes(self._rows[first:last])
        changes = changes[(changes >= first_s - BESIDE_S) & (changes <= last_s + BESIDE_S)]
        beside = np.concatenate([(first_s, last_s), changes - BESIDE_S, changes, changes + BESIDE_S])
        found = self.targets(visit, np.unique(beside.clip(first_s, last_s)))
        return not bool(np.isnan(found).all())

    def _changes(self, rows: NDArray[np.void]) -> F64:
        """Return the starts of windows at which the label of some head can change, seconds since 1970 UTC.

        Where the nearest result changes is left out: each result is the nearest at its own time.
        """
        order, result, pairing = rows["order_s"], rows["result_s"], self._plan.pairing
        if pairing.mode == "nearest":
            time = order if pairing.time == "order" else result
            now = [time, time - 60.0 * pairing.minutes, time + 60.0 * pairing.minutes]
        else:
            now = [order, result, order - 60.0 * pairing.before_min]
        time = order if self._plan.heads.horizon_time == "order" else result
        spans_min = {0, *(c.horizon_min for c in self._candidates if c.horizon_min is not None)}
        ahead = [time - SEGMENT_S - 60.0 * span for span in spans_min]
        return np.concatenate([*(middle - 0.5 * SEGMENT_S for middle in now), *ahead])


def _candidate(head: TeacherHead, lab: int) -> CandidateHead | None:
    """Return the head as a candidate of ``anyecg prepare``; ``None`` for a head that ``prepare`` does not support."""
    horizon = head.horizon_min or None
    if head.is_value:
        return None if horizon is not None else CandidateHead(head.key, lab, None, None)
    return None if head.direction is None else CandidateHead(head.key, lab, head.direction, horizon)


def _factor(head: TeacherHead, plan: LabelPlan) -> float:
    """Return the factor from the unit of a head to the catalogue's unit, in which results are stored."""
    added = next(dict(lab.units) for lab in plan.labs if lab.key == head.lab)
    lab = catalogue()[head.lab]
    factor = factor_to_catalogue(lab, head.unit, added)
    if factor is None:
        raise InputError(
            f"the output '{head.key}' is in {head.unit!r}, which is not a known unit of {head.lab}",
            f"the catalogue has {lab.unit}; define the unit in the label plan (labs.{head.lab}.units)",
        )
    return factor


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """The rows that were read last.

    Attributes:
        table: Path, time of change and size of the table.
        plan: The plan that they were read with.
        visits: Their visits.
        rows: The rows.
    """

    table: tuple[Path, int, int]
    plan: LabelPlan
    visits: frozenset[int]
    rows: NDArray[np.void]

    def has(self, table: tuple[Path, int, int], visits: set[int], plan: LabelPlan) -> bool:
        """Return whether these rows contain those of another request."""
        same = self.table == table and replace(self.plan, labs=()) == replace(plan, labs=())
        return same and visits <= self.visits and set(plan.labs) <= set(self.plan.labs)


_kept: list[_Kept] = []
"""A report asks for the same results several times, and a large table takes minutes to read. One table is kept."""


def _rows(data: VisitData, visits: set[int], plan: LabelPlan) -> NDArray[np.void]:
    """Return the rows of the visits with their limits, sorted by visit; rows of other visits may be among them."""
    path = data.lab_table
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    table, kept = (path.absolute(), state.st_mtime_ns, state.st_size), next(iter(_kept), None)
    if kept is None or not kept.has(table, visits, plan):
        kept = _Kept(table, plan, frozenset(visits), _read(data, visits, plan))
        _kept[:] = [kept]
    if kept.plan.labs == plan.labs:
        return kept.rows
    position = {lab: i for i, lab in enumerate(plan.labs)}
    number = np.array([position.get(lab, -1) for lab in kept.plan.labs], dtype=np.int32)
    rows: NDArray[np.void] = kept.rows[number[kept.rows["lab"]] >= 0]
    rows["lab"] = number[rows["lab"]]
    return rows


def _read(data: VisitData, visits: set[int], plan: LabelPlan) -> NDArray[np.void]:
    """Read the rows of the visits with their limits, sorted by visit."""
    # The median is over the limits of all visits, as in the prepared data set.
    every_visit = set(data.waveform_summary()) if "median" in (plan.heads.missing_range, plan.heads.ranges) else visits
    rows = _raw(data, every_visit | visits)
    first = next(rows, None)
    if first is None:
        return np.empty(0, dtype=ROW)
    with tempfile.TemporaryDirectory(prefix="anyecg-") as folder:
        mine, other = Path(folder) / "rows", Path(folder) / "other"
        files = {visit: mine if visit in visits else other for visit in every_visit | visits}
        try:
            counts = LabSorter(plan, files, {}).run(chain((first,), rows))
        except OSError as error:
            raise OutputError(f"cannot write {folder}: {error.strerror or error}", "free some space") from error
        return with_limits(read_rows(mine)[0], limits_for(plan, counts), plan)


def _raw(data: VisitData, visits: set[int]) -> Iterator[RawLab]:
    for row in data.labs(None, visits):
        yield raw_lab(row)
