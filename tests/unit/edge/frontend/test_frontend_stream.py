"""stream/1 against scipy, and its bits for pieces of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from edge.frontend import stream as fs
from edge.frontend.stream import StreamFilter, lowpass_taps, normalise_window, window_input_int8


def oracle(x: np.ndarray, grid_hz: int) -> np.ndarray:
    """Return the output of the same chain in scipy: FIR by lfilter, baseline as one 255-tap FIR."""
    taps = signal.firwin(
        round(0.192 * grid_hz) + 1, fs.CUTOFF_HZ, window=("kaiser", fs.KAISER_BETA), fs=grid_hz, pass_zero=True
    )
    low = signal.lfilter(taps, 1.0, x)[len(taps) - 1 :: grid_hz // 125]
    triangle = np.convolve(np.ones(128), np.ones(128)) / 128**2
    baseline = signal.lfilter(triangle, 1.0, low)[254:]
    return low[127 : 127 + len(baseline)] - baseline


@pytest.mark.parametrize("grid_hz", [250, 500])
def test_equals_scipy(grid_hz: int) -> None:
    x = np.random.default_rng(1).standard_normal(grid_hz * 40) + 100.0
    y = StreamFilter(grid_hz).push(x)
    assert len(y) == len(oracle(x, grid_hz))
    assert np.max(np.abs(y - oracle(x, grid_hz))) < 1e-9


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_cut_gives_the_same_bits(data: st.DataObject) -> None:
    grid_hz = data.draw(st.sampled_from([250, 500]))
    x = np.random.default_rng(2).standard_normal(grid_hz * 5) * 1e3 + 5e5
    whole = StreamFilter(grid_hz).push(x)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(x)), max_size=40)))
    stream = StreamFilter(grid_hz)
    pieces = [stream.push(part) for part in np.split(x, cuts)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_one_sample_at_a_time_gives_the_same_bits() -> None:
    x = np.random.default_rng(3).standard_normal(250 * 4)
    stream = StreamFilter(250)
    pieces = [stream.push(x[i : i + 1]) for i in range(len(x))]
    assert np.concatenate(pieces).tobytes() == StreamFilter(250).push(x).tobytes()
    assert next(i for i, p in enumerate(pieces) if len(p)) == StreamFilter(250).warmup_samples


@pytest.mark.parametrize("grid_hz", [250, 500])
def test_group_delay_matches_the_manifest(grid_hz: int) -> None:
    n = grid_hz * 12
    centre = 6 * grid_hz
    pulse = np.exp(-0.5 * ((np.arange(n) - centre) / (0.02 * grid_hz)) ** 2)
    y = StreamFilter(grid_hz).push(pulse)
    at_s = fs.GROUP_DELAY_S + np.argmax(y) / fs.FS_HZ
    assert abs(at_s - centre / grid_hz) <= 0.5 / fs.FS_HZ + 1e-9


def test_linear_phase_keeps_the_st_segment() -> None:
    """IEC impulse, 3 mV for 100 ms: symmetric, and the slope after it stays within 0.30 mV/s."""
    x = np.zeros(250 * 12)
    x[1500:1525] = 3.0
    y = StreamFilter(250).push(x)
    peak = round((1512 / 250 - fs.GROUP_DELAY_S) * 125)
    left, right = y[peak - 60 : peak], y[peak + 1 : peak + 61][::-1]
    assert np.max(np.abs(left - right)) < 0.05 * 3.0
    after = y[peak + 20 : peak + 200]  # 0.16 s on: the ringing of the low-pass is over
    assert np.max(np.abs(np.diff(after))) * fs.FS_HZ < 0.30


def test_mains_and_offset_are_gone() -> None:
    t = np.arange(250 * 20) / 250
    for mains_hz in (50.0, 60.0):
        y = StreamFilter(250).push(300.0 + np.sin(2 * np.pi * mains_hz * t))
        assert np.max(np.abs(y)) < 0.004


def test_pass_band() -> None:
    for f_hz in (2.0, 10.0, 25.0):
        t = np.arange(250 * 20) / 250
        y = StreamFilter(250).push(np.sin(2 * np.pi * f_hz * t))
        assert 0.93 < np.max(np.abs(y)) < 1.02


def test_taps_equal_firwin() -> None:
    for grid_hz in (250, 500):
        taps = lowpass_taps(grid_hz)
        ref = signal.firwin(len(taps), fs.CUTOFF_HZ, window=("kaiser", fs.KAISER_BETA), fs=grid_hz)
        assert np.max(np.abs(taps - ref)) < 1e-15


def test_window_does_not_depend_on_gain_or_offset() -> None:
    x = np.random.default_rng(4).standard_normal(1250)
    a, b = window_input_int8(x), window_input_int8(x * 1234.5 + 77.0)
    assert np.max(np.abs(a.astype(int) - b.astype(int))) <= 1
    assert window_input_int8(-x).astype(int).sum() == -a.astype(int).sum()


def test_window_clamps_and_survives_flat() -> None:
    x = np.zeros(1250)
    assert not normalise_window(x).any()
    x[600] = 1.0
    assert normalise_window(x).max() == fs.CLAMP
    assert window_input_int8(x).max() == 127


def test_wrong_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="250 or 500"):
        StreamFilter(360)


def test_the_numbers_of_the_stream_agree_with_each_other() -> None:
    assert (fs.WINDOW_S * fs.FS_HZ, fs.WINDOW_SAMPLES) == (1250.0, 1250)
    for grid_hz in (250, 500):
        made = fs.StreamFilter(grid_hz)
        assert (made.grid_hz, made.fs_hz, made.group_delay_s) == (grid_hz, 125.0, 1.112)
        assert made.group_delay_s == made._half / grid_hz + 127 / 125
        assert made.warmup_samples == round(2 * 1.112 * grid_hz)
