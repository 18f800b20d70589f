"""Any rate and clock on one grid; every gap is named, counted and never interpolated."""

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


@pytest.mark.parametrize("lost", [0, 100, 499, 500])
def test_samples_without_a_value_are_no_whole_gap_whatever_was_lost_before_them(lost: int) -> None:
    x = np.ones(1700, dtype=np.float32)
    x[:500] = x[800:900] = np.nan
    timeline = Timeline(250)
    timeline.push(block(np.ones(250), 250.0))
    gaps = [item for item in timeline.push(block(x, 250.0, lost=lost)) if isinstance(item, Gap)]
    assert [gap.whole for gap in gaps] == [True] * (lost > 0) + [False, False]
    assert timeline.lost_samples == lost + 600


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
    """Frames of a strap for ten minutes: the error stays below its best latency, the change below 0.5 ms per frame."""
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


def test_the_latency_of_the_first_frame_is_not_kept() -> None:
    """The first notification after a connection may wait for a third of a second; the next ones do not."""
    clock = HostClock()
    clock.update(0, 350_000_000)
    clock.update(561_000_000, 561_000_000 + 9_000_000)
    assert clock.offset_ns == 9_000_000


@pytest.mark.parametrize("kind", [LinkEventKind.DISCONNECTED, LinkEventKind.STALLED])
def test_a_device_without_clock_has_a_gap_after_a_reconnection(kind: LinkEventKind) -> None:
    timeline, s = Timeline(250), 1_000_000_000
    timeline.push(block(np.zeros(250), 250.0, arrival_ns=10 * s))
    timeline.push(LinkEvent(kind, 15 * s))
    gap, after = timeline.push(block(np.zeros(250), 250.0, arrival_ns=16 * s))
    assert gap.end_s - gap.start_s == pytest.approx(5.0)
    assert after.first


@pytest.mark.parametrize("back_s", [0.5, 60.0])
def test_a_device_clock_that_goes_back_ends_the_segment_and_loses_nothing(back_s: float) -> None:
    timeline, s = Timeline(250), 1_000_000_000
    for k in range(1, 6):
        timeline.push(block(np.zeros(250), 250.0, device_ns=(100 + k) * s, arrival_ns=(10 + k) * s))
    after_ns = round((106 - back_s) * s)
    out = timeline.push(block(np.zeros(250), 250.0, device_ns=after_ns, arrival_ns=16 * s))
    assert [type(o) for o in out] == [Gap, Uniform]
    assert out[0].end_s == out[0].start_s == pytest.approx(5.0)
    assert out[1].first
    assert (timeline.segments, timeline.lost_samples) == (2, 0)
    assert timeline.end_s == pytest.approx(6.0)


def test_a_clock_that_is_a_little_early_after_a_lead_off_makes_no_gap_backwards() -> None:
    timeline, s = Timeline(250), 1_000_000_000
    for k, lead_off in enumerate([False, True, False], 1):
        early_ns = 20_000_000 if k == 3 else 0
        out = timeline.push(
            block(np.zeros(250), 250.0, device_ns=k * s - early_ns, arrival_ns=k * s, lead_off=lead_off)
        )
    assert [type(o) for o in out] == [Gap, Uniform]
    assert (out[0].start_s, out[0].end_s) == (2.0, 2.0)
    assert timeline.end_s == pytest.approx(3.0)


@pytest.mark.parametrize(("silent_days", "gap_days"), [(30.0, 7.0), (-1.0, 0.0), (3.0, 3.0)])
def test_the_gap_after_a_lost_link_is_neither_negative_nor_longer_than_a_week(
    silent_days: float, gap_days: float
) -> None:
    """The host clock may be wrong, too: a gap must neither fill a disk nor run backwards."""
    timeline, s = Timeline(250), 1_000_000_000
    timeline.push(block(np.zeros(250), 250.0, arrival_ns=86_400 * 2 * s))
    timeline.push(LinkEvent(LinkEventKind.DISCONNECTED, 86_400 * 2 * s))
    arrival_ns = round((2.0 + silent_days) * 86_400 * s) + s
    gap, _ = timeline.push(block(np.zeros(250), 250.0, arrival_ns=arrival_ns))
    assert gap.end_s - gap.start_s == pytest.approx(gap_days * 86_400.0)


