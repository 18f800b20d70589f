"""Front end stream/1 in C and in Python: the model's inputs agree within one step, on synthetic and real signals."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frontend.stream import WINDOW_SAMPLES, StreamFilter, lowpass_taps, window_input_int8
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from helpers.c_side import C_SIDE, CSide
from helpers.real_records import _read, _to_grid, references


@pytest.fixture(scope="module")
def c():
    made = CSide()
    yield made
    made.close()


def ecg_mv(seconds: float, fs_hz: float, seed: int = 3) -> np.ndarray:
    return np.asarray(EcgSynth(EcgParams(), seed).generate(round(seconds * fs_hz), fs_hz), dtype=np.float64)


def compare(c, counts: np.ndarray, grid_hz: int = 250, bits: int = 24, hop: int = 125) -> tuple[int, int, int]:
    """Compare every window; return the windows, the values that differ by one step, and the largest difference."""
    filter_ = StreamFilter(grid_hz)
    assert c.ask(f"i{grid_hz} {bits}") == "1"
    steps = 2.0 ** (30 - bits)
    windows = off = worst = 0
    stream = np.empty(0)
    step = hop * grid_hz // 125
    for at in range(0, len(counts), step):
        piece = counts[at : at + step]
        got = c.push(piece)
        want = filter_.push(piece.astype(np.float64))
        stream = np.concatenate((stream, want))[-WINDOW_SAMPLES:]
        # Two roundings per step, and the rounding of each tap to 2**-31.
        limit = 1.5 / steps + 5e-8 * np.abs(counts).max()
        assert np.abs(np.array(got) / steps - want).max(initial=0.0) <= limit
        found = c.window()
        assert len(found) == (WINDOW_SAMPLES if len(stream) == WINDOW_SAMPLES else 0)
        if len(found):
            gap = np.abs(found.astype(int) - window_input_int8(stream))
            windows, off, worst = windows + 1, off + int(np.count_nonzero(gap)), max(worst, int(gap.max()))
    return windows, off, worst


def test_the_taps_are_those_of_the_kit():
    text = (C_SIDE / "src" / "ecg_frontend.c").read_text()
    for hz in (250, 500):
        table = re.search(rf"taps_{hz}\[.*?= {{(.*?)}};", text, re.DOTALL)[1]
        found = np.array([int(v) for v in table.split(",")])
        half = lowpass_taps(hz)[len(found) - 1 :] * 2**30
        assert np.abs(found - half)[1:].max() <= 0.5
        assert abs(found[0] - half[0]) <= 8  # holds the remainder, so that a constant passes unchanged
        assert found[0] + 2 * found[1:].sum() == 2**30


@pytest.mark.parametrize("grid_hz", [250, 500])
@pytest.mark.parametrize("counts_per_mv", [40, 200, 1000, 100_000])
def test_synthetic(c, grid_hz, counts_per_mv):
    bits = 12 if counts_per_mv <= 200 else 24
    t = np.arange(30 * grid_hz) / grid_hz
    mv = ecg_mv(30.0, grid_hz) + 0.4 * np.sin(2 * np.pi * 0.2 * t) + 0.05 * np.sin(2 * np.pi * 50 * t) + 0.7
    windows, off, worst = compare(c, np.rint(mv * counts_per_mv).astype(int), grid_hz, bits)
    assert windows >= 17
    assert worst <= 1
    assert off <= windows * WINDOW_SAMPLES / 500


def test_rounding_has_no_bias(c):
    """With a fine converter nearly every value is equal; the rest lies at the border between two steps."""
    windows, off, _worst = compare(c, np.rint(ecg_mv(60.0, 250.0) * 50_000).astype(int))
    assert off <= windows * WINDOW_SAMPLES / 2000


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(5, 12), (50, 16), (3000, 16), (3000, 24), (2_000_000, 24)]),
    st.floats(-0.5, 0.5),
    st.sampled_from(["noise", "walk", "spikes", "sine", "square"]),
    st.sampled_from([250, 500]),
)
def test_any_signal(c, seed, scale, offset, kind, grid_hz):
    size, bits = scale
    top = 2 ** (bits - 1) - 1
    rng = np.random.default_rng(seed)
    n = 13 * grid_hz
    x = {
        "noise": lambda: rng.normal(0, size, n),
        "walk": lambda: np.cumsum(rng.normal(0, size / 20, n)),
        "spikes": lambda: size * (rng.random(n) < 0.01),
        "sine": lambda: size * np.sin(2 * np.pi * rng.uniform(0.5, 30) * np.arange(n) / grid_hz),
        "square": lambda: size * np.sign(np.sin(2 * np.pi * rng.uniform(0.5, 5) * np.arange(n) / grid_hz)),
    }[kind]()
    counts = np.clip(np.rint(x + offset * top), -top, top).astype(int)
    windows, _off, worst = compare(c, counts, grid_hz, bits)
    assert windows >= 1
    assert worst <= 1


def test_a_flat_signal_is_all_zeros_and_a_reset_forgets(c):
    c.ask("i250 24")
    c.push(np.rint(ecg_mv(13.0, 250.0) * 1000).astype(int))
    assert len(c.window()) == WINDOW_SAMPLES
    c.ask("i250 24")
    assert len(c.window()) == 0
    assert set(c.push(np.full(13 * 250, 123_456))) == {0}
    assert not c.window().any()


@pytest.mark.parametrize("grid_hz", [250, 500])
def test_the_first_window_comes_with_its_last_sample(c, grid_hz):
    filter_ = StreamFilter(grid_hz)
    n = filter_.warmup_samples + 1 + (WINDOW_SAMPLES - 1) * grid_hz // 125
    assert len(filter_.push(np.zeros(n))) == WINDOW_SAMPLES
    c.ask(f"i{grid_hz} 16")
    c.push(np.arange(n - 1))
    assert len(c.window()) == 0
    assert len(c.push(np.array([7]))) == 1
    assert len(c.window()) == WINDOW_SAMPLES


def test_samples_beyond_24_bits_are_limited(c):
    c.ask("i250 24")
    got = c.push(np.array([2**31 - 1, -(2**31)] * 200 + [2**31 - 1] * 4000))
    assert max(map(abs, got)) < 2**31


def test_sums_do_not_drift(c):
    """Running integer sums: after a large disturbance the stream of a constant is exactly zero again."""
    c.ask("i250 24")
    c.push(np.random.default_rng(1).integers(-(2**23), 2**23, 50_000))
    assert c.push(np.full(5000, -77))[-1000:] == [0] * 1000


def test_only_two_rates_and_real_resolutions(c):
    assert [c.ask(f"i{text}") for text in ("125 16", "250 7", "250 25", "500 8")] == ["0", "0", "0", "1"]


def test_real_records(c, data_dir):
    """The first minute of every recording, in counts of 2.5 microvolts, as a common converter gives them."""
    seen = 0
    for row in sorted({(r["id"], r["lead"]) for r in references(data_dir)}):
        x, fs_hz = _read(data_dir / row[0], *row)
        valid = np.flatnonzero(np.isfinite(x))
        x = np.nan_to_num(x[valid[0] : valid[0] + int(60 * fs_hz)])
        mv = _to_grid(x, fs_hz)
        if np.ptp(mv) > 100.0:  # a file in other units: microvolts or counts
            mv = mv / 1000.0
        windows, off, worst = compare(c, np.rint(mv * 400).astype(int), bits=16)
        assert worst <= 1, row
        assert off <= windows * WINDOW_SAMPLES / 100, row
        seen += windows
    assert seen > 200
