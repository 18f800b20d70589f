"""Pages with several simulated patches that have run for a while, played into the sinks of one server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from edge.cli.run import source_url
from edge.engine import Engine
from edge.frontend.stream import FS_HZ
from edge.http.patch import PatchSink
from edge.http.server import PageServer
from edge.session import Loaded, live_reasons, load, session_info
from edge.sources import open_source
from firmware_bridge.samples import LinkEvent

PATIENTS = (
    ("Bedroom 1", "sim:?potassium=6.5&hr=72&seed=1"),
    ("Bedroom 2", "sim:?potassium=4.1&hr=58&seed=2"),
    ("Corridor", "sim:?potassium=4.4&hr=96&seed=5"),
)
"""Names and simulated patients."""
PLAYED_S, LIVE_S = 120.0, 480.0
"""Signal that a page has from the start, and signal that then comes in real time."""


@dataclass
class Played:
    """What a simulated run gave, in order: calls to a sink with the signal time at which each is due."""

    calls: list[tuple[float, str, tuple[object, ...]]] = field(default_factory=list)


def play(url: str, loaded: Loaded, seconds: float) -> tuple[Played, object]:
    """Run a simulation as fast as possible and keep what its sinks would get."""
    source = open_source(source_url(url, "max", None))
    reasons = live_reasons(loaded.bundle, loaded.model, 1.0)
    engine = Engine(loaded.bundle, loaded.model, session_info(source), 1.0, reasons=reasons)
    out = Played()

    async def run() -> None:
        async for item in source.items():
            if isinstance(item, LinkEvent):
                out.calls.append((engine.timeline.end_s, "event", (item,)))
            got = engine.push(item)
            for start_s, samples in got.signal:
                out.calls.append((start_s, "signal", (samples.copy(), FS_HZ, start_s)))
            out.calls += [(t_s, "beat", (t_s,)) for t_s in got.beats_s]
            out.calls += [(e.window.end_s, "estimate", (e,)) for e in got.estimates]
            if engine.timeline.end_s >= seconds:
                break
        await source.close()

    asyncio.run(run())
    return out, source.info


class Player:
    """Plays runs into their sinks: a part at once, the rest in real time, until it is stopped."""

    def __init__(self, runs: Sequence[tuple[PatchSink, Played]], at_once_s: float) -> None:
        self._runs, self._at_once_s = runs, at_once_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _loop(self) -> None:
        due_s = self._at_once_s
        positions = [0] * len(self._runs)
        while not self._stop.wait(0.1):
            for i, (sink, played) in enumerate(self._runs):
                while positions[i] < len(played.calls) and played.calls[positions[i]][0] <= due_s:
                    _due_s, name, arguments = played.calls[positions[i]]
                    getattr(sink, name)(*arguments)
                    positions[i] += 1
            due_s += 0.1


@contextmanager
def served(count: int, *, token: str | None = None) -> Iterator[PageServer]:
    """Serve a page of the first `PATIENTS`, which have run for a while and go on for longer than a slow test takes."""
    loaded = load("demo")
    server = PageServer("127.0.0.1:0", token)
    server.start()
    runs = []
    for name, url in PATIENTS[:count]:
        played, info = play(url, loaded, PLAYED_S + LIVE_S)
        runs.append((server.patch(name, info, loaded.bundle, 1.0), played))
    try:
        with Player(runs, PLAYED_S):
            yield server
    finally:
        server.close()
