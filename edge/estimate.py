"""From the model's int8 outputs to calibrated, aggregated lab estimates with intervals.

One ten-second window is noisy and labs move slowly, so a head's output is averaged over the accepted windows of the
last minutes, in logit space, weighted by their quality. Overlapping windows are not independent: the spread among them
is divided by the number of *whole* windows that the covered time holds, not by their count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.bundle.reader import Bundle
from edge.bundle.schema import HeadCalibration
from edge.frontend.stream import WINDOW_S
from edge.records import LabEstimate
from edge.stats import normal_quantile, sigmoid

T = TypeVar("T")

FIRST_ROWS = 64
"""Windows that there is room for at first; doubled as needed."""
WEIGHT_STEPS = 1 << 16
"""Weights are whole numbers of this part, so that running sums of weights and int8 outputs are exact: what is added and
taken away again leaves no trace, and any order gives the same bits."""


class _Held:
    """The windows held, oldest first, and running sums over them: an estimate costs the same however many there are.

    Args:
        outputs: Outputs per window.
    """

    def __init__(self, outputs: int) -> None:
        self._end_s = np.empty(FIRST_ROWS)
        self._weight = np.empty(FIRST_ROWS, dtype=np.int64)
        self._value = np.empty((FIRST_ROWS, outputs), dtype=np.int16)
        self._start = self._stop = 0
        self.weight = 0
        """Sum of the weights, in steps."""
        self.total = np.zeros(outputs, dtype=np.int64)
        """Sum of weighted values."""
        self.squares = np.zeros(outputs, dtype=np.int64)
        """Sum of weighted squares: at most 2**16 x 255**2 a window, so there is room for a hundred days of them."""

    def __len__(self) -> int:
        return self._stop - self._start

    @property
    def ends_s(self) -> NDArray[np.float64]:
        """Times of the windows' ends, shape ``(windows,)``; a view."""
        return self._end_s[self._start : self._stop]

    def append(self, end_s: float, weight: int, value: NDArray[np.int16]) -> None:
        """Takes one more window."""
        if self._stop == len(self._end_s):
            self._move()
        self._end_s[self._stop], self._weight[self._stop], self._value[self._stop] = end_s, weight, value
        self._count(weight, value)
        self._stop += 1

    def drop_until(self, time_s: float) -> None:
        """Lets go of the windows up to a time."""
        while self._start < self._stop and self._end_s[self._start] <= time_s:
            self._count(-int(self._weight[self._start]), self._value[self._start])
            self._start += 1

    def _count(self, weight: int, value: NDArray[np.int16]) -> None:
        self.weight += weight
        # The array is widened, not the weight: below numpy 2 the product with a scalar keeps the array's type.
        weighted = value.astype(np.int64) * weight
        self.total += weighted
        self.squares += weighted * value

    def _move(self) -> None:
        # Moved when the table is full, into one at least half empty: a copy of a row per window at most.
        kept = slice(self._start, self._stop)
        room = max(FIRST_ROWS, 2 * len(self))
        self._end_s = _moved(self._end_s[kept], room)
        self._weight = _moved(self._weight[kept], room)
        self._value = _moved(self._value[kept], room)
        self._start, self._stop = 0, len(self)


class Estimator:
    """Keeps the accepted windows of the last minutes and says what they amount to.

    Args:
        bundle: Gives outputs, calibration and aggregation.
    """

    def __init__(self, bundle: Bundle) -> None:
        m = bundle.manifest
        self._index = np.array([head.index for head in m.outputs])
        self._zero_point = m.output.zero_point
        self._span_s = m.aggregation_minutes * 60.0
        self._by_quality = m.weighting == "quality"
        calibration = [bundle.calibration[head.key] for head in m.outputs]
        # Of the int8 outputs less their zero point: what one step is worth in calibrated logits or units.
        self._slope = np.array([c.slope for c in calibration]) * m.output.scale
        self._steepness = np.abs(self._slope)
        self._offset = np.array([c.offset for c in calibration])
        self._half_width = _half_widths(calibration)
        self._is_probability = np.array([head.kind == "probability" for head in m.outputs])
        self._has_interval = [c.interval_method != "none" for c in calibration]
        # Where the evidence is limited a flag would be a coin toss: the value stands, nothing is raised.
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

    def add(self, end_s: float, outputs: NDArray[np.int8], score: float) -> None:
        """Takes the outputs of an accepted window.

        Args:
            end_s: Signal time of the window's end; increasing.
            outputs: Shape ``(outputs,)``, int8, as the model gave them.
            score: Quality of the window, 0 to 1.
        """
        weight = max(round(score * WEIGHT_STEPS), 1) if self._by_quality else 1
        self._held.append(end_s, weight, outputs[self._index].astype(np.int16) - np.int16(self._zero_point))
        self._held.drop_until(end_s - self._span_s)

    def labs(self) -> tuple[LabEstimate, ...]:
        """Returns every head's estimate over the windows held, in the order of the bundle."""
        held = self._held
        n = len(held)
        if not n:
            return ()
        mean = held.total / held.weight
        # Both quotients are exact where all windows agree, so that nothing is left of their difference then.
        variance = np.maximum(held.squares / held.weight - mean * mean, 0.0)
        error = np.sqrt(variance * ((n / (n - 1) if n > 1 else 0.0) / _independent_windows(held.ends_s)))
        return self._shown(mean, error, n)

    def _shown(self, mean: NDArray[np.float64], error: NDArray[np.float64], n: int) -> tuple[LabEstimate, ...]:
        """Calibrates aggregated outputs; all heads at once, because a teacher has over a hundred."""
        centre = self._slope * mean + self._offset
        half = self._half_width(self._steepness * error)
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


