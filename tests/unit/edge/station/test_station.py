"""Patches side by side: the same estimates as alone, and one that fails touches no other."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from edge.engine import Engine
from edge.records import to_dict
from edge.session import Loaded, load, session_info
from edge.sinks import BaseSink, Sink, SinkClosedError
from edge.sinks.memory import MemorySink
from edge.sources import open_source
from edge.station import station as module
from edge.station.station import Outcome, Patch, Started, Station, exit_code
from edge.station.status import StationStatus
from firmware_bridge.errors import LinkError, OutputError, UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load("demo")


class Systemd:
    """Takes the place of the notifier."""

    listening = True

    def __init__(self) -> None:
        self.beats, self.said = 0, list[str]()

    def alive(self) -> None:
        self.beats += 1

    def status(self, text: str) -> None:
        self.said.append(text)


def patch(name: str, url: str, *sinks: Sink) -> Patch:
    def start() -> Started:
        source = open_source(url)
        return Started(source, replace(session_info(source), patch=name), sinks)

    return Patch(name, start)


def run(
    loaded: Loaded,
    *patches: Patch,
    again: bool = False,
    notifier: Systemd | None = None,
    during: Callable[[Station], object] | None = None,
) -> tuple[list[Outcome], list[str]]:
    lines: list[str] = []

    async def main() -> list[Outcome]:
        station = Station(
            patches,
            loaded,
            seconds=None,
            hop_s=1.0,
            again=again,
            said=lambda name, line: lines.append(f"{name}: {line}"),
            notifier=notifier or Systemd(),
        )
        if during is not None:
            during(station)
        async with asyncio.timeout(60):
            return await station.run()

    return asyncio.run(main()), lines


def plain(e) -> str:
    """An estimate as text, without what differs between two runs of the same signal."""
    record = to_dict(e)
    for key in ("time", "latency_ms", "patch"):
        record.pop(key, None)
    return json.dumps(record)


def alone(loaded: Loaded, url: str) -> list[str]:
    async def main() -> list[str]:
        source = open_source(url)
        engine = Engine(loaded.bundle, loaded.model, session_info(source))
        return [plain(e) async for item in source.items() for e in engine.push(item).estimates]

    return asyncio.run(main())


def test_each_patch_gives_the_estimates_that_it_gives_alone(loaded: Loaded) -> None:
    urls = [f"sim:?seed={seed}&hr={60 + seed}&seconds=14&speed=max" for seed in (1, 2)]
    urls.append("sim:?seed=3&seconds=9&speed=max&faults=drop=0.02;restart@5")
    kept = [MemorySink() for _ in urls]
    outcomes, said = run(loaded, *(patch(f"p{i}", url, kept[i]) for i, url in enumerate(urls)))
    for url, sink in zip(urls, kept, strict=True):
        assert [plain(e) for e in sink.estimates] == alone(loaded, url)
    assert {e.patch for e in kept[2].estimates} == {"p2"}
    assert [one.summary.ended_by for one in outcomes] == ["end"] * 3
    assert said == []
    assert exit_code(outcomes) == 0


class Failing(BaseSink):
    def __init__(self, error: Exception, after: int = 1) -> None:
        self.error, self.left, self.events = error, after, list[LinkEvent]()
        self.closed_with: object = "open"

    def estimate(self, e) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error

    def event(self, ev) -> None:
        self.events.append(ev)

    def close(self, summary) -> None:
        self.closed_with = summary


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OutputError("the disk failed", "replace it"), 7, "bad: ended: the disk failed (replace it)"),
        (RuntimeError("oh"), 70, "bad: ended: internal error, RuntimeError: oh"),
    ],
)
def test_a_patch_that_fails_ends_alone(loaded: Loaded, error: Exception, code: int, line: str) -> None:
    good, bad = MemorySink(), Failing(error)
    outcomes, said = run(
        loaded, patch("bad", "sim:?seconds=3&speed=max", bad), patch("good", "sim:?seconds=4&speed=max&seed=2", good)
    )
    assert said == [line]
    assert [one.code for one in outcomes] == [code, 0]
    assert exit_code(outcomes) == exit_code(outcomes, stopped=143) == code
    assert outcomes[1].summary.ended_by == "end"
    assert good.summary is not None
    assert bad.closed_with is None  # the session can be continued
    if code == 7:
        assert (bad.events[-1].kind, bad.events[-1].data["error"]) == (LinkEventKind.INFO, 7)
        assert "the disk failed" in bad.events[-1].detail


def test_a_patch_that_cannot_start_ends_alone(loaded: Loaded) -> None:
    def refused() -> Started:
        raise LinkError("the port is in use", "close the other program")

    good = MemorySink()
    outcomes, said = run(loaded, Patch("bad", refused), patch("good", "sim:?seconds=3&speed=max", good))
    assert said == ["bad: ended: the port is in use (close the other program)"]
    assert (outcomes[0].summary, exit_code(outcomes)) == (None, 5)
    assert len(good.estimates) == 1


def test_a_service_starts_a_patch_again_unless_that_cannot_help(loaded: Loaded, monkeypatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.001)
    tries, kept = {"late": 0, "wrong": 0}, MemorySink()

    def late() -> Started:
        tries["late"] += 1
        if tries["late"] < 4:
            raise LinkError("the port is in use")
        return patch("late", "sim:?seconds=3&speed=max", kept).start()

    def wrong() -> Started:
        tries["wrong"] += 1
        raise UsageError("DIR holds a finished session", "name a new folder")

    outcomes, said = run(loaded, Patch("late", late), Patch("wrong", wrong), again=True)
    assert tries == {"late": 4, "wrong": 1}
    assert said.count("late: ended: the port is in use; it is started again in 0 s") == 3
    assert [(one.code, one.starts) for one in outcomes] == [(0, 4), (2, 1)]
    assert len(kept.estimates) == 1


def test_a_stop_ends_all_with_their_summaries_also_one_that_waits_for_its_next_start(loaded: Loaded) -> None:
    kept, stations = [MemorySink(), MemorySink()], list[Station]()

    def refused() -> Started:
        asyncio_loop.call_soon_threadsafe(stations[0].stop, "SIGTERM")
        raise LinkError("the port is in use")

    def during(station: Station) -> None:
        nonlocal asyncio_loop
        asyncio_loop = asyncio.get_running_loop()
        stations.append(station)

    asyncio_loop: asyncio.AbstractEventLoop
    outcomes, _said = run(
        loaded,
        patch("a", "sim:?seed=1", kept[0]),
        patch("b", "sim:?seed=2", kept[1]),
        Patch("c", refused),
        again=True,
        during=during,
    )
    assert [sink.summary.ended_by for sink in kept if sink.summary] == ["SIGTERM"] * 2
    assert outcomes[2].code == 5


def test_a_closed_output_ends_all(loaded: Loaded) -> None:
    kept = MemorySink()
    outcomes, said = run(
        loaded, patch("a", "sim:?seconds=3&speed=max", Failing(SinkClosedError("closed"))), patch("b", "sim:", kept)
    )
    assert said == []
    assert exit_code(outcomes) == 0
    assert kept.summary.ended_by == "output closed"


def test_the_service_manager_hears_nothing_while_one_patch_is_stuck(loaded: Loaded, monkeypatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.001)
    systemd = Systemd()

    async def main() -> None:
        station = Station([], loaded, seconds=None, hop_s=1.0, again=False, said=lambda *_: None, notifier=systemd)
        now_s = time.monotonic()
        station._seen_s = {"a": now_s, "b": now_s - module.LATE_S}
        beats = asyncio.create_task(station._beat())
        await asyncio.sleep(0.02)
        assert systemd.beats == 0
        station._seen_s["b"] = now_s
        await asyncio.sleep(0.02)
        assert systemd.beats > 0
        beats.cancel()

    asyncio.run(main())


def event(kind: LinkEventKind, detail: str = "", **data: object) -> LinkEvent:
    return LinkEvent(kind, 0, detail, data)


def test_the_status_counts_all_and_names_those_that_do_not_record(loaded: Loaded) -> None:
    status = StationStatus()
    sinks = {name: status.patch(name, "polar_h10") for name in ("bedroom", "hall", "kitchen", "attic")}
    for sink in sinks.values():
        sink.open()
    assert status.line().startswith("recording 0 of 4 patches; bedroom: waiting for polar_h10; ")
    kept = MemorySink()
    run(loaded, patch("x", "sim:?seconds=14&speed=max", kept))
    for sink in sinks.values():
        sink.event(event(LinkEventKind.CONNECTED, "the port is open"))
        sink.estimate(kept.estimates[-1])
    assert status.line() == "recording 4 of 4 patches"
    sinks["bedroom"].event(event(LinkEventKind.INFO, reason="no such device", where="/dev/ttyACM1", fix="connect it"))
    sinks["hall"].estimate(replace(kept.estimates[-1], abstained="lead_off"))
    status.set("attic", "ended: the disk failed", recording=False)
    assert status.line() == (
        "recording 2 of 4 patches; bedroom: waiting for /dev/ttyACM1: no such device (connect it); "
        "attic: ended: the disk failed; hall: an electrode has no contact"
    )


def test_longer_pieces_of_signal_give_the_same_answers(loaded: Loaded) -> None:
    url = "sim:?seed=4&seconds=16&speed=max&faults=drop=0.004;leadoff@3:1"

    async def main(gather_s: float) -> list[str]:
        source = open_source(url)
        engine = Engine(loaded.bundle, loaded.model, session_info(source), 1.0, gather_s)
        return [plain(e) async for item in source.items() for e in engine.push(item).estimates]

    first = asyncio.run(main(0.2))
    assert len(first) > 5
    assert asyncio.run(main(1.0)) == first
