"""Compare ten minutes of a visit with a single segment on the same labels.

Each visit is divided into spans of ten minutes from its first segment. In each span, the newest segment with a label
of the head is judged. *Single* is the output of the teacher for that segment alone. *Aggregate* is the mean of its
outputs over all segments of the visit in the ten minutes up to the end of that segment: logits for a probability head,
values for a value head. Both are compared with the label of the newest segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from calibration.evaluate.heads import Draws, compare_errors, compare_rankings, enough
from calibration.evaluate.records import AggregateHeadRecord, AggregateRecord, DifferenceRecord, SummaryRecord
from calibration.evaluate.rows import Rows
from calibration.validate.judge import rounded, score_json
from calibration.validate.records import MeasureRecord
from convert.stats.multiplicity import discoveries

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MINUTES = 10
SEGMENT_S = 10.0
CLOCK_S = 1e-3
"""Tolerance for the start times of segments, seconds: they are floats since 1970, a whole number of hops apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Segments sorted by visit and time.

    Attributes:
        rows: Row number of each segment in sorted order, ``(n,)``.
        first: Place in the order of the oldest segment in the ten minutes up to the end of each segment, ``(n,)``.
        block: Number of the visit and span of each segment, not decreasing, ``(n,)``.
    """

    rows: Ints
    first: Ints
    block: Ints


def order(visit: Ints, start_s: F64) -> Order:
    """Sort segments and find the ten minutes before each.

    Args:
        visit: Visit of each segment, ``(n,)``.
        start_s: Start of each segment, seconds since 1970, ``(n,)``.
    """
    rows = np.lexsort((start_s, visit))
    of, at = visit[rows], start_s[rows]
    new = np.concatenate(([True], of[1:] != of[:-1]))
    number = np.cumsum(new) - 1
    since = at - at[new][number]
    # One axis for all visits, with a large gap between two visits, so that a single search serves them all.
    apart = float(since.max(initial=0.0)) + 60.0 * MINUTES + 1.0
    axis = number * apart + since
    first = np.searchsorted(axis, axis + SEGMENT_S - 60.0 * MINUTES - CLOCK_S, side="left")
    span = ((since + CLOCK_S) // (60.0 * MINUTES)).astype(np.int64)
    block = np.cumsum(np.concatenate(([True], (number[1:] != number[:-1]) | (span[1:] != span[:-1]))))
    return Order(rows, first, block)


def newest(known: Bools, o: Order) -> Ints:
    """Return the places, in the order, of the newest known segment in each span of each visit.

    Args:
        known: Whether the label of each row is known, ``(n,)``.
        o: Order of the rows.
    """
    places = np.flatnonzero(known[o.rows])
    block = o.block[places]
    return places[np.concatenate((block[1:] != block[:-1], [True]))] if len(places) else places


def means(values: F64, o: Order, places: Ints) -> F64:
    """Compute means over the ten minutes up to the end of each chosen segment.

    Args:
        values: Value of each row, ``(n,)``.
        o: Order of the rows.
        places: Places of the chosen segments in the order, ``(k,)``.

    Returns:
        Means, ``(k,)``.
    """
    if not len(places):
        return np.empty(0)
    ordered = np.concatenate((values[o.rows], [0.0]))
    # Separate sums instead of differences of running sums: the mean of one segment is then exactly that segment.
    cuts = np.stack((o.first[places], places + 1), axis=1).reshape(-1)
    return np.asarray(np.add.reduceat(ordered, cuts)[::2] / (places + 1 - o.first[places]), dtype=np.float64)


def aggregate(rows: Rows, shown: F32, draws: Draws) -> AggregateRecord:
    """Compare aggregates with single segments, head by head, as JSON-able values.

    Args:
        rows: Labels of the segments.
        shown: Calibrated logits or values, ``(n, heads)``.
        draws: Bootstrap over patients.
    """
    o = order(rows.visit, rows.start_s)
    heads = [_head(rows, shown, j, o, draws) for j in range(len(rows.heads))]
    controlled(heads)
    return {"minutes": MINUTES, "heads": heads, "summary": _summary(heads)}


class _Compared(TypedDict):
    positives: int | None
    aggregate: float | None
    single: float | None
    difference: MeasureRecord | None
    method: str
    verdict: str


def _head(rows: Rows, shown: F32, j: int, o: Order, draws: Draws) -> AggregateHeadRecord:
    head = rows.heads[j]
    places = newest(np.isfinite(rows.truth[:, j]), o)
    chosen = o.rows[places]
    truth = rows.truth[chosen, j].astype(np.float64)
    values = shown[:, j].astype(np.float64)
    single, mean = values[chosen], means(values, o, places)
    if head.kind == "value":
        found = _errors(mean, single, truth, rows.patient[chosen], draws)
    else:
        found = _areas(mean, single, truth > 0.5, rows.patient[chosen], draws)
    return {
        "key": head.key,
        "kind": head.kind,
        "horizon_min": head.horizon_min,
        "n": len(places),
        "patients": len(np.unique(rows.patient[chosen])),
        "segments_median": float(np.median(places + 1 - o.first[places])) if len(places) else None,
        **found,
    }


def _uncompared(positives: int | None) -> _Compared:
    return {
        "positives": positives, "aggregate": None, "single": None, "difference": None, "method": "",
        "verdict": "NOT JUDGED",
    }  # fmt: skip


def _areas(mean: F64, single: F64, y: Bools, patient: Ints, draws: Draws) -> _Compared:
    if not len(y) or not y.any() or y.all():
        return _uncompared(int(y.sum()))
    a, b, difference, method = compare_rankings(mean, single, y, patient, draws)
    few = not enough(y, patient, draws.least)
    return {
        "positives": int(y.sum()),
        "aggregate": rounded(a.auroc.value),
        "single": rounded(b.auroc.value),
        "difference": score_json(difference),
        "method": method,
        "verdict": which_better(difference.low, difference.high, few=few, more_is_better=True),
    }


def _errors(mean: F64, single: F64, truth: F64, patient: Ints, draws: Draws) -> _Compared:
    if not len(truth):
        return _uncompared(None)
    resampler = draws.of(patient)
    difference = compare_errors(mean, single, truth, resampler)
    few = resampler.patients < draws.least.both
    return {
        "positives": None,
        "aggregate": rounded(float(np.abs(mean - truth).mean())),
        "single": rounded(float(np.abs(single - truth).mean())),
        "difference": score_json(difference),
        "method": "bootstrap over patients, paired",
        "verdict": which_better(difference.low, difference.high, few=few, more_is_better=False),
    }


def controlled(found: Sequence[AggregateHeadRecord | DifferenceRecord]) -> None:
    """Withdraw verdicts of a table that do not survive a false discovery rate of 5 % over its heads.

    Args:
        found: Rows of the table; those without an interval were not tested.
    """
    for one, kept in zip(found, discoveries([_ends(one["difference"]) for one in found]), strict=True):
        if one["verdict"] in {"better", "worse"} and not kept:
            one["verdict"] = "INCONCLUSIVE"


def _ends(difference: MeasureRecord | None) -> tuple[float, float, float] | None:
    if difference is None or difference["value"] is None or difference["ci"] is None:
        return None
    low, high = difference["ci"]
    return None if low is None or high is None else (low, difference["value"], high)


def which_better(low: float | None, high: float | None, *, few: bool, more_is_better: bool) -> str:
    """Classify a difference by its interval: ``better``, ``worse`` or ``INCONCLUSIVE``."""
    if few or low is None or high is None or (low <= 0.0 <= high):
        return "INCONCLUSIVE"
    return "better" if (low > 0.0) == more_is_better else "worse"


def _summary(heads: list[AggregateHeadRecord]) -> dict[str, SummaryRecord]:
    out: dict[str, SummaryRecord] = {}
    for kind in ("probability", "value"):
        judged = [
            (h["verdict"], h["difference"]["value"])
            for h in heads
            if h["kind"] == kind and h["difference"] and h["difference"]["value"] is not None
        ]
        out[kind] = summary_of(kind, [verdict for verdict, _ in judged], [value for _, value in judged])
    return out


def summary_of(kind: str, verdicts: list[str], differences: list[float]) -> SummaryRecord:
    """Count verdicts over the heads of one kind.

    Args:
        kind: ``probability`` or ``value``.
        verdicts: Verdict of each compared head.
        differences: Known differences.
    """
    # Value heads have different units, so they have no common median.
    median = rounded(float(np.median(differences))) if differences and kind == "probability" else None
    return {
        "compared": len(verdicts),
        "better": verdicts.count("better"),
        "worse": verdicts.count("worse"),
        "INCONCLUSIVE": verdicts.count("INCONCLUSIVE"),
        "median_difference": median,
    }