class IsotonicCurves:
    """The curves of all heads that have one, side by side: straight lines between knots, level beyond.

    Args:
        columns: Which heads, ``(h,)``.
        x: Logits of the knots, ``(h, k)``; shorter curves repeat their last.
        y: Probabilities there.
    """

    def __init__(self, columns: NDArray[np.intp], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self._columns, self._x, self._y = columns, x, y
        self._row = np.arange(len(columns))
        self._last = x.shape[1] - 1

    @classmethod
    def of(cls, calibration: Sequence[HeadCalibration]) -> IsotonicCurves | None:
        """The curves of these heads; ``None`` where none has one."""
        found = [(i, c.knots) for i, c in enumerate(calibration) if c.knots is not None]
        if not found:
            return None
        most = max(len(x) for _, (x, _y) in found)
        x, y = (np.array([_filled(axes[k], most) for _, axes in found]) for k in (0, 1))
        return cls(np.array([i for i, _ in found]), x, y)

    def put(self, raw: NDArray[np.float64], shown: NDArray[np.float64]) -> None:
        """Writes the probabilities of these heads' columns of logits ``raw`` ``(n, heads)`` into ``shown``."""
        z = raw[:, self._columns]
        above = (self._x <= z[:, :, None]).sum(axis=2)
        low, high = np.maximum(above - 1, 0), np.minimum(above, self._last)
        x, y = self._x[self._row, low], self._y[self._row, low]
        run = self._x[self._row, high] - x
        share = np.divide(z - x, run, out=np.zeros_like(z), where=(run > 0.0) & (z > x))
        shown[:, self._columns] = y + share * (self._y[self._row, high] - y)


def _filled(axis: tuple[float, ...], length: int) -> tuple[float, ...]:
    """The axis with its last value repeated up to a length."""
    return axis + axis[-1:] * (length - len(axis))


def _band(calibration: Sequence[HeadCalibration]) -> NDArray[np.float64] | None:
    """Bounds between which heads abstain, ``(2, heads)``; ``None`` where none does."""
    if all(c.abstain is None for c in calibration):
        return None
    return np.array([c.abstain or (np.inf, np.inf) for c in calibration]).T


def _where(condition: list[bool], items: Iterable[T]) -> list[T | None]:
    """The items where the condition holds, else ``None``."""
    return [item if held else None for item, held in zip(items, condition, strict=True)]


def _half_widths(calibration: Sequence[HeadCalibration]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The function from the heads' standard errors to the half widths of their intervals, before the sigmoid."""
    width = np.array([c.interval_width for c in calibration])
    z = np.array([normal_quantile(0.5 + 0.5 * c.level) for c in calibration])
    is_logit_sd = np.array([c.interval_method == "logit_sd" for c in calibration])
    # A spread and an error are standard deviations, and z times their sum is the half width; a conformal width is one.
    inner, outer = np.where(is_logit_sd, 1.0, z), np.where(is_logit_sd, z, 1.0)
    return lambda error: outer * np.hypot(width, inner * error)


def _moved(kept: NDArray[Any], room: int) -> NDArray[Any]:
    """The rows kept, in a new array with room for ``room`` rows."""
    out = np.empty((room, *kept.shape[1:]), dtype=kept.dtype)
    out[: len(kept)] = kept
    return out


def _independent_windows(ends_s: NDArray[np.float64]) -> float:
    """Covered time in whole windows, at least one."""
    covered_s = WINDOW_S + float(np.sum(np.minimum(ends_s[1:] - ends_s[:-1], WINDOW_S)))
    return covered_s / WINDOW_S
