"""What a person reads about the link: one sentence for each change, few enough for a log of weeks, on one line each."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from edge.process.systemd import STATUS_CHARS, Notifier
from edge.records import BundleRef, Estimate, QualityRecord, WindowSpan
from edge.sinks.link import COUNT_EVERY_S, LINES_BURST, LinkSink, LinkStory, StatusSink, span
from edge.sinks.live.layout import layout
from edge.sinks.live.state import LiveState
from firmware_bridge.samples import LinkEvent, LinkEventKind

PORT = "/dev/ttyACM0"
CONNECTED = LinkEvent(LinkEventKind.CONNECTED, 0, f"{PORT} is open")
LOST = LinkEvent(LinkEventKind.DISCONNECTED, 0, f"{PORT} is gone: unplugged")
STALLED = LinkEvent(LinkEventKind.STALLED, 0, f"no data from {PORT} for 15 s; reopening it")
ABSENT = LinkEvent(
    LinkEventKind.INFO,
    0,
    f"no such device: {PORT}; connect it; waiting for it",
    {"where": PORT, "reason": "no such device", "fix": "connect it"},
)
WAITING = f"waiting for {PORT}: no such device (connect it)"
ESTIMATE = Estimate(
    "2026-11-22T16:00:00.000Z", True, "s", "p", WindowSpan(0, 10), BundleRef("demo", "0" * 64), QualityRecord(0.9), 71.6
)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_story_of_a_link() -> None:
    clock = Clock()
    story = LinkStory(clock)
    assert story.sentence(ABSENT) == WAITING
    assert story.sentence(CONNECTED) == f"connected: {PORT} is open"
    assert story.sentence(LinkEvent(LinkEventKind.HELLO, 0, "patch 1.0")) is None
    assert story.sentence(LinkEvent(LinkEventKind.INFO, 0, "battery 80 %")) is None
    assert story.sentence(LOST) == f"connection lost: {PORT} is gone: unplugged"
    clock.now_s = 10.0
    assert story.sentence(ABSENT) == WAITING
    clock.now_s = 42.0
    assert story.sentence(CONNECTED) == f"connected again after 42 s: {PORT} is open"
    assert story.sentence(STALLED) == f"connection lost: {STALLED.detail}"
    undecoded = LinkEvent(LinkEventKind.INFO, 0, "bytes arrive but no frame", {"fault": "undecoded"})
    assert story.sentence(undecoded) == "bytes arrive but no frame"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (119, "119 s"), (125, "2 min"), (3 * 3600 + 300, "3 h 5 min"), (187_300, "2 d 4 h")],
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_lines_of_a_link_that_comes_and_goes_all_day_are_bounded_and_counted() -> None:
    clock, out = Clock(), io.StringIO()
    sink = LinkSink(out, clock)
    events = 0
    for second in range(86_400):
        clock.now_s = float(second)
        sink.event((CONNECTED, LOST)[second % 2])
        events += 1
    sink.close(None)
    lines = out.getvalue().splitlines()
    assert LINES_BURST <= len(lines) <= LINES_BURST + 1441
    left_out = sum(int(line.rpartition("(")[2].split()[0]) for line in lines if line.endswith("left out)"))
    assert len(lines) + left_out == events


def test_the_last_line_is_written_later_if_nothing_follows() -> None:
    clock, out = Clock(), io.StringIO()
    sink = LinkSink(out, clock)
    for _ in range(LINES_BURST):
        sink.event(LOST)
    sink.event(CONNECTED)
    sink.estimate(ESTIMATE)
    assert "connected" not in out.getvalue()
    clock.now_s = 60.0
    sink.estimate(ESTIMATE)
    assert out.getvalue().splitlines()[-1].startswith("connected again")


def test_a_name_from_the_radio_controls_neither_terminal_nor_service_manager() -> None:
    sent: list[str] = []
    evil = LinkEvent(LinkEventKind.CONNECTED, 0, "strap\x1b[2J\nMAINPID=1\u202e is connected" + "x" * 1000)
    out = io.StringIO()
    LinkSink(out).event(evil)
    assert out.getvalue().count("\n") == 1
    assert out.getvalue()[:-1].isprintable()

    class Listening(Notifier):
        def _send(self, text: str) -> None:
            sent.append(text)

    notifier = Listening({"NOTIFY_SOCKET": "/nowhere"})
    assert notifier.listening
    assert not Notifier({}).listening
    StatusSink(notifier.status, "p").event(evil)
    notifier.status(evil.detail)
    assert len(sent) == 2
    for text in sent:
        assert text.startswith("STATUS=")
        assert "\n" not in text
        assert len(text) <= len("STATUS=") + STATUS_CHARS


def test_a_closed_standard_error_does_not_end_a_run() -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    LinkSink(Closed()).event(CONNECTED)
    gone = io.StringIO()
    gone.close()
    LinkSink(gone).event(CONNECTED)


def test_the_status_of_a_service() -> None:
    clock, said = Clock(), list[str]()
    sink = StatusSink(said.append, "polar_h10", clock)
    sink.open()
    sink.event(ABSENT)
    sink.event(CONNECTED)
    sink.estimate(replace(ESTIMATE, abstained="warming_up"))
    for _ in range(3412):
        sink.estimate(ESTIMATE)
    assert said == [
        "waiting for polar_h10",
        WAITING,
        f"connected: {PORT} is open",
        "recording polar_h10: warming up: the first estimate needs 10 s of signal; 0 estimates",
        "recording polar_h10: 72 bpm, 1 estimate",
    ]
    clock.now_s = COUNT_EVERY_S
    sink.estimate(replace(ESTIMATE, abstained="lead_off"))
    assert said[-1] == "recording polar_h10: an electrode has no contact; 3,412 estimates"
    sink.event(LOST)
    lost = said[-1]
    assert lost == f"connection lost: {PORT} is gone: unplugged"
    clock.now_s += COUNT_EVERY_S
    sink.estimate(replace(ESTIMATE, abstained="stalled"))
    assert said[-1] == lost, "why nothing comes says more than that nothing comes"
    sink.event(CONNECTED)
    sink.estimate(replace(ESTIMATE, heart_rate_bpm=None))
    assert said[-1] == "recording polar_h10: heart rate unknown, 3,413 estimates"


def test_the_status_is_not_sent_at_every_estimate() -> None:
    clock, said = Clock(), list[str]()
    sink = StatusSink(said.append, "p", clock)
    for second in range(3600):
        clock.now_s = float(second)
        sink.estimate(ESTIMATE)
    assert len(said) == 3600 / COUNT_EVERY_S
    assert said[-1].endswith("3,591 estimates")


def test_the_live_view_shows_why_there_is_no_connection() -> None:
    state = LiveState("serial:/dev/ttyACM0")
    state.estimate(ESTIMATE)

    def shown() -> str:
        return "\n".join("".join(piece.text for piece in row) for row in layout(state, 100, 24, 0.0))

    state.event(CONNECTED)
    assert "no such device" not in shown()
    state.event(LOST)
    assert "is gone: unplugged" in shown()
    state.event(ABSENT)
    assert "no such device: /dev/ttyACM0; connect it" in shown()
    state.event(CONNECTED)
    assert "no such device" not in shown()
