"""Brier score, calibration, decisions and agreement of values by hand and by resampling one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from convert.stats.bounds import share_intervals
from convert.stats.metrics import Score
from convert.stats.reliability import decisions, kappa, reliability, slope_and_intercept, value_agreement
from convert.stats.resampling import Resampler
from helpers.slow_intervals import ends_of, share_ends

NONE = Score(None, None, None)


def drawn(patient: np.ndarray, resamples: int) -> np.ndarray:
    """How often each row is drawn, from seed 0 of the resampler."""
    n = int(patient.max()) + 1
    return np.random.default_rng([0, 11]).multinomial(n, np.full(n, 1 / n), size=resamples)[:, patient]


def replicated(of: np.ndarray, patient: np.ndarray, resamples: int, scale: str = "plain") -> tuple[float, float]:
    """Ends of the interval of a mean."""
    means = drawn(patient, resamples) @ of / drawn(patient, resamples).sum(axis=1)
    return ends_of(of.mean(), means, patient.max() + 1, scale)


def replicated_share(hit: np.ndarray, among: np.ndarray, patient: np.ndarray, resamples: int) -> tuple[float, float]:
    """Ends of the interval of a share."""
    times = drawn(patient, resamples)
    with np.errstate(invalid="ignore"):
        shares = (times @ (hit & among)) / (times @ among)
    return share_ends(hit[among].mean(), shares, len(np.unique(patient[among])), among.sum())


def test_probabilities_are_judged_by_bins_of_equal_mass() -> None:
    rng = np.random.default_rng(0)
    patient = np.arange(90) // 2
    p = np.round(rng.beta(1, 2, 90), 2)
    y = rng.random(90) < p
    found = reliability(p, y, Resampler(patient, 0, 100), 5)
    low, high = replicated((p - y) ** 2, patient, 100, "log")
    assert (found.brier.value, found.brier.low, found.brier.high) == pytest.approx((np.mean((p - y) ** 2), low, high))
    assert found.brier_of_the_prevalence == pytest.approx(y.mean() * (1 - y.mean()))
    order = np.argsort(p, kind="stable").reshape(15, 6)
    assert found.bins == 15
    assert [mean for mean, _, _ in found.curve] == pytest.approx([p[bin_].mean() for bin_ in order])
    assert [share.value for _, share, _ in found.curve] == pytest.approx([y[bin_].mean() for bin_ in order])
    assert {n for _, _, n in found.curve} == {6}
    assert found.ece == pytest.approx(np.mean([abs(mean - share.value) for mean, share, _ in found.curve]))
    assert (found.slope, found.intercept) == slope_and_intercept(p, y)
    draws = np.random.default_rng([5, 13])
    chance = [np.abs((draws.random((200, 6)) < p[b]).mean(axis=1) - p[b].mean()).mean() for b in order]
    assert found.ece_chance == pytest.approx(np.mean(chance))


def test_the_share_of_a_bin_has_an_interval_over_patients() -> None:
    """By resampling one by one; where all outcomes of a bin are equal, its patients count."""
    patient = np.arange(40) // 2
    p = np.repeat([0.1, 0.5], 20)
    y = np.concatenate([np.zeros(20, bool), np.arange(20) % 4 < 2])
    found = reliability(p, y, Resampler(patient, 0, 100), 5).curve
    z2 = norm.ppf(0.975) ** 2
    assert (found[0][1].low, found[0][1].high) == pytest.approx((0.0, z2 / (2 + z2)))  # three rows of two patients
    rare, even = share_intervals(y, np.arange(40) // 20, 2, Resampler(patient, 0, 100))
    assert (rare.value, rare.low, rare.high) == pytest.approx((0.0, 0.0, z2 / (10 + z2)))  # ten patients
    low, high = replicated_share(y, p == 0.5, patient, 100)
    assert (even.value, even.low, even.high) == pytest.approx((0.5, low, high))


def test_fewer_rows_than_bins_make_a_bin_each() -> None:
    found = reliability(np.array([0.75, 0.25]), np.array([True, True]), Resampler(np.arange(2), 0, 20), 0)
    always = Score(1.0, pytest.approx(1 / (1 + norm.ppf(0.975) ** 2)), 1.0)
    assert (found.bins, found.curve) == (2, [(0.25, always, 1), (0.75, always, 1)])
    assert (found.ece, found.brier_of_the_prevalence) == (0.5, 0.0)
    assert (found.slope, found.intercept) == (None, None)


class TestSlope:
    def test_a_slope_by_hand(self) -> None:
        """Two probabilities, 20 % and 80 %, with shares of 1 in 4 and 3 in 4: the logits shrink by log 3 / log 4."""
        p, y = np.repeat([0.2, 0.8], 4), np.array([1, 0, 0, 0, 1, 1, 1, 0], dtype=bool)
        slope, intercept = slope_and_intercept(p, y)
        assert slope == pytest.approx(np.log(3) / np.log(4), abs=1e-6)
        assert intercept == pytest.approx(0.0, abs=1e-6)

    def test_an_intercept_by_hand(self) -> None:
        """Shares of 1 in 2 and 9 in 10 at 20 % and 50 %."""
        p = np.repeat([0.2, 0.5], 10)
        y = np.concatenate([np.arange(10) < 5, np.arange(10) < 9])
        slope, intercept = slope_and_intercept(p, y)
        assert slope == pytest.approx(np.log(9) / np.log(4), abs=1e-6)
        assert intercept == pytest.approx(np.log(9), abs=1e-6)

    @pytest.mark.parametrize("label", [False, True])
    def test_a_single_class_has_none(self, label: bool) -> None:
        assert slope_and_intercept(np.linspace(0.1, 0.9, 9), np.full(9, label)) == (None, None)

    def test_certain_probabilities_are_kept_a_billionth_from_certainty(self) -> None:
        p, y = np.repeat([0.0, 1.0], 4), np.array([1, 0, 0, 0, 1, 1, 1, 0], dtype=bool)
        slope, intercept = slope_and_intercept(p, y)
        assert slope == pytest.approx(np.log(3) / np.log(1e9), rel=1e-4)
        assert intercept == pytest.approx(0.0, abs=1e-4)

    @pytest.mark.parametrize(("step", "defined"), [(0.03, True), (0.02, False)])
    def test_a_slope_beyond_a_hundred_is_none(self, step: float, defined: bool) -> None:
        """Shares of 1 in 4 and 3 in 4 at logits that lie ``step`` apart: the slope is 2 log 3 / step."""
        p = 1 / (1 + np.exp(-np.repeat([-step / 2, step / 2], 400)))
        y = np.concatenate([np.arange(400) % 4 == 0, np.arange(400) % 4 != 0])
        slope, intercept = slope_and_intercept(p, y)
        assert (slope is not None, intercept is not None) == (defined, defined)
        if defined:
            assert slope == pytest.approx(2 * np.log(3) / step, rel=1e-3)


class TestDecisions:
    Y = np.arange(60) % 3 == 0
    FLAGGED = np.arange(60) % 4 == 0
    UNSURE = np.arange(60) % 5 == 0
    PATIENT = np.arange(60) // 2

    def test_what_is_undecided_counts_nowhere_else(self) -> None:
        found = decisions(self.FLAGGED, self.Y, self.UNSURE, Resampler(self.PATIENT, 0, 100), 0.3)
        ill, well = self.Y & ~self.UNSURE, ~self.Y & ~self.UNSURE
        sure, cleared = self.FLAGGED & ~self.UNSURE, ~self.FLAGGED & ~self.UNSURE
        for score, hit, among in ((found.sensitivity, self.FLAGGED, ill), (found.specificity, ~self.FLAGGED, well)):
            low, high = replicated_share(hit, among, self.PATIENT, 100)
            assert (score.value, score.low, score.high) == pytest.approx((hit[among].mean(), low, high))
        values = found.ppv.value, found.npv.value
        assert values == (pytest.approx(self.Y[sure].mean()), pytest.approx((~self.Y)[cleared].mean()))
        assert (found.threshold, found.flagged, found.undecided) == (0.3, sure.sum(), 12)

    def test_a_share_of_nobody_is_not_a_number(self) -> None:
        everybody = np.ones(4, bool)
        found = decisions(~everybody, everybody, ~everybody, Resampler(np.arange(4), 0, 20), 0.5)
        assert (found.sensitivity.value, found.specificity, found.ppv, found.npv.value) == (0.0, NONE, NONE, 0.0)
        unsure = decisions(everybody, everybody, everybody, Resampler(np.arange(4), 0, 20), 0.5)
        assert (unsure.sensitivity, unsure.specificity, unsure.ppv, unsure.npv) == (NONE, NONE, NONE, NONE)
        assert (unsure.flagged, unsure.undecided) == (0, 4)


def test_kappa_by_hand() -> None:
    """Both say yes twice, both say no four times, and each says yes alone once or thrice: 0.6 against 0.5."""
    a = np.array([1, 1, 0, 0, 0, 0, 1, 0, 0, 0], dtype=bool)
    b = np.array([1, 1, 0, 0, 0, 0, 0, 1, 1, 1], dtype=bool)
    assert kappa(a, b) == pytest.approx((0.6 - 0.5) / (1 - 0.5))
    assert kappa(a, a) == 1.0
    assert kappa(a, ~a) == pytest.approx(-0.42 / (1 - 0.42))
    assert kappa(a[:0], b[:0]) is None
    assert kappa(np.zeros(3, bool), np.zeros(3, bool)) is None
    assert kappa(np.ones(3, bool), np.zeros(3, bool)) == 0.0


class TestValues:
    TRUTH = np.array([4.0, 5.0, 3.0, 4.5, 6.0, 3.5])
    ERROR = np.array([0.5, -0.25, 1.0, 0.0, -0.75, 0.25])
    PATIENT = np.array([0, 0, 1, 2, 2, 3])

    def test_errors_and_their_intervals(self) -> None:
        value = self.TRUTH + self.ERROR
        found = value_agreement(value, self.TRUTH, value - 0.5, value + 0.5, 0.9, Resampler(self.PATIENT, 0, 200))
        for score, of, point, scale in (
            (found.mae, np.abs(self.ERROR), 2.75 / 6, "log"), (found.bias, self.ERROR, 0.125, "plain"),
        ):  # fmt: skip
            low, high = replicated(of, self.PATIENT, 200, scale)
            assert (score.value, score.low, score.high) == pytest.approx((point, low, high))
        assert found.mae_of_the_mean == pytest.approx(np.mean(np.abs(self.TRUTH - 26 / 6)))
        sd = np.std(self.ERROR, ddof=1)
        assert found.limits == (pytest.approx(0.125 - 1.96 * sd), pytest.approx(0.125 + 1.96 * sd))
        assert found.level == 0.9

    def test_an_interval_covers_its_ends_and_rows_without_one_do_not_count(self) -> None:
        low = np.array([4.0, 5.1, 2.0, np.nan, 5.0, np.nan])
        high = np.array([4.5, 5.5, 3.0, 9.0, np.nan, np.nan])
        r = Resampler(self.PATIENT, 0, 200)
        found = value_agreement(self.TRUTH, self.TRUTH, low, high, 0.9, r)
        assert found.coverage.value == pytest.approx(2 / 3)  # the first and the third of three
        given, covered = np.arange(6) < 3, np.array([1, 0, 1, 0, 0, 0], dtype=bool)
        ends = replicated_share(covered, given, self.PATIENT, 200)
        assert (found.coverage.low, found.coverage.high) == pytest.approx(ends)

    def test_a_bias_that_grows_with_the_value_has_a_slope(self) -> None:
        """Estimates that are shrunk to one half: the slope on the means is (0.5 - 1) / 0.75."""
        truth = np.linspace(3.0, 6.0, 40)
        nothing = np.full(40, np.nan)
        halved = 4.5 + 0.5 * (truth - 4.5) + 0.01 * np.resize([1.0, -1.0], 40)
        found = value_agreement(halved, truth, nothing, nothing, 0.9, Resampler(np.arange(40), 0, 200))
        assert found.slope.value == pytest.approx(-0.5 / 0.75, abs=0.01)
        assert found.proportional_bias is True
        even = truth + np.resize([0.2, -0.2], 40)
        plain = value_agreement(even, truth, nothing, nothing, 0.9, Resampler(np.arange(40), 0, 200))
        assert (plain.proportional_bias, plain.gain.low > 0.0) == (False, True)
        few = value_agreement(even[:2], truth[:2], nothing[:2], nothing[:2], 0.9, Resampler(np.arange(2), 0, 50))
        assert (few.slope, few.proportional_bias) == (NONE, None)

    def test_without_intervals_there_is_no_coverage(self) -> None:
        nothing = np.full(6, np.nan)
        found = value_agreement(self.TRUTH, self.TRUTH, nothing, nothing, 0.9, Resampler(self.PATIENT, 0, 20))
        assert found.coverage == NONE

    def test_a_single_value_has_limits_without_width(self) -> None:
        one = np.array([2.0])
        found = value_agreement(one, one - 0.5, one - 1, one + 1, 0.9, Resampler(np.arange(1), 0, 20))
        assert (found.limits, found.bias.value, found.mae.value) == ((0.5, 0.5), 0.5, 0.5)
        assert found.coverage.value == 1.0
