"""AUROC, its interval, Platt scaling, thresholds and conformal widths against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.stats.intervals import auroc_interval, mae_interval
from convert.stats.metrics import auroc, calibration_error
from convert.stats.probability import (
    MIN_SLOPE,
    conformal_half_width,
    fit_linear,
    fit_platt,
    logit_sd,
    youden_threshold,
)
from helpers.slow_intervals import ends_of, welch


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_the_share_of_ordered_pairs(rows):
    scores = np.array([s for s, _ in rows], dtype=float)
    labels = np.array([y for _, y in rows])
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels] for n in scores[~labels]]
    found = auroc(scores, labels)
    if not pairs:
        assert found is None
    else:
        assert found == pytest.approx(np.mean(pairs))


def test_bootstrap_equals_resampling_one_by_one():
    rng = np.random.default_rng(0)
    y = rng.random(60) < 0.4
    s = np.round(rng.standard_normal(60) + y, 1)
    fast = auroc_interval(s, y, seed=3, resamples=400)
    weights = np.random.default_rng([3, 7]).multinomial(60, np.full(60, 1 / 60), size=400)
    slow = [auroc(np.repeat(s, w), np.repeat(y, w)) for w in weights]
    low, high = ends_of(auroc(s, y), slow, int(min(y.sum(), (~y).sum())), "logit", welch(y.sum(), (~y).sum()))
    assert fast.low == pytest.approx(low)
    assert fast.high == pytest.approx(high)
    assert fast.low < fast.value < fast.high


def test_windows_of_one_patient_do_not_narrow_the_interval():
    rng = np.random.default_rng(1)
    y = rng.random(80) < 0.5
    s = rng.standard_normal(80) + y
    one = auroc_interval(s, y, seed=0)
    repeated = auroc_interval(np.repeat(s, 10), np.repeat(y, 10), np.repeat(np.arange(80), 10), seed=0)
    naive = auroc_interval(np.repeat(s, 10), np.repeat(y, 10), seed=0)
    assert repeated.high - repeated.low == pytest.approx(one.high - one.low, rel=1e-9)
    assert naive.high - naive.low < 0.5 * (one.high - one.low)


def test_a_single_class_is_undefined():
    assert auroc_interval(np.arange(5.0), np.zeros(5, bool)).value is None


def test_mae_interval():
    found = mae_interval(np.array([1.0, -1.0, 3.0, -3.0] * 20))
    assert found.value == 2.0
    assert found.low < 2.0 < found.high
    assert mae_interval(np.empty(0)).value is None


def test_the_mae_interval_equals_resampling_one_by_one():
    rng = np.random.default_rng(4)
    errors, patients = rng.standard_normal(50), rng.integers(0, 12, 50)
    _, index = np.unique(patients, return_inverse=True)
    count = index.max() + 1
    drawn = np.random.default_rng([3, 7]).multinomial(count, np.full(count, 1 / count), size=400)
    slow = [np.average(np.abs(errors), weights=w[index]) for w in drawn]
    found = mae_interval(errors, patients, seed=3, resamples=400)
    assert (found.low, found.high) == pytest.approx(ends_of(found.value, slow, count, "log"))


def test_intervals_draw_a_thousand_times_from_seed_0_by_default():
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal(30), rng.random(30) < 0.5
    assert auroc_interval(x, y) == auroc_interval(x, y, np.arange(30), seed=0, resamples=1000)
    assert mae_interval(x) == mae_interval(x, np.arange(30), seed=0, resamples=1000)


def test_platt_recovers_the_line_of_the_data():
    rng = np.random.default_rng(2)
    x = rng.normal(0, 2, 20000)
    y = rng.random(20000) < 1 / (1 + np.exp(-(1.7 * x - 0.6)))
    line = fit_platt(x, y)
    assert line.a == pytest.approx(1.7, abs=0.08)
    assert line.b == pytest.approx(-0.6, abs=0.05)
    assert line.probability(x).mean() == pytest.approx(y.mean(), abs=1e-3)


def test_platt_handles_separable_data_and_never_reverses_a_ranking():
    x = np.linspace(-1, 1, 50)
    assert np.isfinite(fit_platt(x, x > 0).a)
    assert fit_platt(x, x < 0).a == MIN_SLOPE


def test_youden_finds_the_threshold_of_separable_data():
    p = np.array([0.1, 0.2, 0.3, 0.7, 0.8])
    assert youden_threshold(p, np.array([False, False, False, True, True])) == pytest.approx(0.5)


@given(st.integers(0, 1000))
def test_youden_is_the_best_of_all_thresholds(seed):
    rng = np.random.default_rng(seed)
    p, y = np.round(rng.random(25), 1), rng.random(25) < 0.5
    y[:2] = [True, False]

    def gain(cut):
        return np.mean(p[y] >= cut) + np.mean(p[~y] < cut) - 1

    best = max(gain(cut) for cut in np.unique(p))
    assert gain(youden_threshold(p, y)) == pytest.approx(best)


def test_conformal_width_is_the_right_order_statistic():
    assert conformal_half_width(np.arange(1, 100) * -1.0, 0.9) == 90.0
    assert conformal_half_width(np.array([1.0, 2.0]), 0.9) == 2.0


def test_linear_fit():
    x = np.linspace(-2, 2, 30)
    line = fit_linear(x, 3 * x + 1)
    assert (line.slope, line.intercept) == (pytest.approx(3.0), pytest.approx(1.0))
    assert fit_linear(np.zeros(4), np.arange(4.0)).slope == 0.0


def test_logit_sd_grows_with_disagreement_and_is_never_zero():
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 1, 500)
    y = rng.random(500) < 1 / (1 + np.exp(-2 * truth))
    line = fit_platt(truth, y)
    found = [logit_sd(truth, truth + gap * rng.standard_normal(500), y, line, resamples=50) for gap in (0.0, 0.2, 0.8)]
    assert 0 < found[0] < found[1] < found[2]


def test_logit_sd_is_independent_of_the_scale_of_the_rival():
    rng = np.random.default_rng(4)
    truth = rng.normal(0, 1, 500)
    y = rng.random(500) < 1 / (1 + np.exp(-2 * truth))
    line = fit_platt(truth, y)
    same = logit_sd(truth, 3.0 * truth - 1.0, y, line, resamples=50)
    assert same == pytest.approx(logit_sd(truth, truth, y, line, resamples=50), rel=1e-3)


def test_the_calibration_error_measures_miscalibration_and_little_else():
    rng = np.random.default_rng(0)
    p = rng.beta(1.5, 6.0, 30000)
    y = rng.random(30000) < p
    assert calibration_error(p, y) < 0.01
    off = calibration_error(np.clip(p + 0.1, 0, 1), y)
    assert off == pytest.approx(0.1, abs=0.01)
    assert calibration_error(np.array([0.2, 0.8]), np.array([False, True])) == pytest.approx(0.2)
    assert calibration_error(np.empty(0), np.empty(0, bool)) is None


def test_the_calibration_error_weights_each_bin_by_its_rows():
    """Four rows in three bins: the pair is right on average, the single rows have errors of 0.4 and 0.1."""
    p = np.array([0.5, 0.5, 0.6, 0.9])
    y = np.array([True, False, True, True])
    assert calibration_error(p, y, bins=3) == pytest.approx((2 * 0.0 + 1 * 0.4 + 1 * 0.1) / 4)
    assert calibration_error(np.empty(0), np.empty(0, bool)) is None
