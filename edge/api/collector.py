"""Collects the results of a run for its consumer: an engine that also gives samples and gaps, and a sink."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge.api.items import Beat, Item, Samples, Waves
from edge.api.waves import waves_of
from edge.bundle.reader import Bundle
from edge.engine import Engine, Explains, Output, SessionInfo
from edge.grid.timeline import Gap, TimelineItem
from edge.model import Model
from edge.records import Estimate
from edge.sinks import BaseSink
from edge.tensecond import WholeWindow
from edge.window import NoWindow, Window
from firmware_bridge.samples import LinkEvent, Unit

NO_BEATS = np.zeros(0, dtype=np.int64)
MAX_RR_S = 3.0
"""Longest RR interval, s, as in the session folder (``edge.sinks.session``)."""


class Collector(BaseSink):
    """Gives the wanted results of a run to a function, in order.

    Args:
        give: Function that takes each result.
        wanted: Kinds of results to give.
    """

    def __init__(self, give: Callable[[Item], None], wanted: frozenset[type]) -> None:
        self._give, self._wanted = give, wanted
        self._last_beat_s: float | None = None
        self._gap_ends_s: deque[float] = deque()
        """Ends of the gaps that the beats have not reached: a beat is found up to 1.5 s after its samples."""

    def wants(self, kind: type) -> bool:
        """Return whether results of a kind are given."""
        return kind in self._wanted

    def give(self, item: Item) -> None:
        """Give a result, if its kind is wanted."""
        if type(item) in self._wanted:
            self._give(item)

    def part(self, part: TimelineItem) -> None:
        """Take the next part of the timeline."""
        if isinstance(part, Gap):
            self._gap_ends_s.append(part.end_s)
            self.give(part)
            return
        first = part.first
        for native in part.native if Samples in self._wanted else ():
            n = len(native.samples)
            start_s = native.end_s - n / native.fs_hz
            unit: Unit = "mV" if part.scale_known else "counts"
            self.give(Samples(start_s, native.end_s, native.fs_hz, native.samples, unit, first))
            first = False

    def estimate(self, e: Estimate) -> None:
        """Take an estimate."""
        self.give(e)

    def event(self, ev: LinkEvent) -> None:
        """Take an event of the link."""
        self.give(ev)

    def beat(self, t_s: float) -> None:
        """Take a beat."""
        while self._gap_ends_s and self._gap_ends_s[0] <= t_s:
            self._gap_ends_s.popleft()
            self._last_beat_s = None
        rr_s = None if self._last_beat_s is None else t_s - self._last_beat_s
        self._last_beat_s = t_s
        self.give(Beat(t_s, rr_s if rr_s is not None and 0.0 < rr_s <= MAX_RR_S else None))


class CollectingEngine(Engine):
    """The engine of the runtime, which also gives samples, gaps and waves to a collector.

    Args:
        bundle: A verified bundle.
        model: Its model.
        session: Values that every estimate carries.
        hop_s: Seconds between estimates, and between measurements of waves.
        collector: Takes samples, gaps and waves.
        reasons: What adds reasons to the estimates; ``None`` for none.
    """

    def __init__(
        self, bundle: Bundle, model: Model, session: SessionInfo, hop_s: float, collector: Collector,
        reasons: Explains | None = None,
    ) -> None:  # fmt: skip
        super().__init__(bundle, model, session, hop_s, reasons=reasons)
        self._collector = collector

    def _answer(self, answer: Window | NoWindow) -> Estimate:
        e = super()._answer(answer)
        self._give_waves(e, NO_BEATS if isinstance(answer, NoWindow) else answer.beats)
        return e

    def _answer_whole(self, whole: WholeWindow) -> Estimate:
        e = super()._answer_whole(whole)
        self._give_waves(e, whole.window.beats)
        return e

    def _give_waves(self, e: Estimate, beats: NDArray[np.int64]) -> None:
        if self._collector.wants(Waves):
            self._collector.give(waves_of(e, self._wave_meter, beats))

    def _take(self, parts: list[TimelineItem], out: Output) -> None:
        for part in parts:
            self._collector.part(part)
        super()._take(parts, out)
