"""Platt lines, thresholds and widths against written-out definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from convert.stats.probability import (
    MIN_SLOPE,
    Linear,
    Platt,
    conformal_half_width,
    fit_linear,
    fit_platt,
    logit_sd,
    youden_threshold,
)


def cost_of(x: np.ndarray, y: np.ndarray, w: np.ndarray):
    """Return Platt's cost function: the weighted log-loss against smoothed targets."""
    positives, negatives = w[y].sum(), w[~y].sum()
    t = np.where(y, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    return lambda ab: float(np.sum(w * (np.logaddexp(0.0, ab[0] * x + ab[1]) - t * (ab[0] * x + ab[1]))))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [6, 40, 300])
def test_platt_reaches_the_lowest_cost_of_another_optimizer(n: int, weighted: bool) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(0.3, 2.0, n)
    y = rng.random(n) < 1 / (1 + np.exp(-(0.8 * x - 0.5)))
    y[:2] = [True, False]
    w = rng.integers(0, 4, n).astype(float) + 0.5 if weighted else np.ones(n)
    best = minimize(cost_of(x, y, w), [0.5, 0.0], method="BFGS", options={"gtol": 1e-9})
    line = fit_platt(x, y, w if weighted else None)
    assert best.x[0] > MIN_SLOPE
    assert (line.a, line.b) == (pytest.approx(best.x[0], abs=2e-4), pytest.approx(best.x[1], abs=2e-4))


def test_a_fixed_slope_has_its_best_offset() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0.0, 2.0, 60)
    y = rng.random(60) < 1 / (1 + np.exp(x + 1.0))
    cost = cost_of(x, y, np.ones(60))
    best = minimize(lambda b: cost([MIN_SLOPE, b[0]]), [0.0], method="BFGS")
    line = fit_platt(x, y)
    assert (line.a, line.b) == (MIN_SLOPE, pytest.approx(best.x[0], abs=1e-4))


def test_a_platt_line_by_hand() -> None:
    line = Platt(2.0, -1.0)
    assert line.logit(np.array([0.0, 0.5, 1.0])).tolist() == [-1.0, 0.0, 1.0]
    assert line.probability(np.array([0.5, 0.5 + np.log(3.0) / 2.0])) == pytest.approx([0.5, 0.75])


@pytest.mark.parametrize(
    ("p", "labels", "threshold"),
    [
        ([0.1, 0.2, 0.3, 0.7], [0, 0, 1, 1], 0.25),
        ([0.1, 0.2, 0.3, 0.7], [0, 0, 0, 1], 0.5),
        ([0.7, 0.3, 0.2, 0.1], [1, 1, 0, 0], 0.25),  # in any order
        (
            [0.2, 0.4, 0.4, 0.8],
            [0, 0, 1, 1],
            0.6,
        ),  # equal values are not split: 0.5 from either threshold, the upper one first
        ([0.1, 0.1, 0.1, 0.9], [1, 0, 0, 1], 0.5),
        ([0.3, 0.3], [1, 0], 0.3),  # a single value
        ([0.9, 0.8, 0.2], [0, 1, 1], 0.2),  # flagging all is best
    ],
)
def test_youdens_threshold_by_hand(p: list[float], labels: list[int], threshold: float) -> None:
    assert youden_threshold(np.array(p), np.array(labels, dtype=bool)) == pytest.approx(threshold)


def test_a_line_by_least_squares() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(2.0, 1.0, 50)
    y = 0.5 * x + 3.0 + rng.normal(0.0, 1.0, 50)
    slope, intercept = np.polyfit(x, y, 1)
    line = fit_linear(x, y)
    assert (line.slope, line.intercept) == (pytest.approx(slope), pytest.approx(intercept))
    assert Linear(2.0, 1.0).value(np.array([3.0])).tolist() == [7.0]
    assert fit_linear(np.full(4, 7.0), np.arange(4.0)) == Linear(0.0, 1.5)


@pytest.mark.parametrize(
    ("n", "level", "rank"), [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (20, 0.9, 19), (99, 0.5, 50), (3, 0.9, 3)]
)
def test_the_conformal_width_is_the_order_statistic_for_a_new_patient(n: int, level: float, rank: int) -> None:
    residuals = np.random.default_rng(3).permutation(np.arange(1, n + 1)) * np.resize([1.0, -1.0], n)
    assert conformal_half_width(residuals, level) == rank


def test_logit_sd_adds_two_parts_in_quadrature() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(0.0, 1.0, 80)
    y = rng.random(80) < 1 / (1 + np.exp(-2 * x))
    rival_x = x + 0.3 * rng.standard_normal(80)
    line, rival = fit_platt(x, y), fit_platt(rival_x, y)
    counts = np.random.default_rng([5, 8]).multinomial(80, np.full(80, 1 / 80), size=25)
    drawn = np.array([fit_platt(x, y, c.astype(float)).logit(x) for c in counts])
    between = np.std(line.logit(x) - rival.logit(rival_x)) / np.sqrt(2)
    within = np.sqrt(np.mean(np.var(drawn, axis=0)))
    assert logit_sd(x, rival_x, y, line, seed=5, resamples=25) == pytest.approx(np.hypot(between, within))
    assert between > 0.05
    assert within > 0.05


def test_without_options_the_uncertainty_is_of_200_resamples_of_seed_0() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(0.0, 1.0, 40)
    y = rng.random(40) < 1 / (1 + np.exp(-2 * x))
    line = fit_platt(x, y)
    assert logit_sd(x, x, y, line) == logit_sd(x, x, y, line, seed=0, resamples=200)
    assert logit_sd(x, x, y, line) != logit_sd(x, x, y, line, seed=1, resamples=200)


def test_labels_of_a_threshold_may_be_zeros_and_ones() -> None:
    p, labels = np.array([0.1, 0.2, 0.3, 0.7]), np.array([0, 0, 1, 1], dtype=np.int8)
    assert youden_threshold(p, labels) == pytest.approx(0.25)
