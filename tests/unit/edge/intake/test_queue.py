"""The queue holds a bounded number of anything, and every dropped sample is counted where it is missing."""

from __future__ import annotations

import random

import numpy as np
import pytest

from edge.intake import queue as module
from edge.intake.queue import Entry, LinkQueue
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock


def block(first: int, n: int = 10, lost: int = 0) -> Entry:
    return Entry(SampleBlock(np.arange(first, first + n, dtype=np.int32), "counts", None, 250.0, None, 0, lost=lost), 0)


def event(kind: LinkEventKind, *, to_sinks: bool = True) -> Entry:
    return Entry(LinkEvent(kind, 0), 0, to_sinks=to_sinks)


def drained(queue: LinkQueue) -> list[Entry]:
    out: list[Entry] = []
    while part := queue.take(7):
        out += part
    return out


def test_everything_passes_in_order_while_there_is_room() -> None:
    queue = LinkQueue(100)
    entries = [event(LinkEventKind.CONNECTED), block(0), event(LinkEventKind.INFO), block(10), block(20)]
    for entry in entries:
        queue.put(entry)
    assert len(queue) == 5
    assert drained(queue) == entries
    assert (len(queue), queue.dropped_samples, queue.lost) == (0, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_every_sample_arrives_or_is_carried_by_the_next_block(seed: int) -> None:
    rng = random.Random(seed)
    queue, at, got = LinkQueue(20), 0, 0
    seen: list[Entry] = []
    for _ in range(3000):
        if rng.random() < 0.6:
            lost, n = rng.choice((0, 0, 3)), rng.randrange(1, 9)
            queue.put(block(at + lost, n, lost))
            at += lost + n
        else:
            queue.put(event(rng.choice(list(LinkEventKind)), to_sinks=False))
        assert len(queue) <= 20 + len(LinkEventKind)
        if rng.random() < 0.05:
            seen += queue.take(5)
    seen += drained(queue)
    for entry in seen:
        if isinstance(entry.item, SampleBlock):
            got += entry.item.lost
            assert entry.item.samples[0] == got
            got += len(entry.item)
    assert got == at
    assert queue.dropped_samples > 0


def test_events_are_kept_and_those_for_the_engine_alone_once() -> None:
    queue = LinkQueue(6)
    for _ in range(10_000):
        queue.put(event(LinkEventKind.RESTARTED, to_sinks=False))
        queue.put(event(LinkEventKind.DISCONNECTED, to_sinks=False))
    assert len(queue) <= 6 + 2
    queue = LinkQueue(6)
    queue.put(event(LinkEventKind.CONNECTED))
    for first in range(0, 1000, 10):
        queue.put(block(first))
        queue.put(event(LinkEventKind.RESTARTED, to_sinks=False))
    kinds = [e.item.kind for e in drained(queue) if isinstance(e.item, LinkEvent)]
    assert kinds[0] is LinkEventKind.CONNECTED
    assert LinkEventKind.RESTARTED in kinds
    assert len(kinds) <= 6


def test_samples_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SAMPLES", 1000)
    queue = LinkQueue(4096)
    for k in range(50):
        queue.put(block(k * 400, 400))
    waiting = sum(len(e.item) for e in drained(queue) if isinstance(e.item, SampleBlock))
    assert waiting <= 1400
    assert waiting + queue.dropped_samples == 50 * 400


def test_dropping_everything_counts_it() -> None:
    queue = LinkQueue(10)
    for k in range(5):
        queue.put(block(k * 10))
    queue.put(event(LinkEventKind.END))
    queue.drop()
    assert (len(queue), queue.lost, queue.dropped_samples) == (0, 50, 50)


def test_putting_into_a_full_queue_takes_no_search() -> None:
    """Ten times the events take about ten times as long, not a hundred times: count the steps, not the seconds."""
    steps = []
    for count in (1000, 10_000):
        queue = LinkQueue(500)
        calls = [0]
        original = queue._drop_oldest

        def counted(calls: list[int] = calls, original=original) -> None:  # type: ignore[no-untyped-def]
            calls[0] += 1
            original()

        queue._drop_oldest = counted  # type: ignore[method-assign]
        for k in range(count):
            queue.put(event(LinkEventKind.INFO))
            queue.put(block(k))
        steps.append(calls[0])
    assert steps[1] <= 2 * 10_000
