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
        order, then to the earlier row.
    """
    middle = (start_s + 0.5 * SEGMENT_S)[:, None]
    if pairing.mode == "nearest":
        time = rows["order_s"] if pairing.time == "order" else rows["result_s"]
        far = np.abs(middle - time[None, :])
        far[:, np.isinf(time)] = 0.0
        allowed = far <= 60.0 * pairing.minutes
        ties = far
    else:
        order, result = rows["order_s"][None, :], rows["result_s"][None, :]
        far = np.maximum(order - middle, 0.0)
        allowed = (middle >= order - 60.0 * pairing.before_min) & (middle <= result)
        ties = np.abs(middle - np.where(np.isinf(order), middle, order))
    if not rows.size:
        return np.full(len(start_s), -1, dtype=np.int64)
    key = np.where(allowed, far, np.inf)
    nearest = key == key.min(axis=1, keepdims=True)
    best = np.where(nearest & allowed, ties, np.inf).argmin(axis=1)
    return np.where(allowed.any(axis=1), best, -1)


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
            beyond = abnormal(mine, head.direction)
            if head.horizon_min is None:
                label = _taken(beyond, which, UNKNOWN).astype(np.uint8)
            else:
                time = mine["order_s"] if plan.heads.horizon_time == "order" else mine["result_s"]
                label, which = _ahead(start_s, time, beyond, 60.0 * head.horizon_min)
            binary[:, columns[j]] = label
            known = label != UNKNOWN
        draws[:, j] = np.where(known, _taken(at, which, -1), -1)
    return VisitLabels(binary, values, draws)


def _taken(what: NDArray[np.generic], index: NDArray[np.int64], none: float) -> NDArray[np.generic]:
    """Return ``what[index]``, and ``none`` where the index is -1."""
    if not len(what):
        return np.full(len(index), none)
    return np.where(index < 0, none, what[np.maximum(index, 0)])


def _ahead(
    start_s: F64, time_s: F64, label: NDArray[np.uint8], horizon_s: float
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return whether a result in ``(0, horizon]`` after each segment's end is abnormal, and the row of that result."""
    if not len(time_s):
        return np.full(len(start_s), UNKNOWN, dtype=np.uint8), np.full(len(start_s), -1, dtype=np.int64)
    after = time_s[None, :] - (start_s + SEGMENT_S)[:, None]
    within = (after > 0.0) & (after <= horizon_s) & (label != UNKNOWN)[None, :]
    positive = within & (label == 1)[None, :]
    known = within.any(axis=1)
    answer = np.where(known, positive.any(axis=1), UNKNOWN).astype(np.uint8)
    row = np.where(positive.any(axis=1), positive.argmax(axis=1), within.argmax(axis=1))
    return answer, np.where(known, row, -1)
