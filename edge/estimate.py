"""From the model's int8 outputs to calibrated, aggregated lab estimates with intervals.

One ten-second window is noisy and labs move slowly, so a head's output is averaged over the accepted windows of the
last minutes, in logit space, weighted by their quality. Overlapping windows are not independent: the spread among them
is divided by the number of *whole* windows that the covered time holds, not by their count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.frontend_stream import WINDOW_S
from edge.records import LabEstimate
from edge.stats import normal_quantile

FIRST_ROWS = 64
"""Windows that there is room for at first; doubled as needed."""


class _Held:
    """The windows held, oldest first, as rows of one array: nothing is gathered anew for every estimate.

    Args:
        columns: Numbers per window; the first is the time by which it leaves.
    """

    def __init__(self, columns: int) -> None:
        self._table = np.empty((FIRST_ROWS, columns))
        self._start = self._stop = 0

    @property
    def rows(self) -> NDArray[np.float64]:
        """A view, shape ``(windows, columns)``."""
        return self._table[self._start : self._stop]

    def append(self) -> NDArray[np.float64]:
        """Makes room for one more window; returns its row, to be filled."""
        if self._stop == len(self._table):
            kept = self.rows
            # Moved when the table is full, into one at least half empty: a copy of a row per window at most.
            table = np.empty((max(FIRST_ROWS, 2 * len(kept)), kept.shape[1]))
            table[: len(kept)] = kept
            self._table, self._start, self._stop = table, 0, len(kept)
        self._stop += 1
        return np.asarray(self._table[self._stop - 1], dtype=np.float64)

    def drop_until(self, time_s: float) -> None:
        """Lets go of the windows up to a time."""
        while self._start < self._stop and self._table[self._start, 0] <= time_s:
            self._start += 1


class Estimator:
    """Keeps the accepted windows of the last minutes and says what they amount to.

    Args:
        bundle: Gives outputs, calibration and aggregation.
    """

    def __init__(self, bundle: Bundle) -> None:
        m = bundle.manifest
        self._heads = m.outputs
        self._index = np.array([head.index for head in m.outputs])
        self._scale = m.output.scale
        self._zero_point = m.output.zero_point
        self._span_s = m.aggregation_minutes * 60.0
        self._by_quality = m.weighting == "quality"
        calibration = [bundle.calibration[head.key] for head in m.outputs]
        self._slope = np.array([c.slope for c in calibration])
        self._offset = np.array([c.offset for c in calibration])
        self._width = np.array([c.interval_width for c in calibration])
        self._z = np.array([normal_quantile(0.5 + 0.5 * c.level) for c in calibration])
        self._is_logit_sd = np.array([c.interval_method == "logit_sd" for c in calibration])
        self._is_probability = np.array([head.kind == "probability" for head in m.outputs])
        self._has_interval = [c.interval_method != "none" for c in calibration]
        self._threshold = [c.threshold for c in calibration]
        # Where the evidence is limited a flag would be a coin toss: the value stands, nothing is raised.
        self._may_flag = [head.evidence.tier != "limited" for head in m.outputs]
        self._held = _Held(2 + len(m.outputs))

    def add(self, end_s: float, outputs: NDArray[np.int8], score: float) -> None:
        """Takes the outputs of an accepted window.

        Args:
            end_s: Signal time of the window's end; increasing.
            outputs: Shape ``(outputs,)``, int8, as the model gave them.
            score: Quality of the window, 0 to 1.
        """
        row = self._held.append()
        row[0] = end_s
        row[1] = max(score, 1e-3) if self._by_quality else 1.0
        row[2:] = (outputs[self._index].astype(np.float64) - self._zero_point) * self._scale
        self._held.drop_until(end_s - self._span_s)

    def labs(self) -> tuple[LabEstimate, ...]:
        """Returns every head's estimate over the windows held, in the order of the bundle."""
        rows = self._held.rows
        n = len(rows)
        if not n:
            return ()
        weights, values = rows[:, 1:2], rows[:, 2:]
        whole = np.sum(weights)
        mean = np.sum(values * weights, axis=0) / whole
        variance = np.sum((values - mean) ** 2 * weights, axis=0) / whole * (n / (n - 1) if n > 1 else 0.0)
        error = np.sqrt(variance / _independent_windows(rows[:, 0]))
        return self._shown(mean, error, n)

    def _shown(self, mean: NDArray[np.float64], error: NDArray[np.float64], n: int) -> tuple[LabEstimate, ...]:
        """Calibrates aggregated outputs; all heads at once, because a teacher has over a hundred."""
        centre = self._slope * mean + self._offset
        spread = np.abs(self._slope) * error
        half = np.where(
            self._is_logit_sd,
            self._z * np.hypot(self._width, spread),
            np.hypot(self._width, self._z * spread),
        )
        shown = np.stack((centre, centre - half, centre + half))
        shown = np.where(self._is_probability, sigmoid(shown), shown)
        return tuple(
            LabEstimate(
                head.key,
                head.loinc,
                head.unit,
                value,
                (low, high) if has_interval else None,
                threshold,
                value >= threshold if may_flag and threshold is not None else None,
                n,
                head.evidence.tier,
            )
            for head, value, low, high, has_interval, threshold, may_flag in zip(
                self._heads, *shown.tolist(), self._has_interval, self._threshold, self._may_flag, strict=True
            )
        )


def _independent_windows(ends_s: NDArray[np.float64]) -> float:
    """Covered time in whole windows, at least one."""
    covered_s = WINDOW_S + float(np.sum(np.minimum(ends_s[1:] - ends_s[:-1], WINDOW_S)))
    return covered_s / WINDOW_S


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns ``1 / (1 + exp(-x))`` without overflow."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(np.asarray(x) >= 0.0, 1.0, e) / (1.0 + e), dtype=np.float64)
