"""Sort laboratory rows by shard, as numbers in the catalogue's unit, and count the rows that are left out.

This takes one pass over the table, before any signal is read. Rows go to one small file for each shard, so that memory
does not grow with the data set and a worker reads only what it needs.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.datasets.labcatalogue import Lab, catalogue, normalised
from convert.datasets.mcmed import LabRow, LabValue
from convert.datasets.units import factor_to_catalogue, plain_unit
from convert.labels.plan import LabelPlan
from firmware_bridge.errors import InputError

ROW = np.dtype(
    [
        ("visit", "<i8"),
        ("lab", "<i4"),
        ("censored", "<i4"),
        ("order_s", "<f8"),
        ("result_s", "<f8"),
        ("value", "<f8"),
        ("low", "<f8"),
        ("high", "<f8"),
    ]
)
"""Type of a result: visit, position of the lab in the plan, -1 for ``<`` and 1 for ``>``, times in seconds since 1970
UTC, value and limits in the catalogue's unit, NaN where there is no limit."""

BUFFERED_ROWS = 65_536
"""Rows in memory until they are appended to their files: 3.5 MB."""

SHOWN_UNITS = 12
"""Unknown units that an error message lists."""


@dataclass(frozen=True, slots=True)
class RawLab:
    """A laboratory row as a source gives it.

    Attributes:
        visit: Number of its visit or recording.
        component: Name of the measured component as written.
        value: The result as a number; ``None`` for text.
        unit: Unit as written.
        low: Lower limit of the range in the row; ``None`` where there is none.
        high: Upper limit of that range; ``None`` where there is none.
        order: Time of the order.
        result: Time of the result.
        timeless: Whether the source has no times, so that the result holds for the whole recording.
        left_out: Why the source leaves the row out; empty if it does not.
    """

    visit: int
    component: str
    value: LabValue | None
    unit: str
    low: float | None
    high: float | None
    order: datetime | None
    result: datetime | None
    timeless: bool = False
    left_out: str = ""


def raw_lab(row: LabRow) -> RawLab:
    """Return a row of a data set of visits as a source gives it."""
    return RawLab(
        row.csn, row.component, row.value, row.units, row.low, row.high, row.order_time, row.result_time,
        left_out=row.left_out,
    )  # fmt: skip


@dataclass(slots=True)
class LabCounts:
    """Counts of the rows by their use.

    Attributes:
        rows: Number of rows read.
        used: Number of rows used.
        excluded: Number of rows left out, by reason.
        notes: Number of used rows with a ``censored`` value, ``converted`` from another unit, or with ``no_range``.
        unknown: Number of rows by component that belongs to no lab of the plan.
        limits: Count of each limit, by position of the lab and ``"low"`` or ``"high"``.
    """

    rows: int = 0
    used: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    limits: dict[tuple[int, str], Counter[float]] = field(default_factory=lambda: defaultdict(Counter))


