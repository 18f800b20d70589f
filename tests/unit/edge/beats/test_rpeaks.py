"""Streaming R-peak detector: contract, rhythms, shapes, noise."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.beats.decide import BeatDecision
from edge.beats.detector import RPeakDetector
from edge.beats.feature import Peak
from helpers.ecg_shapes import FS, ecg, score


def detect(x, piece=125):
    detector = RPeakDetector(FS)
    return [b for i in range(0, len(x), piece) for b in detector.push(x[i : i + piece])]


def check(x, times, sensitivity=0.99, predictivity=0.99):
    se, pp = score(np.array(detect(x)) / FS, times, 0.5, len(x) / FS - 1.6)
    assert se >= sensitivity
    assert pp >= predictivity


SIGNAL, TIMES = ecg(0.8 + 0.05 * np.sin(np.arange(40)), noise=0.05)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=60))
def test_any_split_gives_the_same_beats(sizes):
    detector, found, at = RPeakDetector(FS), [], 0
    for size in [*sizes, len(SIGNAL)]:
        found += detector.push(SIGNAL[at : at + size])
        at += size
    assert found == detect(SIGNAL)


def test_the_output_after_each_sample_does_not_depend_on_the_split():
    single = RPeakDetector(FS)
    after = [list(single.push(SIGNAL[i : i + 1])) for i in range(len(SIGNAL))]
    for piece in (7, 125, 333):
        detector = RPeakDetector(FS)
        for i in range(0, len(SIGNAL), piece):
            assert detector.push(SIGNAL[i : i + piece]) == [b for a in after[i : i + piece] for b in a]


def test_beats_increase_and_come_within_the_stated_delay():
    rng = np.random.default_rng(5)
    x, _ = ecg(rng.uniform(0.4, 1.6, 60), rng.choice(["normal", "pvc", "wide"], 60), noise=0.1)
    detector, beats = RPeakDetector(FS), []
    for i in range(len(x)):
        for beat in detector.push(x[i : i + 1]):
            assert i < 2.6 * FS or i - beat <= detector.max_delay_samples
            beats.append(beat)
    assert len(beats) > 50
    assert all(a < b for a, b in itertools.pairwise(beats))
    assert detector.max_delay_samples <= 1.52 * FS


def test_most_beats_are_known_after_two_thirds_of_a_second():
    detector, delays = RPeakDetector(FS), []
    for i in range(len(SIGNAL)):
        delays += [i - b for b in detector.push(SIGNAL[i : i + 1]) if i > 3 * FS]
    assert np.quantile(delays, 0.95) <= 0.67 * FS


def test_reset_forgets():
    detector = RPeakDetector(FS)
    detector.push(np.random.default_rng(1).standard_normal(3001) * 50)
    detector.reset()
    assert detector.push(SIGNAL) == detect(SIGNAL)


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**12])
def test_scale_does_not_matter(scale):
    assert detect(SIGNAL * scale) == detect(SIGNAL)


def test_polarity_does_not_matter():
    assert detect(-SIGNAL) == detect(SIGNAL)


@pytest.mark.parametrize("rate_bpm", [30, 45, 60, 100, 150, 190, 220])
@pytest.mark.parametrize("shape", ["normal", "inverted", "rs"])
def test_rates(rate_bpm, shape):
    x, times = ecg(np.full(rate_bpm, 60 / rate_bpm), shape)
    check(x, times)


@pytest.mark.parametrize("rate_bpm", [40, 70, 110])
@pytest.mark.parametrize("shape", ["tall_t", "wide", "paced"])
def test_shapes(rate_bpm, shape):
    x, times = ecg(np.full(rate_bpm, 60 / rate_bpm), shape, noise=0.03)
    check(x, times, 0.99, 0.97)


def test_a_notched_complex_keeps_one_landmark():
    x, times = ecg(np.full(120, 0.5), "wide", noise=0.01)
    found = np.array(detect(x)[4:]) / FS
    offsets = [min(f - times, key=abs) for f in found]
    assert np.ptp(offsets) < 0.04


def test_low_amplitude():
    x, times = ecg(np.full(60, 0.85), "low", noise=0.01)
    check(x, times)


def test_atrial_fibrillation():
    rng = np.random.default_rng(2)
    x, times = ecg(np.clip(rng.gamma(12, 0.65 / 12, 150), 0.33, 1.8), heights=rng.uniform(0.7, 1.3, 150), noise=0.05)
    check(x, times)


@pytest.mark.parametrize(
    ("shapes", "intervals"),
    [
        (["normal", "pvc"], [0.5, 1.0]),
        (["normal", "normal", "pvc"], [0.8, 0.45, 1.15]),
        (["normal"] * 8 + ["pvc"] * 2, [0.8] * 7 + [0.45, 0.42, 1.15]),
        (["normal"] * 10 + ["pvc"] * 8, [0.8] * 9 + [0.45] + [0.36] * 7 + [0.9]),
    ],
    ids=["bigeminy", "trigeminy", "couplets", "tachycardia runs"],
)
def test_ectopic_beats_are_kept(shapes, intervals):
    rounds = max(4, 60 // len(shapes))
    x, times = ecg(intervals * rounds, shapes * rounds, noise=0.03)
    check(x, times, 0.98, 0.99)


def test_a_sudden_tachycardia_is_not_halved():
    x, times = ecg([0.85] * 30 + [0.4] * 60)
    check(x, times, 0.98, 0.99)


@pytest.mark.parametrize(("before", "after"), [(1.0, 0.2), (0.2, 1.0)])
def test_amplitude_may_change_suddenly(before, after):
    x, times = ecg(np.full(80, 0.8), heights=np.repeat([before, after], 40), noise=0.01)
    check(x, times, 0.97, 0.97)


def test_after_a_drop_to_a_twentieth_the_beats_are_found_again():
    x, times = ecg(np.full(80, 0.8), heights=np.repeat([1.0, 0.05], 40), noise=0.002)
    se, _ = score(np.array(detect(x)) / FS, times, times[47], len(x) / FS - 1.6)
    assert se >= 0.97


def test_a_huge_artefact_costs_at_most_a_few_beats():
    x, times = ecg(np.full(60, 0.8), noise=0.02)
    x[3000:3030] += 40.0
    se, pp = score(np.array(detect(x)) / FS, times, 0.5, len(x) / FS - 1.6)
    assert se >= 0.93
    assert pp >= 0.95


def test_muscle_noise():
    x, times = ecg(np.full(80, 0.8), noise=0.15)
    check(x, times, 0.97, 0.97)


def test_a_pause_stays_a_pause():
    x, times = ecg([0.8] * 20 + [3.0] + [0.8] * 20 + [4.0] + [0.8] * 20, noise=0.02)
    check(x, times, 0.98, 0.96)


@pytest.mark.parametrize("x", [np.zeros(5000), np.full(5000, 7.0)], ids=["zeros", "constant"])
def test_nothing_gives_no_beats(x):
    assert detect(x) == []


def test_state_does_not_grow():
    detector = RPeakDetector(FS)
    sizes = []
    for _ in range(8):
        detector.push(np.tile(SIGNAL, 8))
        sizes.append(len(pickle.dumps(detector)))
    assert max(sizes[2:]) <= 1.05 * sizes[1]


def test_a_beat_soon_after_a_steep_artefact_is_not_taken_for_its_t_wave():
    """The artefact is forty times steeper than a beat, and a true beat follows within the time of a T wave."""
    decision, found = BeatDecision(FS), []
    peaks = [Peak(at, 1.0, 1.0, np.zeros(0), 0) for at in range(100, 1100, 100)]
    peaks += [Peak(1060, 2.0, 40.0, np.zeros(0), 0), Peak(1100, 1.0, 1.0, np.zeros(0), 0)]
    for now in range(25, 1300, 25):
        found += decision.step(now, np.full(25, 0.1), [p for p in peaks if now - 25 < p.index <= now])
    assert [p.index for p in found][-2:] == [1060, 1100]
