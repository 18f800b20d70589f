"""The pipeline from source through engine to sinks, the only place where asyncio meets the stages.

The event loop only receives. Everything else, including the model and the disk, runs in order in one worker thread. The
queue between them is bounded: a recording waits for room; a live source drops its oldest blocks, which then count as
lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from edge.engine import Engine, Output
from edge.frontend.stream import FS_HZ
from edge.process.budget import BudgetMeter, peak_rss_mib
from edge.records import RunSummary
from edge.sinks import Sink, SinkClosedError
from edge.sources import Source
from firmware_bridge.errors import OutputError
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

QUEUE_ITEMS = 4096
"""Longest queue of a live source, blocks: minutes, in which a slow disk or a busy processor can recover."""

REPLAY_QUEUE_ITEMS = 64
BATCH_ITEMS = 32
IDLE_S = 1.0
GATHER_S = 0.03
"""Shortest time between two hand-overs of a live source to the worker, s: a device that sends hundreds of small
notifications a second wakes it 33 times. The first item after a pause is handed over at once."""
CLOSE_S = 5.0
"""Time limit for closing a source, s: a stuck adapter must not delay the summary."""


class Pipeline:
    """Runs a source through the engine into sinks, once.

    Args:
        source: The source of samples.
        engine: The engine with all stages.
        sinks: Destinations of the results; opened, used and closed in the worker thread.
        seconds: Signal to process, s (on a live source also a limit of time); ``None`` for no limit.
        tier: Tier of the bundle, for its budgets.
        hop_s: Seconds between estimates.
        alive: Function to call in every loop, at least once a second while receiver and worker are not stuck.
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
    ) -> None:
        self._alive = alive
        self._source, self._engine, self._sinks = source, engine, sinks
        self._seconds, self._tier, self._hop_s = seconds, tier, hop_s
        self.meter = BudgetMeter()
        self.ended_by = "end"
        self._queue: deque[tuple[LinkItem, int]] = deque()
        self._arrived, self._room, self._source_done = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._hops = self._estimates = self._corrupt = self._connects = 0
        self._abstained: Counter[str] = Counter()
        self._limit = QUEUE_ITEMS if source.info.live else REPLAY_QUEUE_ITEMS
        self._started = time.monotonic()
        self._worked_s = -GATHER_S

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
            stopped.add_done_callback(lambda _task: self._arrived.set())
            whole = False
            try:
                await loop.run_in_executor(worker, self._open)
                await self._consume(loop, worker, stop)
                # However a short run ends, a replay of its recording gives the same estimates.
                await loop.run_in_executor(worker, lambda: self._emit(self._engine.finish(), None))
                if reader.done() and not reader.cancelled():
                    reader.result()
                whole = True
            except SinkClosedError:
                self.ended_by, whole = "output closed", True
            finally:
                reader.cancel()
                stopped.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await reader
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._source.close(), CLOSE_S)
                summary = self.summary()
                await loop.run_in_executor(worker, self._close, summary if whole else None)
        return summary

    def summary(self) -> RunSummary:
        """Return the summary of the run so far."""
        return RunSummary(
            hops=self._hops,
            estimates=self._estimates,
            abstentions=dict(sorted(self._abstained.items())),
            latency_ms=self.meter.stats(),
            peak_rss_mib=peak_rss_mib(),
            lost_samples=self._engine.timeline.lost_samples,
            frames_corrupt=self._corrupt,
            reconnects=max(0, self._connects - 1),
            signal_s=self._engine.timeline.end_s,
            wall_s=time.monotonic() - self._started,
            budgets=self.meter.lines(self._tier, self._hop_s, live=self._source.info.host_clock),
            ended_by=self.ended_by,
        )

    async def _read(self) -> None:
        try:
            async for item in self._source.items():
                if len(self._queue) >= self._limit:
                    await self._make_room()
                self._queue.append((item, time.monotonic_ns()))
                self._arrived.set()
        finally:
            self._source_done.set()
            self._arrived.set()

    async def _make_room(self) -> None:
        if not self._source.info.live:
            self._room.clear()
            await self._room.wait()
            return
        # Drop the oldest block; the next one carries the loss, so that the gap has the right position.
        lost = oldest = 0
        for i, (item, received_ns) in enumerate(self._queue):
            if not isinstance(item, SampleBlock):
                continue
            if lost:
                self._queue[i] = (dataclasses.replace(item, lost=item.lost + lost), received_ns)
                break
            lost = len(item) + item.lost
            oldest = i
        if lost:
            del self._queue[oldest]

    async def _consume(self, loop: asyncio.AbstractEventLoop, worker: ThreadPoolExecutor, stop: asyncio.Event) -> None:
        while True:
            self._alive()
            if stop.is_set():
                self._source_done.set()
            if not self._queue:
                if self._source_done.is_set():
                    return
                if self._live_time_over():
                    return
                await self._wait(loop, worker)
                continue
            if len(self._queue) < BATCH_ITEMS:
                await self._gather()
            batch = [self._queue.popleft() for _ in range(min(BATCH_ITEMS, len(self._queue)))]
            self._room.set()
            self._worked_s = time.monotonic()
            if await loop.run_in_executor(worker, self._work, batch):
                return

    async def _wait(self, loop: asyncio.AbstractEventLoop, worker: ThreadPoolExecutor) -> None:
        self._arrived.clear()
        try:
            async with asyncio.timeout(IDLE_S):
                await self._arrived.wait()
        except TimeoutError:
            if self._source.info.live:
                await loop.run_in_executor(worker, lambda: self._emit(self._engine.idle(time.monotonic_ns()), None))

    async def _gather(self) -> None:
        left_s = self._worked_s + GATHER_S - time.monotonic()
        if self._source.info.live and left_s > 0 and not self._source_done.is_set():
            # Items keep their arrival times; only the hand-over to the worker waits for others.
            await asyncio.sleep(left_s)

    def _live_time_over(self) -> bool:
        over = self._seconds is not None and time.monotonic() - self._started > self._seconds
        if over and self._source.info.live:
            self.ended_by = "seconds"
            return True
        return False

    def _work(self, batch: list[tuple[LinkItem, int]]) -> bool:
        """Process a batch in the worker and return whether the run is over."""
        for item, received_ns in batch:
            if isinstance(item, LinkEvent):
                self._count(item)
                for sink in self._sinks:
                    sink.event(item)
            since_ns = item.arrival_ns if self._source.info.host_clock else received_ns
            self._emit(self._engine.push(item), since_ns)
            if isinstance(item, LinkEvent) and item.kind is LinkEventKind.END:
                return True
            if self._seconds is not None and self._engine.timeline.end_s >= self._seconds:
                self.ended_by = "seconds"
                return True
        return False

    def _emit(self, out: Output, since_ns: int | None) -> None:
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
        if event.kind is LinkEventKind.CORRUPT:
            frames = event.data.get("frames", 1)
            self._corrupt += frames if isinstance(frames, int) else 1

    def _open(self) -> None:
        for sink in self._sinks:
            sink.open()

    def _close(self, summary: RunSummary | None) -> None:
        """Close every sink, even if one fails; raise the first error at the end."""
        failed: OutputError | None = None
        for sink in self._sinks:
            try:
                sink.close(summary)
            except OutputError as e:
                failed = failed or e
        if failed is not None:
            raise failed
