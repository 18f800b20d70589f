"""Session folders of a simulated patch, written by the real engine, sink and recorder, without waiting."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from pathlib import Path

from edge.engine import Engine, SessionInfo
from edge.records import RunSummary, utc_text
from edge.session import Loaded, load
from edge.sinks.session import SessionSink, next_raw_path
from edge.sources import open_source
from edge.sources.sim import SimSource
from firmware_bridge.samples import LinkEvent, LinkItem

START_UNIX_S = 1_795_000_000
"""Start of the first run: 2026-11-18 11:06:40 UTC."""
BETWEEN_S = 3600
"""Seconds from one run to the next."""
OFF_THEN_GAP = "leadoff@14:2;unplug@30:3"


@cache
def demo_bundle() -> Loaded:
    """The bundle in the package."""
    return load("demo", "auto")


def write_session(
    folder: Path,
    url: str = "sim:?potassium=6.5&seed=1",
    seconds: float = 45.0,
    *,
    finish: bool = True,
    raw: bool = True,
) -> Path:
    """Write a session, or another run of an unfinished one; without ``finish`` as if the process had been killed."""
    number = sum(path.name.startswith("raw") for path in folder.iterdir()) if folder.exists() else 0
    folder.mkdir(parents=True, exist_ok=True)
    source = open_source(f"{url}&speed=max&seconds={seconds:g}")
    assert isinstance(source, SimSource)
    source.info = replace(source.info, live=True, url=url, session=f"run{number + 1}")
    if raw:
        source.record(next_raw_path(folder))
    items = asyncio.run(_all(source))
    start_ns = (START_UNIX_S + number * BETWEEN_S) * 10**9 - items[0].arrival_ns
    info = SessionInfo(f"run{number + 1}", "anyecg_patch", lambda ns: start_ns + ns, lambda: True, stalls=True)
    engine = Engine(demo_bundle().bundle, demo_bundle().model, info)
    sink = SessionSink(folder, source.info, demo_bundle().bundle, info.session)
    sink.open()
    hops = estimates = 0
    for item in items:
        if isinstance(item, LinkEvent):
            sink.event(item)
        out = engine.push(item)
        for t_s in out.beats_s:
            sink.beat(t_s)
        for e in out.estimates:
            sink.estimate(e)
            hops += 1
            estimates += e.abstained is None
    summary = RunSummary(
        hops=hops, estimates=estimates, signal_s=engine.timeline.end_s, lost_samples=engine.timeline.lost_samples
    )
    sink.close(summary if finish else None)
    return folder


async def _all(source: SimSource) -> list[LinkItem]:
    items = [item async for item in source.items()]
    await source.close()
    return items


def started(run: int) -> str:
    """Start of a run as the list shows it."""
    return utc_text((START_UNIX_S + (run - 1) * BETWEEN_S) * 10**9)
