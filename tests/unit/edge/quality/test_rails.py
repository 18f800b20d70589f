"""Rails, on the samples of the source at every rate."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chain import SignalChain
from edge.grid.timeline import Timeline
from edge.quality.gate import Quality
from edge.quality.rails import find_rails
from edge.window import Window
from firmware_bridge.samples import SampleBlock
from helpers.ecg_shapes import ecg

RATES = [60.0, 125.0, 128.0, 130.0, 200.0, 250.0, 256.0, 300.0, 360.0, 500.0, 512.0, 1000.0, 2000.0, 4000.0]
LSB_MV = 0.005
NO_BEATS = np.empty(0, np.int64)


@functools.cache
def patient(fs_hz: float, shape: str = "normal", seconds: float = 26.0, noise: float = 0.01) -> np.ndarray:
    """Return a signal that many tests share and none may change."""
    intervals = 0.8 + 0.04 * np.random.default_rng(2).standard_normal(int(seconds / 0.8))
    x = ecg(intervals, shapes=shape, fs=fs_hz, noise=noise)[0]
    x.flags.writeable = False
    return x


def counts(x: np.ndarray) -> np.ndarray:
    return np.rint(x / LSB_MV).astype(np.int32)


def verdicts(
    x: np.ndarray,
    fs_hz: float,
    cuts: list[int] | None = None,
    limits: tuple[float, float] | None = None,
    hop_s: float = 1.0,
    grid_hz: int = 250,
) -> dict[float, Quality]:
    """Verdict by the end of the window; ``cuts`` are the lengths of the blocks, repeated."""
    timeline, chain, found = Timeline(grid_hz), SignalChain(grid_hz, hop_s), {}
    lengths, at, k = cuts or [max(1, round(0.5 * fs_hz))], 0, 0
    lsb_mv = LSB_MV if x.dtype.kind == "i" else None
    while at < len(x):
        piece = x[at : at + lengths[k % len(lengths)]]
        at, k = at + len(piece), k + 1
        block = SampleBlock(
            piece, "counts" if lsb_mv else "mV", lsb_mv, fs_hz, None, round(at / fs_hz * 1e9), limits=limits
        )
        for part in timeline.push(block):
            for window in chain.push(part):
                if isinstance(window, Window):
                    found[round(window.end_s, 3)] = chain.assess(window)
    return found


def stay(x: np.ndarray, fs_hz: float, rail: float, start_s: float = 14.0, seconds: float = 2.0) -> np.ndarray:
    out = x.copy()
    out[round(start_s * fs_hz) : round((start_s + seconds) * fs_hz)] = rail
    return out


@pytest.mark.parametrize("fs_hz", RATES)
@pytest.mark.parametrize("kind", ["upper", "lower", "noise of one step", "after a gain"])
def test_two_seconds_at_a_rail_are_found_at_every_rate(fs_hz: float, kind: str) -> None:
    x = patient(fs_hz)
    rail = -1.7 if kind == "lower" else 1.7
    y = counts(stay(x, fs_hz, rail))
    if kind == "noise of one step":
        y = y + np.where(y == y.max(), np.random.default_rng(1).integers(-1, 2, len(y)), 0).astype(np.int32)
    made = (y * LSB_MV * 1.0371).astype(np.float32) if kind == "after a gain" else y
    found = verdicts(made, fs_hz)
    inside = [q for end_s, q in found.items() if 15.0 < end_s < 25.0]
    assert len(inside) >= 9
    assert {(q.reason, q.flags, q.score) for q in inside} == {("saturated", ("clipped",), 0.0)}
    assert not any("clipped" in q.flags for end_s, q in found.items() if end_s < 14.0)


@pytest.mark.parametrize("fs_hz", RATES)
@pytest.mark.parametrize("share", [0.35, 0.5, 0.7, 0.9])
def test_cut_tops_are_flagged_at_every_rate(fs_hz: float, share: float) -> None:
    x = patient(fs_hz, noise=0.005)
    found = verdicts(np.minimum(x, share).astype(np.float32), fs_hz)
    # Samples at 60 Hz often miss the 10 ms in which such a top is cut, so in some windows few beats are.
    least = 0.5 if (fs_hz, share) == (60.0, 0.9) else 1.0
    assert np.mean(["clipped" in q.flags for q in found.values()]) >= least


@pytest.mark.parametrize("fs_hz", RATES)
def test_whole_tops_are_not_flagged_at_any_rate(fs_hz: float) -> None:
    x = patient(fs_hz, noise=0.005)
    assert not any("clipped" in q.flags for q in verdicts(x.astype(np.float32), fs_hz).values())


@pytest.mark.parametrize("fs_hz", [125.0, 250.0, 360.0, 1000.0])
@pytest.mark.parametrize(("shape", "low", "high"), [("inverted", -0.6, 9.0), ("rs", -0.4, 9.0), ("rs", -0.4, 0.4)])
def test_either_rail_may_cut(fs_hz: float, shape: str, low: float, high: float) -> None:
    """A window with 0.2 s at the rail in many short cuts is refused, with less it is flagged."""
    found = verdicts(counts(np.clip(patient(fs_hz, shape), low, high)), fs_hz)
    assert all("clipped" in q.flags for q in found.values())


def test_many_short_cuts_add_up_to_a_refusal() -> None:
    x = patient(360.0)
    assert {q.reason for q in verdicts(counts(np.minimum(x, 0.95)), 360.0).values()} == {None}
    assert {q.reason for q in verdicts(counts(np.minimum(x, 0.5)), 360.0).values()} == {"saturated"}


@pytest.mark.parametrize("fs_hz", [125.0, 250.0, 500.0, 2000.0])
@pytest.mark.parametrize("shape", ["normal", "tall_t", "inverted", "rs", "wide", "paced", "low", "pvc"])
@pytest.mark.parametrize("step_mv", [0.0, 0.005, 0.02, 0.05])
def test_natural_extremes_are_no_rails(fs_hz: float, shape: str, step_mv: float) -> None:
    """Coarse steps make flat lines and equal tops."""
    x = patient(fs_hz, shape, 16.0, noise=0.003)
    y = np.rint(x / step_mv) * step_mv if step_mv else x
    assert not any("clipped" in q.flags for q in verdicts(y.astype(np.float32), fs_hz).values())


@pytest.mark.parametrize("fs_hz", [250.0, 500.0, 1000.0])
@pytest.mark.parametrize("width_s", [0.002, 0.004, 0.008])
def test_square_spikes_of_a_pacemaker_are_no_rails(fs_hz: float, width_s: float) -> None:
    x, times = ecg(np.full(20, 0.83), shapes="wide", fs=fs_hz, noise=0.005)
    for t in times:
        first = round((t - 0.1) * fs_hz)
        x[first : first + max(1, round(width_s * fs_hz))] = 2.5
    assert not any("clipped" in q.flags for q in verdicts(x.astype(np.float32), fs_hz).values())


@pytest.mark.parametrize("tau_s", [0.5, 2.0])
def test_the_recovery_of_the_amplifier_is_saturated_too(tau_s: float) -> None:
    """After a stay of two seconds the baseline comes back; windows that hold the fast part of it are refused."""
    fs_hz, rail = 250.0, 3.0
    x = patient(fs_hz, seconds=32.0)
    end = round(14.0 * fs_hz)
    tail = np.zeros(len(x))
    tail[end:] = rail * np.exp(-(np.arange(len(x) - end) / fs_hz) / tau_s)
    y = np.minimum(x + tail, rail)
    y[end - round(2.0 * fs_hz) : end] = rail
    found = verdicts(counts(y), fs_hz)
    reached = {end_s: q for end_s, q in found.items() if 13.0 < end_s < 24.0 + 0.5 * tau_s - 0.2}
    assert {q.reason for q in reached.values()} == {"saturated"}
    assert max(reached) >= (24.0 if tau_s > 1.0 else 23.0)
    assert {q.reason for end_s, q in found.items() if end_s > 24.5 + 3.0 * tau_s} == {None}


@pytest.mark.parametrize("seconds", [4.0, 8.0])
def test_a_long_stay_is_saturated_not_flat(seconds: float) -> None:
    y = stay(patient(250.0), 250.0, 1.7, start_s=14.0, seconds=seconds)
    found = {q.reason for end_s, q in verdicts(counts(y), 250.0).items() if 15.0 < end_s < 23.5}
    assert found == {"saturated"}


def test_limits_of_the_device_profile_need_no_repetition_of_their_own() -> None:
    """A rounded top at a known limit counts; the same top elsewhere is a wave."""
    t = np.arange(5000) / 500.0
    x = patient(500.0, seconds=12.0)[:5000] + 3.0 * np.exp(-0.5 * ((t - 5.0) / 0.6) ** 2)
    y = np.rint(np.minimum(x, 2.9) / 0.01) * 0.01
    beats = NO_BEATS
    free = find_rails(np.rint(x / 0.01) * 0.01, 500.0, beats, step=0.01)
    assert (free.at_rail_s, free.beats_cut) == (0.0, False)
    known = find_rails(y, 500.0, beats, step=0.01, limits=(-2.9, 2.9))
    assert known.at_rail_s > 0.1
    assert find_rails(y, 500.0, beats, step=0.01, limits=(-9.0, 9.0)).beats_cut is False


@pytest.mark.parametrize("fs_hz", [130.0, 250.0, 1000.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_cut_of_the_blocks_changes_nothing(fs_hz: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = counts(np.minimum(stay(patient(fs_hz, seconds=30.0), fs_hz, 1.7, float(rng.uniform(3, 20)), 1.0), 0.8))
    whole = verdicts(y, fs_hz, [len(y)], hop_s=0.7)
    assert whole == verdicts(y, fs_hz, rng.integers(1, round(3 * fs_hz), 50).tolist(), hop_s=0.7)
    assert whole == verdicts(y, fs_hz, [max(1, round(0.02 * fs_hz))], hop_s=0.7)
    assert len({q.reason for q in whole.values()} | {q.flags for q in whole.values()}) > 1


def test_a_constant_has_no_rail() -> None:
    assert find_rails(np.ones(2500), 250.0, NO_BEATS).at_rail_s == 0.0


@pytest.mark.parametrize("fs_hz", [60.0, 250.0, 1000.0])
@pytest.mark.parametrize("levels", [(0, 1), (0, 1, 2), (7, 7, 7, 8)])
@pytest.mark.parametrize("step", [0.0, LSB_MV, 1.0])
def test_a_signal_of_two_or_three_values_is_judged(fs_hz: float, levels: tuple[int, ...], step: float) -> None:
    """A loose electrode: the whole window lies within the tolerance of a rail."""
    n = round(10 * fs_hz)
    x = np.random.default_rng(1).choice(levels, n) * LSB_MV
    for beats in (NO_BEATS, np.arange(5, n, round(fs_hz)), np.array([0, n - 1])):
        for limits in (None, (0.0, 1.0), (0.0, LSB_MV)):
            found = find_rails(x, fs_hz, beats, first=round(fs_hz), step=step, limits=limits, height=1.0)
            assert 0.0 <= found.at_rail_s <= 10.0 * 2


@given(
    st.lists(st.integers(-3, 3), min_size=30, max_size=300),
    st.lists(st.integers(0, 299), max_size=8, unique=True),
    st.sampled_from([0.0, 0.5, 1.0, 40.0]),
    st.integers(0, 20),
)
def test_any_coarse_signal_is_judged(values: list[int], beats: list[int], step: float, first: int) -> None:
    x = np.array(values, dtype=np.float64)
    at = np.array(sorted(b for b in beats if b < len(x)), dtype=np.int64)
    for limits in (None, (-3.0, 3.0), (0.0, 0.0)):
        for height in (None, 0.0, 2.0):
            found = find_rails(x, 60.0, at, first=first, step=step, limits=limits, height=height)
            assert 0.0 <= found.at_rail_s <= 2 * len(x) / 60.0
