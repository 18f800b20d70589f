"""Heart rate from R peaks."""

from __future__ import annotations

import numpy as np
import pytest

from edge.beats.rate import heart_rate_bpm


def test_regular_beats_give_their_rate():
    assert heart_rate_bpm(np.arange(0, 1250, 100), 125.0) == pytest.approx(75.0)


def test_origin_does_not_matter():
    beats = np.array([3, 110, 212, 300, 415])
    assert heart_rate_bpm(beats, 125.0) == heart_rate_bpm(beats + 10_000_000, 125.0)


def test_one_missed_and_one_false_beat_hardly_change_it():
    beats = np.delete(np.arange(0, 1250, 100), 4)
    beats = np.sort(np.append(beats, 830))
    assert heart_rate_bpm(beats, 125.0) == pytest.approx(75.0)


@pytest.mark.parametrize("beats", [[], [5], [5, 105]])
def test_too_few_beats_give_none(beats):
    assert heart_rate_bpm(np.array(beats, dtype=int), 125.0) is None


@pytest.mark.parametrize(("interval", "credible"), [(25, False), (30, True), (300, True), (301, False)])
def test_only_credible_rates(interval, credible):
    assert (heart_rate_bpm(np.arange(5) * interval, 125.0) is not None) is credible


def test_equal_indices_give_none():
    assert heart_rate_bpm(np.array([7, 7, 7, 7]), 125.0) is None


@pytest.mark.parametrize(
    ("interval", "credible"), [(2399, False), (2400, True), (2401, True), (23999, True), (24000, True), (24001, False)]
)
def test_the_limits_25_and_250_beats_per_minute_are_included(interval, credible):
    """At 10 kHz, 2400 samples are 250 bpm and 24000 are 25 bpm."""
    assert (heart_rate_bpm(np.arange(5) * interval, 10_000.0) is not None) is credible


def test_three_beats_are_enough_and_may_be_single_samples_apart():
    assert heart_rate_bpm(np.array([0, 1, 2]), 1.0) == 60.0
