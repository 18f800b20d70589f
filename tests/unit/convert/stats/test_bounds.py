"""Intervals: by hand, at the ends of their scales, and by the share of simulations in which they contain the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from convert.stats.bounds import area_interval, degrees, p_value, se_interval, share_interval, standard_error, wilson
from convert.stats.discrimination import ranking
from convert.stats.metrics import Score
from convert.stats.reliability import mean_interval
from convert.stats.resampling import Resampler
from helpers.slow_intervals import SCALES, ends_of, welch


@pytest.mark.parametrize("scale", SCALES)
def test_an_interval_is_even_on_its_scale(scale: str) -> None:
    replicates = np.concatenate([np.linspace(0.2, 0.6, 40), [np.nan] * 20])
    found = se_interval(0.4, replicates, 25, scale)
    assert (found.value, found.low, found.high) == pytest.approx((0.4, *ends_of(0.4, replicates, 25, scale)))


def test_an_interval_has_the_degrees_of_freedom_that_are_given() -> None:
    replicates = np.linspace(0.2, 0.6, 40)
    found = se_interval(0.4, replicates, 25, "logit", 4.5)
    assert (found.low, found.high) == pytest.approx(ends_of(0.4, replicates, 25, "logit", 4.5))
    two = se_interval(0.4, replicates, 2)
    assert (two.low, two.high) == pytest.approx(ends_of(0.4, replicates, 2))


def test_too_few_patients_or_replicates_have_no_interval() -> None:
    some = np.linspace(0.2, 0.6, 40)
    assert se_interval(0.4, some, 1) == Score(0.4, None, None)
    assert se_interval(0.4, np.full(40, np.nan), 9) == Score(0.4, None, None)
    assert se_interval(0.4, np.concatenate([some[:10], np.full(30, np.nan)]), 9) == Score(0.4, None, None)
    assert se_interval(None, some, 9) == se_interval(math.nan, some, 9) == Score(None, None, None)
    assert se_interval(1.0, some, 9, "atanh") == Score(1.0, None, None)
    assert standard_error(np.empty(0), 9) is None


def test_separated_classes_have_the_interval_of_newcombe() -> None:
    found = area_interval(1.0, np.ones(100), 20, 30)
    assert (found.value, found.high) == (1.0, 1.0)
    area, even = found.low, (20 + 30) / 2 - 1
    variance = area * (1 - area) * (1 + even * ((1 - area) / (2 - area) + area / (1 + area))) / (20 * 30)
    assert 1.0 - area == pytest.approx(t.ppf(0.975, welch(20, 30)) * math.sqrt(variance), abs=1e-9)
    assert area_interval(0.0, np.zeros(100), 20, 30) == Score(0.0, 0.0, pytest.approx(1.0 - found.low))
    assert area_interval(1.0, np.ones(100), 200, 300).low > found.low
    assert area_interval(1.0, np.ones(100), 1, 30) == Score(1.0, None, None)


def test_wilson_by_hand() -> None:
    """Of ten, three: Wilson's interval is 0.108 to 0.603 (Newcombe, Stat Med 1998;17:857)."""
    found = wilson(0.3, 10)
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.1078, 0.6032), abs=1e-4)
    for n in range(1, 200):
        assert (wilson(1.0, n).high, wilson(0.0, n).low) == (1.0, 0.0)  # rounding must not pass the ends
    nobody = np.zeros(3, bool)
    assert share_interval(nobody, nobody, Resampler(np.arange(3), 0, 10)) == Score(None, None, None)


def test_repeated_patients_widen_the_interval_of_a_share() -> None:
    hit = np.arange(40) % 4 == 0
    once = share_interval(hit, np.ones(40, bool), Resampler(np.arange(40), 0, 2000))
    again = share_interval(np.repeat(hit, 5), np.ones(200, bool), Resampler(np.repeat(np.arange(40), 5), 0, 2000))
    assert (again.low, again.high) == pytest.approx((once.low, once.high), abs=5e-3)
    narrow = wilson(0.25, 200)
    assert again.low < once.low < narrow.low
    assert narrow.high < once.high < again.high  # the spread is estimated from 40 patients and not from 200 rows
    assert (once.low, once.high) == pytest.approx((wilson(0.25, 40).low, wilson(0.25, 40).high), abs=0.01)


