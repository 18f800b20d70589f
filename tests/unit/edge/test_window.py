"""Hops and windows on samples that count up: content and time of a window, and reasons for a missing one."""

from __future__ import annotations

import numpy as np
import pytest

from edge.frontend.stream import GROUP_DELAY_S
from edge.grid.timeline import Gap
from edge.window import MAX_GAP_HOPS, NoWindow, Window, Windower

GRID = 250
DELAY = round(GROUP_DELAY_S * GRID)
"""Grid samples from the first one of a segment to the one at the first sample of the stream."""


def answers(
    windower: Windower, samples: int, *, beats: tuple[int, ...] = (), first: int = 0
) -> list[Window | NoWindow]:
    """Push stream and grid samples with their numbers as values, like the engine."""
    out: list[Window | NoWindow] = []
    if first == 0:
        windower.push_raw(np.arange(DELAY, dtype=float) * 0 - 1)
    at = first
    while at < first + samples:
        n = min(windower.cut(), first + samples - at)
        windower.push_raw(np.repeat(np.arange(at, at + n, dtype=float), GRID // 125))
        out += windower.push(np.arange(at, at + n, dtype=float), [b for b in beats if at <= b < at + n])
        at += n
    return out


def started(hop_s: float = 1.0, start_s: float = 0.0, *, scale_known: bool = True) -> Windower:
    windower = Windower(GRID, hop_s)
    windower.begin(start_s, scale_known=scale_known)
    return windower


def test_hops_are_on_whole_seconds_and_the_first_window_needs_ten() -> None:
    found = answers(started(), 1750)
    assert [a.end_s for a in found if isinstance(a, NoWindow)] == [float(k) for k in range(1, 12)]
    assert {a.reason for a in found if isinstance(a, NoWindow)} == {"warming_up"}
    windows = [a for a in found if isinstance(a, Window)]
    # A window ends at the first sample at or after its hop.
    assert [0.0 <= w.end_s - hop < 1 / 125 for w, hop in zip(windows, range(12, 16), strict=False)] == [True] * len(
        windows
    )
    assert len(windows) == 4


def test_a_window_holds_the_last_ten_seconds_and_the_same_grid_samples() -> None:
    windows = [a for a in answers(started(), 1750) if isinstance(a, Window)]
    for w in windows:
        last = round((w.end_s - GROUP_DELAY_S) * 125)
        assert w.filtered.tolist() == list(range(last - 1249, last + 1))
        assert w.raw.shape == (2500,)
        assert w.raw.tolist() == np.repeat(w.filtered, 2).tolist()
        assert w.start_s == pytest.approx(GROUP_DELAY_S + (last - 1249) / 125)
        assert w.end_s == pytest.approx(GROUP_DELAY_S + last / 125)
        assert w.scale_known


def test_a_window_of_a_grid_of_500_hz_holds_four_times_as_many() -> None:
    windower = Windower(500)
    windower.begin(0.0, scale_known=False)
    windower.push_raw(np.full(round(GROUP_DELAY_S * 500), -1.0))
    windower.push_raw(np.repeat(np.arange(1500.0), 4))
    found, at = [], 0
    while at < 1500:
        n = min(windower.cut(), 1500 - at)
        found += windower.push(np.arange(at, at + n, dtype=float), [])
        at += n
    windows = [a for a in found if isinstance(a, Window)]
    assert windows
    for w in windows:
        assert w.raw.tolist() == np.repeat(w.filtered, 4).tolist()
        assert not w.scale_known


def test_beats_are_indices_into_the_window_and_both_its_ends_belong_to_it() -> None:
    (window, *_) = [a for a in answers(started(), 1400) if isinstance(a, Window)]
    first = int(window.filtered[0])
    beats = (first - 1, first, first + 700, first + 1249, first + 1250)
    (again, after, *_) = [a for a in answers(started(), 1600, beats=beats) if isinstance(a, Window)]
    assert again.beats.tolist() == [0, 700, 1249]
    assert after.beats.tolist() == [700 - 125, 1249 - 125, 1250 - 125]


def test_samples_that_no_window_needs_are_dropped() -> None:
    windower = started(hop_s=30.0)
    answers(windower, 20_000, beats=tuple(range(0, 20_000, 100)))
    assert len(windower._filtered) == 1250
    assert len(windower._raw) <= 2500 + DELAY
    assert len(windower._beats) <= 14


def test_repeated_disconnections_need_no_more_memory() -> None:
    windower = Windower(GRID)
    for k in range(1000):
        windower.gap(Gap(k * 0.01, k * 0.01 + 0.005, "gap"))
    assert len(windower._gaps) <= 64


def test_the_cut_ends_at_the_next_hop_and_is_at_least_one() -> None:
    windower = started()
    first_hop = int(np.ceil((1.0 - GROUP_DELAY_S) * 125 - 1e-6))
    assert windower.cut() == max(1, first_hop + 1)
    answers(windower, 1300)
    n = windower.cut()
    assert 1 <= n <= 125
    assert answers(windower, n - 1, first=1300) == []
    assert len(answers(windower, 1, first=1300 + n - 1)) == 1


def test_a_later_segment_keeps_the_hops_on_whole_seconds() -> None:
    windower = started()
    answers(windower, 1300)
    next_hop_s = windower.next_hop_s
    windower.gap(Gap(11.5, 14.3, "gap"))
    assert windower.next_hop_s == 15.0 > next_hop_s
    windower.begin(14.3, scale_known=True)
    found = answers(windower, 1700)
    assert [a.end_s for a in found if isinstance(a, NoWindow)] == [15.0 + k for k in range(11)]
    # Ten seconds after the gap no sample is missing, but the delay of the filter is not over yet.
    reasons = [a.reason for a in found if isinstance(a, NoWindow)]
    assert reasons == ["gap"] * 10 + ["warming_up"]
    first = next(a for a in found if isinstance(a, Window))
    assert first.start_s >= 14.3 + GROUP_DELAY_S
    assert first.filtered[0] >= 0


@pytest.mark.parametrize(
    ("gaps", "end_s", "reason"),
    [
        ([], 3.0, "warming_up"),
        ([Gap(1.0, 2.0, "gap")], 3.0, "gap"),
        ([Gap(1.0, 2.0, "lead_off")], 3.0, "lead_off"),
        ([Gap(0.5, 1.0, "lead_off"), Gap(1.0, 2.0, "gap")], 3.0, "lead_off"),
        ([Gap(1.0, 2.0, "gap")], 11.0, "gap"),  # the window reaches from 1 s on
        ([Gap(1.0, 2.0, "gap")], 12.0, "warming_up"),  # and now from 2 s on
        ([Gap(3.0, 4.0, "gap")], 3.0, "gap"),
        ([Gap(0.0, 0.5, "gap")], 1.0, "gap"),
        ([Gap(0.0, 0.0, "gap")], 1.0, "warming_up"),  # nothing is missing before the first sample
    ],
)
def test_the_reason_comes_from_the_gap_in_the_window(gaps: list[Gap], end_s: float, reason: str) -> None:
    windower = Windower(GRID)
    for gap in gaps:
        windower.gap(gap)
    windower._next_hop = round(end_s)
    assert [a.reason for a in windower.miss_until(end_s, None)] == [reason]


def test_a_given_reason_answers_every_hop_up_to_the_time() -> None:
    windower = Windower(GRID, 0.5)
    assert windower.miss_until(0.49, "stalled") == []
    assert windower.miss_until(1.5, "stalled") == [NoWindow(t, "stalled") for t in (0.5, 1.0, 1.5)]
    assert windower.miss_until(1.5, "stalled") == []


@pytest.mark.parametrize("hop_s", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("hops", [2, 3600, 10**7])
def test_a_gap_is_one_answer_with_its_length(hop_s: float, hops: int) -> None:
    windower = Windower(GRID, hop_s)
    windower.miss_until(5 * hop_s, None)
    start_s, end_s = 5.5 * hop_s, (5 + hops) * hop_s
    assert windower.gap(Gap(start_s, end_s, "gap")) == [NoWindow(end_s, "gap", start_s)]
    assert windower.next_hop_s == pytest.approx(end_s + hop_s)
    assert windower.gap(Gap(start_s, end_s, "gap")) == []


def test_hops_before_a_gap_and_a_single_one_inside_keep_their_answers() -> None:
    windower = Windower(GRID)
    assert windower.gap(Gap(2.5, 4.5, "gap"), "stalled") == [NoWindow(t, "stalled") for t in (1.0, 2.0)] + [
        NoWindow(4.5, "stalled", 2.5)
    ]
    assert windower.gap(Gap(4.9, 5.1, "gap")) == [NoWindow(5.0, "gap")]
    assert windower.gap(Gap(5.1, 8.1, "lead_off")) == [NoWindow(t, "lead_off") for t in (6.0, 7.0, 8.0)]
    # Samples without a value arrive block by block, and the blocks may have any length.
    assert windower.gap(Gap(8.1, 11.1, "gap", whole=False)) == [NoWindow(t, "lead_off") for t in (9.0, 10.0, 11.0)]


@pytest.mark.parametrize("hop_s", [1.0, 0.5])
def test_hops_beyond_the_limit_are_passed_over(hop_s: float) -> None:
    windower = Windower(GRID, hop_s)
    found = windower.miss_until(10_000 * hop_s, "stalled")
    assert [a.end_s for a in found] == [hop_s * k for k in range(1, MAX_GAP_HOPS + 1)]
    assert windower.next_hop_s == 10_001 * hop_s


@pytest.mark.parametrize(("start_s", "whole"), [(0.896, True), (0.904, False)])
def test_a_window_misses_no_sample(start_s: float, whole: bool) -> None:
    """The hop at 12 s falls on the sample 1249, the first that ends a window, or on the one before."""
    found = answers(started(start_s=start_s), 1250)
    assert [a.end_s for a in found if isinstance(a, NoWindow)] == [float(k) for k in range(1, 12 + (not whole))]
    assert [a.end_s for a in found if isinstance(a, Window)] == ([pytest.approx(12.0)] if whole else [])
