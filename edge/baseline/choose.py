"""Chooses the quiet hour: the hour whose heart rate stays lowest, in clean signal and sinus rhythm."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge.baseline.samples import STEP_S, Table

SPANS_MIN = (60, 40, 20)
"""Lengths of the quiet hour that are tried, min."""
MIN_MINUTES = SPANS_MIN[-1]
"""Shortest quiet hour, min."""
MIN_WINDOWS = 90
"""Fewest windows of a quiet hour: 15 minutes of signal."""
MIN_SHARE = 0.8
"""Smallest share of windows that may be compared: more are refused when the wearer moves."""
RATE_QUANTILE = 0.9
"""Part of the windows whose heart rate decides: it is low only if the rate is low and stays low."""
SHIFT_S = 300.0
"""Time between the starts of the hours that are tried, s."""


class Span(NamedTuple):
    """A span of time, s, on the clock of the rows."""

    start_s: float
    end_s: float


def quiet_span(rows: Table) -> Span | None:
    """Return the quiet hour; ``None`` if no span has enough clean windows in sinus rhythm.

    Of all spans of an hour, in steps of five minutes, it is the one in which 90 % of the heart rates are below the
    lowest value. Shorter spans are tried only if no hour can be taken. There is no accelerometer: refused windows and
    the heart rate are the evidence of motion.

    Args:
        rows: All windows, also those that may not be compared.
    """
    if not len(rows.unix_s):
        return None
    first_s, last_s = rows.unix_s[0] - STEP_S, rows.unix_s[-1]
    for minutes in SPANS_MIN:
        length_s = 60.0 * minutes
        # The last span may end a little after the last window: a recording of an hour is an hour.
        starts_s = np.arange(first_s, last_s - length_s + 2.0 * STEP_S, SHIFT_S)
        found = [(rate, start_s) for start_s in starts_s.tolist() if (rate := _rate(rows, start_s, length_s))]
        if found:
            _rate_bpm, start_s = min(found)
            return Span(start_s, start_s + length_s)
    return None


def _rate(rows: Table, start_s: float, length_s: float) -> float | None:
    """Return the heart rate that 90 % of the windows of a span stay below, 1/min; ``None`` if it is not clean."""
    inside = rows.between(start_s, start_s + length_s)
    good = inside.usable()
    if len(good.rr_ms) < MIN_WINDOWS or len(good.rr_ms) < MIN_SHARE * len(inside.rr_ms):
        return None
    return float(np.quantile(60_000.0 / good.rr_ms, RATE_QUANTILE))