@pytest.mark.parametrize("scale", SCALES)
def test_a_p_value_is_five_percent_at_the_end_of_the_interval(scale: str) -> None:
    low, high = ends_of(0.4, np.linspace(0.2, 0.6, 40), 25, scale)
    found = Score(0.4, low, high)
    assert p_value(found, low, 24, scale) == pytest.approx(0.05)
    assert p_value(found, high, 24, scale) == pytest.approx(0.05)
    assert p_value(found, 0.4, 24, scale) == pytest.approx(1.0)
    assert p_value(found, low - 0.01, 24, scale) < 0.05


def test_p_values_at_the_ends() -> None:
    assert p_value(Score(0.5, 0.5, 0.5), 0.5, 9, "logit") == 1.0
    assert p_value(Score(0.6, 0.6, 0.6), 0.5, 9, "logit") == 0.0
    assert p_value(Score(1.0, 0.9, 1.0), 0.5, 9, "logit") < 1e-5
    assert p_value(Score(1.0, 0.4, 1.0), 0.5, 9, "logit") == 1.0
    assert p_value(Score(1.0, 0.5, 1.0), 0.5, 9, "logit") == 1.0
    assert p_value(Score(0.0, 0.0, 0.1), 0.5, 9, "logit") < 1e-5
    assert p_value(Score(0.0, 0.0, 0.6), 0.5, 9, "logit") == 1.0
    assert p_value(Score(0.4, None, None), 0.5, 9) is None
    assert degrees(20, 20) == pytest.approx(38.0)
    assert degrees(20, 10_000) == pytest.approx(19.0, rel=0.01)
    assert degrees(1, 30) == 1.0


def clustered(rng: np.random.Generator, patients: int, rows: int, between: float) -> np.ndarray:
    """Normal rows of patients; ``between`` is the share of the variance between patients."""
    common = np.repeat(rng.standard_normal(patients), rows)
    return math.sqrt(between) * common + math.sqrt(1.0 - between) * rng.standard_normal(patients * rows)


def covered(found: Score, truth: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= truth <= found.high


SETTINGS = [(20, 20, 1), (20, 100, 3), (60, 200, 1)]
DRAWS = 500


@pytest.mark.slow
@pytest.mark.parametrize(("positives", "negatives", "rows"), SETTINGS)
@pytest.mark.parametrize("area", [0.5, 0.7, 0.9])
def test_intervals_of_areas_contain_the_truth(positives: int, negatives: int, rows: int, area: float) -> None:
    """92 to 98.5 %: the nominal 95 % within about three standard errors of 500 simulations."""
    rng, inside = np.random.default_rng([positives, rows, round(100 * area)]), 0
    patient = np.repeat(np.arange(positives + negatives), rows)
    y = patient < positives
    for seed in range(DRAWS):
        score = clustered(rng, positives + negatives, rows, 0.6) + math.sqrt(2.0) * norm.ppf(area) * y
        inside += covered(ranking(score, y, Resampler(patient, seed, 300)).auroc, area)
    assert 0.92 <= inside / DRAWS <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 4])
def test_intervals_of_shares_and_errors_contain_the_truth(rows: int) -> None:
    rng = np.random.default_rng(rows)
    inside = {"share 0.9": 0, "share 0.5": 0, "mae": 0, "bias": 0}
    patient = np.repeat(np.arange(40), rows)
    everybody, sigma = np.ones(40 * rows, bool), 0.5
    for seed in range(DRAWS):
        resampler = Resampler(patient, seed, 300)
        x = clustered(rng, 40, rows, 0.5)
        inside["share 0.9"] += covered(share_interval(x < norm.ppf(0.9), everybody, resampler), 0.9)
        inside["share 0.5"] += covered(share_interval(x < 0.0, everybody, resampler), 0.5)
        inside["mae"] += covered(mean_interval(np.abs(sigma * x), resampler, "log"), sigma * math.sqrt(2.0 / math.pi))
        inside["bias"] += covered(mean_interval(sigma * x + 0.1, resampler), 0.1)
    assert all(0.92 <= n / DRAWS <= 0.985 for n in inside.values()), inside


def test_null_heads_are_rarely_called_better_than_chance() -> None:
    """1,000 heads that show nothing, each judged alone with 20 patients of each class: at most 5 % are called.

    Tables of heads, values, other sources and groups are in ``test_null_heads.py``.
    """
    rng, called = np.random.default_rng(0), 0
    y = np.arange(40) < 20
    for seed in range(1000):
        found = ranking(rng.standard_normal(40), y, Resampler(np.arange(40), seed, 100)).auroc
        called += found.low is not None and found.low > 0.5
    assert wilson(called / 1000, 1000).high <= 0.05
