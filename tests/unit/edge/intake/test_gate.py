"""Events reach the sinks one by one while they are few, and joined and counted in any flood."""

from __future__ import annotations

import json

import pytest

from edge.intake.counts import thrown_by
from edge.intake.gate import BURST_BYTES, JOIN_S, EventGate
from edge.sinks._append import AppendFile
from edge.sinks._events import DAY_BYTES, EventLog
from firmware_bridge.parts import parts
from firmware_bridge.samples import LinkEvent, LinkEventKind

S = 10**9
DAY_S = 86_400
KINDS = [kind for kind in LinkEventKind if kind is not LinkEventKind.END]


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def gate(clock: Clock) -> EventGate:
    return EventGate(clock, lambda: 1_700_000_000 * S + clock.now_ns)


def corrupt(size: int = 10, detail: str = "bytes discarded") -> LinkEvent:
    return LinkEvent(LinkEventKind.CORRUPT, 0, f"{size} {detail}", {"bytes": size, "fault": "crc"})


def test_few_events_pass_unchanged() -> None:
    clock = Clock()
    events = gate(clock)
    for k in range(40):
        kind = (LinkEventKind.CONNECTED, LinkEventKind.DISCONNECTED)[k % 2]
        event = LinkEvent(kind, k, f"number {k}", {"where": "here"})
        assert events.admit(event) is event
    assert events.due() == events.rest() == []
    assert events.joined == 0


def test_a_repeated_message_is_joined_with_its_count_and_its_times() -> None:
    clock = Clock()
    events = gate(clock)
    assert events.admit(corrupt(7)) is not None
    for k in range(30):
        clock.now_ns = S + k * 500_000_001
        assert events.admit(corrupt(k + 1)) is None
    (joined,) = events.due()
    assert joined.kind is LinkEventKind.CORRUPT
    assert joined.data["count"] == joined.data["frames"] == 30
    assert joined.data["bytes"] == sum(range(1, 31))
    assert (joined.data["first"], joined.data["last"]) == ("2023-11-14T22:13:21.000Z", "2023-11-14T22:13:35.500Z")
    assert joined.detail.startswith("30 times within 15 s, the last: 30 bytes")
    assert events.due() == events.rest() == []
    assert events.joined == 30


def test_a_single_repetition_is_reported_as_it_was() -> None:
    clock = Clock()
    events = gate(clock)
    events.admit(corrupt(7))
    assert events.admit(corrupt(9)) is None
    assert events.due() == []
    clock.now_ns = round(JOIN_S * S)
    (one,) = events.due()
    assert one == corrupt(9)


def test_one_kind_does_not_silence_another() -> None:
    clock = Clock()
    events = gate(clock)
    for k in range(10_000):
        events.admit(corrupt(k))
        events.admit(LinkEvent(LinkEventKind.REFUSED, 0, f"refused {k}"))
    gone = LinkEvent(LinkEventKind.DISCONNECTED, 0, "the cable")
    assert events.admit(gone) is gone
    found = LinkEvent(LinkEventKind.INFO, 0, "what the reader found", {"decided": {"rate_hz": 1}})
    assert events.admit(found) is found


@pytest.mark.parametrize("text", ["x" * 5000, "\u0000\ud800" * 500, "short"])
def test_a_day_of_any_events_stays_below_the_limit(text: str) -> None:
    clock = Clock()
    events = gate(clock)
    lines = seen = 0
    told: list[LinkEvent] = []
    for second in range(0, DAY_S, 600):
        clock.now_ns = second * S
        for k in range(25):
            kind = KINDS[(seen + k) % len(KINDS)]
            event = events.admit(LinkEvent(kind, 0, f"{k} {text}", {"text": text, "n": [k] * 900}))
            told += [event] if event else []
        seen += 25
        told += events.due()
    told += events.rest()
    sizes = [200 + len(json.dumps(e.detail)) + len(json.dumps(dict(e.data), separators=(",", ":"))) for e in told]
    lines = sum(sizes)
    assert lines < DAY_BYTES
    counted = sum(e.data.get("count", 1) for e in told)
    assert counted == seen  # nothing is uncounted
    assert max(sizes) < BURST_BYTES / 4


def test_the_end_always_passes() -> None:
    events = gate(Clock())
    end = LinkEvent(LinkEventKind.END, 0, "over")
    assert [events.admit(end) for _ in range(1000)] == [end] * 1000


@pytest.mark.parametrize("part_bytes", [None, 62_500], ids=["one file", "parts"])
def test_the_log_is_bounded_per_day_across_restarts(tmp_path, monkeypatch, part_bytes) -> None:
    path = tmp_path / "events.jsonl"
    now = [1_700_000_000 * S]
    monkeypatch.setattr("edge.sinks._events.time.time_ns", lambda: now[0])
    event = LinkEvent(LinkEventKind.CORRUPT, 0, "d" * 250, {"count": 3, "first": "a", "last": "b", "bytes": 5})
    omitted = 0
    for _start in range(7):
        log = EventLog(AppendFile(path, b"{", part_bytes=part_bytes), "s")
        log.open()
        for _ in range(600):
            log.event(event)
        omitted += log.omitted
        log.close()
        now[0] += 3 * 3600 * S
    assert DAY_BYTES - 1000 < sum(p.stat().st_size for p in parts(path)) <= DAY_BYTES
    first = json.loads(path.read_text().splitlines()[0])
    assert (first["count"], first["first"], first["last"], first["data"]) == (3, "a", "b", {"bytes": 5})
    assert sum(len(p.read_text().splitlines()) for p in parts(path)) + omitted == 7 * 600
    now[0] += 30 * 3600 * S
    log = EventLog(AppendFile(path, b"{", part_bytes=part_bytes), "s")
    log.open()
    log.event(event)
    log.close()
    assert log.omitted == 0
    assert sum(p.stat().st_size for p in parts(path)) > DAY_BYTES - 1000


@pytest.mark.parametrize(
    ("event", "thrown"),
    [
        (corrupt(12), {"bytes": 12}),
        (LinkEvent(LinkEventKind.INFO, 0, "boot text", {"bytes": 3}), {"bytes": 3}),
        (LinkEvent(LinkEventKind.INFO, 0, "no frame", {"bytes": 3, "fault": "undecoded"}), {}),
        (LinkEvent(LinkEventKind.CORRUPT, 0, "hole", {"bytes": 3, "hole_bytes": 2}), {}),
        (LinkEvent(LinkEventKind.CORRUPT, 0, "", {"bytes": 10**400}), {}),
        (LinkEvent(LinkEventKind.CORRUPT, 0, "", {"bytes": "many"}), {}),
        (LinkEvent(LinkEventKind.REFUSED, 0, "", {"bytes": 4}), {}),
        (
            LinkEvent(LinkEventKind.INFO, 0, "", {"decided": {"damage": {"bytes": 9, "samples": 25}}}),
            {"recording_bytes": 9, "recording_samples": 25},
        ),
    ],
)
def test_what_an_event_says_was_thrown_away(event: LinkEvent, thrown: dict[str, int]) -> None:
    assert {key: n for key, n in thrown_by(event).items() if n} == thrown