def test_both_limits_of_the_rate_are_supported() -> None:
    for fs_hz in (60.0, 4000.0):
        assert Timeline(250).push(block(np.zeros(100), fs_hz))
    for fs_hz in (59.9, 4000.1):
        with pytest.raises(InputError):
            Timeline(250).push(block(np.zeros(100), fs_hz))


@pytest.mark.parametrize(("seq", "late_s", "missing"), [(None, 0.04, 0), (None, 0.06, 15), (7, 0.9, 0), (7, 1.1, 275)])
def test_device_time_counts_loss_from_50_ms_and_from_one_second_with_a_sequence_number(seq, late_s, missing) -> None:
    timeline, s = Timeline(250), 1_000_000_000
    for k in range(1, 6):
        timeline.push(block(np.zeros(250), 250.0, device_ns=k * s, arrival_ns=k * s, seq=seq))
    timeline.push(block(np.zeros(250), 250.0, device_ns=round((6 + late_s) * s), arrival_ns=7 * s, seq=seq))
    assert timeline.lost_samples == missing


def test_loss_that_the_decoder_counted_is_not_counted_again_from_device_time() -> None:
    timeline, s = Timeline(250), 1_000_000_000
    timeline.push(block(np.zeros(250), 250.0, device_ns=1 * s))
    timeline.push(block(np.zeros(250), 250.0, device_ns=2 * s))
    out = timeline.push(block(np.zeros(250), 250.0, device_ns=4 * s, lost=250))
    assert timeline.lost_samples == 250
    assert (out[0].start_s, out[0].end_s) == (2.0, pytest.approx(3.0))


def test_a_device_clock_more_than_a_week_ahead_is_another_one_and_counts_no_loss() -> None:
    for days, lost in ((6.9, True), (7.1, False)):
        timeline, s = Timeline(250), 1_000_000_000
        timeline.push(block(np.zeros(250), 250.0, device_ns=100 * s, arrival_ns=10 * s))
        timeline.push(block(np.zeros(250), 250.0, device_ns=round((101 + days * 86_400) * s), arrival_ns=14 * s))
        assert (timeline.lost_samples > 0) is lost
        # Otherwise the host clock measures the gap: 4 s, of which the block itself is 1 s.
        assert timeline.end_s == pytest.approx(1.0 + 1.0 + (days * 86_400 if lost else 3.0), abs=0.1)


@pytest.mark.parametrize("clocked", [False, True])
def test_host_times_of_samples(clocked: bool) -> None:
    timeline, s = Timeline(250), 1_000_000_000
    assert timeline.host_time_ns(0.0) == 0
    for k in range(1, 6):
        device_ns = (40 + k) * s if clocked else None
        timeline.push(block(np.zeros(250), 250.0, device_ns=device_ns, arrival_ns=(100 + k) * s + 7_000_000))
    # The newest sample arrived 7 ms after it was taken. With a clock that sample has a time, without one the next one.
    newest_s = 5.0 - 1 / 250 if clocked else 5.0
    assert timeline.host_time_ns(newest_s) == pytest.approx(105 * s + 7_000_000, abs=10)
    assert timeline.host_time_ns(newest_s - 2.5) == pytest.approx(102.5 * s + 7_000_000, abs=10)


def test_resent_blocks_do_not_change_the_host_clock() -> None:
    timeline, s = Timeline(250), 1_000_000_000
    timeline.push(block(np.zeros(250), 250.0, device_ns=1 * s, arrival_ns=2 * s))
    timeline.push(block(np.zeros(250), 250.0, device_ns=2 * s, arrival_ns=2 * s, resent=True))
    assert timeline.host_clock.offset_ns == 1 * s


def test_a_restart_forgets_the_device_clock() -> None:
    timeline, s = Timeline(250), 1_000_000_000
    timeline.push(block(np.zeros(250), 250.0, device_ns=100 * s, arrival_ns=10 * s))
    timeline.push(LinkEvent(LinkEventKind.RESTARTED, 15 * s))
    assert timeline.host_clock.offset_ns is None
    assert timeline.measured_hz is None
    # The new clock happens to continue the old one, but it is another clock, so the host clock measures the gap.
    out = timeline.push(block(np.zeros(250), 250.0, device_ns=101 * s, arrival_ns=16 * s))
    assert out[0].end_s == pytest.approx(6.0)


def test_an_event_without_a_gap_ends_no_segment() -> None:
    timeline = Timeline(250)
    timeline.push(block(np.zeros(250), 250.0, arrival_ns=10))
    assert timeline.push(LinkEvent(LinkEventKind.INFO, 20)) == []
    assert [type(o) for o in timeline.push(block(np.zeros(250), 250.0, arrival_ns=10**10))] == [Uniform]


