"""Heart rate in noise: correct or ``None``, and the rate of the beats where they are credible."""

from __future__ import annotations

import numpy as np
import pytest

from edge.beats.chain import ChainFinder
from edge.beats.detector import RPeakDetector
from edge.beats.newest import with_newest
from edge.beats.rate import heart_rate_bpm, mean_rate_bpm, median_rate_bpm
from edge.beats.shape import Candidates, ShapeMatcher
from edge.beats.track import HeartRate
from edge.frontend.stream import StreamFilter
from edge.quality.gate import QualityGate
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.synth.noise import NoiseParams, NoiseSource
from helpers.ecg_shapes import FS, ecg

GRID = 250
CALM_S = 30.0
MOTION = NoiseParams(motion_per_min=40, motion_mv=1.5, pops_per_min=20, pop_mv=1.5, muscle_mv=0.08)


def windows(grid):
    """Yield one window per second of a signal at 250 Hz, as in the runtime: end, stream, beats and quality score."""
    stream, detector, gate, beats = StreamFilter(GRID).push(grid), RPeakDetector(FS), QualityGate(), []
    for end in range(125, len(stream) + 1, 125):
        beats += detector.push(stream[end - 125 : end])
        first = end - 1250
        raw = grid[278 + 2 * first : 278 + 2 * end] if first >= 0 else ()
        if len(raw) == 2500:
            inside = np.array([b - first for b in beats if b >= first], dtype=int)
            quality = gate.assess(stream[first:end], raw, GRID, inside, scale_known=True)
            yield 1.112 + end / FS, stream[first:end], inside, quality.score


def noisy(seconds=90.0, seed=1, **params):
    """Return a simulated ECG, first at rest and then with heavy motion, and the times of its beats."""
    synth, n = EcgSynth(EcgParams(**params), seed), int(seconds * GRID)
    x = synth.generate(n, GRID)
    noise = NoiseSource(MOTION, seed).apply(np.zeros(n), GRID)
    noise[: int(CALM_S * GRID)] *= 0.02
    return x + noise, np.array([b.r_time_s for b in synth.take_beats()])


def judged(x, times, after_s=CALM_S):
    """Return rates of the tracker, of the detected beats, and true rates, for the windows with noise."""
    tracker, out = HeartRate(), []
    for end_s, window, beats, score in windows(x):
        rate = tracker.update(end_s, window, beats, score)
        if end_s > after_s + 3:
            inside = times[(times >= end_s - 10) & (times <= end_s)]
            found = [np.nan if r is None else r for r in (rate, median_rate_bpm(beats, FS))]
            out.append([*found, 60 / np.median(np.diff(inside))])
    return np.array(out).T


@pytest.mark.parametrize("rate_bpm", [45, 60, 78, 100, 130, 160])
@pytest.mark.parametrize("pvc", [0.0, 0.12])
def test_in_heavy_motion_a_rate_is_right_or_missing(rate_bpm, pvc):
    x, times = noisy(hr_bpm=rate_bpm, rr_sd_ms=1500 / rate_bpm, qtc_ms=390, pvc_per_beat=pvc)
    rates, simple, true = judged(x, times)
    given = np.isfinite(rates)
    assert given.mean() >= 0.05
    assert np.mean(np.abs(rates - true)[given] > 5) <= 0.03
    assert np.median(np.abs(rates - true)[given]) <= 2.0
    assert np.nanmean(np.abs(simple - true) > 5) > 0.03


def test_in_fibrillation_with_motion_fewer_rates_are_wrong():
    runs = [judged(*noisy(hr_bpm=rate_bpm, af=True, seed=4)) for rate_bpm in (55, 78, 110)]
    rates, simple, true = np.concatenate(runs, axis=1)
    given = np.isfinite(rates)
    assert given.mean() >= 0.3
    assert np.mean(np.abs(rates / true - 1)[given] > 0.25) <= 0.6 * np.mean(np.abs(simple / true - 1) > 0.25)


