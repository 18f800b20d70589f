"""The gate of a conversion: a check that a form of the model did not change any head too much. Its limits are data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.parity.forms import HeadName, head_difference
from edge.stats import correlation, sigmoid

F64 = NDArray[np.float64]

Reason = Literal["passed", "loss", "not_finite"]
"""Result of the gate: every limit holds, a limit is exceeded, or an output is NaN or infinite."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of the gate for one form.

    Attributes:
        reason: Why the gate is open or shut. ``--accept-loss`` overrides ``loss``, never ``not_finite``.
        faults: One short sentence for each exceeded limit, worst first.
        correlation_median: Median over the heads that vary; ``None`` if no head varies or there are too few windows.
        correlation_min: Lowest of these correlations.
        worst: Key of the head with the lowest correlation.
        heads_below: Number of heads with a fault.
        flat: Number of heads that hardly vary over the windows; they are judged by their odds instead.
    """

    reason: Reason
    faults: tuple[str, ...]
    correlation_median: float | None
    flat: int
    correlation_min: float | None = None
    worst: str | None = None
    heads_below: int = 0

    @property
    def ok(self) -> bool:
        """Whether the gate is open."""
        return self.reason == "passed"


def judge(heads: Sequence[HeadName], teacher: F64, quantized: F64, limits: Mapping[str, Any]) -> Verdict:
    """Compare a form of a model with its float form on the same windows.

    Args:
        heads: Name, kind and scale of each column.
        teacher: Outputs of the float model, ``(windows, heads)``.
        quantized: Outputs of the other form, ``(windows, heads)``.
        limits: The table ``gate`` of ``convert/data/gates.toml``.
    """
    if not (np.all(np.isfinite(teacher)) and np.all(np.isfinite(quantized))):
        return Verdict("not_finite", ("NaN or infinity in the outputs",), correlation_median=None, flat=0)
    faults: list[tuple[float, str]] = []
    known: dict[str, float] = {}
    below: set[str] = set()
    enough = len(teacher) >= limits["windows_min"]
    for i, head in enumerate(heads):
        a, b = teacher[:, i], quantized[:, i]
        found = _probability_faults(head, a, b, limits)
        least = limits["flat_logit_sd"] / head.scale if head.flat_below is None else head.flat_below
        if enough and float(a.std()) >= least:
            r = known[head.key] = correlation(a, b) or 0.0
            if r < limits["correlation_min"]:
                found.append((1.0 - r, f"{head.key}: correlation {r:.3f} < {limits['correlation_min']:g}"))
        else:
            found += _odds_fault(head, a, b, limits["flat_odds_factor"])
        faults += found
        below |= {head.key} if found else set()
    median = float(np.median(list(known.values()))) if known else None
    if median is not None and median < limits["correlation_median_min"]:
        text = f"median correlation {median:.3f} < {limits['correlation_median_min']:g}"
        faults.append((math.inf, text))
    ordered = tuple(text for _, text in sorted(faults, key=lambda f: -f[0]))
    worst = min(known, key=lambda key: known[key]) if known else None
    return Verdict(
        "loss" if ordered else "passed", ordered, median, len(heads) - len(known),
        None if worst is None else known[worst], worst, len(below),
    )  # fmt: skip


def _probability_faults(head: HeadName, a: F64, b: F64, limits: Mapping[str, Any]) -> list[tuple[float, str]]:
    if head.kind != "probability":
        return []
    p, q = (sigmoid(head.centre + head.scale * x) for x in (a, b))
    gap = np.abs(p - q)
    # The largest of few windows, else the value below which 99 % of them are.
    measures = (
        ("probability_mean_max", "mean difference of the probability", float(gap.mean())),
        ("probability_p99_max", "difference of the probability (99 %)", float(np.quantile(gap, 0.99, method="lower"))),
    )
    return [
        (found / limits[name], f"{head.key}: {what} {found:.3f} > {limits[name]:g}")
        for name, what, found in measures
        if found > limits[name]
    ]


def _odds_fault(head: HeadName, a: F64, b: F64, allowed: float) -> list[tuple[float, str]]:
    odds = math.exp(min(head_difference(head, a, b, None).max or 0.0, 50.0))
    if head.kind != "probability" or odds <= allowed:
        return []
    return [(odds - 1.0, f"{head.key}: odds change by {odds:.2f} > {allowed:g}")]
