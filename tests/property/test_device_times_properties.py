"""Loss derived from a device's clock: exact over hours, at any true rate, with jitter, drops and reconnections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.decoding.timing import FrameTimes, Verdict

HOUR_S = 3600


def stamps(frames: int, count: int, rate_hz: float, jitter_ns: float, seed: int, step_ns: int = 1) -> list[int]:
    """Times of the last samples of frames for a device with that crystal and clock."""
    rng = np.random.default_rng(seed)
    exact = np.arange(1, frames + 1, dtype=np.float64) * (count * 1e9 / rate_hz)
    noisy = exact + rng.uniform(-jitter_ns, jitter_ns, frames)
    return (599_616_000_000_000_000 + (np.floor(noisy / step_ns) * step_ns).astype(np.int64)).tolist()


def losses(times: FrameTimes, kept: list[int], stamps_ns: list[int], count: int) -> tuple[int, set[Verdict]]:
    lost, verdicts = 0, set()
    for index in kept:
        placed = times.place(count, stamps_ns[index], stamps_ns[index])
        lost += placed.lost
        verdicts.add(placed.verdict)
    return lost, verdicts


class TestADay:
    @pytest.mark.parametrize(
        ("rate_hz", "count"),
        [(127.5, 73), (129.9, 73), (130.0, 73), (130.1682, 73), (130.34, 73), (132.5, 73), (130.34, 19)],
    )
    def test_a_strap_without_loss_shows_no_loss(self, rate_hz: float, count: int) -> None:
        frames = int(24 * HOUR_S * rate_hz / count)
        times = FrameTimes(130.0, 1_000_000)
        assert losses(times, list(range(frames)), stamps(frames, count, rate_hz, 1e6, 1), count) == (0, {Verdict.NEXT})
        assert times.fs_hz == pytest.approx(rate_hz, rel=2e-4)

    @pytest.mark.parametrize("sigma_ms", [1.5, 3.0])
    def test_jitter_far_above_that_of_real_straps_is_not_a_loss(self, sigma_ms: float) -> None:
        frames = int(8 * HOUR_S * 130.34 / 73)
        rng = np.random.default_rng(5)
        exact = 10**15 + np.arange(1, frames + 1) * (73e9 / 130.34) + rng.normal(0, sigma_ms * 1e6, frames)
        kept = np.flatnonzero(rng.random(frames) >= 0.01).tolist()
        lost, verdicts = losses(FrameTimes(130.0, 1_000_000), kept, exact.astype(np.int64).tolist(), 73)
        assert verdicts == {Verdict.NEXT}
        assert lost == 73 * (kept[-1] - kept[0] + 1 - len(kept))

    @pytest.mark.parametrize("nominal_hz", [125, 512])
    def test_a_clock_of_whole_milliseconds_loses_nothing(self, nominal_hz: int) -> None:
        rate_hz = nominal_hz * (1 + 4e-5)
        frames = int(2 * HOUR_S * rate_hz / 16)
        times = FrameTimes(nominal_hz, 1_500_000)
        made = stamps(frames, 16, rate_hz, 0.0, 2, 1_000_000)
        assert losses(times, list(range(frames)), made, 16) == (0, {Verdict.NEXT})

    def test_a_crystal_that_warms_up_is_followed(self) -> None:
        rates = 130.34 * (1 + 60e-6 * np.sin(np.linspace(0, 20, 20_000)))
        made = (10**15 + np.cumsum(73e9 / rates)).astype(np.int64).tolist()
        assert losses(FrameTimes(130.0, 1_000_000), list(range(len(made))), made, 73)[0] == 0


@settings(max_examples=60, deadline=None)
@given(
    rate_hz=st.floats(127.5, 132.5),
    jitter_us=st.floats(0, 1000),
    count=st.sampled_from([73, 19]),
    drop=st.floats(0.0, 0.6),
    seed=st.integers(0, 2**32 - 1),
)
def test_dropped_frames_are_counted_exactly(
    rate_hz: float, jitter_us: float, count: int, drop: float, seed: int
) -> None:
    made = stamps(600, count, rate_hz, jitter_us * 1e3, seed)
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(rng.random(600) >= drop).tolist() or [0]
    lost, verdicts = losses(FrameTimes(130.0, 1_000_000), kept, made, count)
    assert verdicts == {Verdict.NEXT}
    assert lost == count * (kept[-1] - kept[0] + 1 - len(kept))


@settings(max_examples=40, deadline=None)
@given(
    rate_hz=st.floats(129.0, 131.0),
    gaps=st.lists(st.integers(0, 4000), min_size=1, max_size=12),
    seed=st.integers(0, 2**32 - 1),
)
def test_reconnections_are_counted_exactly(rate_hz: float, gaps: list[int], seed: int) -> None:
    """Frames begin anywhere after a reconnection; the gap is any number of samples, up to half a minute."""
    rng = np.random.default_rng(seed)
    times, at, lost = FrameTimes(130.0, 1_000_000), 0, 0
    for gap in [0, *gaps]:
        at += gap
        times.interrupt()
        for _ in range(120):
            at += 73
            exact_ns = 10**15 + round(at * 1e9 / rate_hz + rng.uniform(-5e4, 5e4))
            placed = times.place(73, exact_ns, exact_ns)
            assert placed.verdict is Verdict.NEXT
            lost += placed.lost
    assert lost == sum(gaps)


@settings(max_examples=100, deadline=None)
@given(
    frames=st.lists(
        st.tuples(st.integers(1, 300), st.integers(-(2**63), 2**64), st.integers(-(2**62), 2**62)), max_size=40
    )
)
def test_any_times_at_all_give_no_negative_loss(frames: list[tuple[int, int, int]]) -> None:
    times = FrameTimes(250.0, 1_000_000)
    for count, time_ns, arrival_ns in frames:
        placed = times.place(count, time_ns, arrival_ns)
        assert placed.lost >= 0
        assert placed.lost == 0 or placed.verdict is Verdict.NEXT
        assert 243.0 < times.fs_hz < 257.0