@pytest.mark.parametrize("rate_bpm", [30, 60, 110, 190])
@pytest.mark.parametrize("shape", ["normal", "rs", "wide"])
def test_in_good_windows_the_rate_is_that_of_the_beats(rate_bpm, shape):
    x, _ = ecg(np.full(rate_bpm // 2, 60 / rate_bpm), shape, fs=GRID, noise=0.01)
    tracker = HeartRate()
    for end_s, window, beats, score in windows(x):
        rate = tracker.update(end_s, window, beats, score)
        assert rate == (heart_rate_bpm(with_newest(window, beats), FS) if score >= 0.5 else median_rate_bpm(beats, FS))
        assert rate == pytest.approx(rate_bpm, rel=0.03)


def test_bigeminy_and_fibrillation_are_not_smoothed():
    irregular = np.clip(np.random.default_rng(2).gamma(12, 0.65 / 12, 70), 0.33, 1.8)
    for intervals, shapes in (([0.5, 1.0] * 25, ["normal", "pvc"] * 25), (irregular, ["normal"] * 70)):
        x, _ = ecg(intervals, shapes, fs=GRID, noise=0.02)
        tracker = HeartRate()
        found = [
            (tracker.update(end_s, window, beats, score), mean_rate_bpm(with_newest(window, beats), FS))
            for end_s, window, beats, score in windows(x)
        ]
        # Where mean and median agree within 1.5 %, the median is shown.
        assert np.mean([a is not None and abs(a / b - 1) <= 0.016 for a, b in found]) >= 0.97


@pytest.mark.parametrize("kind", ["white", "motion"])
def test_noise_without_a_heart_soon_has_no_rate(kind):
    rng = np.random.default_rng(3)
    x, times = ecg(np.full(40, 0.8), fs=GRID, noise=0.01)
    n = 80 * GRID
    noise = 0.3 * rng.standard_normal(n) if kind == "white" else NoiseSource(MOTION, 3).apply(np.zeros(n), GRID)
    tracker, late = HeartRate(), []
    for end_s, window, beats, score in windows(np.concatenate([x, noise])):
        rate = tracker.update(end_s, window, beats, score)
        if end_s > times[-1] + 15:
            late.append(rate is None)
    assert np.mean(late) >= 0.95


def test_noise_from_the_start_has_no_rate():
    noise = NoiseSource(MOTION, 5).apply(np.zeros(60 * GRID), GRID)
    tracker = HeartRate()
    assert np.mean([tracker.update(*w) is None for w in windows(noise)]) >= 0.9


def test_a_changed_shape_is_learned():
    x, times = ecg(np.full(120, 0.8), ["normal"] * 40 + ["inverted"] * 80, fs=GRID, noise=0.01)
    tracker = HeartRate()
    rates = [(w[0], tracker.update(*w)) for w in windows(x)]
    late = [rate for end_s, rate in rates if end_s > times[40] + 42]
    assert len(late) > 10
    assert late == pytest.approx([75.0] * len(late), abs=1.0)


def test_scale_does_not_matter_and_reset_forgets():
    x, _ = noisy(60.0, hr_bpm=78)
    all_windows = list(windows(x))
    tracker = HeartRate()
    first = [tracker.update(*w) for w in all_windows]
    tracker.reset()
    assert [tracker.update(end, 2.0**12 * w, b, q) for end, w, b, q in all_windows] == first


@pytest.mark.parametrize("rate_bpm", [40, 75, 120, 200])
def test_the_chain_for_the_true_rate_scores_highest(rate_bpm):
    """A quarter of the beats is hidden, with as many false candidates as beats, of a slightly lower likeness."""
    rng, finder = np.random.default_rng(rate_bpm), ChainFinder(FS)
    period = 60 * FS / rate_bpm
    beats = np.arange(period / 2, 1250, period).round().astype(int)
    seen = beats[rng.permutation(len(beats))[: -(len(beats) // 4)]]
    false = rng.choice(np.setdiff1d(np.arange(1250), beats), len(beats), replace=False)
    at = np.concatenate([seen, false])
    likeness = np.concatenate([np.full(len(seen), 0.9), rng.uniform(0.3, 0.65, len(false))])
    order = np.argsort(at)
    chains = finder.find(Candidates(at[order], likeness[order]), 1250)
    best = int(chains.score.argmax())
    assert np.exp(finder.log_rate[best]) == pytest.approx(rate_bpm, rel=0.05)
    assert set(seen) <= set(chains.beats(best))


def test_without_candidates_no_chain_gains_anything():
    chains = ChainFinder(FS).find(Candidates(np.zeros(0, dtype=int), np.zeros(0)), 1250)
    assert chains.score.max() <= 0
    assert chains.beats(0).size == 0


def test_beats_of_the_shape_are_found_and_others_are_less_alike():
    x, times = ecg(np.full(12, 0.8), ["normal"] * 6 + ["pvc"] + ["normal"] * 5, noise=0.01)
    matcher, beats = ShapeMatcher(FS), np.round(times * FS).astype(int)
    band = matcher.band(x)
    shape = matcher.learn(band, beats)
    found = matcher.candidates(band, shape)
    near = [float(found.likeness[np.abs(found.at - b) <= 5].max(initial=0.0)) for b in beats]
    assert near[6] < 0.8
    assert min(near[:6] + near[7:]) > 0.95
    assert matcher.share_alike(found, beats, len(x), 0.8) == pytest.approx(11 / 12)
    assert matcher.learn(band, beats[:2]) is None
