"""The statistics of the validation against scikit-learn, slow independent implementations and published data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, cohen_kappa_score, roc_auc_score

from convert.stats.delong import delong, delong_difference, delong_interval
from convert.stats.discrimination import ranking, roc_points
from convert.stats.metrics import Score
from convert.stats.noninferiority import compare_auroc, compare_rate, verdict
from convert.stats.reliability import decisions, kappa, reliability, slope_and_intercept, value_agreement
from convert.stats.resampling import Resampler, interval
from helpers.slow_intervals import ends_of, welch


def simulated(rng, patients=120, windows=6, gap=1.0, ties=True):
    patient = np.repeat(np.arange(patients), windows)
    y = rng.random(patients) < 0.3
    s = (rng.standard_normal(patients) + gap * y)[patient] + 0.7 * rng.standard_normal(len(patient))
    return (np.round(s, 1) if ties else s), y[patient], patient


@given(st.integers(0, 10_000), st.booleans())
def test_auroc_and_average_precision_equal_scikit_learn(seed, ties):
    rng = np.random.default_rng(seed)
    s, y, patient = simulated(rng, patients=20, windows=3, ties=ties)
    if not y.any() or y.all():
        return
    found = ranking(s, y, Resampler(patient, 0, 100))
    assert found.auroc.value == pytest.approx(roc_auc_score(y, s), abs=1e-12)
    assert found.auprc.value == pytest.approx(average_precision_score(y, s), abs=1e-12)


def test_each_replicate_is_the_measure_of_the_drawn_patients():
    rng = np.random.default_rng(1)
    s, y, patient = simulated(rng, patients=30, windows=4)
    r = Resampler(patient, 5, 100)
    found = ranking(s, y, r)
    drawn = np.random.default_rng([5, 11]).multinomial(30, np.full(30, 1 / 30), size=100)
    slow = [roc_auc_score(np.repeat(y, c[patient]), np.repeat(s, c[patient])) for c in drawn]
    assert found.auroc_replicates == pytest.approx(np.array(slow), abs=1e-12)
    low, high = ends_of(found.auroc.value, slow, found.fewer, "logit", welch(found.positives, found.negatives))
    assert (found.auroc.low, found.auroc.high) == (pytest.approx(low), pytest.approx(high))


def test_brier_kappa_and_calibration_error_equal_scikit_learn():
    rng = np.random.default_rng(2)
    p = rng.beta(1, 3, 900)
    y = rng.random(900) < p
    found = reliability(p, y, Resampler(np.arange(900), 0, 100), 0)
    assert found.brier.value == pytest.approx(brier_score_loss(y, p), abs=1e-12)
    share, mean = calibration_curve(y, p, n_bins=15, strategy="quantile")
    assert found.ece == pytest.approx(np.mean(np.abs(share - mean)), abs=1e-12)  # 900 rows: bins of 60 each
    a, b = p > 0.3, rng.random(900) < 0.4
    assert kappa(a, b) == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
    assert kappa(np.ones(5, bool), np.ones(5, bool)) is None


def test_slope_and_intercept_of_overconfident_probabilities():
    rng = np.random.default_rng(3)
    z = rng.normal(-1, 1.5, 20_000)
    y = rng.random(len(z)) < 1 / (1 + np.exp(-(0.5 * z + 0.3)))
    slope, intercept = slope_and_intercept(1 / (1 + np.exp(-z)), y)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(0.3, abs=0.06)
    assert slope_and_intercept(np.full(10, 0.2), np.arange(10) > 5) == (None, None)
    assert slope_and_intercept(np.linspace(0.1, 0.9, 50), np.linspace(0.1, 0.9, 50) > 0.5) == (None, None)


def slow_delong(scores, y):
    """Compute DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837, by its definition over all pairs."""
    x, z = scores[:, y], scores[:, ~y]
    psi = (x[:, :, None] > z[:, None, :]) + 0.5 * (x[:, :, None] == z[:, None, :])
    v10, v01 = psi.mean(axis=2), psi.mean(axis=1)
    area = psi.mean(axis=(1, 2))
    k, m, n = len(scores), x.shape[1], z.shape[1]
    cov = np.empty((k, k))
    for r in range(k):
        for s in range(k):
            s10 = ((v10[r] - area[r]) * (v10[s] - area[s])).sum() / (m - 1)
            s01 = ((v01[r] - area[r]) * (v01[s] - area[s])).sum() / (n - 1)
            cov[r, s] = s10 / m + s01 / n
    return area, cov


@given(st.integers(0, 10_000))
def test_delong_equals_its_definition(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 60))
    y = np.arange(n) < int(rng.integers(2, n - 2))
    scores = np.round(rng.standard_normal((2, n)) + y, 1)
    found = delong(scores, y)
    area, cov = slow_delong(scores, y)
    assert found.areas == pytest.approx(area, abs=1e-12)
    assert found.covariance == pytest.approx(cov, abs=1e-12)
    gap = delong_difference(scores[0], scores[1], y)
    half = t.ppf(0.975, welch(y.sum(), (~y).sum())) * np.sqrt(max(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1], 0))
    assert gap.value == pytest.approx(area[0] - area[1], abs=1e-12)
    assert gap.high - gap.value == pytest.approx(half, abs=1e-6)


def test_delong_and_bootstrap_agree_within_monte_carlo_error():
    rng = np.random.default_rng(4)
    s, y, _ = simulated(rng, patients=400, windows=1, ties=False)
    other = s + rng.normal(0, 0.7, len(s))
    r = Resampler(np.arange(len(s)), 0, 4000)
    a, b = ranking(s, y, r), ranking(other, y, r)
    exact = delong(np.stack((s, other)), y)
    assert a.auroc_replicates.std() == pytest.approx(np.sqrt(exact.covariance[0, 0]), rel=0.06)
    gap = a.auroc_replicates - b.auroc_replicates
    variance = exact.covariance[0, 0] + exact.covariance[1, 1] - 2 * exact.covariance[0, 1]
    assert gap.std() == pytest.approx(np.sqrt(variance), rel=0.06)
    inside = delong_interval(s, y)
    assert (inside.low, inside.high) == (pytest.approx(a.auroc.low, abs=0.01), pytest.approx(a.auroc.high, abs=0.01))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.005, 0.004, "PASS"), (-0.03, -0.011, "FAIL"), (-0.03, 0.01, "INCONCLUSIVE"), (None, None, "INCONCLUSIVE")],
)
def test_the_verdict_follows_the_interval(low, high, said):
    assert verdict(Score(0.0, low, high), 0.01) == said


def test_a_worse_model_fails_the_same_model_passes_and_few_patients_are_inconclusive():
    rng = np.random.default_rng(5)
    s, y, patient = simulated(rng, patients=600, windows=3, gap=2.0)
    r = Resampler(patient, 0, 300)
    assert compare_auroc(s, s, y, r, 0.01).verdict == "PASS"
    worse = s + rng.normal(0, 3, len(s))
    assert compare_auroc(worse, s, y, r, 0.01).verdict == "FAIL"
    assert "bootstrap" in compare_auroc(worse, s, y, r, 0.01).method
    few = np.arange(36)
    small = Resampler(patient[few], 0, 300)
    slightly = s[few] + rng.normal(0, 0.8, len(few))
    assert compare_auroc(slightly, s[few], y[few], small, 0.01).verdict == "INCONCLUSIVE"
    one = np.arange(0, len(s), 3)
    assert "DeLong" in compare_auroc(worse[one], s[one], y[one], Resampler(patient[one], 0, 100), 0.01).method
    same = compare_rate("sensitivity", s > 1, s > 1, y, r, 0.05)
    assert (same.difference.value, same.verdict, same.ours == same.theirs) == (0.0, "PASS", True)
    some = np.flatnonzero(y)[:45]  # 15 patients: no decision differs, but up to a quarter might
    assert (
        compare_rate("sensitivity", s[some] > 1, s[some] > 1, y[some], Resampler(patient[some], 0, 100), 0.05).verdict
        == "INCONCLUSIVE"
    )
    hit = compare_rate("sensitivity", s > 5, s > 1, y, r, 0.05)
    assert hit.verdict == "FAIL"
    assert hit.difference.value == pytest.approx(np.mean((s > 5)[y]) - np.mean((s > 1)[y]))


def test_decisions_and_values():
    y = np.array([True, True, False, False, False])
    flagged = np.array([True, False, True, False, False])
    r = Resampler(np.arange(5), 0, 200)
    found = decisions(flagged, y, np.zeros(5, bool), r, 0.4)
    assert (found.sensitivity.value, found.specificity.value) == (0.5, pytest.approx(2 / 3))
    assert (found.ppv.value, found.npv.value, found.flagged) == (0.5, pytest.approx(2 / 3), 2)
    unsure = decisions(flagged, y, np.array([False, True, True, False, False]), r, 0.4)
    assert (unsure.sensitivity.value, unsure.specificity.value, unsure.flagged, unsure.undecided) == (1.0, 1.0, 1, 2)
    truth = np.array([4.0, 5.0, 3.0, 4.5])
    value = truth + np.array([0.1, -0.3, 0.2, 0.0])
    judged = value_agreement(value, truth, value - 0.25, value + 0.25, 0.9, Resampler(np.arange(4), 0, 100))
    assert judged.mae.value == pytest.approx(0.15)
    assert judged.bias.value == pytest.approx(0.0)
    sd = np.std([0.1, -0.3, 0.2, 0.0], ddof=1)
    assert judged.limits == (pytest.approx(-1.96 * sd), pytest.approx(1.96 * sd))
    assert judged.coverage.value == 0.75


def test_a_single_class_and_a_constant_give_none():
    r = Resampler(np.arange(6), 0, 100)
    assert ranking(np.arange(6.0), np.zeros(6, bool), r).auroc.value is None
    constant = ranking(np.zeros(6), np.arange(6) > 3, r)
    assert (constant.auroc.value, constant.auroc.low, constant.auroc.high) == (0.5, 0.5, 0.5)
    assert roc_points(np.zeros(6), np.zeros(6, bool)) == []
    assert interval(0.5, np.full(10, np.nan)) == Score(0.5, None, None)


def test_the_roc_curve_keeps_its_ends_and_its_area():
    rng = np.random.default_rng(6)
    s, y, _ = simulated(rng, patients=500, windows=1, ties=False)
    x, hit = np.array(roc_points(s, y)).T
    assert (x[0], hit[0], x[-1], hit[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(hit, x) == pytest.approx(roc_auc_score(y, s), abs=0.01)


@pytest.mark.parametrize("windows", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_nominal_95_percent_covers_it_on_200_replications(windows):
    """The true AUROC of two normal distributions with correlated windows: bootstrap, and DeLong for one window."""
    from scipy.stats import norm

    rng = np.random.default_rng(7)
    truth = norm.cdf(1.0 / np.sqrt(2 * (1 + 0.49)))
    inside, inside_delong = 0, 0
    for k in range(200):
        s, y, patient = simulated(rng, patients=250, windows=windows, ties=False)
        found = ranking(s, y, Resampler(patient, k, 300)).auroc
        inside += found.low <= truth <= found.high
        exact = delong_interval(s, y)
        inside_delong += exact.low <= truth <= exact.high
    assert 0.92 <= inside / 200 <= 0.98
    if windows == 1:
        assert 0.92 <= inside_delong / 200 <= 0.98
    else:
        assert inside_delong / 200 < 0.9  # windows treated as patients: the reason not to use DeLong there


@pytest.mark.parametrize(("defined", "given"), [(49, False), (50, True), (100, True)])
def test_an_interval_needs_half_of_its_replicates(defined, given):
    replicates = np.full(100, np.nan)
    replicates[:defined] = np.linspace(0.2, 0.8, defined)
    found = interval(0.5, replicates)
    assert found.value == 0.5
    assert (found.low is not None, found.high is not None) == (given, given)
    if given:
        assert found.low == pytest.approx(np.quantile(replicates[:defined], 0.025))
        assert found.high == pytest.approx(np.quantile(replicates[:defined], 0.975))


def test_the_calibration_error_of_perfect_probabilities_weights_bins_by_their_rows():
    """Of 16 rows the first bin has two certain ones; each of the others has a coin toss and an error of one half."""
    p = np.array([0.0, 0.0] + [0.5] * 14)
    found = reliability(p, p > 1.0, Resampler(np.arange(16), 0, 10), 0)
    assert found.ece_chance == pytest.approx(14 / 16 * 0.5)
    assert found.bins == 15
