"""The quantities that are compared, from rows of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.baseline.record import Quantity

if TYPE_CHECKING:
    from edge.baseline.samples import Table

F64 = NDArray[np.float64]

FRIDERICIA = 1.0 / 3.0
"""Exponent of Fridericia's correction (Acta Med Scand 1920;53:469)."""

RESOLUTION: dict[Quantity, float] = {"qtc_ms": 2.0, "t_mv": 0.01, "r_mv": 0.01, "t_over_r": 0.01, "st_mv": 0.01}
"""Smallest half width of a band: half a sample at 250 Hz, and an amplitude that no monitor resolves."""

MIN_R_MV = 0.1
"""Smallest R amplitude by which T is divided, mV."""


def corrected_qt_ms(qt_ms: F64 | float, rr_ms: F64 | float, exponent: float) -> F64:
    """Return QT over a power of RR in seconds, ms: QT as it would be at 60 beats per minute."""
    return np.asarray(qt_ms / (np.asarray(rr_ms) / 1000.0) ** exponent, dtype=np.float64)


def quantities(rows: Table, exponent: float) -> dict[Quantity, F64]:
    """Return each quantity of rows, ``(n,)``; NaN where it was not measured.

    Args:
        rows: Rows that may be compared.
        exponent: Exponent of the rate correction.
    """
    return {
        "qtc_ms": corrected_qt_ms(rows.qt_ms, rows.rr_ms, exponent),
        "t_mv": rows.t_mv,
        "r_mv": rows.r_mv,
        "t_over_r": rows.t_mv / np.where(rows.r_mv >= MIN_R_MV, rows.r_mv, np.nan),
        "st_mv": rows.st_mv,
    }


def median(values: F64) -> float:
    """Return the median of the values that were measured; NaN without one."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def spread(values: F64) -> float:
    """Return the median absolute deviation of the values that were measured; NaN without one."""
    return median(np.abs(values - median(values)))
