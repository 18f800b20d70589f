"""From the model's int8 outputs to calibrated, aggregated lab estimates with intervals.

One ten-second window is noisy and labs move slowly, so a head's output is averaged over the accepted windows of the
last minutes, in logit space, weighted by their quality. Overlapping windows are not independent: the spread among them
is divided by the number of *whole* windows that the covered time holds, not by their count.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.bundle_schema import HeadCalibration, OutputHead
from edge.frontend_stream import WINDOW_S
from edge.records import LabEstimate
from edge.stats import normal_quantile


class Estimator:
    """Keeps the accepted windows of the last minutes and says what they amount to.

    Args:
        bundle: Gives outputs, calibration and aggregation.
    """

    def __init__(self, bundle: Bundle) -> None:
        m = bundle.manifest
        self._heads = m.outputs
        self._calibration = [bundle.calibration[head.key] for head in m.outputs]
        self._index = np.array([head.index for head in m.outputs])
        self._scale = m.output.scale
        self._zero_point = m.output.zero_point
        self._span_s = m.aggregation_minutes * 60.0
        self._by_quality = m.weighting == "quality"
        self._z = [normal_quantile(0.5 + 0.5 * c.level) for c in self._calibration]
        self._ends_s: deque[float] = deque()
        self._outputs: deque[NDArray[np.float64]] = deque()
        self._weights: deque[float] = deque()

    def add(self, end_s: float, outputs: NDArray[np.int8], score: float) -> None:
        """Takes the outputs of an accepted window.

        Args:
            end_s: Signal time of the window's end; increasing.
            outputs: Shape ``(outputs,)``, int8, as the model gave them.
            score: Quality of the window, 0 to 1.
        """
        values = (outputs[self._index].astype(np.float64) - self._zero_point) * self._scale
        self._ends_s.append(end_s)
        self._outputs.append(values)
        self._weights.append(max(score, 1e-3) if self._by_quality else 1.0)
        while self._ends_s[0] <= end_s - self._span_s:
            self._ends_s.popleft()
            self._outputs.popleft()
            self._weights.popleft()

    def labs(self) -> tuple[LabEstimate, ...]:
        """Returns every head's estimate over the windows held, in the order of the bundle."""
        if not self._ends_s:
            return ()
        values = np.array(self._outputs)
        weights = np.array(self._weights)[:, None]
        mean = np.sum(values * weights, axis=0) / np.sum(weights)
        n = len(values)
        variance = np.sum((values - mean) ** 2 * weights, axis=0) / np.sum(weights) * (n / (n - 1) if n > 1 else 0.0)
        error = np.sqrt(variance / _independent_windows(self._ends_s))
        return tuple(
            _estimate(head, cal, z, float(m), float(e), n)
            for head, cal, z, m, e in zip(self._heads, self._calibration, self._z, mean, error, strict=True)
        )


def _independent_windows(ends_s: deque[float]) -> float:
    """Covered time in whole windows, at least one."""
    ends = np.array(ends_s)
    covered_s = WINDOW_S + float(np.sum(np.minimum(np.diff(ends), WINDOW_S)))
    return covered_s / WINDOW_S


def _estimate(head: OutputHead, cal: HeadCalibration, z: float, mean: float, error: float, n: int) -> LabEstimate:
    centre = cal.slope * mean + cal.offset
    spread = abs(cal.slope) * error
    half: float | None = None
    if cal.interval_method == "logit_sd":
        half = z * math.hypot(cal.interval_width, spread)
    elif cal.interval_method == "conformal":
        half = math.hypot(cal.interval_width, z * spread)
    low, high = (centre - half, centre + half) if half is not None else (centre, centre)
    if head.kind == "probability":
        value, low, high = sigmoid(centre), sigmoid(low), sigmoid(high)
    else:
        value = centre
    return LabEstimate(
        key=head.key,
        loinc=head.loinc,
        unit=head.unit,
        value=value,
        interval=None if half is None else (low, high),
        threshold=cal.threshold,
        # Where the evidence is limited a flag would be a coin toss: the value stands, nothing is raised.
        flag=None if cal.threshold is None or head.evidence.tier == "limited" else value >= cal.threshold,
        windows=n,
        tier=head.evidence.tier,
    )


def sigmoid(x: float) -> float:
    """Returns ``1 / (1 + exp(-x))`` without overflow."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)
