"""Any rate and clock onto one grid; every gap named, counted and never bridged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.grid.clock import HostClock, SampleClock
from edge.grid.timeline import Gap, Timeline, Uniform, split_at_nan
from firmware_bridge.errors import InputError
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock

RATES_HZ = (125, 128, 130, 200, 250, 256, 300, 360, 500, 512, 1000)


def block(samples, fs_hz, *, device_ns=None, arrival_ns=0, **kw) -> SampleBlock:
    return SampleBlock(np.asarray(samples, dtype=np.float32), "mV", None, fs_hz, device_ns, arrival_ns, **kw)


def wave(t_s: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * 7.0 * t_s) + 0.3 * np.sin(2 * np.pi * 33.0 * t_s) + 2.0


def play(fs_hz: float, true_hz: float, grid_hz: int, *, clocked: bool, n: int = 25, seconds: float = 30.0) -> Timeline:
    timeline = Timeline(grid_hz)
    t = np.arange(round(seconds * true_hz)) / true_hz
    x = wave(t)
    timeline.out = []  # type: ignore[attr-defined]
    for i in range(0, len(x) - n, n):
        device_ns = round((i + n - 1) / true_hz * 1e9) + 5_000_000_000 if clocked else None
        timeline.out += timeline.push(block(x[i : i + n], fs_hz, device_ns=device_ns))  # type: ignore[attr-defined]
    return timeline


def joined(items: list) -> tuple[np.ndarray, np.ndarray]:
    uniform = [u for u in items if isinstance(u, Uniform)]
    return np.concatenate([u.samples for u in uniform]), uniform[0].start_s


@pytest.mark.parametrize("fs_hz", RATES_HZ)
@pytest.mark.parametrize("grid_hz", [250, 500])
def test_resampling_keeps_the_signal(fs_hz: int, grid_hz: int) -> None:
    y, start_s = joined(play(fs_hz, fs_hz, grid_hz, clocked=False).out)
    t = start_s + np.arange(len(y)) / grid_hz
    assert np.max(np.abs(y - wave(t))) < 2e-3


@pytest.mark.parametrize("true_hz", [129.9, 130.34])
def test_the_true_rate_comes_from_device_time(true_hz: float) -> None:
    timeline = play(130, true_hz, 250, clocked=True, n=73, seconds=120)
    assert timeline.measured_hz == pytest.approx(true_hz, rel=1e-5)
    y, _ = joined(timeline.out)
    # 7 Hz stays 7 Hz: counted in samples it would come out 0.26 % off.
    spectrum = np.abs(np.fft.rfft((y - y.mean()) * np.hanning(len(y)), 1 << 18))
    assert np.argmax(spectrum) * 250 / (1 << 18) == pytest.approx(7.0, rel=2e-4)


def test_jitter_of_timestamps_is_smoothed() -> None:
    rng = np.random.default_rng(0)
    clock = SampleClock(128.0)
    clock.start(0)
    errors = []
    for k in range(1, 1500):
        true_s = k * 16 / 128
        _, smooth_s = clock.advance(16, round((true_s + rng.uniform(-1e-3, 1e-3)) * 1e9))
        errors.append(smooth_s - true_s)
    assert np.std(errors[200:]) < 0.3e-3


@given(st.lists(st.integers(1, 40), min_size=1, max_size=200))
@settings(max_examples=30, deadline=None)
def test_without_a_clock_any_cut_gives_the_same_bits(sizes: list[int]) -> None:
    x = wave(np.arange(2000) / 130)
    whole, _ = joined(Timeline(250).push(block(x, 130.0)))
    timeline, items, at = Timeline(250), [], 0
    for n in [*sizes, len(x)]:
        items += timeline.push(block(x[at : at + n], 130.0))
        at += n
    y, _ = joined(items)
    assert y.tobytes() == whole.tobytes()


def test_loss_ends_the_segment_and_is_counted() -> None:
    timeline = Timeline(250)
    timeline.push(block(np.zeros(500), 250.0))
    out = timeline.push(block(np.zeros(250), 250.0, lost=125))
    assert [type(o) for o in out] == [Gap, Uniform]
    assert (out[0].start_s, out[0].end_s, out[0].reason) == (2.0, 2.5, "gap")
    assert out[1].first
    assert timeline.lost_samples == 125
    assert timeline.end_s == pytest.approx(3.5)


def test_missing_samples_show_in_device_time() -> None:
    timeline = Timeline(250)
    for k in range(1, 5):
        timeline.push(block(np.zeros(130), 130.0, device_ns=k * 1_000_000_000))
    out = timeline.push(block(np.zeros(130), 130.0, device_ns=7_000_000_000))
    assert [type(o) for o in out] == [Gap, Uniform]
    assert timeline.lost_samples == 260
    assert out[0].end_s - out[0].start_s == pytest.approx(2.0, abs=0.02)


def test_nan_is_a_gap() -> None:
    x = np.ones(1000, dtype=np.float32)
    x[:300] = np.nan
    x[600:610] = np.inf
    timeline = Timeline(250)
    out = timeline.push(block(x, 250.0))
    assert [type(o) for o in out] == [Gap, Uniform, Gap, Uniform]
    assert out[0].end_s == pytest.approx(1.2)
    assert timeline.lost_samples == 310
    assert sum(len(o.samples) for o in out if isinstance(o, Uniform)) == 690


def test_trailing_nan_is_counted() -> None:
    parts = split_at_nan(block([1.0, np.nan, np.nan], 250.0))
    assert [(len(p), p.lost) for p in parts] == [(1, 0), (0, 2)]


def test_lead_off_is_a_gap_with_its_reason() -> None:
    timeline = Timeline(250)
    timeline.push(block(np.zeros(250), 250.0))
    out = timeline.push(block(np.zeros(250), 250.0, lead_off=True))
    assert [(o.reason, o.start_s, o.end_s) for o in out if isinstance(o, Gap)] == [("lead_off", 1.0, 2.0)]
    assert not [o for o in out if isinstance(o, Uniform)]
    after = timeline.push(block(np.zeros(250), 250.0))
    assert next(o for o in after if isinstance(o, Uniform)).first


def test_a_restart_is_placed_by_the_host_clock() -> None:
    timeline = Timeline(250)
    s = 1_000_000_000
    timeline.push(block(np.zeros(250), 250.0, device_ns=100 * s, arrival_ns=10 * s))
    timeline.push(LinkEvent(LinkEventKind.RESTARTED, 15 * s))
    out = timeline.push(block(np.zeros(250), 250.0, device_ns=1 * s, arrival_ns=16 * s))
    gap = next(o for o in out if isinstance(o, Gap))
    assert gap.end_s - gap.start_s == pytest.approx(5.0, abs=0.01)


def test_a_wild_device_clock_does_not_make_a_gap_of_years() -> None:
    timeline = Timeline(250)
    s = 1_000_000_000
    timeline.push(block(np.zeros(250), 250.0, device_ns=100 * s, arrival_ns=10 * s))
    timeline.push(block(np.zeros(250), 250.0, device_ns=10**18, arrival_ns=11 * s))
    assert timeline.end_s < 10.0


def test_a_change_of_scale_ends_the_segment() -> None:
    timeline = Timeline(250)
    counts = np.zeros(250, dtype=np.int32)
    out = timeline.push(SampleBlock(counts, "counts", None, 250.0, None, 0))
    assert not out[0].scale_known
    out = timeline.push(SampleBlock(counts, "counts", 1e-3, 250.0, None, 0))
    assert [type(o) for o in out] == [Gap, Uniform]
    assert out[1].scale_known
    assert out[1].first


def test_impossible_rates_are_refused() -> None:
    for fs_hz in (0.0, -1.0, float("nan"), 1e9):
        with pytest.raises(InputError, match="supported"):
            Timeline(250).push(block(np.zeros(10), fs_hz))


def test_host_clock_takes_the_smallest_latency_and_slews() -> None:
    clock = HostClock()
    rng = np.random.default_rng(1)
    for k in range(200):
        latency_ns = 5_000_000 + int(rng.integers(0, 80_000_000))
        clock.update(k * 100_000_000, k * 100_000_000 + latency_ns)
    assert clock.offset_ns == pytest.approx(5_000_000, abs=3_000_000)
    before = clock.offset_ns
    clock.update(200 * 100_000_000, 200 * 100_000_000 + before + 50_000_000)
    assert clock.offset_ns - before <= 500_000
    clock.update(0, 10**12)
    assert clock.reanchored == 1


@pytest.mark.parametrize("drift_ppm", [-60, 60])
def test_host_clock_follows_drift_and_never_steps(drift_ppm: int) -> None:
    """A strap's frames for ten minutes: never further off than its best latency, never faster than 0.5 ms a frame."""
    clock, rng, frame_ns = HostClock(), np.random.default_rng(2), 561_000_000
    before = None
    for k in range(1100):
        device_ns = k * frame_ns
        true_ns = round(k * frame_ns * (1 + drift_ppm * 1e-6))
        clock.update(device_ns, true_ns + 8_000_000 + int(rng.exponential(15_000_000)))
        if k >= 64:
            assert abs(clock.offset_ns - before) <= 500_000
            assert -1_000_000 <= device_ns + clock.offset_ns - true_ns <= 15_000_000
        before = clock.offset_ns


def test_the_first_frame_s_latency_is_not_kept() -> None:
    """The first notification after a connection may wait for a third of a second; the next ones do not."""
    clock = HostClock()
    clock.update(0, 350_000_000)
    clock.update(561_000_000, 561_000_000 + 9_000_000)
    assert clock.offset_ns == 9_000_000


@pytest.mark.parametrize("kind", [LinkEventKind.DISCONNECTED, LinkEventKind.STALLED])
def test_a_device_without_clock_has_a_gap_where_its_link_was_made_again(kind: LinkEventKind) -> None:
    timeline, s = Timeline(250), 1_000_000_000
    timeline.push(block(np.zeros(250), 250.0, arrival_ns=10 * s))
    timeline.push(LinkEvent(kind, 15 * s))
    gap, after = timeline.push(block(np.zeros(250), 250.0, arrival_ns=16 * s))
    assert gap.end_s - gap.start_s == pytest.approx(5.0)
    assert after.first
