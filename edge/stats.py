"""Small statistics without heavy imports: ``numpy.median`` loads ``numpy.ma``, ``statistics`` loads ``decimal``.

Those two would take 3 % of a device's budget of 60 MiB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

PARTITION_FROM = 256
"""Number of values from which a partial sort is faster than a full one."""

MIN_LOGIT = -700.0
"""Smallest logit; lower ones are set to it, because ``exp(-x)`` would overflow float64. Its probability is 0 to 300
decimals."""


def median(x: NDArray[np.float64] | NDArray[np.int64] | Iterable[float]) -> float:
    """Return the median, the same number as ``numpy.median``.

    Args:
        x: At least one finite number, as a 1-D array or another iterable.
    """
    ordered: Sequence[float] | NDArray[np.float64] | NDArray[np.int64]
    if isinstance(x, np.ndarray):
        middle = len(x) // 2
        ordered = np.partition(x, (middle - 1, middle)) if len(x) >= PARTITION_FROM else np.sort(x)
    else:
        ordered = sorted(x)
        middle = len(ordered) // 2
    if len(ordered) % 2:
        return float(ordered[middle])
    return (float(ordered[middle - 1]) + float(ordered[middle])) / 2.0


def percentile(x: NDArray[np.float64], percent: float) -> float:
    """Return a percentile with linear interpolation, the same number as ``numpy.percentile``.

    Args:
        x: Shape ``(n,)``, ``n >= 1``, finite.
        percent: 0 to 100.
    """
    ordered = np.sort(x)
    at = (len(ordered) - 1) * percent / 100.0
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low]) + (float(ordered[high]) - float(ordered[low])) * (at - low)


def normal_quantile(p: float) -> float:
    """Return the standard normal quantile, by Newton's method on ``math.erfc``, to within 1e-8.

    Args:
        p: Probability, 0 < p < 1.
    """
    if not 0.0 < p < 1.0:
        msg = f"the normal quantile needs 0 < p < 1, not {p}"
        raise ValueError(msg)
    if p < 0.5:
        return -normal_quantile(1.0 - p)
    tail = 1.0 - p
    x = 0.0
    for _ in range(60):
        density = math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
        step = (0.5 * math.erfc(x / math.sqrt(2.0)) - tail) / density
        x += step
        if abs(step) < 1e-13 * max(1.0, x):
            break
    return x


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``1 / (1 + exp(-x))`` without overflow, float64 of the same shape."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.maximum(x, MIN_LOGIT))), dtype=np.float64)


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Return Pearson's correlation of a reference ``a`` and ``b``.

    It is ``None`` where ``a`` does not vary or a value is not finite, and 0 where only ``b`` does not vary.
    """
    if len(a) < 2 or not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
        return None
    x, y = a - a.mean(), b - b.mean()
    tiny = 1e-12 * max(1.0, float(np.max(np.abs(a))))
    if np.max(np.abs(x)) <= tiny:
        return None
    if np.max(np.abs(y)) <= tiny:
        return 0.0
    return float(np.clip((x @ y) / math.sqrt((x @ x) * (y @ y)), -1.0, 1.0))
