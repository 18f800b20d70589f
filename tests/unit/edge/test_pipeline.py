"""Samples of a live source that a slow program drops count as lost at the right place."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace

import numpy as np
import pytest

from edge.engine import Output
from edge.pipeline import Pipeline
from edge.records import RunSummary
from edge.sinks.memory import MemorySink
from edge.sources import SourceInfo
from firmware_bridge.errors import OutputError
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

BLOCK = 10
"""Samples per block; the values count up, so that a gap shows its position."""


class Burst:
    """A live source that delivers everything at once, while nothing reads the queue."""

    def __init__(self, blocks: int) -> None:
        self.info = SourceInfo("burst:", "burst", live=True, host_clock=True)
        self._blocks = blocks

    async def items(self) -> AsyncIterator[LinkItem]:
        yield LinkEvent(LinkEventKind.CONNECTED, 0)
        for first in range(0, self._blocks * BLOCK, BLOCK):
            samples = np.arange(first, first + BLOCK, dtype=np.int32)
            yield SampleBlock(samples, "counts", None, 250.0, None, 0)
        yield LinkEvent(LinkEventKind.END, 0)

    async def close(self) -> None:
        """Do nothing."""


class Recording(Burst):
    """A recording, which waits for room in the queue."""

    def __init__(self, blocks: int) -> None:
        super().__init__(blocks)
        self.info = SourceInfo("recording:", "recording", live=False, host_clock=False)


class Keeping:
    """Replaces the engine and keeps all items."""

    def __init__(self) -> None:
        self.items: list[LinkItem] = []
        self.timeline = SimpleNamespace(lost_samples=0, impossible_samples=0, end_s=0.0)

    def push(self, item: LinkItem) -> Output:
        self.items.append(item)
        return Output()

    def idle(self, now_ns: int) -> Output:
        return Output()

    def finish(self) -> Output:
        return Output()


def test_joined_events_take_no_place_of_a_block_of_a_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.pipeline.REPLAY_QUEUE_ITEMS", 6)
    engine = Keeping()
    pipeline = Pipeline(Recording(400), engine, [], seconds=None, tier="micro", hop_s=1.0)
    left = [LinkEvent(LinkEventKind.INFO, 0, "9 times")] * 50
    monkeypatch.setattr(pipeline._gate, "due", lambda: [left.pop()] if left else [])
    summary = asyncio.run(pipeline.run(asyncio.Event()))
    assert not left
    assert "queue_samples" not in summary.thrown_away
    assert sum(len(item) for item in engine.items if isinstance(item, SampleBlock)) == 400 * BLOCK


@pytest.mark.parametrize("blocks", [4, 5, 40])
def test_every_sample_of_an_overflowing_queue_arrives_or_counts_as_lost(
    monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    monkeypatch.setattr("edge.pipeline.QUEUE_ITEMS", 6)
    engine = Keeping()
    pipeline = Pipeline(Burst(blocks), engine, [], seconds=None, tier="micro", hop_s=1.0)
    asyncio.run(pipeline.run(asyncio.Event()))
    got = [item for item in engine.items if isinstance(item, SampleBlock)]
    at = 0
    for block in got:
        at += block.lost
        assert block.samples[0] == at
        at += len(block)
    assert at == blocks * BLOCK
    assert len(got) == min(blocks, 4)  # the queue has room for six items; two of them are events
    assert [type(engine.items[k]) for k in (0, -1)] == [LinkEvent, LinkEvent]


@pytest.mark.parametrize(("stuck", "fed"), [(True, False), (False, True)])
def test_the_watchdog_is_fed_in_silence_but_not_while_data_wait(
    monkeypatch: pytest.MonkeyPatch, stuck: bool, fed: bool
) -> None:
    monkeypatch.setattr("edge.pipeline.IDLE_S", 0.005)

    class Waiting(Burst):
        def stuck(self) -> bool:
            return stuck

        async def items(self) -> AsyncIterator[LinkItem]:
            yield LinkEvent(LinkEventKind.CONNECTED, 0)
            await asyncio.sleep(3600.0)

    beats: list[int] = []

    async def go() -> None:
        stop = asyncio.Event()
        pipeline = Pipeline(
            Waiting(0), Keeping(), [], seconds=None, tier="micro", hop_s=1.0, alive=lambda: beats.append(1)
        )
        run = asyncio.create_task(pipeline.run(stop))
        await asyncio.sleep(0.5)
        stop.set()
        await run

    asyncio.run(go())
    # One for the start and one for the only batch; in silence one more for every wait.
    assert len(beats) >= 1
    assert (len(beats) > 2) is fed


def test_a_live_flood_ends_when_told_and_counts_what_it_drops() -> None:
    """The source always has more, and never lets others run by itself."""

    class Endless(Burst):
        async def items(self) -> AsyncIterator[LinkItem]:
            k = 0
            while True:
                samples = np.arange(k, k + BLOCK, dtype=np.int32)
                yield LinkEvent(LinkEventKind.INFO, 0, f"battery {k} %")
                yield SampleBlock(samples, "counts", None, 250.0, None, 0)
                k += BLOCK

    async def go() -> tuple[RunSummary, Keeping]:
        stop, engine = asyncio.Event(), Keeping()
        pipeline = Pipeline(Endless(0), engine, [], seconds=None, tier="micro", hop_s=1.0)
        asyncio.get_running_loop().call_later(0.3, stop.set)
        return await asyncio.wait_for(pipeline.run(stop), 60.0), engine

    summary, engine = asyncio.run(go())
    assert summary.thrown_away["events"] > 100
    assert sum(isinstance(item, LinkEvent) for item in engine.items) < 200


class Endless(Burst):
    """A recording without an end, which always has another block."""

    def __init__(self) -> None:
        self.info = SourceInfo("endless:", "endless", live=False, host_clock=False)

    async def items(self) -> AsyncIterator[LinkItem]:
        while True:
            yield SampleBlock(np.zeros(BLOCK, np.int32), "counts", None, 250.0, None, 0)


def test_a_stop_ends_a_recording_that_always_has_more() -> None:
    async def stopped() -> int:
        engine, stop = Keeping(), asyncio.Event()
        pipeline = Pipeline(Endless(), engine, [], seconds=None, tier="micro", hop_s=1.0)
        asyncio.get_running_loop().call_later(0.05, stop.set)
        async with asyncio.timeout(30):
            await pipeline.run(stop)
        return len(engine.items)

    assert asyncio.run(stopped()) > 0


@pytest.mark.parametrize("source", [Burst(4), Recording(4)], ids=["live", "recording"])
def test_a_stop_while_the_sinks_open_ends_the_run(source: Burst) -> None:
    async def stopped() -> None:
        loop, stop, told = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        class Slow(MemorySink):
            def open(self) -> None:
                loop.call_soon_threadsafe(stop.set)
                # Until the pipeline has noticed the stop.
                loop.call_soon_threadsafe(loop.call_later, 0.05, told.set)
                assert told.wait(30.0)

        pipeline = Pipeline(source, Keeping(), [Slow()], seconds=None, tier="micro", hop_s=1.0)
        async with asyncio.timeout(30):
            await pipeline.run(stop)

    asyncio.run(stopped())


def test_a_source_that_fails_at_its_end_still_closes_the_sinks() -> None:
    class Failing(Recording):
        async def close(self) -> None:
            raise OutputError("the end of the recording is lost")

    sink = MemorySink()
    pipeline = Pipeline(Failing(4), Keeping(), [sink], seconds=None, tier="micro", hop_s=1.0)
    with pytest.raises(OutputError, match="is lost"):
        asyncio.run(pipeline.run(asyncio.Event()))
    assert sink.closed
    assert sink.summary is None
