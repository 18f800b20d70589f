"""Ends of intervals from replicates that a test has drawn one by one, by the formulas of the documentation."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, t

SCALES = {
    "plain": (lambda x: x, lambda x: x, lambda x: 1.0),
    "logit": (lambda x: np.log(x / (1 - x)), lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (x * (1 - x))),
    "log": (np.log, np.exp, lambda x: 1 / x),
    "atanh": (np.arctanh, np.tanh, lambda x: 1 / (1 - x**2)),
}


def welch(positives: int, negatives: int) -> float:
    """Degrees of freedom of two classes with equal spreads."""
    a, b = 1 / positives, 1 / negatives
    return (a + b) ** 2 / (a**2 / (positives - 1) + b**2 / (negatives - 1))


def ends_of(value: float, replicates, patients: int, scale: str = "plain", df=None) -> tuple[float, float]:
    """Ends around a value: Student's t on the scale, with the standard error of the replicates."""
    known = np.asarray(replicates, dtype=float)
    known = known[np.isfinite(known)]
    error = np.std(known, ddof=1) * np.sqrt(patients / (patients - 1))
    forward, back, slope = SCALES[scale]
    half = t.ppf(0.975, patients - 1 if df is None else df) * error * slope(value)
    return float(back(forward(value) - half)), float(back(forward(value) + half))


def share_ends(value: float, replicates, patients: int, rows: int) -> tuple[float, float]:
    """Wilson's ends of a share for the effective number of rows, corrected for the patients (Korn & Graubard)."""
    known = np.asarray(replicates, dtype=float)
    known = known[np.isfinite(known)]
    error = np.std(known, ddof=1) * np.sqrt(patients / (patients - 1))
    few = t.ppf(0.975, rows - 1) / t.ppf(0.975, patients - 1)
    n = few**2 * min(value * (1 - value) / error**2, rows) if error > 0 and 0 < value < 1 else patients
    z = norm.ppf(0.975)
    middle, wide = value + z**2 / (2 * n), z * np.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
    return max(0.0, (middle - wide) / (1 + z**2 / n)), min(1.0, (middle + wide) / (1 + z**2 / n))
