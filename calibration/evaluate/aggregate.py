"""Ten minutes of a visit against a single segment, on the same labels.

Of each visit and each ten minutes of it (counted from its first segment) the newest segment with a label of the head
is taken. *Single* is what the teacher says of that segment alone. *Aggregate* is the mean of what it says of all
segments of the visit that lie in the ten minutes up to that segment's end: logits for a probability, the value for a
value. Both are compared with the label of the newest segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.evaluate.heads import Draws, both_sides, compare_errors, compare_rankings
from calibration.evaluate.rows import Rows
from calibration.validate.judge import rounded, score_json
from convert.stats.noninferiority import LEAST_EVENTS

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MINUTES = 10
SEGMENT_S = 10.0
CLOCK_S = 1e-3
"""Begins of segments are seconds since 1970 in floats; those of one visit are multiples of the hop apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Segments sorted by visit and time.

    Attributes:
        rows: Row of each, ``(n,)``.
        first: Place of the oldest segment in the ten minutes up to each one's end, ``(n,)``.
        block: Number of each one's visit and ten minutes, increasing, ``(n,)``.
    """

    rows: Ints
    first: Ints
    block: Ints


def order(visit: Ints, start_s: F64) -> Order:
    """Sorts segments and finds the ten minutes before each.

    Args:
        visit: Of each segment, ``(n,)``.
        start_s: Begin of each, ``(n,)``.
    """
    rows = np.lexsort((start_s, visit))
    of, at = visit[rows], start_s[rows]
    new = np.concatenate(([True], of[1:] != of[:-1]))
    number = np.cumsum(new) - 1
    since = at - at[new][number]
    # One axis for all visits, each far behind the one before it, so that one search serves them all.
    apart = float(since.max(initial=0.0)) + 60.0 * MINUTES + 1.0
    axis = number * apart + since
    first = np.searchsorted(axis, axis + SEGMENT_S - 60.0 * MINUTES - CLOCK_S, side="left")
    span = ((since + CLOCK_S) // (60.0 * MINUTES)).astype(np.int64)
    block = np.cumsum(np.concatenate(([True], (number[1:] != number[:-1]) | (span[1:] != span[:-1]))))
    return Order(rows, first, block)


def newest(known: Bools, o: Order) -> Ints:
    """Places, in the order, of the newest known segment of each visit and ten minutes.

    Args:
        known: Of each row, ``(n,)``.
        o: Of the rows.
    """
    places = np.flatnonzero(known[o.rows])
    block = o.block[places]
    return places[np.concatenate((block[1:] != block[:-1], [True]))] if len(places) else places


def means(values: F64, o: Order, places: Ints) -> F64:
    """Mean over the ten minutes up to the end of some segments.

    Args:
        values: Of each row, ``(n,)``.
        o: Of the rows.
        places: Of the segments, in the order.
    """
    if not len(places):
        return np.empty(0)
    ordered = np.concatenate((values[o.rows], [0.0]))
    # Summed afresh for each, not by differences of running sums: the mean of one segment is that segment to the bit.
    cuts = np.stack((o.first[places], places + 1), axis=1).reshape(-1)
    return np.asarray(np.add.reduceat(ordered, cuts)[::2] / (places + 1 - o.first[places]), dtype=np.float64)


def aggregate(rows: Rows, shown: F32, draws: Draws) -> dict[str, Any]:
    """Aggregates against single segments, head by head, as JSON-able values.

    Args:
        rows: Labels.
        shown: Calibrated logits or values, ``(n, heads)``.
        draws: Of the bootstrap.
    """
    o = order(rows.visit, rows.start_s)
    heads = [_head(rows, shown, j, o, draws) for j in range(len(rows.heads))]
    return {"minutes": MINUTES, "heads": heads, "summary": _summary(heads)}


def _head(rows: Rows, shown: F32, j: int, o: Order, draws: Draws) -> dict[str, Any]:
    head = rows.heads[j]
    places = newest(np.isfinite(rows.truth[:, j]), o)
    chosen = o.rows[places]
    truth = rows.truth[chosen, j].astype(np.float64)
    values = shown[:, j].astype(np.float64)
    single, mean = values[chosen], means(values, o, places)
    found: dict[str, Any] = {
        "key": head.key,
        "kind": head.kind,
        "horizon_min": head.horizon_min,
        "n": len(places),
        "patients": len(np.unique(rows.patient[chosen])),
        "segments_median": float(np.median(places + 1 - o.first[places])) if len(places) else None,
    }
    if head.kind == "value":
        return {**found, **_errors(mean, single, truth, rows.patient[chosen], draws)}
    return {**found, **_areas(mean, single, truth > 0.5, rows.patient[chosen], draws)}


def _areas(mean: F64, single: F64, y: Bools, patient: Ints, draws: Draws) -> dict[str, Any]:
    out: dict[str, Any] = {"positives": int(y.sum()), "aggregate": None, "single": None, "difference": None}
    if not len(y) or not y.any() or y.all():
        return {**out, "method": "", "verdict": "NOT JUDGED"}
    a, b, difference, method = compare_rankings(mean, single, y, patient, draws)
    whose = both_sides(y, patient)
    few = min(int(whose.sum()), int((~whose).sum())) < LEAST_EVENTS
    return {
        **out,
        "aggregate": rounded(a.auroc.value),
        "single": rounded(b.auroc.value),
        "difference": score_json(difference),
        "method": method,
        "verdict": which_better(difference.low, difference.high, few=few, more_is_better=True),
    }


def _errors(mean: F64, single: F64, truth: F64, patient: Ints, draws: Draws) -> dict[str, Any]:
    out: dict[str, Any] = {"positives": None, "aggregate": None, "single": None, "difference": None}
    if not len(truth):
        return {**out, "method": "", "verdict": "NOT JUDGED"}
    resampler = draws.of(patient)
    difference = compare_errors(mean, single, truth, resampler)
    few = resampler.patients < LEAST_EVENTS
    return {
        **out,
        "aggregate": rounded(float(np.abs(mean - truth).mean())),
        "single": rounded(float(np.abs(single - truth).mean())),
        "difference": score_json(difference),
        "method": "bootstrap over patients, paired",
        "verdict": which_better(difference.low, difference.high, few=few, more_is_better=False),
    }


def which_better(low: float | None, high: float | None, *, few: bool, more_is_better: bool) -> str:
    """What the interval of a difference says: ``better``, ``worse`` or ``INCONCLUSIVE``."""
    if few or low is None or high is None or (low <= 0.0 <= high):
        return "INCONCLUSIVE"
    return "better" if (low > 0.0) == more_is_better else "worse"


def _summary(heads: list[dict[str, Any]]) -> dict[str, Any]:
    out = {}
    for kind in ("probability", "value"):
        judged = [h for h in heads if h["kind"] == kind and h["difference"] and h["difference"]["value"] is not None]
        verdicts = [h["verdict"] for h in judged]
        differences = [h["difference"]["value"] for h in judged]
        out[kind] = {
            "compared": len(judged),
            **{name: verdicts.count(name) for name in ("better", "worse", "INCONCLUSIVE")},
            # Of values each has its own unit.
            "median_difference": rounded(float(np.median(differences)))
            if differences and kind == "probability"
            else None,
        }
    return out
