"""One run of a source in a thread with an event loop of its own, so that it also works inside a running loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from edge.api.channel import Channel
from edge.api.items import Item
from edge.engine import Engine
from edge.pipeline import Pipeline
from edge.sinks import Sink
from edge.sources import Source, SourceInfo
from firmware_bridge.samples import LinkItem


class BackgroundRun:
    """Runs the pipeline in a thread and passes its results to a channel.

    Args:
        source: The source; it is closed in any case.
        make: Function that takes the function for results and returns engine and sink. It runs in the thread, because
            loading a model takes time.
        hop_s: Seconds between estimates.
        seconds: Signal to process, s; ``None`` for no limit.
    """

    def __init__(
        self,
        source: Source,
        make: Callable[[Callable[[Item], None]], tuple[Engine, Sink]],
        hop_s: float,
        seconds: float | None,
    ) -> None:
        self._source, self._make, self._hop_s, self._seconds = source, make, hop_s, seconds
        self.channel: Channel[Item] = Channel(live=source.info.live, on_room=self._make_room)
        self._lock = threading.RLock()  # a generator may be collected, and closed, in any thread at any time
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._room: asyncio.Event | None = None
        self._closing = False
        # A daemon, so that a program that ends in the middle of an iteration does not wait for it.
        self._thread = threading.Thread(target=self._main, name=f"anyecg {source.info.device}", daemon=True)
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C while start() waited: the thread runs or soon will, and closes the source
            self._end(None)
            raise

    def close(self, error: BaseException | None = None) -> None:
        """End the run, release the source and wait for the thread. May be called twice.

        Args:
            error: Error for a consumer that asks this run for more results.
        """
        if sys.is_finalizing():
            return  # the thread no longer runs, perhaps with a lock held; the system releases what it had
        self._end(error)
        self._join()

    async def aclose(self, error: BaseException | None = None) -> None:
        """End the run without blocking the event loop; see `close`."""
        self._end(error)
        await self.channel.aend()
        self._join()

    def _join(self) -> None:
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _end(self, error: BaseException | None) -> None:
        self.channel.refuse(error)
        with self._lock:
            self._closing = True
            if self._loop is not None and self._stop is not None:
                with suppress(RuntimeError):  # the loop is closed: the run is over
                    self._loop.call_soon_threadsafe(self._stop.set)

    def _make_room(self) -> None:
        loop, room = self._loop, self._room
        if loop is not None and room is not None and not self._source.info.live:
            with suppress(RuntimeError):  # the loop is closed: the run is over
                loop.call_soon_threadsafe(room.set)

    def _main(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._run())
        except BaseException as failed:  # noqa: BLE001  # any error of the run is raised again in the thread of its consumer
            error = failed
        self.channel.end(error)

    async def _run(self) -> None:
        stop = asyncio.Event()
        with self._lock:
            self._loop, self._stop, self._room = asyncio.get_running_loop(), stop, asyncio.Event()
            if self._closing:
                stop.set()
        try:
            engine, sink = self._make(self.channel.put)
        except BaseException:
            await self._source.close()
            raise
        pipeline = Pipeline(
            _Waiting(self._source, self._wait_for_room),
            engine,
            [sink],
            seconds=self._seconds,
            tier="",
            hop_s=self._hop_s,
        )
        await pipeline.run(stop)

    async def _wait_for_room(self) -> None:
        while self.channel.full:
            assert self._room is not None
            self._room.clear()
            if self.channel.full:
                await self._room.wait()


class _Waiting:
    """A source that waits while too many results wait for their consumer."""

    def __init__(self, source: Source, wait: Callable[[], Awaitable[None]]) -> None:
        self._source, self._wait = source, wait

    @property
    def info(self) -> SourceInfo:
        return self._source.info

    async def items(self) -> AsyncIterator[LinkItem]:
        async for item in self._source.items():
            await self._wait()
            yield item

    async def close(self) -> None:
        await self._source.close()


def close_source(source: Source) -> None:
    """Close a source that was never read, from any thread and also inside a running loop."""
    thread = threading.Thread(target=lambda: asyncio.run(source.close()), name="anyecg close", daemon=True)
    thread.start()
    thread.join()
