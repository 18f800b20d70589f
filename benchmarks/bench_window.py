"""Measure the time per window around the model of the tier foundation, compared with ECGFounder's preparation.

python benchmarks/bench_window.py
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bench_frontend import best_ms, published

from edge.beats.detector import RPeakDetector
from edge.beats.track import HeartRate
from edge.bench import run as bench
from edge.estimate import Estimator
from edge.frontend.ecgfounder import CLAMP, FS_HZ, EcgFounderFrontEnd, quantized
from edge.frontend.stream import GROUP_DELAY_S, StreamFilter
from edge.quality.gate import QualityGate
from edge.session import load

STREAM_HZ, WINDOW_S = 125, 10
HELD = 300
"""Number of windows in the estimator: five minutes with a hop of 1 s."""
BUDGET_MS = 0.75
"""Budget of all steps, ms: a tenth of the 7.7 ms that the foundation model took on the machine where it was set."""


@dataclass(frozen=True, slots=True)
class Window:
    """Input of the steps for one window."""

    end_s: float
    filtered: np.ndarray
    raw: np.ndarray
    beats: np.ndarray


def windows() -> list[Window]:
    """Return the windows of a simulated minute with a hop of 1 s, mV, on the grid of the tier foundation."""
    grid = bench.ecg_minute(FS_HZ) / 1000.0
    stream = StreamFilter(int(FS_HZ)).push(grid)
    beats = np.array(RPeakDetector(float(STREAM_HZ)).push(stream))
    part, delay = int(FS_HZ) // STREAM_HZ, round(GROUP_DELAY_S * FS_HZ)
    found = []
    for end in range(WINDOW_S * STREAM_HZ, len(stream) + 1, STREAM_HZ):
        start = end - WINDOW_S * STREAM_HZ
        raw = grid[delay + part * start : delay + part * end]
        inside = beats[(beats >= start) & (beats < end)] - start
        found.append(Window(end / STREAM_HZ, stream[start:end], raw, inside))
    return [w for w in found if len(w.raw) == WINDOW_S * FS_HZ]


class Chain:
    """Steps that each process the next window of a repeating stream."""

    def __init__(self) -> None:
        bundle = load("demo").bundle
        self._windows, self._at, self._end_s = windows(), 0, 0.0
        self._gate, self._rate, self._front_end = QualityGate(), HeartRate(), EcgFounderFrontEnd()
        self._estimator, self._outputs = Estimator(bundle), bundle.golden_outputs[0]
        for _ in range(HELD):
            self.estimate()

    def _next(self) -> Window:
        self._at = (self._at + 1) % len(self._windows)
        return self._windows[self._at]

    def quality(self) -> None:
        """Run the quality gate on a window."""
        w = self._next()
        if self._gate.assess(w.filtered, w.raw, FS_HZ, w.beats, scale_known=True).reason is not None:
            raise SystemExit("the quality gate refuses the simulated signal")

    def heart_rate(self) -> None:
        """Compute the heart rate of a window."""
        w = self._next()
        self._end_s += 1.0
        self._rate.update(self._end_s, w.filtered, w.beats, 1.0)

    def front_end(self) -> None:
        """Make the input of the model."""
        quantized(self._front_end(self._next().raw), CLAMP / 128.0, 0, CLAMP)

    def estimate(self) -> None:
        """Add the outputs of the model and compute an estimate."""
        self._end_s += 1.0
        self._estimator.add(self._end_s, self._outputs, 1.0)
        self._estimator.labs()

    def published(self) -> None:
        """Run ECGFounder's published preparation for comparison."""
        published(self._next().raw)


def main() -> None:
    chain = Chain()
    ms = best_ms(
        {
            "quality gate": chain.quality,
            "heart rate": chain.heart_rate,
            "front end ecgfounder/1, to int8": chain.front_end,
            f"estimator, {HELD} windows held": chain.estimate,
            "ECGFounder's preparation, published": chain.published,
        }
    )
    peer = ms.pop("ECGFounder's preparation, published")
    added = sum(ms.values())
    for name, value in ms.items():
        print(f"{name:<44} {value:7.3f} ms   ratio {value / peer:.2f}")
    name = f"added around the model (budget {BUDGET_MS} ms)"
    print(f"{name:<44} {added:7.3f} ms   ratio {added / peer:.2f}")
    print(f"{'for comparison: preparation of ECGFounder':<44} {peer:7.3f} ms")


if __name__ == "__main__":
    main()
