"""Reasons while a run lasts: the runs of the model that explain a beat are spread over the hops, within a budget."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from edge.bundle.reader import Bundle
from edge.explain.reasons import Explainer, Occlusion, record_of
from edge.explain.record import LabReasons
from edge.frontend.stream import WINDOW_S
from edge.model import Model
from edge.records import LabEstimate
from edge.waves.measure import WaveMeter

MAX_SHARE = 0.10
"""Largest share of a hop that reasons may take of one core, on average, if a run costs what the cheapest recent did."""
COSTS = 8
"""Latest steps of which the cheapest is what a run of the model costs: a single slow one must not delay reasons."""


class LiveReasons:
    """Explains the windows of a run, one part of the beat in each hop of one second.

    Every ten seconds the average beat of the window is taken apart as in ``anyecg explain``. With longer hops, several
    parts are replaced in one hop. Where a step costs more than `MAX_SHARE` of a hop, it waits for later hops.

    Args:
        bundle: A verified bundle.
        model: Its loaded model.
        hop_s: Seconds between estimates.
        clock: Function that returns the processor time of this thread, s.
    """

    def __init__(
        self, bundle: Bundle, model: Model, hop_s: float, clock: Callable[[], float] = time.thread_time
    ) -> None:
        self._explainer, self._clock = Explainer(bundle, model), clock
        self._span_s = bundle.manifest.aggregation_minutes * 60.0
        self._steps = max(math.ceil(Occlusion.STEPS * hop_s / WINDOW_S), 1)
        self._earned_s = MAX_SHARE * hop_s
        self._credit_s = 0.0
        self._costs_s: deque[float] = deque(maxlen=COSTS)
        self._open: Occlusion | None = None
        self._known: dict[str, LabReasons] = {}

    def step(self, meter: WaveMeter, end_s: float) -> None:
        """Spend the budget of one hop.

        Args:
            meter: What has measured the accepted window.
            end_s: Signal time of the end of the window, s.
        """
        if self._open is None and self._explainer.due(end_s):
            self._open = self._explainer.begin(meter.beat, meter.found, end_s)
        self._credit_s = min(self._credit_s + self._earned_s, max(self._earned_s, 2.0 * self._steps * self._run_s))
        for _ in range(self._steps):
            if self._open is None or self._credit_s < self._open.runs * self._run_s:
                break
            self._credit_s -= self._timed(self._open)
        before = self._explainer.windows
        self._explainer.forget(end_s - self._span_s)
        if self._explainer.windows < before:
            self._learn()

    def put(self, labs: tuple[LabEstimate, ...], end_s: float) -> tuple[LabEstimate, ...]:
        """Return outputs with their reasons: those that are flagged or have some, and do not abstain.

        Args:
            labs: The outputs.
            end_s: Signal time of the end of their newest window, s.
        """
        if not self._known:
            return labs
        age_s = max(end_s - self._explainer.end_s, 0.0)
        return tuple(
            lab._replace(reasons=known._replace(age_s=age_s))
            if (known := self._known.get(lab.key)) is not None and lab.abstained is None and (lab.flag or known.shares)
            else lab
            for lab in labs
        )

    @property
    def _run_s(self) -> float:
        """Processor time of one run of the model and what belongs to it, s; 0 before the first."""
        return min(self._costs_s, default=0.0)

    def _timed(self, running: Occlusion) -> float:
        """Take one step; return what it counts against the budget, s: its runs at the cheapest recent cost."""
        since_s, runs = self._clock(), running.runs
        if running.step():
            self._explainer.take(running)
            self._open = None
            self._learn()
        self._costs_s.append((self._clock() - since_s) / runs)
        return runs * self._run_s

    def _learn(self) -> None:
        person, reference, windows = self._explainer.person, self._explainer.reference, self._explainer.windows
        self._known = {
            one.key: record_of(one, person, reference, windows)
            for one in self._explainer.reasons()
            if person is not None
        }
