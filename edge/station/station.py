"""Runs several patches on one event loop, each with its own pipeline: one that fails does not touch the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.engine import GATHER_S as PIECE_S
from edge.engine import Engine, Explains, SessionInfo
from edge.pipeline import GATHER_S, Pipeline
from edge.process.budget import MANY
from edge.sources import Gathering
from edge.station.shared import SharedModel
from edge.station.status import StationStatus
from edge.station.worker_turns import WorkerTurns
from firmware_bridge.errors import EXIT_INTERNAL, EXIT_OK, AnyEcgError, BundleError, MissingExtraError, UsageError
from firmware_bridge.transports._link import Backoff

if TYPE_CHECKING:
    from edge.model import Model
    from edge.process.systemd import Notifier
    from edge.records import RunSummary
    from edge.session import Loaded
    from edge.sinks import Sink
    from edge.sources import Source

LATE_S = 10.0
"""Time after which a patch whose receiver or worker reports nothing counts as stuck, s."""
BEAT_S = 1.0
"""Time between two checks of all patches, s."""
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
"""First and longest pause before a failed patch is started again, s."""
STABLE_S = 60.0
"""After a run that lasted this long, s, the pauses start small again."""
GATHER_MAX_S = 1.0
"""Longest time that the samples of a patch are gathered, by its link or before the worker gets them, s. Fifty patches
would otherwise wake the receiver 500 and the workers 1600 times a second, which costs more than the signal chain."""
GATHER_PER_PATCH_S = 0.02
PIECE_MAX_S = 1.0
"""Longest piece of signal that the engine processes at once, s; longer ones cost no less."""

_FINAL = (UsageError, BundleError, MissingExtraError)
"""Errors that another attempt cannot mend; the unit of the service does not restart after them either."""


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """A patch that is about to run.

    Attributes:
        source: Its source.
        session: What its estimates carry.
        sinks: Where its results go.
    """

    source: Source
    session: SessionInfo
    sinks: Sequence[Sink]


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """One of the patches of a station.

    Attributes:
        name: Its name.
        start: Function that opens the source and creates the sinks. It is called in a thread for each attempt.
    """

    name: str
    start: Callable[[], Started]


@dataclass(slots=True)
class Outcome:
    """How a patch ended.

    Attributes:
        name: Its name.
        starts: How often it was started.
        summary: Summary of its last run; ``None`` if it never ran.
        failed: Why its last run failed; empty if it did not.
        code: Exit code of that failure; 0 if it did not fail.
    """

    name: str
    starts: int = 0
    summary: RunSummary | None = None
    failed: str = ""
    code: int = EXIT_OK


class Station:
    """Runs patches until every source has ended, or the station is told to stop.

    Args:
        patches: The patches; their names differ.
        loaded: The bundle and the model that all share.
        seconds: Signal of each patch to process, s; ``None`` for no limit.
        hop_s: Seconds between estimates.
        again: Whether to start a patch again after a failure that may pass.
        said: Function that takes the name of a patch and a sentence about it.
        notifier: The service manager.
        status: The state of all patches, for the service manager.
        explain: Function that makes what adds reasons to the estimates of a patch, with the shared model; ``None`` for
            no reasons.
    """

    def __init__(
        self,
        patches: Sequence[Patch],
        loaded: Loaded,
        *,
        seconds: float | None,
        hop_s: float,
        again: bool,
        said: Callable[[str, str], None],
        notifier: Notifier,
        status: StationStatus | None = None,
        explain: Callable[[Model], Explains] | None = None,
    ) -> None:
        self._patches, self._loaded, self._explain = patches, loaded, explain
        self._model = SharedModel(loaded.model)
        self._seconds, self._hop_s, self._again, self._said = seconds, hop_s, again, said
        self._notifier, self._status = notifier, status or StationStatus()
        self._gather_s = min(max(GATHER_S, GATHER_PER_PATCH_S * len(patches)), GATHER_MAX_S)
        self._turns = WorkerTurns() if len(patches) > 1 else None
        self._running: dict[str, Pipeline] = {}
        self._seen_s: dict[str, float] = {}
        """Monotonic time at which each running patch last reported that it is not stuck, s."""
        self._stop = asyncio.Event()
        self._stopped_by = ""

    def stop(self, reason: str) -> None:
        """End all patches in an orderly way. Call it on the event loop.

        Args:
            reason: The reason, for the summaries.
        """
        self._stopped_by = reason
        for pipeline in self._running.values():
            pipeline.ended_by = reason
        self._stop.set()

    async def run(self) -> list[Outcome]:
        """Run all patches.

        Returns:
            The outcome of each, in their order.
        """
        outcomes = [Outcome(patch.name) for patch in self._patches]
        now_s = time.monotonic()
        for patch in self._patches:
            self._status.set(patch.name, "", recording=False)
            self._seen_s[patch.name] = now_s - LATE_S  # ready only when each has reported
        beats = asyncio.create_task(self._beat())
        try:
            await asyncio.gather(*map(self._keep, self._patches, outcomes))
        finally:
            beats.cancel()
            with suppress(asyncio.CancelledError):
                await beats
        return outcomes

    async def _keep(self, patch: Patch, outcome: Outcome) -> None:
        """Run a patch, and again after a failure that may pass."""
        pauses = Backoff(patch.name, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while not self._stop.is_set():
            began_s = time.monotonic()
            if outcome.starts:
                self._seen_s[patch.name] = began_s
            again = await self._once(patch, outcome)
            self._seen_s.pop(patch.name, None)
            self._status.set(patch.name, f"ended: {outcome.failed}" if outcome.failed else "ended", recording=False)
            if not outcome.failed or self._stop.is_set():
                break
            if not (again and self._again):
                self._said(patch.name, f"ended: {outcome.failed}")
                break
            if time.monotonic() - began_s > STABLE_S:
                pauses.reset()
            pause_s = pauses.next_s()
            self._said(patch.name, f"ended: {outcome.failed}; it is started again in {pause_s:.0f} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)
        if outcome.failed and self._stop.is_set():
            self._said(patch.name, f"ended: {outcome.failed}")

    async def _once(self, patch: Patch, outcome: Outcome) -> bool:
        """Run a patch once; return whether another attempt may help."""
        outcome.starts += 1
        outcome.failed, outcome.code = "", EXIT_OK
        pipeline: Pipeline | None = None
        try:
            loop = asyncio.get_running_loop()
            # It runs the model, which must not hold up the links of the other patches.
            reasons = None if self._explain is None else await loop.run_in_executor(None, self._explain, self._model)
            started = await loop.run_in_executor(None, patch.start)
            pipeline = self._pipeline(patch.name, started, reasons)
            outcome.summary = await pipeline.run(self._stop)
        except AnyEcgError as error:
            outcome.failed, outcome.code = str(error), error.exit_code
            return not isinstance(error, _FINAL)
        except Exception as error:  # noqa: BLE001  # an error in one patch must not end the others
            outcome.failed, outcome.code = f"internal error, {type(error).__name__}: {error}", EXIT_INTERNAL
        else:
            if pipeline.ended_by == "output closed":
                self.stop("output closed")
            return False
        finally:
            self._running.pop(patch.name, None)
            if outcome.failed and pipeline is not None:
                outcome.summary = pipeline.summary()
        return True

    def _pipeline(self, name: str, started: Started, reasons: Explains | None) -> Pipeline:
        def alive() -> None:
            self._seen_s[name] = time.monotonic()

        # Longer pieces of signal cost less; the engine gives an answer as soon as its samples are there.
        piece_s = max(PIECE_S, min(2.0 * self._gather_s, PIECE_MAX_S))
        engine = Engine(self._loaded.bundle, self._model, started.session, self._hop_s, piece_s, reasons)
        tier = self._loaded.bundle.manifest.tier
        gathers = isinstance(started.source, Gathering) and started.source.gather(self._gather_s)
        pipeline = Pipeline(
            started.source,
            engine,
            started.sinks,
            seconds=self._seconds,
            tier=MANY if tier == "micro" and len(self._patches) > 1 else tier,
            hop_s=self._hop_s,
            alive=alive,
            # What the link has gathered must not wait as long again.
            gather_s=GATHER_S if gathers else self._gather_s,
            in_pieces=gathers,
            in_turn=None if self._turns is None else self._turns.run,
        )
        if self._stopped_by:
            pipeline.ended_by = self._stopped_by
        self._running[name] = pipeline
        return pipeline

    async def _beat(self) -> None:
        """Tell the service manager how the patches are, and that none is stuck."""
        shown = ""
        while True:
            now_s = time.monotonic()
            if all(now_s - seen_s < LATE_S for seen_s in self._seen_s.values()):
                self._notifier.alive()
            if self._notifier.listening and (line := self._status.line()) != shown:
                shown = line
                self._notifier.status(line)
            await asyncio.sleep(BEAT_S)


def exit_code(outcomes: Sequence[Outcome], stopped: int = EXIT_OK) -> int:
    """Return the exit code of a station.

    Args:
        outcomes: What became of the patches.
        stopped: Exit code of the signal that ended the station; 0 without one.

    Returns:
        The largest code of a failed patch; without a failure that of the signal.
    """
    return max((one.code for one in outcomes), default=EXIT_OK) or stopped
