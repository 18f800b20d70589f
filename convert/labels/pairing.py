"""The labels of one visit's segments: assign results to segments of ten seconds, and compare them with their limits.

The data set has no collection time. Blood is drawn soon after the order and long before the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.labels.plan import CandidateHead, Direction, LabelPlan, Pairing

UNKNOWN = 255
"""Value of an unknown label in the shards."""

SEGMENT_S = 10.0

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class VisitLabels:
    """Labels of the segments of a visit.

    Attributes:
        binary: Labels of the probability heads, ``(n, probability heads)`` uint8: 0, 1 or `UNKNOWN`.
        values: Labels of the value heads, ``(n, value heads)`` float32, NaN where unknown.
        draws: Row of the visit that a label comes from, ``(n, candidate heads)`` int32, -1 for none.
    """

    binary: NDArray[np.uint8]
    values: NDArray[np.float32]
    draws: NDArray[np.int32]

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Return which segments have a label, ``(n,)``."""
        return np.asarray((self.binary != UNKNOWN).any(axis=1) | ~np.isnan(self.values).all(axis=1))


def abnormal(rows: NDArray[np.void], direction: Direction) -> NDArray[np.uint8]:
    """Return whether each result is beyond its limit: 0, 1 or `UNKNOWN`, ``(k,)``.

    A result ``>10`` is above every limit up to 10 and not below any limit up to 10. For higher limits it is unknown.
    """
    low = _beyond(rows["value"], rows["censored"], rows["low"])
    # Above a limit is below it after a change of sign.
    high = _beyond(-rows["value"], -rows["censored"], -rows["high"])
    if direction == "low":
        return low
    if direction == "high":
        return high
    either = np.where((low == 1) | (high == 1), 1, np.where((low == UNKNOWN) & (high == UNKNOWN), UNKNOWN, 0))
    # A side without a limit is ignored. A side that a censored value does not decide makes the label unknown.
    open_low = (low == UNKNOWN) & ~np.isnan(rows["low"])
    open_high = (high == UNKNOWN) & ~np.isnan(rows["high"])
    return np.where((either == 0) & (open_low | open_high), UNKNOWN, either).astype(np.uint8)


def _beyond(value: F64, sign: NDArray[np.int32], limit: F64) -> NDArray[np.uint8]:
    """Return whether values are below a limit; ``sign`` is -1 for a result ``<value`` and 1 for ``>value``."""
    exact = (value < limit).astype(np.uint8)
    less = np.where(value <= limit, 1, UNKNOWN)
    more = np.where(value >= limit, 0, UNKNOWN)
    answer = np.where(sign < 0, less, np.where(sign > 0, more, exact))
    return np.where(np.isnan(limit), UNKNOWN, answer).astype(np.uint8)


def paired(start_s: F64, rows: NDArray[np.void], pairing: Pairing) -> NDArray[np.int64]:
    """Return the row that belongs to each segment.

    Args:
        start_s: Start of each segment, seconds since 1970, ``(n,)``.
        rows: Results of one lab, ``(k,)``.
        pairing: Rule of the pairing.

    Returns:
        Index of the row nearest in time among those that the rule allows, ``(n,)``, -1 for none. Ties go to the nearest
        order, then to the earlier row. A row without times goes before all others.
    """
    timeless = np.isinf(rows["order_s"]) | np.isinf(rows["result_s"])
    if timeless.any():
        # A result without a time holds for the whole recording; the nearest one also where that has no clock.
        return np.where(np.isnan(start_s) & (pairing.mode != "nearest"), -1, timeless.argmax())
    which = np.full(len(start_s), -1, dtype=np.int64)
    at = np.flatnonzero(~np.isnan(start_s))
    middle = start_s[at] + 0.5 * SEGMENT_S
    if rows.size:
        which[at] = _nearest(middle, rows, pairing) if pairing.mode == "nearest" else _latest(middle, rows, pairing)
    return which


