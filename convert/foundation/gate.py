"""The gate of a conversion: a check that quantization did not change any head too much. Its limits are data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.parity.forms import HeadName, correlation, head_difference

Reason = Literal["passed", "loss", "not_finite"]
"""Result of the gate: every limit holds, a limit is exceeded, or an output is NaN or infinite."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of the gate for one quantized form.

    Attributes:
        reason: Why the gate is open or shut. ``--accept-loss`` overrides ``loss``, never ``not_finite``.
        faults: One short sentence for each exceeded limit, worst first.
        correlation_median: Median over the heads that vary; ``None`` if no head varies or there are too few windows.
        flat: Number of heads that hardly vary over the windows; they are judged by their odds instead.
    """

    reason: Reason
    faults: tuple[str, ...]
    correlation_median: float | None
    flat: int

    @property
    def ok(self) -> bool:
        """Whether the gate is open."""
        return self.reason == "passed"


def judge(
    heads: Sequence[HeadName],
    teacher: NDArray[np.float64],
    quantized: NDArray[np.float64],
    limits: Mapping[str, Any],
) -> Verdict:
    """Compare a quantized model with its float form on the same windows.

    Args:
        heads: Name and kind of each column.
        teacher: Outputs of the float model, ``(windows, heads)``.
        quantized: Outputs of the quantized model, ``(windows, heads)``.
        limits: The table ``gate`` of ``convert/data/gates.toml``.
    """
    if not (np.all(np.isfinite(teacher)) and np.all(np.isfinite(quantized))):
        return Verdict("not_finite", ("NaN or infinity in the outputs",), correlation_median=None, flat=0)
    enough = len(teacher) >= limits["windows_min"]
    faults: list[tuple[float, str]] = []
    known: list[float] = []
    flat = 0
    for i, head in enumerate(heads):
        a, b = teacher[:, i], quantized[:, i]
        row = head_difference(head, a, b, None)
        least = limits["flat_logit_sd"] if head.flat_below is None else head.flat_below
        if enough and float(a.std()) >= least:
            r = correlation(a, b) or 0.0
            known.append(r)
            if r < limits["correlation_min"]:
                faults.append((1.0 - r, f"{head.key}: correlation {r:.3f} < {limits['correlation_min']:g}"))
        else:
            flat += 1
            odds = math.exp(min(row.max or 0.0, 50.0))
            if head.kind == "probability" and odds > limits["flat_odds_factor"]:
                faults.append((odds - 1.0, f"{head.key}: odds change by {odds:.2f} > {limits['flat_odds_factor']:g}"))
        for name, found in (("probability_max", row.probability_max), ("probability_mean", row.probability_mean)):
            allowed = limits["probability_max" if name == "probability_max" else "probability_mean_max"]
            if found is not None and found > allowed:
                faults.append((found / allowed, f"{head.key}: {name.replace('_', ' ')} {found:.3f} > {allowed:g}"))
    median = float(np.median(known)) if known else None
    if median is not None and median < limits["correlation_median_min"]:
        text = f"median correlation {median:.3f} < {limits['correlation_median_min']:g}"
        faults.append((math.inf, text))
    ordered = tuple(text for _, text in sorted(faults, key=lambda f: -f[0]))
    return Verdict("loss" if ordered else "passed", ordered, correlation_median=median, flat=flat)
