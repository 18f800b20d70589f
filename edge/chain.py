"""The stages from the uniform grid to a window, connected once for the device and for all readers on the host.

Student and teacher are trained and evaluated on the windows that the device forms, so all use this chain.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge.beats.detector import RPeakDetector
from edge.frontend.stream import FS_HZ, GROUP_DELAY_S, WINDOW_S, StreamFilter
from edge.grid.native import NativeTail
from edge.grid.timeline import Gap, Uniform
from edge.quality.gate import Quality, QualityGate
from edge.quality.native_rails import native_rails
from edge.quality.rails import LOOKBACK_S
from edge.records import AbstainReason
from edge.window import NoWindow, Window, Windower


class SignalChain:
    """Filter, R-peak detector, windower and quality gate behind one ``push``.

    Args:
        grid_hz: Sampling rate of the uniform grid, Hz.
        hop_s: Seconds between windows.

    Attributes:
        zero_s: Signal time of the first filtered sample of the segment, s.
        count: Filtered samples of the segment so far.
        signal: Output of the filter for the last `push`: signal time of the first sample, s, and samples ``(n,)`` at
            125 Hz; ``None`` if there was none.
        beats_s: Signal times of the R peaks that the last `push` found, s.
        spent_ms: Time spent on filtering and R peaks since the last reset to zero, ms.
    """

    def __init__(self, grid_hz: int, hop_s: float) -> None:
        self._grid_hz = grid_hz
        self._filter = StreamFilter(grid_hz)
        self._detector = RPeakDetector(FS_HZ)
        self._windower = Windower(grid_hz, hop_s)
        self._gate = QualityGate()
        self._native = NativeTail()
        self.zero_s = 0.0
        self.count = 0
        self.signal: tuple[float, NDArray[np.float64]] | None = None
        self.beats_s: list[float] = []
        self.spent_ms = 0.0

    @property
    def due(self) -> int:
        """Number of grid samples of the segment with which the next answer comes; 0 if any sample may bring one."""
        if self.count == 0:
            return 0
        step = self._grid_hz // int(FS_HZ)
        before = int(self._filter.warmup_samples)
        return before + step * (self.count + self._windower.cut() - 1) + 1

    def gap(self, gap: Gap, reason: AbstainReason | None = None) -> list[NoWindow]:
        """End the segment and return the answers for the hops inside the gap."""
        return self._windower.gap(gap, reason)

    def miss_span(self, start_s: float, end_s: float, reason: AbstainReason) -> list[NoWindow]:
        """Answer the hops of a silence by one answer."""
        return self._windower.miss_span(start_s, end_s, reason)

    def miss_until(self, end_s: float, reason: AbstainReason | None) -> list[NoWindow]:
        """Answer the hops up to a signal time for which no window can be formed."""
        return self._windower.miss_until(end_s, reason)

    def push(self, part: Uniform) -> Iterator[Window | NoWindow]:
        """Take the next samples of the grid and yield one answer per hop.

        The arrays of a window are valid until the next answer: copy them to keep them.
        """
        started = time.perf_counter()
        if part.first:
            self._filter.reset()
            self._detector.reset()
            self._windower.begin(part.start_s, scale_known=part.scale_known)
            self.zero_s, self.count = part.start_s + GROUP_DELAY_S, 0
            self._native.begin()
        self._native.forget(self._windower.next_hop_s - WINDOW_S - LOOKBACK_S - 1.0)
        for native in part.native:
            self._native.push(native)
        self._windower.push_raw(part.samples)
        stream = self._filter.push(part.samples)
        self.spent_ms += (time.perf_counter() - started) * 1e3
        self.signal = (self.zero_s + self.count / FS_HZ, stream) if len(stream) else None
        self.beats_s = []
        self.count += len(stream)
        done = 0
        while done < len(stream):
            # The detector sees samples up to the hop only, so beats do not depend on the size of the pieces.
            piece = stream[done : done + self._windower.cut()]
            started = time.perf_counter()
            beats = self._detector.push(piece)
            self.spent_ms += (time.perf_counter() - started) * 1e3
            self.beats_s += [self.zero_s + b / FS_HZ for b in beats]
            yield from self._windower.push(piece, beats)
            done += len(piece)
        front_s = part.start_s + len(part.samples) / self._grid_hz - GROUP_DELAY_S
        if front_s < self.zero_s:
            yield from self._windower.miss_until(front_s, None)

    def assess(self, window: Window) -> Quality:
        """Assess the quality of a window of this chain."""
        rails = native_rails(self._native, window, LOOKBACK_S)
        grid_hz = float(self._grid_hz)
        return self._gate.assess(
            window.filtered, window.raw, grid_hz, window.beats, scale_known=window.scale_known, rails=rails
        )
