"""Samples of a live source that a slow program drops count as lost at the right place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import numpy as np
import pytest

from edge.engine import Output
from edge.pipeline import Pipeline
from edge.sources import SourceInfo
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


class Keeping:
    """Replaces the engine and keeps all items."""

    def __init__(self) -> None:
        self.items: list[LinkItem] = []
        self.timeline = SimpleNamespace(lost_samples=0, end_s=0.0)

    def push(self, item: LinkItem) -> Output:
        self.items.append(item)
        return Output()

    def idle(self, now_ns: int) -> Output:
        return Output()

    def finish(self) -> Output:
        return Output()


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
