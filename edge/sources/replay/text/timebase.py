"""Sampling times as a clock or counter column gives them: rate, gaps, restarts and wraps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import UnstatedError

_BLOCK_STAMP_SHARE = 0.9
"""If a smaller share of the steps advances, the column has one timestamp per block, not per sample."""

_REGULAR_SHARE = 0.6
"""If a smaller share of the steps is near the median, the times are those of arrival, in bursts."""

_BURST_SHARE = 0.02
"""If more steps are long, and they make most of the time, samples arrived in bursts."""

_WRAPS = (2.0**16, 2.0**24, 2.0**31, 2.0**32)
"""Where the clocks of small devices begin again, in units of the column."""

_MAX_AFTER_WRAP_S = 10.0
"""Longest step over a wrap, s; a clock that lands elsewhere has restarted."""

MAX_CLOCK_NS = float(1 << 62)
"""Latest time of a clock, ns: 146 years. Later ones are no clock, and their differences overflow."""

SHORTEST_S = 1 / 20_000.0
LONGEST_S = 1 / 20.0
"""Range in which the period decides the unit of a clock, s: three decades, so that one unit fits."""


@dataclass(frozen=True, slots=True)
class TimeBase:
    """Sampling times as the time column gives them.

    Attributes:
        unit_ns: Nanoseconds per unit.
        period: Mean time between samples, in units of the column.
        gap_over: Longest step that is not a gap, in units of the column.
        usual_step: Usual step without a gap, in units of the column; it gives the number of samples in a gap.
        stamps_blocks: Whether many samples share one timestamp, so that the time of a single sample is unknown.
        counter: Whether the column counts samples and not time.
        modulus: Values after which a counter begins again; 0 if it does not.
        wraps: Where the clock may begin again, in units of the column.
    """

    unit_ns: float
    period: float
    gap_over: float
    usual_step: float
    stamps_blocks: bool
    counter: bool = False
    modulus: float = 0.0
    wraps: tuple[float, ...] = ()

    @property
    def fs_hz(self) -> float:
        """Measured sampling rate, Hz."""
        return 1e9 / (self.unit_ns * self.period)

    def steps(self, times: NDArray[np.float64], last: float) -> NDArray[np.float64]:
        """Return the step to each time from the one before, with the wraps of the clock removed.

        Args:
            times: Shape ``(n,)``, in units of the column.
            last: The time before the first one here.
        """
        steps = np.diff(times, prepend=last)
        if self.modulus:
            return np.mod(steps, self.modulus)
        for at in np.flatnonzero(steps < -self.period):
            for wrap in self.wraps:
                late = float(steps[at]) + wrap
                if 0 < late <= max(2 * self.gap_over, _MAX_AFTER_WRAP_S * 1e9 / self.unit_ns):
                    steps[at] = late
                    break
        return steps


def measure_time(
    times: NDArray[np.float64], unit_ns: float | None, path: Path, wraps: tuple[float, ...] = ()
) -> TimeBase:
    """Measure rate and regularity from the first times of a recording.

    The period is the mean of all steps but the gaps, so that a column rounded to milliseconds also gives the true rate.
    Without a unit in the header, the step decides: the ranges of the units for 20 Hz to 20 kHz do not overlap.

    Args:
        times: Shape ``(n,)``, in units of the column.
        unit_ns: Nanoseconds per unit, if the header says it.
        path: For messages.
        wraps: Where a clock written as text begins again, in units of the column.

    Raises:
        InputError: The column does not give a rate.
    """
    with np.errstate(over="ignore"):
        steps = np.diff(times)
    if not np.isfinite(steps).all():
        raise UnstatedError(f"a time in {path} is out of range", "set the rate with fs=", "rate")
    for wrap in wraps:
        steps = np.where(steps < -0.5 * wrap, steps + wrap, steps)
    rising = steps[steps > 0]
    if rising.size == 0:
        raise UnstatedError(f"the time column of {path} does not advance", "set the rate with fs=", "rate")
    period, gap_over, usual, blocks = _period(steps, rising)
    whole = bool(np.all(times == np.rint(times)))
    if unit_ns is None:
        unit_ns = next((u for u in (1e9, 1e6, 1e3, 1.0) if SHORTEST_S <= period * u / 1e9 < LONGEST_S), None)
        if unit_ns is None or (whole and period == 1.0):
            raise UnstatedError(f"the unit of the time column of {path} is unclear", "set the rate with fs=", "rate")
    return TimeBase(unit_ns, period, gap_over, usual, blocks, wraps=wraps or (_WRAPS if whole else ()))


def _period(steps: NDArray[np.float64], rising: NDArray[np.float64]) -> tuple[float, float, float, bool]:
    """Return the period, the longest step that is no gap, the usual step, and whether samples share timestamps."""
    median = float(np.median(rising))
    if rising.size < _BLOCK_STAMP_SHARE * steps.size:
        edges = np.flatnonzero(steps > 0)
        sizes, spans = np.diff(edges), steps[edges[1:]]
        whole = spans <= 1.5 * median
        if whole.any():
            return float(spans[whole].sum() / sizes[whole].sum()), 1.5 * median, median, True
        plain = steps[(steps >= 0) & (steps <= 1.5 * median)]
        return float(plain.sum() / plain.size), 1.5 * median, median, True
    near = rising[(rising >= 0.5 * median) & (rising <= 1.5 * median)]
    long = rising[rising > 1.5 * median]
    bursts = long.size > _BURST_SHARE * rising.size and long.sum() > 0.5 * rising.sum()
    if bursts or near.size < _REGULAR_SHARE * rising.size:
        usual = float(np.median(long)) if bursts else float(np.quantile(rising, 0.95))
        ends = np.flatnonzero(steps > 1.5 * median)
        sizes, spans = np.diff(ends), np.diff(np.cumsum(steps)[ends])
        whole = (spans > 0) & (spans <= 2 * usual)
        period = float(spans[whole].sum() / sizes[whole].sum()) if whole.any() else float(np.mean(rising))
        return period, 2 * usual, usual, True
    period = float(np.mean(near))
    late = float(np.quantile(rising, 0.95))
    return period, 1.5 * max(period, late if late > 1.5 * period else period), period, False


def count_modulus(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the step of a counter and the values after which it begins again (0 if never); ``None`` if it is none.

    Args:
        values: Shape ``(n,)``, a column.
    """
    known = values[np.isfinite(values)]
    if known.size < 3 or known.size < values.size or np.any(known != np.rint(known)):
        return None
    steps = np.diff(known)
    up, down = steps[steps > 0], steps[steps < 0]
    if not up.size:
        return None
    step = float(np.median(up))
    if np.count_nonzero(up == step) < 0.98 * up.size or down.size > 0.4 * steps.size or np.any(steps == 0):
        return None
    if not down.size:
        return step, 0.0
    back = float(down.min())  # a wrap among lost samples steps back less far
    if np.count_nonzero(down == back) < 0.5 * down.size or step - back < 3 * step:
        return None
    return step, step - back


def counted(step: float, modulus: float, fs_hz: float) -> TimeBase:
    """Return the time base of a counter of samples at a known rate, which shows lost samples."""
    return TimeBase(1e9 / fs_hz / step, step, 1.5 * step, step, stamps_blocks=True, counter=True, modulus=modulus)
