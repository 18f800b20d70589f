"""Loss from a device's clock, on times by hand."""

from __future__ import annotations

import pytest

from firmware_bridge.decoding.timing import FrameTimes, Placed, Verdict, _missing, other_clock

MS, S, DAY = 10**6, 10**9, 86_400 * 10**9
NEXT = Placed(Verdict.NEXT)


def steady(frames: int = 40, count: int = 25, fs_hz: float = 250.0) -> tuple[FrameTimes, int]:
    """A stream that has settled at exactly its nominal rate, and the time of its last frame."""
    times, at_ns = FrameTimes(fs_hz, MS), S
    for _ in range(frames):
        at_ns += round(count * 1e9 / fs_hz)
        assert times.place(count, at_ns, at_ns) == NEXT
    return times, at_ns


def test_frames_at_the_nominal_rate_lose_nothing() -> None:
    times, _ = steady()
    assert times.fs_hz == pytest.approx(250.0)
    assert times.period_ns == pytest.approx(4e6)
    assert Placed(Verdict.NEXT).lost == 0


def test_the_same_time_is_the_same_frame() -> None:
    times, at_ns = steady()
    assert times.place(25, at_ns, at_ns + S) == Placed(Verdict.REPEATED)
    assert times.place(25, at_ns + 100 * MS, at_ns + 100 * MS) == NEXT


def test_a_clock_that_goes_back_began_anew() -> None:
    times, at_ns = steady()
    assert times.place(25, at_ns - 1, at_ns + 100 * MS) == Placed(Verdict.RESTARTED)
    assert times.place(25, at_ns - 1 + 100 * MS, at_ns + 200 * MS) == NEXT
    assert times.place(25, at_ns - 1 + 300 * MS, at_ns + 400 * MS) == Placed(Verdict.NEXT, 25)


@pytest.mark.parametrize("frames", [1, 2, 7, 60])
def test_whole_frames_are_missing(frames: int) -> None:
    times, at_ns = steady()
    at_ns += (frames + 1) * 100 * MS
    assert times.place(25, at_ns, at_ns) == Placed(Verdict.NEXT, 25 * frames)
    assert times.place(25, at_ns + 100 * MS, at_ns + 100 * MS) == NEXT


@pytest.mark.parametrize(("late_ms", "lost"), [(2.0, 0), (2.7, 0), (3.3, 1), (6.0, 2), (9.6, 2), (10.4, 3), (40.0, 10)])
def test_frames_of_changing_size_may_miss_any_number(late_ms: float, lost: int) -> None:
    times, at_ns = steady()
    at_ns += round((20 * 4 + late_ms) * MS)
    assert times.place(20, at_ns, at_ns) == Placed(Verdict.NEXT, lost)


def test_after_an_interruption_any_number_of_samples_may_be_missing() -> None:
    times, at_ns = steady()
    times.interrupt()
    at_ns += (25 + 37) * 4 * MS
    assert times.place(25, at_ns, at_ns) == Placed(Verdict.NEXT, 37)
    at_ns += (25 + 25) * 4 * MS
    assert times.place(25, at_ns, at_ns) == Placed(Verdict.NEXT, 25)


def test_less_time_than_samples_loses_nothing_and_measures_anew() -> None:
    times, at_ns = FrameTimes(250.0, MS), 0
    for _ in range(200):
        at_ns += 101 * MS
        times.place(25, at_ns, at_ns)
    assert times.fs_hz == pytest.approx(250.0 / 1.01, rel=1e-4)
    assert times.place(25, at_ns + 50 * MS, at_ns + 50 * MS) == NEXT
    assert times.fs_hz == 250.0


def test_a_rate_that_is_a_little_off_is_measured() -> None:
    times, at_ns = FrameTimes(250.0, MS), 0
    for _ in range(600):
        at_ns += round(100.6 * MS)
        assert times.place(25, at_ns, at_ns) == NEXT
    assert times.fs_hz == pytest.approx(250.0 / 1.006, rel=1e-6)
    at_ns += round(11 * 100.6 * MS)
    assert times.place(25, at_ns, at_ns) == Placed(Verdict.NEXT, 250)


@pytest.mark.parametrize(("frame_ms", "fs_hz"), [(103.0, 250.0 / 1.025), (97.2, 250.0 / 0.975)])
def test_a_measured_rate_stays_within_the_tolerance(frame_ms: float, fs_hz: float) -> None:
    times, at_ns = FrameTimes(250.0, MS), 0
    for _ in range(60):
        at_ns += round(frame_ms * MS)
        times.place(25, at_ns, at_ns)
    assert times.fs_hz == pytest.approx(fs_hz)


