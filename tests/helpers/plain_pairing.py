"""Pairing of results with segments by comparing each with each, to compare the faster form with."""

from __future__ import annotations

import numpy as np

from convert.labels.pairing import SEGMENT_S, UNKNOWN, VisitLabels, abnormal


def plain_paired(start_s, rows, pairing):
    """As `convert.labels.pairing.paired`."""
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


def plain_ahead(start_s, time_s, label, horizon_s):
    """As `convert.labels.pairing.Ahead`."""
    if not len(time_s):
        return np.full(len(start_s), UNKNOWN, dtype=np.uint8), np.full(len(start_s), -1, dtype=np.int64)
    after = time_s[None, :] - (start_s + SEGMENT_S)[:, None]
    within = (after > 0.0) & (after <= horizon_s) & (label != UNKNOWN)[None, :]
    positive = within & (label == 1)[None, :]
    known = within.any(axis=1)
    answer = np.where(known, positive.any(axis=1), UNKNOWN).astype(np.uint8)
    row = np.where(positive.any(axis=1), positive.argmax(axis=1), within.argmax(axis=1))
    return answer, np.where(known, row, -1)


def plain_label_visit(start_s, rows, plan, heads) -> VisitLabels:
    """As `convert.labels.pairing.label_visit`."""
    n = len(start_s)
    draws = np.full((n, len(heads)), -1, dtype=np.int32)
    columns = {j: k for k, j in enumerate(j for j, head in enumerate(heads) if head.direction is not None)}
    value_columns = {j: k for k, j in enumerate(j for j, head in enumerate(heads) if head.direction is None)}
    binary = np.full((n, len(columns)), UNKNOWN, dtype=np.uint8)
    values = np.full((n, len(value_columns)), np.nan, dtype=np.float32)
    chosen = {}
    for lab in np.unique(rows["lab"]).tolist():
        at = np.flatnonzero(rows["lab"] == lab)
        chosen[lab] = at, plain_paired(start_s, rows[at], plan.pairing)
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
                label, which = plain_ahead(start_s, time, beyond, 60.0 * head.horizon_min)
            binary[:, columns[j]] = label
            known = label != UNKNOWN
        draws[:, j] = np.where(known, _taken(at, which, -1), -1)
    return VisitLabels(binary, values, draws)


def _taken(what, index, none):
    """Return ``what[index]``, and ``none`` where the index is -1."""
    if not len(what):
        return np.full(len(index), none)
    return np.where(index < 0, none, what[np.maximum(index, 0)])
