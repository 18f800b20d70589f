"""The synthetic ECG: requested times and amplitudes must be measurable, and no split may change the signal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import medfilt

from firmware_bridge.errors import UsageError
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.synth.noise import CLEAN, NoiseParams, NoiseSource

FS_HZ = 500.0
STILL = EcgParams(rr_sd_ms=0.0, resp_mv=0.0, resp_r=0.0, beat_jitter=0.0, u_mv=0.0, hr_bpm=60.0)
"""Parameters that make every beat the same, so that one beat shows the intervals."""


def mean_beat(params: EcgParams, before_s: float = 0.45, after_s: float = 0.55) -> tuple[np.ndarray, np.ndarray]:
    """Median beat around the R peaks detected in the signal (not those it was made from), and its time axis."""
    x = EcgSynth(params, 5).generate(int(40 * FS_HZ), FS_HZ)
    rise = 0.6 * params.r_mv
    peaks = [i for i in range(1, x.size - 1) if x[i] > rise and x[i] >= x[i - 1] and x[i] > x[i + 1]]
    a, b = int(before_s * FS_HZ), int(after_s * FS_HZ)
    beats = np.array([x[i - a : i + b] for i in peaks if a + 500 <= i < x.size - b])
    return np.median(beats, axis=0), np.arange(-a, b) / FS_HZ


def tangent(beat: np.ndarray, t_s: np.ndarray, lo: float, hi: float, *, rising: bool, base: float) -> float:
    """Where the steepest tangent between lo and hi crosses ``base``, in seconds."""
    slope = np.gradient(beat, t_s)
    window = (t_s >= lo) & (t_s <= hi)
    i = int(np.flatnonzero(window)[(np.argmax if rising else np.argmin)(slope[window])])
    return float(t_s[i] + (base - beat[i]) / slope[i])


def t_end_s(params: EcgParams) -> float:
    beat, t = mean_beat(params)
    peak = float(t[(t > 0.15)][np.argmax(beat[t > 0.15])])
    base = float(np.median(beat[(t > 0.5)]))
    return tangent(beat, t, peak, peak + 0.2, rising=False, base=base)


@pytest.mark.parametrize("qtc_ms", [340.0, 380.0, 460.0, 500.0])
def test_qt_changes_as_requested(qtc_ms: float) -> None:
    change = t_end_s(replace(STILL, qtc_ms=qtc_ms)) - t_end_s(replace(STILL, qtc_ms=400.0))
    assert 1e3 * change == pytest.approx(qtc_ms - 400.0, abs=4.0)


def test_qt_absolute() -> None:
    qrs_onset_s = -0.42 * 0.092
    assert 1e3 * (t_end_s(STILL) - qrs_onset_s) == pytest.approx(STILL.qtc_ms, abs=8.0)


def test_qt_follows_fridericia() -> None:
    fast = t_end_s(replace(STILL, hr_bpm=75.0))
    assert 1e3 * (fast - t_end_s(STILL)) == pytest.approx(410.0 * (0.8 ** (1 / 3) - 1.0), abs=6.0)


def test_pr_changes_as_requested() -> None:
    def onset(pr_ms: float) -> float:
        beat, t = mean_beat(replace(STILL, pr_ms=pr_ms))
        peak = float(t[t < -0.07][np.argmax(beat[t < -0.07])])
        return tangent(beat, t, peak - 0.1, peak, rising=True, base=float(beat[0]))

    assert 1e3 * (onset(160.0) - onset(200.0)) == pytest.approx(40.0, abs=3.0)


def test_t_amplitude_and_width() -> None:
    def t_wave(params: EcgParams) -> tuple[float, float]:
        beat, t = mean_beat(params)
        beat, t = beat[t > 0.12], t[t > 0.12]
        beat = beat - beat[-1]
        above = t[beat > 0.5 * beat.max()]
        return float(beat.max()), float(above[-1] - above[0])

    low, wide = t_wave(STILL)
    high, narrow = t_wave(replace(STILL, t_mv=0.6, t_ms=120.0))
    assert high - low == pytest.approx(0.3, abs=0.02)
    assert narrow / wide == pytest.approx(120.0 / 170.0, abs=0.05)


def test_heart_rate_and_variability() -> None:
    synth = EcgSynth(EcgParams(hr_bpm=80.0, rr_sd_ms=40.0), 3)
    synth.generate(int(600 * FS_HZ), FS_HZ)
    beats = synth.take_beats()
    rr = np.array([b.rr_s for b in beats][1:])
    assert 60.0 / rr.mean() == pytest.approx(80.0, rel=0.01)
    assert 1e3 * rr.std() == pytest.approx(40.0, rel=0.25)
    assert synth.take_beats() == []


def test_rhythms() -> None:
    synth = EcgSynth(EcgParams(hr_bpm=70.0, pvc_per_beat=0.1), 4)
    synth.generate(int(300 * FS_HZ), FS_HZ)
    beats = synth.take_beats()
    early = [b for b in beats if b.kind == "V"]
    assert 0.05 < len(early) / len(beats) < 0.15
    assert all(b.rr_s < 0.75 * 60.0 / 70.0 for b in early)
    synth = EcgSynth(EcgParams(hr_bpm=90.0, af=True), 4)
    synth.generate(int(300 * FS_HZ), FS_HZ)
    rr = np.array([b.rr_s for b in synth.take_beats()][1:])
    assert rr.std() / rr.mean() > 0.15
    assert abs(np.corrcoef(rr[1:], rr[:-1])[0, 1]) < 0.15


def test_peaks_are_where_the_beats_say() -> None:
    synth = EcgSynth(EcgParams(pvc_per_beat=0.03), 9)
    x = synth.generate(int(60 * FS_HZ), FS_HZ)
    for beat in synth.take_beats():
        i = round(beat.r_time_s * FS_HZ)
        if 50 < i < x.size - 50:
            assert abs(int(np.argmax(x[i - 40 : i + 40])) - 40) <= 2


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 1500), min_size=1, max_size=8), fs_hz=st.sampled_from([125.0, 257.3, 500.0]))
def test_any_cut_gives_the_same_bits(cuts: list[int], fs_hz: float) -> None:
    params = EcgParams(pvc_per_beat=0.1, af=len(cuts) % 2 == 0)
    whole = EcgSynth(params, 7).generate(sum(cuts), fs_hz)
    synth = EcgSynth(params, 7)
    assert np.concatenate([synth.generate(n, fs_hz) for n in cuts]).tobytes() == whole.tobytes()
    rough = NoiseParams(motion_per_min=10, pops_per_min=10, contact_loss_per_min=6)
    noisy = NoiseSource(rough, 7).apply(whole, fs_hz)
    source, at, parts = NoiseSource(rough, 7), 0, []
    for n in cuts:
        parts.append(source.apply(whole[at : at + n], fs_hz))
        at += n
    assert np.concatenate(parts).tobytes() == noisy.tobytes()


def test_no_steps_between_internal_blocks() -> None:
    x = EcgSynth(replace(EcgParams(), pvc_per_beat=0.2, hr_bpm=40.0), 2).generate(int(120 * FS_HZ), FS_HZ)
    seams = np.abs(np.diff(x))[999::1000]
    assert np.abs(np.diff(x)).max() < 0.15  # the steepest part of R; a beat truncated at a block border jumps by more
    assert np.median(seams) < 0.01


def test_seeds_differ_and_repeat() -> None:
    a, b, c = (EcgSynth(EcgParams(), seed).generate(3000, FS_HZ) for seed in (1, 1, 2))
    assert a.tobytes() == b.tobytes()
    assert a.tobytes() != c.tobytes()


@pytest.mark.parametrize("bad", [{"hr_bpm": 0.0}, {"qtc_ms": float("nan")}, {"t_mv": 1e9}, {"pvc_per_beat": 1.1}])
def test_impossible_parameters_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(bad))):
        replace(EcgParams(), **bad)


@pytest.mark.parametrize("fs_hz", [0.0, -500.0, float("nan"), float("inf")])
def test_impossible_rates_are_refused(fs_hz: float) -> None:
    with pytest.raises(UsageError):
        EcgSynth(EcgParams(), 1).generate(10, fs_hz)
    with pytest.raises(UsageError):
        NoiseSource(CLEAN, 1).generate(10, fs_hz)


def test_the_rate_cannot_change() -> None:
    synth = EcgSynth(EcgParams(), 1)
    synth.generate(10, 500.0)
    with pytest.raises(UsageError, match="500"):
        synth.generate(10, 250.0)


@pytest.mark.alone
def test_fast_enough() -> None:
    """6000 times real time on a PC. A median filter of the same signal takes a fifth of that, at least a twentieth."""
    noise = np.random.default_rng(0).standard_normal(int(300 * FS_HZ))

    def took_s(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    synth = min(took_s(lambda: EcgSynth(EcgParams(), 1).generate(noise.size, FS_HZ)) for _ in range(3))
    assert synth < 20 * min(took_s(lambda: medfilt(noise, 201)) for _ in range(3))


def test_noise_levels_are_as_requested() -> None:
    n = int(120 * FS_HZ)
    zero = np.zeros(n)
    assert np.array_equal(NoiseSource(CLEAN, 1).apply(zero + 1.0, FS_HZ), zero + 1.0)
    for name, expected in (("wander_mv", 1.0), ("muscle_mv", 1.0), ("white_mv", 1.0)):
        rms = float(np.std(NoiseSource(replace(CLEAN, **{name: 0.1}), 3).apply(zero, FS_HZ)))
        assert rms == pytest.approx(0.1 * expected, rel=0.15), name
    mains = NoiseSource(replace(CLEAN, mains_hz=50.0, mains_mv=0.1), 3).apply(zero, FS_HZ)
    spectrum = np.abs(np.fft.rfft(mains))
    assert np.fft.rfftfreq(n, 1 / FS_HZ)[np.argmax(spectrum)] == pytest.approx(50.0, abs=0.2)


def test_muscle_noise_keeps_to_its_band() -> None:
    x = NoiseSource(replace(CLEAN, muscle_mv=0.1), 3).apply(np.zeros(30000), FS_HZ)
    power = np.abs(np.fft.rfft(x)) ** 2
    hz = np.fft.rfftfreq(x.size, 1 / FS_HZ)
    assert power[(hz > 14) & (hz < 151)].sum() > 0.99 * power.sum()


def test_lost_contact_hides_the_heart() -> None:
    source = NoiseSource(replace(CLEAN, contact_loss_per_min=4.0), 5)
    block = source.generate(int(300 * FS_HZ), FS_HZ)
    assert 0.02 < 1.0 - block.contact.mean() < 0.6
    assert np.all(block.gain[~block.contact] == 0.0)
    assert np.all(block.gain[block.contact] > 0.9)
