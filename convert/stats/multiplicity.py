"""Correction of p-values for the number of tests in a table.

Of 108 outputs that show nothing, five are expected to differ from chance at the 5 % level. A report therefore corrects
the tests of each of its tables: the outputs against chance by Holm's method, which controls the chance of a single
false claim, and the groups of patients by Benjamini and Hochberg's, which controls the share of false ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.stats.bounds import NORMAL, p_value
from convert.stats.metrics import UNDEFINED, Score

F64 = NDArray[np.float64]

Method = Literal["holm", "fdr"]

ALPHA = 0.05
"""Level of the corrected tests, two-sided."""


def holm(p: Sequence[float]) -> F64:
    """Return p-values adjusted by Holm's method (Scand J Stat 1979;6:65), ``(n,)``."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    out = np.empty_like(values)
    out[order] = np.minimum(steps, 1.0)
    return out


def benjamini_hochberg(p: Sequence[float]) -> F64:
    """Return p-values adjusted for the false discovery rate (Benjamini & Hochberg, JRSS B 1995;57:289), ``(n,)``."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)[::-1]
    n = len(values)
    out = np.empty_like(values)
    # The factor is at least 1, so that rounding makes no adjusted value smaller than its p-value.
    out[order] = np.minimum.accumulate(values[order] * (n / np.arange(n, 0, -1)))
    return out


def discoveries(intervals: Sequence[tuple[float, float, float] | None]) -> list[bool]:
    """Return which differences stay different from 0 with a false discovery rate of :data:`ALPHA` over the table.

    Args:
        intervals: Lower end, difference and upper end of each 95 % interval; ``None`` for what was not tested.
    """
    scores = [UNDEFINED if x is None else Score(x[1], x[0], x[2]) for x in intervals]
    p = [p_value(found, 0.0, NORMAL) for found in scores]
    return [x is not None and x <= ALPHA for x in adjusted(p, "fdr")]


def adjusted(p: Sequence[float | None], method: Method) -> list[float | None]:
    """Return adjusted p-values; entries without a p-value are no tests and stay ``None``.

    Args:
        p: P-values of one table.
        method: ``holm`` or ``fdr``.
    """
    known = [x for x in p if x is not None]
    values = iter((holm if method == "holm" else benjamini_hochberg)(known).tolist())
    return [None if x is None else float(next(values)) for x in p]
