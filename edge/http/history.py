"""The course of a run in constant memory: heart rate, quality and every output, coarser the longer the run is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.records import Estimate

STEPS = 160
"""Most steps: more would not be seen in a chart of a page. 12 outputs take 50 KB."""
FIRST_STEP_S = 2.0
MAX_S = 1e9
_HEAD_ROWS = 3
"""Mean, lower and upper bound of an output."""


class History:
    """Means of all quantities over steps of equal length; when the steps are used up, each two become one.

    Args:
        keys: Keys of the outputs, in the order of the bundle.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        rows = 2 + _HEAD_ROWS * len(keys)
        self._rows = {key: 2 + _HEAD_ROWS * i for i, key in enumerate(keys)}
        self._mean: NDArray[np.float32] = np.zeros((rows, STEPS), np.float32)
        self._count: NDArray[np.float32] = np.zeros((rows, STEPS), np.float32)
        self._values: NDArray[np.float32] = np.zeros(rows, np.float32)
        self.step_s = FIRST_STEP_S
        """Length of a step, s."""
        self.first_s = math.nan
        """Signal time at which the first step begins, s."""
        self.used = 0
        """Number of steps so far."""

    def add(self, e: Estimate) -> None:
        """Take an estimate or abstention."""
        t_s = e.window.end_s
        if not math.isfinite(t_s) or abs(t_s) > MAX_S:
            return
        if math.isnan(self.first_s):
            self.first_s = t_s
        step = max(0, int((t_s - self.first_s) / self.step_s))
        while step >= STEPS:
            self._halve()
            step = int((t_s - self.first_s) / self.step_s)
        self.used = max(self.used, step + 1)
        values = self._row(e)
        known = np.isfinite(values)
        self._count[:, step] += known
        change = (values - self._mean[:, step]) / np.maximum(self._count[:, step], 1.0)
        self._mean[known, step] += change[known]

    def _row(self, e: Estimate) -> NDArray[np.float32]:
        values = self._values
        values[:] = np.nan
        values[0] = math.nan if e.heart_rate_bpm is None else e.heart_rate_bpm
        values[1] = quality_of(e)
        for lab in e.labs:
            row = self._rows.get(lab.key)
            if row is not None and lab.value is not None:
                low, high = (lab.value, lab.value) if lab.interval is None else lab.interval
                values[row : row + _HEAD_ROWS] = (lab.value, low, high)
        return values

    def _halve(self) -> None:
        count = self._count[:, 0::2] + self._count[:, 1::2]
        total = self._mean[:, 0::2] * self._count[:, 0::2] + self._mean[:, 1::2] * self._count[:, 1::2]
        for table, half in ((self._mean, total / np.maximum(count, 1.0)), (self._count, count)):
            table[:, : STEPS // 2] = half
            table[:, STEPS // 2 :] = 0.0
        self.step_s *= 2.0
        self.used = (self.used + 1) // 2

    def as_dict(self) -> dict[str, object]:
        """Return the history for the page: lists with one number for each step, and null where there is none."""
        return {
            "first_s": None if math.isnan(self.first_s) else self.first_s,
            "step_s": self.step_s,
            "rate": self._list(0),
            "quality": self._list(1),
            "outputs": {key: [self._list(row + i) for i in range(_HEAD_ROWS)] for key, row in self._rows.items()},
        }

    def _list(self, row: int) -> list[float | None]:
        pairs = zip(self._mean[row, : self.used].tolist(), self._count[row, : self.used].tolist(), strict=True)
        return [float(f"{mean:.4g}") if count else None for mean, count in pairs]


def quality_of(e: Estimate) -> float:
    """Return the quality score; NaN without a whole window, for which the record says 0."""
    return math.nan if e.abstained in {"warming_up", "gap", "stalled"} else e.quality.score
