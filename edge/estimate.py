"""Calibrated, aggregated lab estimates with intervals, from the outputs of the model in steps.

One ten-second window is noisy and labs move slowly, so a head's output is averaged over the accepted windows of the
last minutes, in logit space, weighted by their quality. Overlapping windows are not independent: the spread among them
is divided by the number of *whole* windows that fit into the covered time, not by their count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.bundle.calibration import HeadCalibration
from edge.bundle.reader import Bundle
from edge.bundle.tensors import Steps
from edge.frontend.stream import WINDOW_S
from edge.records import LabEstimate
from edge.rhythm.gate import RhythmGate
from edge.rhythm.record import RhythmName
from edge.stats import normal_quantile, sigmoid
from edge.waves.fuse import Fuser, wave_row
from edge.waves.record import WaveRecord

T = TypeVar("T")

FIRST_ROWS = 64
"""Initial capacity in windows; doubled as needed."""
WEIGHT_STEPS = 1 << 16
"""Weights are integer multiples of 1 / this number, so that running sums of weights and outputs are exact: adding
and removing a window leaves no rounding error, and any order gives the same bits."""


class _Held:
    """The held windows, oldest first, and running sums over them, so that an estimate has a constant cost.

    Args:
        outputs: Outputs per window.
    """

    def __init__(self, outputs: int) -> None:
        self._end_s = np.empty(FIRST_ROWS)
        self._weight = np.empty(FIRST_ROWS, dtype=np.int64)
        self._value = np.empty((FIRST_ROWS, outputs), dtype=np.int32)
        self._start = self._stop = 0
        self.weight = 0
        """Sum of the weights, in steps."""
        self.total = np.zeros(outputs, dtype=np.int64)
        """Sum of weighted values."""
        self.squares = np.zeros(outputs, dtype=np.int64)
        """Sum of weighted squares: at most 2**16 x 2**30 per window of int16 steps, so a day and a half of hops fit."""

    def __len__(self) -> int:
        return self._stop - self._start

    @property
    def ends_s(self) -> NDArray[np.float64]:
        """Signal times of the ends of the windows, shape ``(windows,)``, s; a view."""
        return self._end_s[self._start : self._stop]

    def append(self, end_s: float, weight: int, value: NDArray[np.int32]) -> None:
        """Take one more window."""
        if self._stop == len(self._end_s):
            self._move()
        self._end_s[self._stop], self._weight[self._stop], self._value[self._stop] = end_s, weight, value
        self._count(weight, value)
        self._stop += 1

    def drop_until(self, time_s: float) -> None:
        """Drop the windows that end at or before a time."""
        while self._start < self._stop and self._end_s[self._start] <= time_s:
            self._count(-int(self._weight[self._start]), self._value[self._start])
            self._start += 1

    def _count(self, weight: int, value: NDArray[np.int32]) -> None:
        self.weight += weight
        # Widen the array, not the weight: before numpy 2 the product with a scalar keeps the type of the array.
        weighted = value.astype(np.int64) * weight
        self.total += weighted
        self.squares += weighted * value

    def _move(self) -> None:
        # Moved when the table is full, into one that is at least half empty: at most one row copied per window.
        kept = slice(self._start, self._stop)
        room = max(FIRST_ROWS, 2 * len(self))
        self._end_s = _moved(self._end_s[kept], room)
        self._weight = _moved(self._weight[kept], room)
        self._value = _moved(self._value[kept], room)
        self._start, self._stop = 0, len(self)


class Estimator:
    """Aggregates the accepted windows of the last minutes into estimates.

    Args:
        bundle: The bundle with outputs, calibration and aggregation.
    """

    def __init__(self, bundle: Bundle) -> None:
        m = bundle.manifest
        self._index = np.array([head.index for head in m.outputs])
        self._zero_point = m.output.zero_point
        self._span_s = m.aggregation_minutes * 60.0
        self._by_quality = m.weighting == "quality"
        calibration = [bundle.calibration[head.key] for head in m.outputs]
        # Size of one step in calibrated logits or units, for outputs minus their zero point.
        self._slope = np.array([c.slope for c in calibration]) * m.output.scale
        self._steepness = np.abs(self._slope)
        self._offset = np.array([c.offset for c in calibration])
        self._half_width = _half_widths(calibration)
        self._is_probability = np.array([head.kind == "probability" for head in m.outputs])
        self._has_interval = [c.interval_method != "none" for c in calibration]
        # With limited evidence a flag would be a coin toss: show the value, raise no flag.
        limits = [
            None if head.evidence.tier == "limited" else c.threshold
            for head, c in zip(m.outputs, calibration, strict=True)
        ]
        self._flag_from = np.array([np.inf if limit is None else limit for limit in limits])
        self._may_flag = [limit is not None for limit in limits]
        self._curves = IsotonicCurves.of(calibration)
        self._band = _band(calibration)
        self._keys = [head.key for head in m.outputs]
        self._loincs = [head.loinc for head in m.outputs]
        self._units = [head.unit for head in m.outputs]
        self._threshold = [c.threshold for c in calibration]
        self._tiers = [head.evidence.tier for head in m.outputs]
        self._held = _Held(len(m.outputs))
        fusions = {i: c.fusion for i, c in enumerate(calibration) if c.fusion is not None}
        self._fuser = Fuser(fusions, [c.level for c in calibration]) if fusions else None
        rhythms = [head.rhythms for head in m.outputs]
        self._rhythm = None if all(names is None for names in rhythms) else RhythmGate(rhythms)

    def add(
        self,
        end_s: float,
        outputs: Steps,
        score: float,
        waves: WaveRecord | None = None,
        rhythm: RhythmName | None = None,
    ) -> None:
        """Take the outputs of an accepted window.

        Args:
            end_s: Signal time of the end of the window, s; increasing.
            outputs: Outputs of the model in steps, shape ``(outputs,)``.
            score: Quality of the window, 0 to 1.
            waves: Waves of the window; ``None`` if nobody looked, and heads are then not fused.
            rhythm: Rhythm of the window; ``None`` if nobody looked, and heads do not abstain by it.
        """
        weight = max(round(score * WEIGHT_STEPS), 1) if self._by_quality else 1
        self._held.append(end_s, weight, outputs[self._index].astype(np.int32) - np.int32(self._zero_point))
        self._held.drop_until(end_s - self._span_s)
        if self._fuser is not None:
            if waves is not None:
                self._fuser.waves.add(end_s, wave_row(waves))
            self._fuser.waves.drop_until(end_s - self._span_s)
        if self._rhythm is not None:
            if rhythm is not None:
                self._rhythm.add(end_s, rhythm)
            self._rhythm.drop_until(end_s - self._span_s)

    def labs(self) -> tuple[LabEstimate, ...]:
        """Return the estimate of every head over the held windows, in the order of the bundle."""
        held = self._held
        n = len(held)
        if not n:
            return ()
        mean = held.total / held.weight
        # Both quotients are exact if all windows agree, so that their difference is then exactly zero.
        variance = np.maximum(held.squares / held.weight - mean * mean, 0.0)
        error = np.sqrt(variance * ((n / (n - 1) if n > 1 else 0.0) / _independent_windows(held.ends_s)))
        centre = self._slope * mean + self._offset
        half = self._half_width(self._steepness * error)
        labs = self._shown(centre, half, n)
        labs = labs if self._fuser is None else self._fuser.fused(labs, centre, half)
        return labs if self._rhythm is None else abstained_by(labs, self._rhythm.abstaining())

    def _shown(self, centre: NDArray[np.float64], half: NDArray[np.float64], n: int) -> tuple[LabEstimate, ...]:
        """Calibrate the aggregated outputs of all heads at once, because a teacher has over a hundred."""
        raw = np.array((centre, centre - half, centre + half))
        shown = np.where(self._is_probability, sigmoid(raw), raw)
        if self._curves is not None:
            self._curves.put(raw, shown)
        flags = (shown[0] >= self._flag_from).tolist()
        may_flag = self._may_flag
        if self._band is not None:
            decided = (shown[0] < self._band[0]) | (shown[0] >= self._band[1])
            may_flag = [may and sure for may, sure in zip(may_flag, decided.tolist(), strict=True)]
        values, lows, highs = shown.tolist()
        intervals = _where(self._has_interval, zip(lows, highs, strict=True))
        return tuple(
            LabEstimate(
                key=key,
                loinc=loinc,
                unit=unit,
                value=value,
                interval=interval,
                threshold=threshold,
                flag=flag,
                windows=n,
                tier=tier,
            )
            for key, loinc, unit, value, interval, threshold, flag, tier in zip(
                self._keys,
                self._loincs,
                self._units,
                values,
                intervals,
                self._threshold,
                _where(may_flag, flags),
                self._tiers,
                strict=True,
            )
        )


def abstained_by(labs: Sequence[LabEstimate], silent: Sequence[bool]) -> tuple[LabEstimate, ...]:
    """Return estimates of which some abstain by rhythm: without value, interval and flag."""
    return tuple(
        lab._replace(value=None, interval=None, flag=None, network=None, abstained="rhythm") if quiet else lab
        for lab, quiet in zip(labs, silent, strict=True)
    )


class IsotonicCurves:
    """The isotonic curves of all heads that have one: straight lines between knots, constant beyond.

    Args:
        columns: Indices of the heads, ``(h,)``.
        x: Logits of the knots, ``(h, k)``; shorter curves repeat their last knot.
        y: Probabilities at the knots, ``(h, k)``.
    """

    def __init__(self, columns: NDArray[np.intp], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self._columns, self._x, self._y = columns, x, y
        self._row = np.arange(len(columns))
        self._last = x.shape[1] - 1

    @classmethod
    def of(cls, calibration: Sequence[HeadCalibration]) -> IsotonicCurves | None:
        """Return the curves of these heads; ``None`` if no head has one."""
        found = [(i, c.knots) for i, c in enumerate(calibration) if c.knots is not None]
        if not found:
            return None
        most = max(len(x) for _, (x, _y) in found)
        x, y = (np.array([_filled(axes[k], most) for _, axes in found]) for k in (0, 1))
        return cls(np.array([i for i, _ in found]), x, y)

    def put(self, raw: NDArray[np.float64], shown: NDArray[np.float64]) -> None:
        """Write the probabilities of these heads into ``shown``, from logits ``raw``, both ``(n, heads)``."""
        z = raw[:, self._columns]
        above = (self._x <= z[:, :, None]).sum(axis=2)
        low, high = np.maximum(above - 1, 0), np.minimum(above, self._last)
        x, y = self._x[self._row, low], self._y[self._row, low]
        run = self._x[self._row, high] - x
        share = np.divide(z - x, run, out=np.zeros_like(z), where=(run > 0.0) & (z > x))
        shown[:, self._columns] = y + share * (self._y[self._row, high] - y)


def _filled(axis: tuple[float, ...], length: int) -> tuple[float, ...]:
    """Return the axis, padded to a length with its last value."""
    return axis + axis[-1:] * (length - len(axis))


def _band(calibration: Sequence[HeadCalibration]) -> NDArray[np.float64] | None:
    """Return the bounds between which heads abstain, ``(2, heads)``; ``None`` if no head abstains."""
    if all(c.abstain is None for c in calibration):
        return None
    return np.array([c.abstain or (np.inf, np.inf) for c in calibration]).T


def _where(condition: list[bool], items: Iterable[T]) -> list[T | None]:
    """Return each item if its condition holds, otherwise ``None``."""
    return [item if held else None for item, held in zip(items, condition, strict=True)]


def _half_widths(calibration: Sequence[HeadCalibration]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the function from standard errors of the heads to half widths of their intervals, before the sigmoid."""
    width = np.array([c.interval_width for c in calibration])
    z = np.array([normal_quantile(0.5 + 0.5 * c.level) for c in calibration])
    is_logit_sd = np.array([c.interval_method == "logit_sd" for c in calibration])
    # ``logit_sd`` is a standard deviation like the error, multiplied by z; a conformal width is already a half width.
    inner, outer = np.where(is_logit_sd, 1.0, z), np.where(is_logit_sd, z, 1.0)
    return lambda error: outer * np.hypot(width, inner * error)


def _moved(kept: NDArray[Any], room: int) -> NDArray[Any]:
    """Return the kept rows in a new array with space for ``room`` rows."""
    out = np.empty((room, *kept.shape[1:]), dtype=kept.dtype)
    out[: len(kept)] = kept
    return out


def _independent_windows(ends_s: NDArray[np.float64]) -> float:
    """Return the number of whole windows in the covered time, at least one."""
    covered_s = WINDOW_S + float(np.sum(np.minimum(ends_s[1:] - ends_s[:-1], WINDOW_S)))
    return covered_s / WINDOW_S
