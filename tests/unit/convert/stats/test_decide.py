"""Thresholds and the band of abstention by hand, on few patients."""

from __future__ import annotations

import numpy as np
import pytest

from convert.stats.decide import MIN_FLAGGED, Rule, abstention
from firmware_bridge.errors import UsageError


def test_rules_are_parsed_and_other_texts_are_refused() -> None:
    assert Rule.parse("youden") == Rule() == Rule("youden", 0.0)
    assert Rule.parse("sensitivity=0.9") == Rule("sensitivity", 0.9)
    assert Rule.parse("ppv=0.5") == Rule("ppv", 0.5)
    assert Rule.parse("npv=0.99") == Rule("npv", 0.99)
    for text in (
        "",
        "youden=0.5",
        "npv=1.5",
        "f1=0.5",
        "ppv",
        "ppv=",
        "ppv=x",
        "ppv=0",
        "ppv=1",
        "sensitivity=-0.1",
        "ppv=nan",
    ):
        with pytest.raises(UsageError, match="unknown threshold rule"):
            Rule.parse(text)


@pytest.mark.parametrize(
    ("target", "threshold"), [(0.05, 0.9), (0.1, 0.9), (0.11, 0.8), (0.5, 0.5), (0.51, 0.4), (0.9, 0.1), (0.99, 0.0)]
)
def test_a_sensitivity_gives_the_highest_threshold_that_reaches_it(target: float, threshold: float) -> None:
    ill = np.arange(10) / 10
    p, labels = np.concatenate([ill, np.full(50, 0.99)]), np.arange(60) < 10
    found = Rule("sensitivity", target).threshold(p, labels)
    assert found == threshold
    assert np.mean(p[labels] >= found) >= target


class TestPpv:
    P = np.linspace(0.95, 0.05, 19)

    def test_a_ppv_gives_the_lowest_threshold_that_reaches_it(self) -> None:
        labels = np.zeros(19, bool)
        labels[[0, 1, 2, 3, 5, 7, 9, 11]] = True  # of the first 10: 7, of 12: 8, of 14: 8, of 16: 8
        assert Rule("ppv", 0.5).threshold(self.P, labels) == pytest.approx(self.P[15])
        assert Rule("ppv", 8 / 12).threshold(self.P, labels) == pytest.approx(self.P[11])
        assert Rule("ppv", 0.7).threshold(self.P, labels) == pytest.approx(self.P[9])

    def test_fewer_than_ten_flagged_patients_give_no_threshold(self) -> None:
        assert MIN_FLAGGED == 10
        labels = np.arange(19) < 9
        assert Rule("ppv", 0.9).threshold(self.P, labels) == pytest.approx(self.P[9])
        assert Rule("ppv", 0.91).threshold(self.P, labels) is None

    def test_a_threshold_does_not_split_equal_probabilities(self) -> None:
        p = np.array([0.9] * 12 + [0.5] * 8)
        labels = np.arange(20) % 2 == 0
        labels[:6] = True  # the first six of the equal ones, which alone would be 100 %
        assert Rule("ppv", 0.7).threshold(p, labels) == 0.9
        assert Rule("ppv", 0.8).threshold(p, labels) is None


class TestAbstention:
    """Nine positives and nineteen negatives: one of ten positives may be cleared, two of twenty negatives flagged."""

    ILL, WELL = np.arange(1, 10) / 10.0 + 0.005, np.arange(1, 20) / 20.0
    P, LABELS = np.concatenate([ILL, WELL]), np.arange(28) < 9

    def test_each_class_has_its_own_quantile(self) -> None:
        low, high = abstention(self.P, self.LABELS, 0.9, None)
        assert low == pytest.approx(0.105)  # the first of nine: (9 + 1) 0.1
        assert high == np.nextafter(0.9, 2.0)  # the eighteenth of nineteen: (19 + 1) 0.9
        cleared, flagged = [x for x in self.ILL if x < low], [x for x in self.WELL if x >= high]
        assert (len(cleared), len(flagged)) == (0, 1)

    def test_more_coverage_widens_the_band(self) -> None:
        bands = [abstention(self.P, self.LABELS, coverage, None) for coverage in (0.5, 0.7, 0.8, 0.9)]
        assert bands[1] == (pytest.approx(0.305), np.nextafter(0.7, 2.0))
        assert [low for low, _ in bands] == sorted((low for low, _ in bands), reverse=True)
        assert [high for _, high in bands] == sorted(high for _, high in bands)

    def test_too_few_patients_for_the_coverage_give_the_whole_range(self) -> None:
        assert abstention(self.P, self.LABELS, 0.95, None) == (0.0, np.nextafter(0.95, 2.0))
        assert abstention(self.P, self.LABELS, 0.96, None) == (0.0, 1.0)

    def test_the_band_contains_the_threshold(self) -> None:
        assert abstention(self.P, self.LABELS, 0.9, 0.05)[0] == 0.05
        assert abstention(self.P, self.LABELS, 0.9, 0.95)[1] == 0.95
        assert abstention(self.P, self.LABELS, 0.9, 0.5) == abstention(self.P, self.LABELS, 0.9, None)

    @pytest.mark.parametrize(("threshold", "at"), [(None, "high"), (0.6, 0.6), (0.2, 0.2), (0.95, 0.95)])
    def test_separated_classes_need_no_abstention(self, threshold: float | None, at: float | str) -> None:
        p = np.concatenate([0.9 - np.arange(9) / 100, 0.1 + np.arange(19) / 100])
        low, high = abstention(p, self.LABELS, 0.9, threshold)
        if at == "high":
            assert low == high == np.nextafter(0.27, 2.0)
        elif at == 0.6:
            assert low == high == 0.6
        else:
            # A threshold outside the quantiles of the classes extends the band.
            assert at in (low, high)
            assert low < high


def test_youdens_rule_is_youdens_threshold() -> None:
    p, labels = np.array([0.9, 0.2, 0.8, 0.3]), np.array([True, False, True, False])
    assert Rule().threshold(p, labels) == pytest.approx(0.55)
