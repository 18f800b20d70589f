"""The samples of a source beside the grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.grid.native import Native, NativeTail


def filled(cuts: list[int], fs_hz: float, n: int, forget_s: float = 0.0) -> NativeTail:
    tail, at = NativeTail(), 0
    for cut in [*cuts, n]:
        stop = min(n, at + cut)
        if stop > at:
            tail.push(Native(np.arange(at, stop, dtype=np.float64), 5.0, 5.0 + stop / fs_hz, fs_hz))
            tail.forget(5.0 + min(forget_s, stop / fs_hz))
        at = stop
    return tail


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 700), max_size=12),
    st.sampled_from([60.0, 128.0, 250.0, 1000.0]),
    st.floats(0.0, 3.0),
    st.floats(0.0, 2.0),
)
def test_a_span_does_not_depend_on_the_cuts(cuts: list[int], fs_hz: float, start_s: float, seconds: float) -> None:
    n = round(5.0 * fs_hz)
    one, first = filled([], fs_hz, n).span(5.0 + start_s, 5.0 + start_s + seconds)
    other, same = filled(cuts, fs_hz, n, forget_s=start_s).span(5.0 + start_s, 5.0 + start_s + seconds)
    assert (one.tolist(), first) == (other.tolist(), same)
    assert one.tolist() == list(range(first, first + len(one)))
    assert abs(first - start_s * fs_hz) <= 1.0


def test_old_samples_are_dropped_and_memory_is_bounded() -> None:
    tail = NativeTail()
    for i in range(2000):
        tail.push(Native(np.full(250, float(i)), 0.0, i + 1.0, 250.0))
        tail.forget(i - 20.0)
    kept, first = tail.span(0.0, 2000.0)
    assert 21 * 250 <= len(kept) <= 64 * 250
    assert first + len(kept) == 2000 * 250


def test_a_device_clock_places_the_samples() -> None:
    """At 251 Hz by the clock, sample 2510 is at 10 s."""
    tail = NativeTail()
    for i in range(15):
        tail.push(Native(np.arange(251.0 * i, 251.0 * (i + 1)), 0.0, i + 1.0, 250.0, clocked=True))
    assert tail.number(10.0) == pytest.approx(2510.0)
    x, first = tail.span(9.0, 10.0)
    assert (first, len(x), x[0]) == (2259, 252, 2259.0)
    tail.begin()
    assert tail.last is None
    assert tail.seconds == 0.0
