"""The pipeline from source through engine to sinks, the only place where asyncio meets the stages.

The event loop only receives. Everything else, including the model and the disk, runs in order in one worker thread. The
queue between them is bounded: a recording waits for room; a live source drops its oldest blocks, which then count as
lost. Events pass a gate, which joins them if there are too many for the sinks.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from edge.engine import Engine, Output
from edge.frontend.stream import FS_HZ
from edge.intake.counts import frames_in, thrown_by
from edge.intake.gate import EventGate
from edge.intake.queue import Entry, LinkQueue
from edge.process.budget import BudgetMeter, peak_rss_mib
from edge.records import RunSummary
from edge.sinks import NativeSink, Sink, SinkClosedError
from edge.sources import Source, Watched
from edge.sources.turns import Turns
from firmware_bridge.errors import AnyEcgError, OutputError
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock

QUEUE_ITEMS = 4096
"""Longest queue of a live source, blocks: minutes, in which a slow disk or a busy processor can recover."""

REPLAY_QUEUE_ITEMS = 64
BATCH_ITEMS = 32
IDLE_S = 1.0
GATHER_S = 0.03
"""Shortest time between two hand-overs of a live source to the worker, s: a device that sends hundreds of small
notifications a second wakes it 33 times. The first item after a pause is handed over at once."""
DRAIN_S = 0.5
"""Time in which a run that was told to stop works off what it has received, s; the rest is dropped and counted."""
CLOSE_S = 5.0
"""Time limit for closing a source, s: a stuck adapter must not delay the summary."""

_FOR_ENGINE = {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.RESTARTED, LinkEventKind.END}


class Pipeline:
    """Runs a source through the engine into sinks, once.

    Args:
        source: The source of samples.
        engine: The engine with all stages.
        sinks: Destinations of the results; opened, used and closed in the worker thread.
        seconds: Signal to process, s (on a live source also a limit of time); ``None`` for no limit.
        tier: Tier of the bundle, for its budgets.
        hop_s: Seconds between estimates.
        alive: Function to call at the start, and at least once a second while receiver and worker are not stuck.
        gather_s: Shortest time between two hand-overs of a live source to the worker, s.
        in_pieces: Whether the link of the source gathers data itself, so that items arrive together after a pause.
        in_turn: Function that calls what starts the worker when its turn among several pipelines has come, and returns
            the result; ``None`` if the worker need not wait.
    """

    def __init__(
        self,
        source: Source,
        engine: Engine,
        sinks: Sequence[Sink],
        *,
        seconds: float | None,
        tier: str,
        hop_s: float,
        alive: Callable[[], None] = lambda: None,
        gather_s: float = GATHER_S,
        in_pieces: bool = False,
        in_turn: Callable[[Callable[[], asyncio.Future[bool]]], Awaitable[bool]] | None = None,
    ) -> None:
        self._in_pieces, self._in_turn = in_pieces, in_turn
        self._alive, self._gather_s = alive, gather_s
        self._source, self._engine, self._sinks = source, engine, sinks
        self._native_sinks = [sink for sink in sinks if isinstance(sink, NativeSink)]
        self._seconds, self._tier, self._hop_s = seconds, tier, hop_s
        self.meter = BudgetMeter()
        self.ended_by = "end"
        self._queue = LinkQueue(QUEUE_ITEMS if source.info.live else REPLAY_QUEUE_ITEMS)
        self._gate = EventGate()
        self._thrown: Counter[str] = Counter()
        self._arrived, self._room, self._source_done = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._opened = asyncio.Event()
        self._hops = self._estimates = self._corrupt = self._connects = 0
        self._abstained: Counter[str] = Counter()
        self._started = time.monotonic()
        self._worked_s = -gather_s
        self._reader: asyncio.Task[None] | None = None
        self._until_s: float | None = None
        """Monotonic time at which work ends after the run was told to stop."""
        self._failed: AnyEcgError | None = None

    async def run(self, stop: asyncio.Event) -> RunSummary:
        """Run until the source ends, the time limit is reached or ``stop`` is set.

        Returns:
            The summary of the run. Sinks receive it on close. After an error they receive ``None``: such a session is
            unfinished and can be continued.

        Raises:
            AnyEcgError: The source or a sink failed; everything received before is written.
        """
        loop = asyncio.get_running_loop()
        self._started = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="engine") as worker:
            reader = asyncio.create_task(self._read())
            stopped = asyncio.create_task(stop.wait())
            self._reader = reader
            stopped.add_done_callback(self._told_to_stop)
            whole = False
            try:
                await loop.run_in_executor(worker, self._open)
                self._opened.set()
                await self._consume(loop, worker)
                # However a short run ends, a replay of its recording gives the same estimates.
                await loop.run_in_executor(worker, lambda: self._emit(self._engine.finish(), None))
                if reader.done() and not reader.cancelled() and self._until_s is None:
                    reader.result()
                whole = True
            except SinkClosedError:
                self.ended_by, whole = "output closed", True
            except AnyEcgError as error:
                self._failed = error
                raise
            finally:
                reader.cancel()
                stopped.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await reader
                summary = await self._end(loop, worker, whole=whole)
        return summary

    async def _end(self, loop: asyncio.AbstractEventLoop, worker: ThreadPoolExecutor, *, whole: bool) -> RunSummary:
        """Close the source and, even if that fails, the sinks; return the summary."""
        closed = False
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._source.close(), CLOSE_S)
            closed = True
        finally:
            summary = self.summary()
            await loop.run_in_executor(worker, self._close, summary if whole and closed else None)
        return summary

    def summary(self) -> RunSummary:
        """Return the summary of the run so far."""
        timeline = self._engine.timeline
        # What the queue dropped in a flood is lost, although no time has passed for it.
        dropped = min(self._queue.dropped_samples, timeline.impossible_samples)
        thrown = self._thrown + Counter(
            events=self._gate.joined,
            queue_samples=self._queue.dropped_samples,
            impossible_samples=timeline.impossible_samples - dropped,
        )
        return RunSummary(
            hops=self._hops,
            estimates=self._estimates,
            abstentions=dict(sorted(self._abstained.items())),
            latency_ms=self.meter.stats(),
            peak_rss_mib=peak_rss_mib(),
            lost_samples=timeline.lost_samples + dropped + self._queue.lost + self._thrown["queue_samples"],
            frames_corrupt=self._corrupt,
            reconnects=max(0, self._connects - 1),
            signal_s=timeline.end_s,
            wall_s=time.monotonic() - self._started,
            budgets=self.meter.lines(self._tier, self._hop_s, live=self._source.info.host_clock),
            ended_by=self.ended_by,
            thrown_away=dict(sorted(thrown.items())),
        )

    def _told_to_stop(self, stopped: asyncio.Task[bool]) -> None:
        if not stopped.cancelled():
            self._stop_reading()

    def _stop_reading(self) -> None:
        """End reading at once, and working soon: a flood would never end by itself."""
        if self._until_s is None and self._reader is not None:
            self._until_s = time.monotonic() + DRAIN_S
            self._reader.cancel()
            # Not left to the reader, which may still wait for the sinks to open.
            self._source_done.set()
            self._arrived.set()

    async def _read(self) -> None:
        turns = Turns()
        # The session begins before its first item, also by its dates.
        await self._opened.wait()
        try:
            async for item in self._source.items():
                now_ns = time.monotonic_ns()
                if isinstance(item, LinkEvent):
                    await self._receive(item, now_ns)
                else:
                    await self._put(Entry(item, now_ns))
                await turns.give()
        finally:
            self._source_done.set()
            self._arrived.set()

    async def _receive(self, event: LinkEvent, now_ns: int) -> None:
        if event.kind is LinkEventKind.ESTIMATE:
            await self._put(Entry(event, now_ns, to_sinks=False))
            return
        self._count(event)
        admitted = self._gate.admit(event)
        if admitted is not None:
            await self._put(Entry(admitted, now_ns))
        elif event.kind in _FOR_ENGINE:
            await self._put(Entry(event, now_ns, to_sinks=False))

    async def _put(self, entry: Entry) -> None:
        while self._queue.full and not self._source.info.live:
            self._room.clear()
            await self._room.wait()
        self._queue.put(entry)
        self._arrived.set()

    async def _consume(self, loop: asyncio.AbstractEventLoop, worker: ThreadPoolExecutor) -> None:
        self._alive()
        while True:
            if self._live_time_over():
                self._stop_reading()
            # Not through the queue, which a recording fills: no block may be dropped for them.
            due = [Entry(event, time.monotonic_ns(), to_engine=False) for event in self._gate.due()]
            if not self._queue and not due:
                if self._source_done.is_set():
                    return
                await self._wait(loop, worker)
                continue
            if len(self._queue) < BATCH_ITEMS:
                await self._gather()
            batch = [*due, *self._queue.take(BATCH_ITEMS)]
            self._room.set()
            self._worked_s = time.monotonic()
            start = partial(loop.run_in_executor, worker, self._work, batch)
            over = await (start() if self._in_turn is None else self._in_turn(start))
            self._alive()
            if over:
                if self._until_s is not None:
                    self._queue.drop()
                return

    async def _wait(self, loop: asyncio.AbstractEventLoop, worker: ThreadPoolExecutor) -> None:
        self._arrived.clear()
        try:
            async with asyncio.timeout(IDLE_S):
                await self._arrived.wait()
        except TimeoutError:
            if self._source.info.live:
                await loop.run_in_executor(worker, lambda: self._emit(self._engine.idle(time.monotonic_ns()), None))
            # Silence on the link is no reason for systemd to restart the program; data that it does not handle are.
            if not (isinstance(self._source, Watched) and self._source.stuck()):
                self._alive()

    async def _gather(self) -> None:
        # Decoding a piece of the link gives turns to others: the rest of the piece follows within a moment.
        left_s = self._gather_s if self._in_pieces else self._worked_s + self._gather_s - time.monotonic()
        if self._source.info.live and left_s > 0 and not self._source_done.is_set():
            # Items keep their arrival times; only the hand-over to the worker waits for others.
            await asyncio.sleep(left_s)

    def _live_time_over(self) -> bool:
        over = self._seconds is not None and time.monotonic() - self._started > self._seconds
        if over and self._source.info.live and self._until_s is None:
            self.ended_by = "seconds"
            return True
        return False

    def _work(self, batch: list[Entry]) -> bool:
        """Process a batch in the worker and return whether the run is over."""
        for number, entry in enumerate(batch):
            item = entry.item
            if self._until_s is not None and time.monotonic() > self._until_s:
                self._thrown["queue_samples"] += sum(
                    len(left.item) for left in batch[number:] if isinstance(left.item, SampleBlock)
                )
                return True
            if isinstance(item, LinkEvent) and entry.to_sinks:
                self._tell(item)
            if not entry.to_engine:
                continue
            since_ns = item.arrival_ns if self._source.info.host_clock else entry.received_ns
            self._emit(self._engine.push(item), since_ns)
            if isinstance(item, LinkEvent) and item.kind is LinkEventKind.END:
                return True
            if self._seconds is not None and self._engine.timeline.end_s >= self._seconds:
                self.ended_by = "seconds"
                return True
        return False

    def _tell(self, event: LinkEvent) -> None:
        for sink in self._sinks:
            sink.event(event)

    def _tell_all(self, error: AnyEcgError) -> None:
        """Tell every sink why the run fails, including the one that has failed."""
        data = {"error": error.exit_code, "fix": error.fix}
        event = LinkEvent(LinkEventKind.INFO, time.monotonic_ns(), f"the run failed: {error.what}", data)
        for sink in self._sinks:
            with contextlib.suppress(AnyEcgError):
                sink.event(event)

    def _emit(self, out: Output, since_ns: int | None) -> None:
        for native_sink in self._native_sinks:
            for part in out.parts:
                for native in part.native:
                    at_ns = self._engine.timeline.host_time_ns(native.end_s)
                    native_sink.native(native, "mV" if part.scale_known else "counts", at_ns)
        for event in out.events:
            self._tell(event)
        for sink in self._sinks:
            for start_s, samples in out.signal:
                sink.signal(samples, FS_HZ, start_s)
            for t_s in out.beats_s:
                sink.beat(t_s)
        for e in out.estimates:
            for sink in self._sinks:
                sink.estimate(e)
            self._hops += 1
            self._abstained.update([e.abstained] if e.abstained else [])
            self._estimates += e.abstained is None
            self.meter.add(e.latency_ms)
            if since_ns is not None and e.latency_ms:
                self.meter.add({"written": (time.monotonic_ns() - since_ns) / 1e6})

    def _count(self, event: LinkEvent) -> None:
        self._connects += event.kind is LinkEventKind.CONNECTED
        self._corrupt += frames_in(event)
        self._thrown += thrown_by(event)

    def _open(self) -> None:
        for sink in self._sinks:
            sink.open()

    def _close(self, summary: RunSummary | None) -> None:
        """Report the joined events and close every sink, even if one fails; raise the first error at the end."""
        failed: OutputError | None = None
        with contextlib.suppress(OutputError):
            for event in self._gate.rest():
                self._tell(event)
        if self._failed is not None:
            self._tell_all(self._failed)
        for sink in self._sinks:
            try:
                sink.close(summary)
            except OutputError as e:
                failed = failed or e
        if failed is not None:
            raise failed
