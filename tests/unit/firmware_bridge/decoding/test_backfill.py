"""What waits behind a hole: the order, the requests, and when the hole is given up."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.decoding.backfill import (
    ASK_AGAIN_NS,
    ASKS_MAX,
    HOLD_FRAMES_MAX,
    Backfill,
    Frame,
    without_first,
)
from firmware_bridge.wire.messages import Data, Header, Hello, Resend

RING = 10_000


def frame(index: int, count: int = 25) -> Frame:
    return Frame(Header(), Data(index, 1, np.arange(count, dtype=np.int32)), 0, 0)


def waiting(*indices: int) -> Backfill:
    held = Backfill()
    for index in indices:
        assert held.put(index, frame(index))
    return held


def test_frames_leave_in_order_and_once() -> None:
    held = waiting(300, 100, 200)
    assert held
    twin = frame(200)
    assert not held.put(200, twin)
    assert [held.take(1000)[0] for _ in range(3)] == [100, 200, 300]
    assert held.take(1000) is None
    assert not held
    assert held.put(200, twin)
    taken = held.take(200)
    assert taken is not None
    assert taken[1] is twin


def test_a_frame_behind_a_hole_waits_until_nothing_before_it_can_come() -> None:
    held = waiting(100, 200)
    assert held.take(99) is None
    held.gone_before(99)
    assert held.take(50) is None
    held.gone_before(100)
    held.gone_before(60)  # what is gone stays gone
    assert held.take(50)[0] == 100
    assert held.take(125) is None
    held.give_up()
    assert held.take(125)[0] == 200


def test_one_hole_or_every_hole_is_given_up() -> None:
    held = waiting(100, 200, 300)
    held.give_up()
    assert held.take(0)[0] == 100
    assert held.take(125) is None
    held.give_up(everything=True)
    assert [held.take(125)[0], held.take(225)[0]] == [200, 300]
    Backfill().give_up(everything=True)


def test_a_request_names_what_is_missing_and_is_repeated_after_a_second() -> None:
    assert (ASK_AGAIN_NS, ASKS_MAX, HOLD_FRAMES_MAX) == (10**9, 6, 2048)
    held = waiting(100, 200)
    assert held.wanted(40, RING, 5) == Resend(40, 60)
    assert held.wanted(40, RING, 5 + ASK_AGAIN_NS - 1) is None
    assert held.wanted(40, RING, 5 + ASK_AGAIN_NS) == Resend(40, 60)
    assert held.wanted(65, RING, 5 + 2 * ASK_AGAIN_NS) == Resend(65, 35)


def test_after_six_requests_without_an_answer_the_hole_is_given_up() -> None:
    held = waiting(100, 200)
    asked = [held.wanted(40, RING, k * ASK_AGAIN_NS) for k in range(7)]
    assert asked == [Resend(40, 60)] * 6 + [None]
    assert held.take(40)[0] == 100
    assert held.wanted(125, RING, 6 * ASK_AGAIN_NS + 1) == Resend(125, 75)


def test_an_answer_starts_the_count_anew() -> None:
    held = waiting(100)
    for k in range(5):
        held.wanted(40, RING, k * ASK_AGAIN_NS)
    held.progress(4 * ASK_AGAIN_NS + 7)
    assert held.wanted(50, RING, 5 * ASK_AGAIN_NS) is None
    asked = [held.wanted(50, RING, (5 + k) * ASK_AGAIN_NS + 7) for k in range(6)]
    assert asked == [Resend(50, 50)] * 5 + [None]


def test_progress_without_a_request_does_not_delay_the_first_one() -> None:
    held = waiting(100)
    held.progress(9)
    assert held.wanted(40, RING, 10) == Resend(40, 60)
    held.forget_requests()
    asked = [held.wanted(40, RING, 11 + k * ASK_AGAIN_NS) for k in range(7)]
    assert asked == [Resend(40, 60)] * 6 + [None]


def test_only_what_the_ring_still_keeps_is_asked_for() -> None:
    """The newest sample known is 224: of 200 in the ring the oldest is 25."""
    held = waiting(100, 200)
    assert held.wanted(0, 200, 0) == Resend(25, 75)
    assert waiting(100, 200).wanted(26, 200, 0) == Resend(26, 74)
    hopeless = waiting(100, 200)
    assert hopeless.wanted(0, 125, 0) is None
    assert hopeless.take(0)[0] == 100
    assert waiting(100, 200).wanted(0, 126, 0) == Resend(99, 1)


def test_a_hole_behind_too_many_frames_is_given_up() -> None:
    held = waiting(*range(100, 100 + 25 * HOLD_FRAMES_MAX, 25))
    assert held.wanted(0, 10**9, 0) == Resend(0, 100)
    held.put(10**6, frame(10**6))
    assert held.wanted(0, 10**9, 1) is None
    assert held.take(0)[0] == 100


def test_a_patch_that_counts_anew_has_nothing_waiting() -> None:
    held = waiting(100, 200)
    held.give_up(everything=True)
    held.wanted(40, RING, 0)
    held.clear()
    assert not held
    assert held.put(100, frame(100))
    assert held.take(40) is None
    assert held.wanted(40, RING, 1) == Resend(40, 60)


@pytest.mark.parametrize(("tick", "index"), [(1000, 500), (0xFFFFFFFF, 0xFFFFFFFE)])
def test_a_frame_without_its_first_samples_begins_later(tick: int, index: int) -> None:
    """Ten samples at 500/3 Hz are 60 ms, 1966 ticks of 32,768 Hz."""
    header, data = Header(tick=tick, seq=9), Data(index, 1, np.arange(25, dtype=np.int32))
    later, rest = without_first(header, data, 10, Hello(1, 32_768, 500, 3))
    assert (later.tick, later.seq) == ((tick + 1966) % 2**32, 9)
    assert (rest.index, rest.boot, rest.samples.tolist()) == ((index + 10) % 2**32, 1, list(range(10, 25)))
