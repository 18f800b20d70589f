"""Confidence intervals from the standard error of replicates, on a scale on which the estimate is nearly normal.

Percentiles of a bootstrap are too narrow with few patients: with 20 patients in one class, 100 in the other and an
AUROC of 0.95 they contained the truth in 88 % of the simulations, and these intervals in 95 %
(``benchmarks/bench_confidence.py``). The replicates still come from a bootstrap over patients, so repeated rows of a
patient widen the interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.stats.metrics import Score, quotient
from convert.stats.resampling import MIN_DEFINED, Resampler

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEVEL = 0.95
"""Nominal coverage of the intervals of a report."""

NORMAL = 1e9
"""Degrees of freedom with which Student's t distribution is the normal one."""

Scale = Literal["plain", "logit", "log", "atanh"]
"""Scale of an interval: ``plain`` for means and differences, ``logit`` for areas, ``log`` for ratios and for means of
errors, which are positive and skewed, ``atanh`` (Fisher's z) for correlations."""

_Function = Callable[[float], float]

_FORWARD: dict[Scale, _Function] = {
    "plain": lambda x: x,
    "logit": lambda x: math.log(x / (1.0 - x)),
    "log": math.log,
    "atanh": math.atanh,
}
_BACK: dict[Scale, _Function] = {
    "plain": lambda x: x,
    "logit": lambda x: 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else 0.0,
    "log": lambda x: math.exp(min(x, 700.0)),
    "atanh": math.tanh,
}
_SLOPE: dict[Scale, _Function] = {
    "plain": lambda _: 1.0,
    "logit": lambda x: 1.0 / (x * (1.0 - x)),
    "log": lambda x: 1.0 / x,
    "atanh": lambda x: 1.0 / (1.0 - x * x),
}
_OPEN: dict[Scale, tuple[float, float]] = {
    "plain": (-math.inf, math.inf),
    "logit": (0.0, 1.0),
    "log": (0.0, math.inf),
    "atanh": (-1.0, 1.0),
}


def quantile_t(df: float, level: float = LEVEL) -> float:
    """Return the two-sided quantile of Student's t distribution; that of the normal distribution for many."""
    # SciPy is loaded where it is used, because every --help of a command that trains or judges imports this module.
    from scipy.special import stdtrit

    return float(stdtrit(max(df, 1.0), 0.5 + 0.5 * level))


def standard_error(replicates: F64, patients: int) -> float | None:
    """Return the standard error from replicates; ``None`` where too few of them are defined.

    Args:
        replicates: Values of the replicates, NaN where not defined, ``(resamples,)``.
        patients: Number of patients, which corrects the small bias of the bootstrap (Davison & Hinkley 1997).
    """
    known = replicates[np.isfinite(replicates)]
    if len(known) < 2 or len(known) < MIN_DEFINED * len(replicates):
        return None
    return float(known.std(ddof=1)) * math.sqrt(patients / max(patients - 1, 1))


def degrees(positives: int, negatives: int) -> float:
    """Return the degrees of freedom of a comparison of two classes by Welch's formula with equal spreads.

    They are close to those of the rarer class where the other one is much larger.

    Args:
        positives: Number of patients of one class, at least two.
        negatives: Number of patients of the other class, at least two.
    """
    if min(positives, negatives) < 2:
        return 1.0
    a, b = 1.0 / positives, 1.0 / negatives
    return (a + b) ** 2 / (a**2 / (positives - 1) + b**2 / (negatives - 1))


def se_interval(
    value: float | None, replicates: F64, patients: int, scale: Scale = "plain", df: float | None = None
) -> Score:
    """Return a measure with an interval of Student's t distribution around it on a scale.

    Args:
        value: Value of the original rows; ``None`` where it is not defined.
        replicates: Values of the replicates, NaN where not defined, ``(resamples,)``.
        patients: Number of patients that carry the measure.
        scale: Scale of the interval.
        df: Degrees of freedom; ``None`` for one fewer than the patients.

    Returns:
        The measure; without an interval for fewer than two patients, or at the end of its scale.
    """
    if value is None or not math.isfinite(value):
        return Score(None, None, None)
    error = standard_error(replicates, patients)
    low, high = _OPEN[scale]
    if error is None or patients < 2 or not low < value < high:
        return Score(float(value), None, None)
    half = quantile_t(patients - 1 if df is None else df) * error * _SLOPE[scale](value)
    centre = _FORWARD[scale](value)
    return Score(float(value), _BACK[scale](centre - half), _BACK[scale](centre + half))


def area_interval(value: float | None, replicates: F64, positives: int, negatives: int) -> Score:
    """Return an AUROC with its interval on the logit scale; for perfect separation by the method of Newcombe.

    Args:
        value: AUROC of the original rows.
        replicates: AUROC of each replicate, ``(resamples,)``.
        positives: Number of patients with a positive row.
        negatives: Number of patients with a negative row.
    """
    fewer, df = min(positives, negatives), degrees(positives, negatives)
    found = se_interval(value, replicates, fewer, "logit", df)
    if found.value is None or fewer < 2 or 0.0 < found.value < 1.0:
        return found
    bound = _separated(positives, negatives, quantile_t(df))
    return Score(1.0, bound, 1.0) if found.value == 1.0 else Score(0.0, 0.0, 1.0 - bound)


