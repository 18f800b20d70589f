"""Which outputs abstain by rhythm, for a reader of windows that makes no estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge.rhythm.gate import RhythmGate
from edge.rhythm.minutes import RhythmMeter
from edge.waves.measure import WaveMeter

if TYPE_CHECKING:
    from edge.rhythm.record import RhythmName
    from edge.window import Window


class RhythmWatch:
    """Judges the accepted windows of a recording as the engine does, with the same parts.

    Args:
        rhythms: Rhythms in which the evidence of each output holds; ``None`` for any.
        span_s: Time over which a value averages windows, s.
        grid_hz: Sampling rate of the windows, Hz.
    """

    def __init__(self, rhythms: Sequence[Sequence[RhythmName] | None], span_s: float, grid_hz: int) -> None:
        self._limited = any(names is not None for names in rhythms)
        self._gate, self._span_s = RhythmGate(rhythms), span_s
        self._waves, self._rhythm = WaveMeter(grid_hz), RhythmMeter()

    def take(self, window: Window) -> None:
        """Take an accepted window. Without an output that names rhythms, nothing is measured."""
        if not self._limited:
            return
        self._waves.measure(window.raw, window.beats, scale_known=window.scale_known)
        found = self._rhythm.judge(window.start_s, window.end_s, self._waves, window.beats)
        self._gate.add(window.end_s, found.name)
        self._gate.drop_until(window.end_s - self._span_s)

    def abstaining(self) -> list[bool]:
        """Return which outputs abstain at the end of the newest window; none without a window."""
        return self._gate.abstaining()