def test_a_device_with_a_clock_continues_after_a_lost_link_by_its_clock() -> None:
    timeline, s = Timeline(250), 1_000_000_000
    for k in range(1, 4):
        timeline.push(block(np.zeros(250), 250.0, device_ns=k * s, arrival_ns=k * s, seq=k))
    timeline.push(LinkEvent(LinkEventKind.DISCONNECTED, 4 * s))
    # It lost nothing and was only late: samples continue in the same segment.
    assert [type(o) for o in timeline.push(block(np.zeros(250), 250.0, device_ns=4 * s, arrival_ns=9 * s, seq=4))] == [
        Uniform
    ]
    assert timeline.end_s == pytest.approx(4.0)


def test_missing_samples_at_the_beginning_are_a_gap_too() -> None:
    timeline = Timeline(250)
    out = timeline.push(block(np.zeros(250), 250.0, lost=50))
    assert [type(o) for o in out] == [Gap, Uniform]
    assert (out[0].start_s, out[0].end_s, out[0].reason) == (0.0, 0.2, "gap")
    assert (timeline.lost_samples, timeline.segments, timeline.fs_hz) == (50, 1, 250.0)


def test_counts_become_millivolts_and_stay_counts_without_a_scale() -> None:
    counts = np.arange(250, dtype=np.int32)
    (scaled,) = Timeline(250).push(SampleBlock(counts, "counts", 0.5, 250.0, None, 0))
    assert scaled.samples.tolist() == (0.5 * counts).tolist()
    (bare,) = Timeline(250).push(SampleBlock(counts, "counts", None, 250.0, None, 0))
    assert bare.samples.tolist() == counts.tolist()
    (volts,) = Timeline(250).push(SampleBlock(counts.astype(np.float32), "mV", 0.5, 250.0, None, 0))
    assert volts.samples.tolist() == counts.tolist()
    assert (scaled.scale_known, bare.scale_known, volts.scale_known) == (True, False, True)


def test_pieces_between_nan_keep_their_times_and_other_fields() -> None:
    samples = [np.nan, 1.0, 2.0, np.nan, np.nan, 3.0]
    given_block = SampleBlock(
        np.asarray(samples, dtype=np.float32), "mV", 0.25, 250.0, 10_000_000_000, 77, 5, 3, True, resent=True
    )
    first, second = split_at_nan(given_block)
    assert (first.samples.tolist(), second.samples.tolist()) == ([1.0, 2.0], [3.0])
    # Three samples of 4 ms follow the first piece.
    assert (first.device_time_ns, second.device_time_ns) == (10_000_000_000 - 12_000_000, 10_000_000_000)
    assert (first.lost, second.lost) == (3 + 1, 2)
    for part in (first, second):
        assert (part.unit, part.lsb_mv, part.fs_hz, part.arrival_ns, part.seq) == ("mV", 0.25, 250.0, 77, 5)
        assert part.lead_off
        assert part.resent


def test_only_nan_leaves_an_empty_block_that_counts() -> None:
    (only,) = split_at_nan(block([np.nan, np.inf], 250.0, device_ns=5, lost=1))
    assert (len(only), only.lost, only.device_time_ns) == (0, 3, 5)
    whole = block([1.0], 250.0)
    assert split_at_nan(whole)[0] is whole


@pytest.mark.parametrize(
    ("lsb_mv", "limits"), [(0.01, (-20.48, 20.47)), (-0.01, (-20.47, 20.48)), (None, (-2048, 2047))]
)
def test_limits_of_the_converter_follow_scale_and_polarity(lsb_mv, limits):
    item = SampleBlock(np.zeros(50, np.int32), "counts", lsb_mv, 250.0, None, 0, limits=(-2048, 2047))
    (part,) = Timeline(250).push(item)
    (native,) = part.native
    assert native.limits == pytest.approx(limits)
    assert native.step == (0.01 if lsb_mv else 1.0)


def test_samples_of_the_source_come_with_the_grid():
    timeline = Timeline(250)
    found = [part for i in range(4) for part in timeline.push(block(np.arange(36) + 36 * i, 360.0))]
    native = [n for part in found for n in part.native]
    assert np.concatenate([n.samples for n in native]).tolist() == list(range(144))
    assert [round(n.end_s, 9) for n in native] == [0.1, 0.2, 0.3, 0.4]