def _nearest(middle_s: F64, rows: NDArray[np.void], pairing: Pairing) -> NDArray[np.int64]:
    """Return the row nearest to each moment, -1 where it is too far; the earlier row of two with one distance."""
    time = rows["order_s"] if pairing.time == "order" else rows["result_s"]
    order = np.argsort(time, kind="stable")
    time = time[order]
    after = np.searchsorted(time, middle_s, side="left")
    # Of several rows with one time the first is taken, on both sides.
    right = np.minimum(after, len(time) - 1)
    left = np.searchsorted(time, time[np.maximum(after - 1, 0)], side="left")
    far_left, far_right = np.abs(middle_s - time[left]), np.abs(middle_s - time[right])
    second = (far_right < far_left) | ((far_right == far_left) & (order[right] < order[left]))
    found = np.where(second, order[right], order[left])
    return np.where(np.minimum(far_left, far_right) <= 60.0 * pairing.minutes, found, -1)


def _latest(middle_s: F64, rows: NDArray[np.void], pairing: Pairing) -> NDArray[np.int64]:
    """Return the row ordered last of those that are drawn and not yet reported at each moment, else the next one."""
    rank = np.argsort(middle_s, kind="stable")
    moments = middle_s[rank]
    found = np.full(len(moments), -1, dtype=np.int64)
    # Later orders overwrite earlier ones, and the first row overwrites others with the same order.
    painted = np.lexsort((-np.arange(rows.size), rows["order_s"]))
    first = np.searchsorted(moments, rows["order_s"], side="left")
    last = np.searchsorted(moments, rows["result_s"], side="right")
    for row in painted.tolist():
        found[first[row] : last[row]] = row
    order = np.argsort(rows["order_s"], kind="stable")
    time = rows["order_s"][order]
    ahead = np.searchsorted(time, moments, side="right")
    coming = np.minimum(ahead, len(time) - 1)
    near = (ahead < len(time)) & (moments >= time[coming] - 60.0 * pairing.before_min)
    found = np.where((found < 0) & near, order[coming], found)
    out = np.empty_like(found)
    out[rank] = found
    return out


def label_visit(start_s: F64, rows: NDArray[np.void], plan: LabelPlan, heads: tuple[CandidateHead, ...]) -> VisitLabels:
    """Label the segments of one visit.

    Args:
        start_s: Start of each segment, seconds since 1970, ``(n,)``; NaN where the recording has no clock.
        rows: Results of the visit.
        plan: The label plan.
        heads: All candidate heads, in the order of the labels.
    """
    n = len(start_s)
    draws = np.full((n, len(heads)), -1, dtype=np.int32)
    columns = {j: k for k, j in enumerate(j for j, head in enumerate(heads) if head.direction is not None)}
    value_columns = {j: k for k, j in enumerate(j for j, head in enumerate(heads) if head.direction is None)}
    binary = np.full((n, len(columns)), UNKNOWN, dtype=np.uint8)
    values = np.full((n, len(value_columns)), np.nan, dtype=np.float32)
    # Most labs have no result at a visit and need no work.
    chosen: dict[int, tuple[NDArray[np.intp], NDArray[np.int64]]] = {}
    for lab in np.unique(rows["lab"]).tolist():
        at = np.flatnonzero(rows["lab"] == lab)
        chosen[lab] = at, paired(start_s, rows[at], plan.pairing)
    beyond: dict[tuple[int, Direction], NDArray[np.uint8]] = {}
    ahead: dict[tuple[int, int], Ahead] = {}
    for j, head in enumerate(heads):
        if head.lab not in chosen:
            continue
        at, which = chosen[head.lab]
        mine = rows[at]
        if head.direction is None:
            value = _taken(np.where(mine["censored"] == 0, mine["value"], np.nan), which, np.nan).astype(np.float32)
            values[:, value_columns[j]] = value
            known = ~np.isnan(value)
        else:
            key = head.lab, head.direction
            if key not in beyond:
                beyond[key] = abnormal(mine, head.direction)
            if head.horizon_min is None:
                label = _taken(beyond[key], which, UNKNOWN).astype(np.uint8)
            else:
                span = head.lab, head.horizon_min
                if span not in ahead:
                    time = mine["order_s"] if plan.heads.horizon_time == "order" else mine["result_s"]
                    ahead[span] = Ahead(start_s, time, 60.0 * head.horizon_min)
                label, which = ahead[span].of(beyond[key])
            binary[:, columns[j]] = label
            known = label != UNKNOWN
        draws[:, j] = np.where(known, _taken(at, which, -1), -1)
    return VisitLabels(binary, values, draws)


