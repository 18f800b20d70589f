"""The split of the bytes does not matter, except where only arrival times can tell how much time has passed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edge.engine import Engine, SessionInfo
from edge.records import Estimate, to_dict
from edge.session import Loaded, load
from edge.sources import open_source
from firmware_bridge import devices
from firmware_bridge.items import RawChunk, TransportItem
from firmware_bridge.rawlog import RawLogReader
from firmware_bridge.samples import LinkEvent

S = 10**9
LOSSES = "drop=0.003;double=0.01;drift=100;unplug@25:3"


@cache
def loaded() -> Loaded:
    return load("demo", "litert-reference")


def recorded(faults: str, path: Path) -> list[TransportItem]:
    """Return what arrives from a simulated patch within 70 s."""

    async def go() -> None:
        source = open_source(f"record:{path},sim:?speed=max&seed=3&seconds=70&faults={faults}")
        async for _item in source.items():
            pass
        await source.close()

    asyncio.run(go())
    return list(RawLogReader(path).items())


def estimates(items: Iterable[TransportItem]) -> list[Estimate]:
    engine = Engine(loaded().bundle, loaded().model, SessionInfo("s", "d", lambda ns: ns, lambda: True, stalls=False))
    decoder = devices.get("anyecg_patch").decoder()
    return [e for raw in items for item in devices.decode_item(decoder, raw) for e in engine.push(item).estimates]


def plain(found: Iterable[Estimate]) -> list[str]:
    kept = [{k: v for k, v in to_dict(e).items() if k not in {"time", "latency_ms"}} for e in found]
    return [json.dumps(one) for one in kept]


def cut_smaller(items: list[TransportItem], seed: int) -> list[TransportItem]:
    """Cut every chunk; the pieces arrive when it did."""
    rng = np.random.default_rng(seed)
    out: list[TransportItem] = []
    for item in items:
        if isinstance(item, LinkEvent) or len(item.data) < 2:
            out.append(item)
            continue
        at = 0
        while at < len(item.data):
            size = int(rng.integers(1, 60))
            out.append(RawChunk(item.arrival_ns, item.channel, item.data[at : at + size]))
            at += size
    return out


def joined(items: list[TransportItem], seed: int) -> list[TransportItem]:
    """Join neighbouring chunks; all their bytes arrive with the last of them."""
    rng = np.random.default_rng(seed)
    out: list[TransportItem] = []
    held: list[RawChunk] = []
    for item in [*items, None]:
        if isinstance(item, RawChunk):
            held.append(item)
        if held and (not isinstance(item, RawChunk) or len(held) >= rng.integers(1, 30)):
            out.append(RawChunk(held[-1].arrival_ns, held[0].channel, b"".join(c.data for c in held)))
            held = []
        if isinstance(item, LinkEvent):
            out.append(item)
    return out


@pytest.mark.parametrize("recut", [cut_smaller, joined])
def test_losses_and_a_lost_link_do_not_depend_on_the_split(tmp_path: Path, recut) -> None:
    items = recorded(LOSSES, tmp_path / "raw.aer")
    whole = plain(estimates(items))
    assert sum('"abstained": null' in line for line in whole) >= 5
    for seed in range(2):
        assert plain(estimates(recut(items, seed))) == whole


def test_a_restart_does_not_depend_on_a_split_that_keeps_arrival_times(tmp_path: Path) -> None:
    items = recorded("restart@35:2", tmp_path / "raw.aer")
    assert plain(estimates(cut_smaller(items, 1))) == plain(estimates(items))


def test_behind_a_restart_everything_moves_with_the_arrival_times_and_before_it_nothing(tmp_path: Path) -> None:
    """The patch forgets its clock when it restarts, so its bytes do not tell how long it was away."""
    items = recorded("restart@35:2", tmp_path / "raw.aer")
    late = [
        RawChunk(item.arrival_ns + 3 * S * (item.arrival_ns - items[0].arrival_ns > 36 * S), item.channel, item.data)
        if isinstance(item, RawChunk)
        else item
        for item in items
    ]
    first, second = estimates(items), estimates(late)
    before = [e for e in first if e.window.end_s < 34.0]
    assert plain(before) == plain(second[: len(before)])
    assert first[-1].lost_samples == second[-1].lost_samples

    def signal(found: list[Estimate]) -> list[tuple[object, ...]]:
        return [(e.labs, e.heart_rate_bpm, e.quality) for e in found if e.window.start_s > 37.0 and not e.abstained]

    # Three seconds are a whole number of hops: the same windows, three seconds later.
    assert len(signal(first)) > 10
    assert signal(first) == signal(second)
    ends = [[e.window.end_s for e in found if not e.abstained][-1] for found in (first, second)]
    assert ends[1] - ends[0] == pytest.approx(3.0, abs=1e-6)
