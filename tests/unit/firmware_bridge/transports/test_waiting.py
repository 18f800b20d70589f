"""What is said while a device is missing: each reason once, then seldom, and never more than a log can hold."""

from __future__ import annotations

import itertools

import pytest

from firmware_bridge.transports._link import Backoff
from firmware_bridge.transports._waiting import REASONS_MAX, REPEAT_S, Waiting, reason_of

DAY_S = 86_400


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def said(waiting: Waiting, clock: Clock, seconds: int, what: str) -> list[float]:
    """Times at which the reason is said, with an attempt a second."""
    times = []
    for _ in range(seconds):
        if waiting.event("/dev/ttyACM0", what, "connect it", "waiting for it") is not None:
            times.append(clock.now_s)
        clock.now_s += 1.0
    return times


def test_a_reason_is_said_at_once_and_then_at_growing_intervals() -> None:
    clock = Clock()
    times = said(Waiting(clock), clock, 7 * DAY_S, "no such device: /dev/ttyACM0")
    assert times[:5] == [0.0, 60.0, 180.0, 420.0, 900.0]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert max(gaps) == REPEAT_S[1]
    assert len(times) < 50, "a week of waiting"


def test_another_reason_is_said_at_once_and_flapping_between_two_is_bounded() -> None:
    clock = Clock()
    waiting, count = Waiting(clock), 0
    for second in range(DAY_S):
        clock.now_s = float(second)
        what = ("no such device: p", "no permission to open p")[second % 2]
        count += waiting.event("p", what, "", "waiting for it") is not None
    assert 4 <= count < 40


def test_texts_that_always_differ_are_forgotten_and_not_collected() -> None:
    clock = Clock()
    waiting = Waiting(clock)
    for number in range(1000):
        waiting.event("p", f"error {number}", "", "")
    assert len(waiting._due) == REASONS_MAX


def test_after_a_connection_everything_is_news() -> None:
    clock = Clock()
    waiting = Waiting(clock)
    assert waiting.event("p", "gone", "", "") is not None
    assert waiting.event("p", "gone", "", "") is None
    assert waiting.event("p", "gone", "", "", now=True) is not None
    waiting.over()
    assert waiting.event("p", "gone", "", "") is not None


def test_the_event_says_what_why_and_what_to_do() -> None:
    event = Waiting().event("/dev/ttyACM0", "no such device: /dev/ttyACM0", "connect it", "waiting for it", failures=3)
    assert event is not None
    assert event.detail == "no such device: /dev/ttyACM0; connect it; waiting for it"
    assert event.data == {"where": "/dev/ttyACM0", "reason": "no such device", "fix": "connect it", "failures": 3}


@pytest.mark.parametrize(
    ("what", "where", "reason"),
    [
        ("no such device: /dev/ttyACM0", "/dev/ttyACM0", "no such device"),
        ("no permission to open /dev/ttyACM0", "/dev/ttyACM0", "no permission to open it"),
        ("/dev/ttyACM0 is in use by minicom (pid 7)", "/dev/ttyACM0", "it is in use by minicom (pid 7)"),
        ("nothing listens at 10.0.0.2:4567", "10.0.0.2:4567", "nothing listens there"),
        ("Polar H10 at A0:9E was not found", "Polar H10 at A0:9E", "it was not found"),
        ("the Bluetooth adapter is off", "Polar H10 at A0:9E", "the Bluetooth adapter is off"),
    ],
)
def test_a_reason_does_not_repeat_the_name(what: str, where: str, reason: str) -> None:
    assert reason_of(what, where) == reason


def test_a_limited_pause_is_never_longer_than_its_limit() -> None:
    for name in ("strap", "patch", "/dev/ttyACM0"):
        backoff = Backoff(name, 0.5, 10.0)
        assert all(backoff.next_s(1.0) <= 1.0 for _ in range(50))
        assert backoff.next_s() > 7.0, "without the limit it has grown"