class Ahead:
    """The results of a lab in a span after each segment.

    Args:
        start_s: Start of each segment, seconds since 1970, ``(n,)``.
        time_s: Time of each result of the lab, seconds since 1970, ``(k,)``.
        horizon_s: Length of the span, which begins where the segment ends, seconds.
    """

    def __init__(self, start_s: F64, time_s: F64, horizon_s: float) -> None:
        self._order = np.argsort(time_s, kind="stable")
        time, end_s = time_s[self._order], start_s + SEGMENT_S
        self._first = np.searchsorted(time, end_s, side="right")
        self._last = np.searchsorted(time, end_s + horizon_s, side="right")
        self._in_order = bool((self._order[1:] > self._order[:-1]).all())

    def of(self, label: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return whether a result in the span is abnormal, and which.

        Args:
            label: Whether each result is abnormal: 0, 1 or `UNKNOWN`, ``(k,)``.

        Returns:
            1 where a result of the span is abnormal, 0 where none of its known results is, else `UNKNOWN`, ``(n,)``;
            and the first abnormal row of the span, else its first known row, -1 for none, ``(n,)``.
        """
        known, positive = self._lowest(label != UNKNOWN), self._lowest(label == 1)
        answer = np.where(known < 0, UNKNOWN, positive >= 0).astype(np.uint8)
        return answer, np.where(positive >= 0, positive, known)

    def _lowest(self, which: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the first of the chosen rows in each span, ``(n,)``, -1 for none."""
        k = len(which)
        if not which.any():
            return np.full(len(self._first), -1, dtype=np.int64)
        if self._in_order:
            # The next chosen row from each row on; the last entry stands for none.
            following = np.append(np.where(which, np.arange(k), k), k)
            row = np.minimum.accumulate(following[::-1])[::-1][self._first]
            return np.where(row < self._last, row, -1)
        places = np.flatnonzero(which[self._order])
        first, last = np.searchsorted(places, self._first), np.searchsorted(places, self._last)
        return _range_minimum(self._order[places], first, last)


def _range_minimum(values: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the lowest of ``values[first:last]`` for each pair, ``(n,)``, -1 for an empty range."""
    count = last - first
    # Two ranges whose length is a power of two, and which may overlap, cover any range.
    tables = [values]
    while 2 ** len(tables) <= int(count.max(initial=0)):
        half = 2 ** (len(tables) - 1)
        tables.append(np.minimum(tables[-1][:-half], tables[-1][half:]))
    level = np.frexp(np.maximum(count, 1))[1] - 1
    found = np.full(len(count), -1, dtype=np.int64)
    for k, table in enumerate(tables):
        at = np.flatnonzero((level == k) & (count > 0))
        found[at] = np.minimum(table[first[at]], table[last[at] - 2**k])
    return found


def _taken(what: NDArray[np.generic], index: NDArray[np.int64], none: float) -> NDArray[np.generic]:
    """Return ``what[index]``, and ``none`` where the index is -1."""
    if not len(what):
        return np.full(len(index), none)
    return np.where(index < 0, none, what[np.maximum(index, 0)])