def _separated(positives: int, negatives: int, quantile: float) -> float:
    """Return the lower end for an AUROC of 1 (Newcombe, Stat Med 2006;25:559, method 5)."""
    from scipy.optimize import brentq

    even = 0.5 * (positives + negatives) - 1.0

    def apart(area: float) -> float:
        shape = 1.0 + even * ((1.0 - area) / (2.0 - area) + area / (1.0 + area))
        variance = area * (1.0 - area) * shape / (positives * negatives)
        return 1.0 - area - quantile * math.sqrt(max(variance, 0.0))

    return float(brentq(apart, 1e-9, 1.0 - 1e-12))


def share_interval(hit: Bools, among: Bools, resampler: Resampler, level: float = LEVEL) -> Score:
    """Return a share with Wilson's interval for the effective number of rows, which repeated patients lower.

    The effective number is that of independent rows with the standard error of the bootstrap over patients, as for
    clustered proportions in surveys (Korn & Graubard, Surv Methodol 1998;24:193). It is at most the number of rows, and
    the number of patients where all outcomes are equal. With several rows of a patient it is smaller by the squared
    ratio of the quantiles of Student's t distribution, because the standard error then rests on the patients alone.

    Args:
        hit: Whether a row counts, ``(n,)``.
        among: Rows of the denominator, ``(n,)``.
        resampler: Replicates of these rows.
        level: Nominal coverage.
    """
    rows = int(among.sum())
    if not rows:
        return Score(None, None, None)
    share, patients = float(hit[among].mean()), resampler.patients_of(among)
    drawn = resampler.ratio((hit & among).astype(np.float64), among.astype(np.float64))
    return _effective(share, rows, patients, drawn, level)


def share_intervals(
    hit: Bools, group: NDArray[np.integer], groups: int, resampler: Resampler, level: float = LEVEL
) -> list[Score]:
    """Return the share of each of several groups of rows, as :func:`share_interval` returns that of one.

    Args:
        hit: Whether a row counts, ``(n,)``.
        group: Group of each row, ``(n,)``, 0 to ``groups - 1``; each group has a row.
        groups: Number of groups.
        resampler: Replicates of these rows.
        level: Nominal coverage.
    """
    everyone = np.ones(len(hit), dtype=np.bool_)
    (hits, _), (among, patients) = (resampler.counts(which, group, groups) for which in (hit, everyone))
    rows = np.bincount(group, minlength=groups)
    share = np.bincount(group, hit, groups) / rows
    return [
        _effective(float(share[k]), int(rows[k]), int(patients[k]), quotient(hits[:, k], among[:, k]), level)
        for k in range(groups)
    ]


def _effective(share: float, rows: int, patients: int, drawn: F64, level: float) -> Score:
    """Return a share with Wilson's interval for the effective number of its rows."""
    error = standard_error(drawn, patients)
    even = share * (1.0 - share)
    effective = float(patients)
    if error is not None and error > 0.0 and even > 0.0:
        few = quantile_t(rows - 1, level) / quantile_t(patients - 1, level)
        effective = min(even / error**2, float(rows)) * few**2
    return wilson(share, effective, level)


def wilson(share: float, n: float, level: float = LEVEL) -> Score:
    """Return a share of ``n`` independent rows with Wilson's interval (JASA 1927;22:209)."""
    z = quantile_t(NORMAL, level)
    spread = z * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    centre, scale = share + z * z / (2.0 * n), 1.0 + z * z / n
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return Score(share, min(max(low, 0.0), share), max(min(high, 1.0), share))


def p_value(found: Score, null: float, df: float, scale: Scale = "plain") -> float | None:
    """Return the two-sided p-value of a null value from a symmetric interval; ``None`` without an interval.

    It is below 5 % exactly where the 95 % interval excludes the null value.

    Args:
        found: The measure with its interval.
        null: Value under the null hypothesis, inside the scale.
        df: Degrees of freedom of the interval.
        scale: Scale on which the interval is symmetric.
    """
    from scipy.special import stdtr

    if found.value is None or found.low is None or found.high is None:
        return None
    low, high = _OPEN[scale]
    ends = [min(max(x, low), high) for x in (found.low, found.high)]
    if not (low < found.value < high and low < ends[0] <= ends[1] < high):
        # Perfect separation: the end of the interval that is inside the scale carries the width.
        inner = found.low if found.value >= high else found.high
        return 1e-6 if (inner - null) * (found.value - null) > 0.0 else 1.0
    forward = _FORWARD[scale]
    half = 0.5 * (forward(ends[1]) - forward(ends[0]))
    if half <= 0.0:
        return 1.0 if found.value == null else 0.0
    t = quantile_t(df) * abs(forward(found.value) - forward(null)) / half
    return float(2.0 * stdtr(max(df, 1.0), -t))
