"""Verdicts at their bounds, and what a comparison records."""

from __future__ import annotations

import math

import numpy as np
import pytest

from convert.stats.delong import delong_difference
from convert.stats.discrimination import ranking
from convert.stats.evidence import LeastPatients
from convert.stats.metrics import Score, auroc
from convert.stats.noninferiority import PAIRED, auroc_difference, compare_auroc, compare_rate, verdict
from convert.stats.resampling import Resampler
from helpers.slow_intervals import ends_of, welch


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.25, 0.5, "INCONCLUSIVE"),
        (-0.2499, 0.5, "PASS"),
        (-0.5, -0.25, "INCONCLUSIVE"),
        (-0.5, -0.2501, "FAIL"),
        (0.1, 0.2, "PASS"),
        (None, -0.5, "INCONCLUSIVE"),
        (0.5, None, "INCONCLUSIVE"),
    ],
)
def test_an_interval_that_ends_at_the_margin_proves_nothing(low: float | None, high: float | None, said: str) -> None:
    assert verdict(Score(0.0, low, high), 0.25) == said


def scores(positives: int, negatives: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = np.arange(positives + negatives) < positives
    ours = rng.standard_normal(len(labels)) + 2.0 * labels
    return ours, ours + 0.1 * rng.standard_normal(len(labels)), labels


def test_rows_that_are_patients_are_compared_by_delong() -> None:
    ours, theirs, labels = scores(20, 30)
    found = compare_auroc(ours, theirs, labels, Resampler(np.arange(50), 0, 50), 0.4)
    assert (found.measure, found.margin, found.method) == ("auroc", 0.4, "DeLong, paired")
    assert (found.ours, found.theirs) == pytest.approx((auroc(ours, labels), auroc(theirs, labels)))
    assert found.difference == delong_difference(ours, theirs, labels)
    assert found.verdict == "PASS"


def test_windows_are_compared_by_the_replicates_of_their_patients() -> None:
    ours, theirs, labels = scores(20, 30)
    r = Resampler(np.arange(50) // 2, 0, 200)
    found = compare_auroc(ours, theirs, labels, r, 0.4)
    a, b = ranking(ours, labels, r), ranking(theirs, labels, r)
    assert found.method == PAIRED == "bootstrap over patients, paired"
    gap = auroc(ours, labels) - auroc(theirs, labels)
    low, high = ends_of(gap, a.auroc_replicates - b.auroc_replicates, 10, "plain", welch(10, 15))
    assert (found.difference.value, found.difference.low, found.difference.high) == pytest.approx((gap, low, high))


@pytest.mark.parametrize(
    ("positives", "negatives", "said"),
    [(20, 30, "PASS"), (19, 30, "INCONCLUSIVE"), (30, 20, "PASS"), (30, 19, "INCONCLUSIVE")],
)
def test_fewer_than_twenty_patients_of_a_class_prove_nothing(positives: int, negatives: int, said: str) -> None:
    ours, theirs, labels = scores(positives, negatives)
    r = Resampler(np.arange(len(labels)), 0, 50)
    assert compare_auroc(ours, theirs, labels, r, 0.9).verdict == said


def test_an_area_that_is_not_defined_has_no_difference() -> None:
    ours, _, labels = scores(10, 10)
    r = Resampler(np.arange(20), 0, 20)
    known, unknown = ranking(ours, labels, r), ranking(ours, np.ones(20, bool), r)
    for pair in ((known, unknown), (unknown, known)):
        assert auroc_difference(*pair) == Score(None, None, None)


class TestRates:
    AMONG = np.arange(40) < 24
    PATIENT = np.arange(40) // 2
    RIGHT = np.arange(40) % 4 != 0

    def test_the_difference_resamples_patients(self) -> None:
        theirs = np.arange(40) % 3 != 0
        drawn = np.random.default_rng([0, 11]).multinomial(20, np.full(20, 1 / 20), size=300)[:, self.PATIENT]
        w = drawn * self.AMONG
        slow = (w @ self.RIGHT.astype(float) - w @ theirs.astype(float)) / w.sum(axis=1)
        found = compare_rate("sensitivity", self.RIGHT, theirs, self.AMONG, Resampler(self.PATIENT, 0, 300), 0.3)
        assert (found.measure, found.margin, found.method) == ("sensitivity", 0.3, PAIRED)
        assert (found.ours, found.theirs) == pytest.approx((0.75, 2 / 3))
        expected = (0.75 - 2 / 3, *ends_of(0.75 - 2 / 3, slow, 12))
        assert (found.difference.value, found.difference.low, found.difference.high) == pytest.approx(expected)

    def test_where_no_decision_differs_the_rule_of_three_counts_patients(self) -> None:
        other = self.RIGHT ^ ~self.AMONG  # only rows that do not count differ
        found = compare_rate("specificity", self.RIGHT, other, self.AMONG, Resampler(self.PATIENT, 0, 50), 0.4)
        unseen = -math.log(0.025) / 12
        assert found.difference == Score(0.0, pytest.approx(-unseen), pytest.approx(unseen))
        assert found.method == "rule of three: no decision differs"
        assert found.verdict == "INCONCLUSIVE"  # twelve patients

    def test_the_rule_of_three_never_exceeds_everybody(self) -> None:
        one = np.ones(12, bool)
        found = compare_rate("sensitivity", one, one, one, Resampler(np.zeros(12, dtype=int), 0, 20), 0.4)
        assert (found.difference, found.verdict) == (Score(0.0, -1.0, 1.0), "INCONCLUSIVE")

    @pytest.mark.parametrize(("events", "said"), [(19, "INCONCLUSIVE"), (20, "PASS")])
    @pytest.mark.parametrize("measure", ["sensitivity", "specificity"])
    def test_fewer_than_twenty_patients_prove_nothing(self, measure: str, events: int, said: str) -> None:
        one = np.ones(40, bool)
        found = compare_rate(measure, one, one, np.arange(40) < events, Resampler(np.arange(40), 0, 20), 0.9)
        assert found.verdict == said

    def test_each_class_has_its_own_minimum(self) -> None:
        one, r = np.ones(40, bool), Resampler(np.arange(40), 0, 20)
        least = LeastPatients(10, 30)
        for measure, said in (("sensitivity", "PASS"), ("specificity", "INCONCLUSIVE")):
            assert compare_rate(measure, one, one, np.arange(40) < 20, r, 0.9, least).verdict == said

    def test_nobody_among_them_is_no_comparison(self) -> None:
        found = compare_rate("sensitivity", self.RIGHT, self.RIGHT, self.AMONG & False, Resampler(self.PATIENT, 0), 0.3)
        assert (found.ours, found.theirs, found.difference) == (None, None, Score(None, None, None))
        assert (found.measure, found.margin, found.verdict, found.method) == (
            "sensitivity",
            0.3,
            "INCONCLUSIVE",
            PAIRED,
        )