class LabSorter:
    """Sorts rows into the files of the shards.

    Args:
        plan: The label plan.
        shard_of: File of the shard by visit; rows of other visits are left out.
        elsewhere: Reason for which the rows of a visit without a shard are counted, by visit.
    """

    def __init__(self, plan: LabelPlan, shard_of: Mapping[int, Path], elsewhere: Mapping[int, str]) -> None:
        self.counts = LabCounts()
        self._plan, self._shard_of, self._elsewhere = plan, shard_of, elsewhere
        self._by_name = plan.by_name()
        self._labs = [catalogue()[lab.key] for lab in plan.labs]
        self._factors: dict[tuple[int, str], float | None] = {}
        self._unknown_units: Counter[tuple[str, str]] = Counter()
        self._names: dict[str, int | None] = {}
        self._waiting: dict[Path, list[tuple[float, ...]]] = defaultdict(list)
        self._held = 0

    def run(self, rows: Iterable[RawLab]) -> LabCounts:
        """Sort all rows.

        Raises:
            InputError: There are no rows, or some have an unknown unit; the message lists the units.
            OSError: A file cannot be written.
        """
        for row in rows:
            self.counts.rows += 1
            why = self._take(row)
            if why:
                self.counts.excluded[why] += 1
        self._flush()
        if not self.counts.rows:
            raise InputError("the table of laboratory results has no rows", "check that the file is complete")
        self._refuse_unknown_units()
        return self.counts

    def _take(self, row: RawLab) -> str:
        """Use a row and return an empty text, or return the reason why it is left out."""
        if row.left_out:
            return row.left_out
        lab = self._lab_of(row.component)
        if lab is None:
            self.counts.unknown[row.component] += 1
            return "unknown_component"
        if row.value is None:
            return "not_a_number"
        unit = plain_unit(row.unit)
        if unit in self._plan.labs[lab].ignore_units:
            return "ignored_unit"
        factor = self._factor(lab, unit)
        if factor is None:
            if not unit:
                return "no_unit"
            self._unknown_units[self._plan.labs[lab].key, row.unit.strip()] += 1
            return "unknown_unit"
        file = self._shard_of.get(row.visit)
        if file is None:
            return self._elsewhere.get(row.visit, "visit_not_listed")
        times = _times(row)
        if isinstance(times, str):
            return times
        self._append(file, row, lab, factor, times)
        return ""

    def _lab_of(self, component: str) -> int | None:
        if component not in self._names:
            self._names[component] = self._by_name.get(normalised(component))
        return self._names[component]

    def _factor(self, lab: int, unit: str) -> float | None:
        if (lab, unit) not in self._factors:
            entry: Lab = self._labs[lab]
            self._factors[lab, unit] = factor_to_catalogue(entry, unit, dict(self._plan.labs[lab].units))
        return self._factors[lab, unit]

    def _append(self, file: Path, row: RawLab, lab: int, factor: float, times: tuple[float, float]) -> None:
        assert row.value is not None
        sign = {"": 0, "<": -1, ">": 1}[row.value.censored]
        if sign:
            self.counts.notes["censored"] += 1
        if factor != 1.0:
            self.counts.notes["converted"] += 1
        if row.low is None and row.high is None:
            self.counts.notes["no_range"] += 1
        low, high = self._limit(lab, "low", row.low, factor), self._limit(lab, "high", row.high, factor)
        self._waiting[file].append((row.visit, lab, sign, *times, row.value.number * factor, low, high))
        self.counts.used += 1
        self._held += 1
        if self._held >= BUFFERED_ROWS:
            self._flush()

    def _limit(self, lab: int, side: str, limit: float | None, factor: float) -> float:
        if limit is None:
            return math.nan
        self.counts.limits[lab, side][limit * factor] += 1
        return limit * factor

    def _flush(self) -> None:
        for path, rows in self._waiting.items():
            with path.open("ab") as file:
                file.write(np.array(rows, dtype=ROW).tobytes())
        self._waiting.clear()
        self._held = 0

    def _refuse_unknown_units(self) -> None:
        if not self._unknown_units or self._plan.heads.unknown_units == "exclude":
            return
        listed = [f"{key} in {unit!r} ({n})" for (key, unit), n in sorted(self._unknown_units.items())]
        more = f" and {len(listed) - SHOWN_UNITS} more" if len(listed) > SHOWN_UNITS else ""
        raise InputError(
            f"unknown units: {', '.join(listed[:SHOWN_UNITS])}{more}",
            "define them in the label file (labs.KEY.units) or leave their results out (labs.KEY.ignore_units)",
        )


def limits_for(plan: LabelPlan, counts: LabCounts) -> tuple[tuple[float, float], ...]:
    """Return low and high limit of each lab for rows without limits; NaN where the plan does not use such limits."""
    used = plan.heads.missing_range if plan.heads.ranges == "row" else plan.heads.ranges
    if used == "exclude":
        return tuple((math.nan, math.nan) for _ in plan.labs)
    if used == "median":
        seen = counts.limits
        return tuple((_median(seen.get((i, "low"))), _median(seen.get((i, "high")))) for i in range(len(plan.labs)))
    labs = [catalogue()[lab.key] for lab in plan.labs]
    return tuple((_or_nan(lab.ref_low), _or_nan(lab.ref_high)) for lab in labs)


def with_limits(rows: NDArray[np.void], limits: tuple[tuple[float, float], ...], plan: LabelPlan) -> NDArray[np.void]:
    """Set the limits of `limits_for`, in place; return the rows.

    They hold for rows that have no limit, or for all rows where the plan does not use the rows' own ranges.
    """
    bare = np.isnan(rows["low"]) & np.isnan(rows["high"]) | (plan.heads.ranges != "row")
    table = np.array(limits, dtype=np.float64).reshape(-1, 2)
    rows["low"][bare] = table[rows["lab"][bare], 0]
    rows["high"][bare] = table[rows["lab"][bare], 1]
    return rows


def _or_nan(limit: float | None) -> float:
    return math.nan if limit is None else limit


def _median(seen: Counter[float] | None) -> float:
    if not seen:
        return math.nan
    return float(np.median(np.repeat(list(seen), list(seen.values()))))


def _times(row: RawLab) -> tuple[float, float] | str:
    """Return the times of order and result in seconds, or the reason why the row has no usable time."""
    if row.timeless:
        return -math.inf, math.inf
    order, result = row.order or row.result, row.result or row.order
    if order is None or result is None:
        return "no_time"
    if result < order:
        return "result_before_order"
    return order.timestamp(), result.timestamp()


def read_rows(path: Path) -> tuple[NDArray[np.void], int]:
    """Return the rows of one shard, sorted by visit and lab and without repetitions, and the number of repetitions."""
    raw = np.fromfile(path, dtype=ROW) if path.exists() else np.empty(0, dtype=ROW)
    # Compared by bytes, so that two missing limits are equal; NaN is never equal to NaN.
    _, first = np.unique(raw.view(f"V{ROW.itemsize}"), return_index=True)
    rows = raw[np.sort(first)]
    return rows[np.argsort(rows, order=("visit", "lab", "order_s", "result_s"), kind="stable")], len(raw) - len(rows)
