"""Heart rate from R peaks."""

from __future__ import annotations

import numpy as np
import pytest

from edge.beats.rate import UNEVEN, first_rate_bpm, heart_rate_bpm, mean_rate_bpm, median_rate_bpm


def test_regular_beats_give_their_rate():
    assert median_rate_bpm(np.arange(0, 1250, 100), 125.0) == pytest.approx(75.0)


def test_origin_does_not_matter():
    beats = np.array([3, 110, 212, 300, 415])
    assert median_rate_bpm(beats, 125.0) == median_rate_bpm(beats + 10_000_000, 125.0)


def test_one_missed_and_one_false_beat_hardly_change_it():
    beats = np.delete(np.arange(0, 1250, 100), 4)
    beats = np.sort(np.append(beats, 830))
    assert median_rate_bpm(beats, 125.0) == pytest.approx(75.0)


@pytest.mark.parametrize("beats", [[], [5], [5, 105]])
def test_too_few_beats_give_none(beats):
    assert median_rate_bpm(np.array(beats, dtype=int), 125.0) is None


@pytest.mark.parametrize(("interval", "credible"), [(25, False), (30, True), (300, True), (301, False)])
def test_only_credible_rates(interval, credible):
    assert (median_rate_bpm(np.arange(5) * interval, 125.0) is not None) is credible


def test_equal_indices_give_none():
    assert median_rate_bpm(np.array([7, 7, 7, 7]), 125.0) is None


@pytest.mark.parametrize(
    ("interval", "credible"), [(2399, False), (2400, True), (2401, True), (23999, True), (24000, True), (24001, False)]
)
def test_the_limits_25_and_250_beats_per_minute_are_included(interval, credible):
    """At 10 kHz, 2400 samples are 250 bpm and 24000 are 25 bpm."""
    assert (median_rate_bpm(np.arange(5) * interval, 10_000.0) is not None) is credible


def test_three_beats_are_enough_and_may_be_single_samples_apart():
    assert median_rate_bpm(np.array([0, 1, 2]), 1.0) == 60.0


@pytest.mark.parametrize("count", [4, 5, 12, 13])
def test_alternating_intervals_give_the_mean_rate(count: int) -> None:
    """Beats 0.5 and 1.1 s apart are 75 per minute, whichever interval comes once more."""
    beats = np.cumsum([0] + [62, 138] * 20)[:count]
    mean = 60 * 125 * (count - 1) / (beats[-1] - beats[0])
    assert heart_rate_bpm(beats, 125.0) == pytest.approx(mean)
    assert count < 12 or abs(mean - 75.0) < 4


@pytest.mark.parametrize(
    "intervals",
    [
        [100, 60, 140] * 4,  # trigeminy
        [100, 100, 100, 55, 145] * 3,  # an early beat and its pause
        [100, 100, 250, 100, 100],  # a pause
        [100, 100, 45, 45, 180, 100],  # a couplet
        np.random.default_rng(1).integers(50, 160, 13).tolist(),  # fibrillation
    ],
)
def test_uneven_rhythms_give_the_mean_rate(intervals: list[int]) -> None:
    beats = np.cumsum([0, *intervals])
    mean = 60 * 125 * len(intervals) / sum(intervals)
    assert heart_rate_bpm(beats, 125.0) == pytest.approx(mean, rel=UNEVEN)
    assert mean_rate_bpm(beats, 125.0) == pytest.approx(mean)


def test_a_regular_rhythm_gives_the_median() -> None:
    beats = np.cumsum([0, 100, 101, 99, 100, 101, 99])
    assert heart_rate_bpm(beats, 125.0) == median_rate_bpm(beats, 125.0)


@pytest.mark.parametrize(
    ("intervals", "rate_bpm"),
    [([100, 100], None), ([100, 100, 100], 75.0), ([60, 100, 60], 7500 / (220 / 3)), ([40, 100, 100], None)],
)
def test_the_first_four_beats_give_a_rate(intervals: list[int], rate_bpm: float | None) -> None:
    assert first_rate_bpm(np.cumsum([0, *intervals]), 125.0) == (None if rate_bpm is None else pytest.approx(rate_bpm))
