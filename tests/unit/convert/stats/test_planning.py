"""Planned sizes against the variance of simulated AUROCs and errors, and against the width of their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from convert.stats.delong import delong_interval
from convert.stats.evidence import LeastPatients
from convert.stats.intervals import mae_interval
from convert.stats.metrics import auroc
from convert.stats.planning import MAX_PATIENTS, auroc_variance, plan_auroc, plan_mae, power_of_tier
from helpers.slow_intervals import welch


def draw(rng: np.random.Generator, area: float, positives: int, negatives: int) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(positives + negatives) < positives
    return rng.standard_normal(len(y)) + math.sqrt(2.0) * norm.ppf(area) * y, y


@pytest.mark.parametrize(("area", "positives", "negatives"), [(0.6, 25, 100), (0.85, 30, 60)])
def test_the_variance_is_that_of_simulated_areas(area: float, positives: int, negatives: int) -> None:
    rng = np.random.default_rng(0)
    found = [auroc(*draw(rng, area, positives, negatives)) for _ in range(3000)]
    assert np.var(found) == pytest.approx(auroc_variance(area, positives, negatives), rel=0.08)


def test_chance_has_the_variance_of_mann_and_whitney() -> None:
    assert auroc_variance(0.5, 12, 30) == pytest.approx((12 + 30 + 1) / (12 * 12 * 30), rel=1e-3)


@pytest.mark.parametrize(
    ("area", "prevalence", "width"),
    [(0.7, 0.1, 0.1), (0.85, 0.3, 0.1), (0.7, 0.5, 0.1), (0.9, 0.5, 0.06), (0.85, 0.001, 0.1), (0.7, 0.01, 0.2)],
)
def test_the_planned_size_reaches_its_width_in_simulation(area: float, prevalence: float, width: float) -> None:
    plan = plan_auroc(area, prevalence, width)
    assert plan.positives + plan.negatives == plan.patients
    assert plan.high - plan.low == pytest.approx(width, abs=0.002)
    rng = np.random.default_rng(1)
    widths = []
    for _ in range(120 if prevalence > 0.001 else 30):
        found = delong_interval(*draw(rng, area, plan.positives, plan.negatives))
        widths.append(found.high - found.low)
    assert np.mean(widths) == pytest.approx(width, rel=0.04)
    smaller = delong_interval(*draw(rng, area, plan.positives // 2, plan.negatives // 2))
    assert smaller.high - smaller.low > width


def test_a_planned_error_reaches_its_width_in_simulation() -> None:
    plan = plan_mae(0.41, 0.1)
    assert (plan.positives, plan.negatives) == (None, None)
    assert (plan.high - plan.low, plan.low * plan.high) == pytest.approx((0.041, 0.41**2), rel=0.01)
    rng = np.random.default_rng(2)
    sigma = 0.41 / math.sqrt(2.0 / math.pi)
    widths = []
    for seed in range(60):
        found = mae_interval(rng.normal(0.0, sigma, plan.patients), seed=seed, resamples=300)
        widths.append(found.high - found.low)
    assert np.mean(widths) == pytest.approx(0.041, rel=0.05)


def test_the_minimum_number_of_patients_holds() -> None:
    wide = plan_auroc(0.8, 0.01, 0.9, LeastPatients(30, 40))
    assert (wide.positives, wide.patients) == (30, 3000)
    common = plan_auroc(0.8, 0.99, 0.9, LeastPatients(30, 40))
    assert common.negatives == 40
    assert plan_mae(1.0, 0.9, LeastPatients(200, 300)).patients == 500


def test_the_planned_size_is_the_smallest() -> None:
    """One patient fewer of the rarer class gives a wider interval than asked for."""
    for area, prevalence, width in ((0.75, 0.001, 0.12), (0.75, 0.2, 0.08), (0.6, 0.5, 0.05)):
        plan = plan_auroc(area, prevalence, width, LeastPatients(2, 2))
        for positives, negatives, wide in (
            (plan.positives, plan.negatives, False),
            (plan.positives - 1, plan.negatives - round(1.0 / prevalence - 1.0), True),
        ):
            half = t.ppf(0.975, welch(positives, negatives)) * math.sqrt(auroc_variance(area, positives, negatives))
            ends = [math.log(area / (1 - area)) + sign * half / (area * (1 - area)) for sign in (-1, 1)]
            low, high = (1 / (1 + math.exp(-end)) for end in ends)
            assert (high - low > width) == wide
        assert plan.positives == pytest.approx(prevalence * plan.patients, abs=0.5)
    values = plan_mae(2.0, 0.05, LeastPatients(1, 1)).patients
    for n, wide in ((values, False), (values - 1, True)):
        half = t.ppf(0.975, n - 1) * math.sqrt((math.pi / 2 - 1) / n)
        assert (math.exp(half) - math.exp(-half) > 0.05) == wide


@pytest.mark.parametrize("prevalence", [1e-300, 1e-9, 1e-7, 1.0 - 1e-12])
def test_a_size_beyond_the_maximum_is_none_and_not_a_number(prevalence: float) -> None:
    assert plan_auroc(0.8, prevalence, 0.1) is None


def test_the_maximum_itself_is_planned() -> None:
    assert plan_auroc(0.8, 20 / MAX_PATIENTS, 0.9).patients == MAX_PATIENTS
    assert plan_auroc(0.8, 0.5, 1e-5) is None
    assert plan_mae(1.0, 1e-5) is None
    assert plan_mae(1.0, 4e-4).patients < MAX_PATIENTS


def test_power_is_the_share_of_simulations_above_the_limit() -> None:
    rng = np.random.default_rng(3)
    lows = [delong_interval(*draw(rng, 0.75, 40, 160)).low for _ in range(400)]
    power = power_of_tier(0.75, 40, 160, 0.65)
    assert np.mean(np.array(lows) > 0.65) == pytest.approx(power, abs=0.06)
    assert power_of_tier(0.75, 400, 1600, 0.65) > 0.99
