"""An hour of signal at full speed with every fault: nothing crashes, grows or goes uncounted, no window spans a gap.

``tests/soak`` does a day, through the whole of ``anyecg run``.
"""

from __future__ import annotations

import asyncio
import math

import pytest

from edge.engine import Engine
from edge.process import budget
from edge.session import load, session_info
from edge.sources import open_source
from firmware_bridge.samples import SampleBlock

FAULTS = "drop=0.0003;corrupt=0.0003;double=0.0003;late=0.0003;drift=60"


def spans(hours: float) -> str:
    """A schedule with one unplug, restart, stall and loss of contact per hour."""
    parts = []
    for hour in range(int(hours)):
        at = hour * 3600
        parts += [f"unplug@{at + 600}:30", f"restart@{at + 1500}", f"leadoff@{at + 2100}:20", f"stall@{at + 3000}:40"]
    return ";".join(parts)


async def soak(hours: float) -> None:
    source = open_source(f"sim:?speed=max&seed=5&seconds={hours * 3600:g}&faults={FAULTS};{spans(hours)}")
    loaded = load("demo")
    engine = Engine(loaded.bundle, loaded.model, session_info(source))
    lost, hops, good = 0, 0, 0
    # The allocator keeps or returns a megabyte or two at a time: growth is the rise of the lowest reading per hour.
    lowest_mib = [float("inf")] * math.ceil(hours * 2 + 1)
    gaps: list[tuple[float, float]] = []
    last_end_s = 0.0
    async for item in source.items():
        before_s = engine.timeline.end_s
        segments = engine.timeline.segments
        for e in engine.push(item).estimates:
            assert e.window.end_s > last_end_s
            last_end_s = e.window.end_s
            hops += 1
            if e.abstained is None:
                good += 1
                inside = [g for g in gaps[-8:] if e.window.start_s < g[0] - 0.1 and e.window.end_s > g[1] + 0.1]
                assert not inside, (e.window, inside)
        if isinstance(item, SampleBlock):
            lost += item.lost
            if engine.timeline.segments > segments and before_s > 0.0:
                gaps.append((before_s, before_s))
            half_hour = int(engine.timeline.end_s // 1800.0)
            if item.seq is not None and item.seq % 200 == 0:
                lowest_mib[half_hour] = min(lowest_mib[half_hour], budget.rss_mib())
    truth = source.patch.account()
    assert lost == truth["lost_samples"] == engine.timeline.lost_samples
    assert hops >= hours * 3600 * 0.98
    assert good > 0.3 * hops
    assert len(gaps) > 4 * hours
    read = [mib for mib in lowest_mib if mib < float("inf")]
    assert len(read) >= 2 * hours - 1
    assert read[-1] - read[1] < budget.RSS_GROWTH_MIB_24H, read


@pytest.mark.slow
def test_an_hour_with_every_fault() -> None:
    asyncio.run(soak(1.25))