def test_a_stream_of_another_rate_goes_on_where_the_first_left_off() -> None:
    first, at_ns = steady()
    other = FrameTimes(125.0, MS)
    other.resume(first)
    assert other.fs_hz == 125.0
    assert other.place(25, at_ns, at_ns) == Placed(Verdict.REPEATED)
    assert other.place(25, at_ns + 400 * MS, at_ns + 400 * MS) == Placed(Verdict.NEXT, 25)
    fresh = FrameTimes(125.0, MS)
    fresh.resume(FrameTimes(250.0, MS))
    assert fresh.place(25, 5, 5) == NEXT
    first.interrupt()
    other = FrameTimes(250.0, MS)
    other.resume(first)
    at_ns += (25 + 37) * 4 * MS
    assert other.place(25, at_ns, at_ns) == Placed(Verdict.NEXT, 37)


@pytest.mark.parametrize(
    ("gone_ns", "arrived_ns", "broken", "other"),
    [
        (7 * DAY, 7 * DAY, False, False),
        (7 * DAY + 1, 7 * DAY + 1, False, True),
        (40 * S, 0, False, False),
        (40 * S, -5, False, False),
        (31 * S + 10 * MS, S, False, False),
        (31 * S + 10 * MS + 1, S, False, True),
        (31 * S + 10 * MS + 1, S, True, True),
        (S, 40 * S, False, False),
        (S, 31 * S, True, False),
        (S, 31 * S + 1, True, True),
    ],
)
def test_another_clock_is_told_from_a_long_gap(gone_ns: int, arrived_ns: int, broken: bool, other: bool) -> None:
    assert other_clock(gone_ns, arrived_ns, broken=broken) is other


def test_a_clock_that_was_set_forward_began_anew() -> None:
    times, at_ns = steady()
    assert times.place(25, at_ns + 40 * S, at_ns + 100 * MS) == Placed(Verdict.RESTARTED)
    times, at_ns = steady()
    times.interrupt()
    assert times.place(25, at_ns + S, at_ns + 40 * S) == Placed(Verdict.RESTARTED)
    times, at_ns = steady()
    assert times.place(25, at_ns + S, at_ns + 40 * S) == Placed(Verdict.NEXT, 225)


@pytest.mark.parametrize(
    ("error", "margin", "whole", "missing"),
    [
        (0.7, 0.7, 0, 0),
        (0.71, 0.7, 0, 1),
        (0.4, 0.3, 0, 1),
        (2.4, 0.7, 0, 2),
        (25.9, 1.0, 25, 25),
        (24.1, 1.0, 25, 25),
        (26.0, 1.0, 25, 25),
        (26.6, 1.0, 25, 27),
        (76.0, 1.5, 25, 75),
        (77.0, 1.5, 25, 77),
        (5.0, 1.0, 25, 5),
        (50.6, 1.0, 0, 51),
    ],
)
def test_what_is_missing_is_whole_frames_where_it_can_be(error: float, margin: float, whole: int, missing: int) -> None:
    assert _missing(error, margin, whole) == missing


@pytest.mark.parametrize(("later_ms", "lost"), [(3.1, 0), (3.4, 1)])
def test_lateness_of_frames_adds_up(later_ms: float, lost: int) -> None:
    """2.6 ms are no lost sample of 4 ms; seven eighths of them are kept, and 0.8 ms more make one of both."""
    times, at_ns = steady()
    assert times.place(25, at_ns + round(102.6 * MS), at_ns) == NEXT
    at_ns += round((200 + later_ms) * MS)
    assert times.place(25, at_ns, at_ns) == Placed(Verdict.NEXT, lost)


def test_the_scatter_is_the_mean_over_64_frames() -> None:
    times, at_ns = steady(100)
    assert times.place(25, at_ns + 102 * MS, at_ns) == NEXT
    assert times._scatter_ns == pytest.approx(2 * MS / 64, rel=1e-3)
    fresh, at_ns = FrameTimes(250.0, 0), S
    for late_ms in (0, 0, 2):
        at_ns += 100 * MS
        fresh.place(25, at_ns + late_ms * MS, at_ns)
    assert fresh._seen == 1
    assert fresh._scatter_ns == pytest.approx(2 * MS, rel=1e-3)


def test_the_period_is_measured_over_512_frames() -> None:
    times, at_ns = steady(600)
    for _ in range(511):
        at_ns += 100 * MS + 20_000
        assert times.place(25, at_ns, at_ns) == NEXT
    assert times.period_ns == pytest.approx(4e6 + 800, rel=1e-9)


def test_another_stream_takes_over_the_device_time_not_the_hosts() -> None:
    first, at_ns = FrameTimes(250.0, MS), S
    for _ in range(3):
        at_ns += 100 * MS
        first.place(25, at_ns, at_ns + 5 * S)
    other = FrameTimes(250.0, MS)
    other.resume(first)
    for k in range(1, 40):
        assert other.place(25, at_ns + k * 100 * MS, at_ns + k * 100 * MS + 5 * S) == NEXT
    assert other.fs_hz == pytest.approx(250.0)
