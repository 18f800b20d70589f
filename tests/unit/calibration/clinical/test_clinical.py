"""What a clinician asks, against hand-made numbers, simulation and other implementations."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.stats import norm, t
from sklearn.linear_model import LogisticRegression

from calibration.clinical.benefit import alerts, decision_curve, useful_range
from calibration.clinical.checklists import ANSWERS, checklists
from calibration.clinical.external import conclude_differences, difference_p, independent_difference
from calibration.clinical.large import calibration_in_the_large, calibration_slope
from calibration.clinical.page import clinical_page
from calibration.clinical.points import operating_points, predictive_values
from calibration.clinical.severity import cut_offs
from calibration.report.page_html import html_page
from calibration.validate.run import ValidateOptions, validate
from convert.datasets.wfdb16 import write_record
from convert.pages.words import names_of
from convert.simulate.patient import simulate_patient
from convert.simulate.write import CohortPlan, write_cohort
from convert.stats.decide import Rule
from convert.stats.logistic import logits
from convert.stats.metrics import Score
from convert.stats.reliability import slope_and_intercept
from convert.stats.resampling import Resampler
from edge.stats import sigmoid
from firmware_bridge.errors import InputError


def cases(seed: int, n: int = 400, share: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Perfect probabilities and outcomes."""
    rng = np.random.default_rng(seed)
    p = sigmoid(rng.normal(math.log(share / (1 - share)), 1.5, n))
    return p, rng.random(n) < p


class TestPoints:
    def test_rules_reach_their_target_on_other_patients(self) -> None:
        p, y = cases(0, 3000)
        patient = np.arange(3000)
        found = {x["rule"]: x for x in operating_points(p, y, patient, Resampler(patient, 0, 100), 0.4, 1)}
        assert list(found) == ["deployed", "sensitivity=0.9", "npv=0.99", "youden"]
        assert found["sensitivity=0.9"]["sensitivity"]["value"] == pytest.approx(0.9, abs=0.03)
        assert found["deployed"]["flagged"] == int((p >= 0.4).sum())
        assert found["deployed"]["sensitivity"]["value"] == pytest.approx((p[y] >= 0.4).mean(), abs=1e-4)
        youden = found["youden"]
        assert youden["sensitivity"]["value"] + youden["specificity"]["value"] > 1.4

    def test_a_rule_that_cannot_be_met_has_no_threshold(self) -> None:
        rng = np.random.default_rng(1)
        y = np.arange(200) % 2 == 0
        found = operating_points(rng.random(200), y, np.arange(200), Resampler(np.arange(200), 0, 50), None, 1)
        npv = next(x for x in found if x["rule"] == "npv=0.99")
        assert (npv["threshold"], npv["sensitivity"]["value"], npv["at"]) == (None, None, [])

    def test_predictive_values_by_bayes(self) -> None:
        """Sensitivity 0.9, specificity 0.8, prevalence 0.1: PPV 0.09 / 0.27, NPV 0.72 / 0.73."""
        (found,) = predictive_values(Score(0.9, 0.85, 0.94), Score(0.8, 0.75, 0.84), (0.1,))
        assert found["ppv"]["value"] == pytest.approx(1 / 3, abs=1e-4)
        assert found["npv"]["value"] == pytest.approx(0.72 / 0.73, abs=1e-4)
        for name in ("ppv", "npv"):
            low, high = found[name]["ci"]
            assert 0.0 < low < found[name]["value"] < high < 1.0
        (nothing,) = predictive_values(Score(None, None, None), Score(0.8, 0.7, 0.9), (0.1,))
        assert nothing["ppv"]["value"] is None
        (never,) = predictive_values(Score(1.0, 0.9, 1.0), Score(0.8, 0.7, 0.9), (0.1,))
        assert 0.95 < never["npv"]["value"] < 1.0

    def test_the_rule_for_a_negative_predictive_value(self) -> None:
        p = np.linspace(0.01, 0.99, 99)
        y = p > 0.5
        limit = Rule.parse("npv=0.9").threshold(p, y)
        assert (~y[p < limit]).mean() >= 0.9
        assert (~y[p < limit + 0.011]).mean() < (~y[p < limit]).mean()
        assert Rule("npv", 0.99).threshold(p, ~y) is None


class TestCalibration:
    def test_slope_and_offset_equal_scikit_learn(self) -> None:
        p, y = cases(2, 900)
        shown = sigmoid(0.5 * logits(p) + 0.7)
        slope = calibration_slope(shown, y, np.arange(900))
        fit = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(logits(shown)[:, None], y)
        assert slope.value == pytest.approx(fit.coef_[0, 0], abs=1e-4)
        assert (slope.value, slope_and_intercept(shown, y)[0]) == pytest.approx((fit.coef_[0, 0],) * 2, abs=1e-6)
        assert slope.low > 1.0
        large = calibration_in_the_large(shown, y, np.arange(900))
        assert sigmoid(logits(shown) + large.value).mean() == pytest.approx(y.mean(), abs=1e-8)
        assert large.high < 0.0

    def test_repeated_patients_widen_the_intervals(self) -> None:
        p, y = cases(3, 200)
        once, five = np.arange(200), np.repeat(np.arange(200), 5)
        for of in (calibration_slope, calibration_in_the_large):
            a, b = of(p, y, once), of(np.repeat(p, 5), np.repeat(y, 5), five)
            assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high))

    def test_intervals_contain_the_truth(self) -> None:
        inside = np.zeros(2)
        for seed in range(300):
            p, y = cases(seed, 150)
            inside[0] += (s := calibration_slope(p, y, np.arange(150))).low <= 1.0 <= s.high
            inside[1] += (s := calibration_in_the_large(p, y, np.arange(150))).low <= 0.0 <= s.high
        assert (inside / 300 >= 0.92).all()
        assert (inside / 300 <= 0.98).all()

    def test_one_class_a_constant_and_separated_classes_have_none(self) -> None:
        p, y = cases(4, 60)
        nothing = Score(None, None, None)
        assert calibration_slope(p, np.ones(60, bool), np.arange(60)) == nothing
        assert calibration_slope(np.full(60, 0.3), y, np.arange(60)) == nothing
        assert calibration_slope(np.linspace(0.1, 0.9, 60), np.arange(60) >= 30, np.arange(60)) == nothing


class TestBenefit:
    def test_net_benefit_by_hand(self) -> None:
        """Ten patients, four ill; at 0.2 six are flagged, three of them ill: 0.3 - 0.3 * 0.25."""
        p = np.array([0.9, 0.8, 0.7, 0.3, 0.25, 0.21, 0.1, 0.1, 0.1, 0.1])
        y = np.array([1, 1, 1, 0, 0, 0, 1, 0, 0, 0], dtype=bool)
        rows = {r["threshold"]: r for r in decision_curve(p, y, Resampler(np.arange(10), 0, 100))}
        assert rows[0.2]["model"]["value"] == pytest.approx(0.3 - 0.3 * 0.25)
        assert rows[0.2]["all"] == pytest.approx(0.4 - 0.6 * 0.25)
        assert rows[0.5]["gain"]["value"] == rows[0.5]["model"]["value"] == pytest.approx(0.3)

    def test_a_good_model_is_useful_and_chance_is_not(self) -> None:
        p, y = cases(5, 800)
        assert useful_range(decision_curve(p, y, Resampler(np.arange(800), 0, 100)))[1] >= 0.3
        constant = np.full(800, float(y.mean()))
        assert useful_range(decision_curve(constant, y, Resampler(np.arange(800), 0, 100))) is None

    def test_an_alert_that_lasts_counts_once(self) -> None:
        flagged = np.array([1, 1, 0, 1, 1, 0, 0, 1], dtype=bool)
        recording = np.array([0, 0, 0, 0, 1, 1, 1, 1])
        labels = recording == 0
        found = alerts(flagged, labels, recording, np.full(8, 10_800.0), Resampler(recording, 0, 100))
        assert (found["alerts"], found["false_alerts"], found["days"]) == (4, 2, 1.0)
        assert found["per_day"]["value"] == 4.0


def test_the_difference_of_two_sources_squares_and_adds() -> None:
    ours, theirs = area(0.8, 0.7, 0.88, 30), area(0.75, 0.66, 0.82, 50)
    found = independent_difference(ours, theirs)
    assert found.value == pytest.approx(-0.05)
    ends = [-0.05 - math.hypot(0.09, 0.08), -0.05 + math.hypot(0.07, 0.1)]
    assert [found.low, found.high] == pytest.approx(ends)
    nothing = {"auroc": None, "auroc_ci": None}
    assert independent_difference(nothing, theirs) == Score(None, None, None)
    assert difference_p(nothing, theirs) is None


def area(value: float, low: float, high: float, patients: int) -> dict:
    """A judged head as the comparison reads it, with as many patients of each class."""
    counts = {"positive_patients": patients, "negative_patients": patients}
    return {"auroc": value, "auroc_ci": [low, high], **counts}


def test_the_p_value_of_a_difference_agrees_with_its_interval() -> None:
    """With many patients p is that of the normal distribution; with few it is larger, as Student's t asks."""
    ours, theirs = area(0.8, 0.7, 0.88, 10**6), area(0.7, 0.62, 0.78, 10**6)
    z = 0.1 / (math.hypot(0.1, 0.08) / norm.ppf(0.975))
    assert difference_p(ours, theirs) == pytest.approx(2 * norm.sf(z), rel=1e-4)
    few = [{**head, "positive_patients": 10, "negative_patients": 10} for head in (ours, theirs)]
    widths = np.array([0.1, 0.08]) / t.ppf(0.975, 18)
    df = (widths**2).sum() ** 2 / (widths**4 / 18).sum()
    assert difference_p(*few) == pytest.approx(2 * t.sf(0.1 / math.hypot(*widths), df))
    assert difference_p(theirs, ours) == pytest.approx(2 * norm.sf(z), rel=1e-4)
    assert difference_p(ours, ours) == pytest.approx(1.0)
    for value, clear in ((0.66, True), (0.68, False)):
        other = area(value, value - 0.08, value + 0.08, 10**6)
        found = independent_difference(ours, other)
        assert (difference_p(ours, other) < 0.05) == clear == (found.high < 0.0)
    assert difference_p(area(0.8, 0.8, 0.8, 30), area(0.7, 0.7, 0.7, 30)) == 0.0
    assert difference_p(area(0.8, 0.8, 0.8, 30), area(0.8, 0.8, 0.8, 30)) == 1.0


def test_verdicts_on_another_source_are_corrected_for_the_number_of_heads() -> None:
    """p = 0.04 is a verdict alone and none among twenty; a clear one stays; a head without a test is not counted."""
    alone = [{"difference": -0.1, "p_difference": 0.04, "p_adjusted": None, "verdict": "INCONCLUSIVE"}]
    conclude_differences(alone)
    assert (alone[0]["verdict"], alone[0]["p_adjusted"]) == ("worse", pytest.approx(0.04))
    p = [0.04, 0.0001, None, *[0.5] * 18]
    many = [{"difference": 0.1, "p_difference": x, "p_adjusted": None, "verdict": "INCONCLUSIVE"} for x in p]
    conclude_differences(many)
    assert [h["verdict"] for h in many[:3]] == ["INCONCLUSIVE", "better", "INCONCLUSIVE"]
    assert many[1]["p_adjusted"] == pytest.approx(0.0001 * 20)
    assert many[2]["p_adjusted"] is None


def test_the_difference_of_two_sources_covers_the_truth() -> None:
    from convert.stats.delong import delong_interval

    rng, inside, called = np.random.default_rng(0), 0, 0
    for _ in range(300):
        records = []
        for n in (60, 80):
            y = np.arange(2 * n) < n
            s = delong_interval(rng.standard_normal(2 * n) + math.sqrt(2) * norm.ppf(0.75) * y, y)
            records.append(area(s.value, s.low, s.high, n))
        found = independent_difference(*records)
        inside += found.low <= 0.0 <= found.high
        called += difference_p(*records) <= 0.05
    assert 0.92 <= inside / 300 <= 0.98
    assert 0.02 <= called / 300 <= 0.08


def test_cut_offs_are_of_the_catalogue() -> None:
    from convert.datasets.labcatalogue import catalogue

    for lab, entry in cut_offs().items():
        assert catalogue()[lab].unit == entry["unit"]
        assert entry["high"] == sorted(entry["high"])
        assert entry["low"] == sorted(entry["low"], reverse=True)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    """A report with the clinical chapters and another source; three patients are enough for a verdict."""
    root = tmp_path_factory.mktemp("clinical")
    write_cohort(CohortPlan(40, 31, 24.0), root / "here")
    write_cohort(CohortPlan(16, 32, 24.0), root / "there")
    (root / "few.toml").write_text("[patients]\npositives_min = 3\nnegatives_min = 3\n")
    options = ValidateOptions(
        "demo", root / "here", root / "out", split="all", hop_s=4.0, resamples=100, robustness=0,
        gate=root / "few.toml", external=root / "there",
    )  # fmt: skip
    same = replace(options, out=root / "never", external=root / "here")
    with pytest.raises(InputError, match="patients are in both"):
        validate(same, None)
    copied = root / "copied"
    copied.mkdir()
    ecg = simulate_patient(33, 0, 14.0, noise=True).ecg_mv
    for name in "ab":
        write_record(copied, name, "II", ecg, 500.0, 1000.0, datetime(2150, 1, 1, tzinfo=UTC))
    (copied / "labels.csv").write_text("record,patient,potassium_high\na,p,1\nb,q,0\n")
    with pytest.raises(InputError, match="hold the same samples"):
        validate(replace(same, external=copied), None)
    assert not (root / "never").exists()  # refused before the first recording
    return validate(options, None)


def test_the_report_has_every_chapter(report) -> None:
    json.dumps(report, allow_nan=False)
    assert report["clinical"]["heads"]
    assert report["external"]["patients"] > 10
    assert [h["key"] for h in report["external"]["heads"]] == [
        h["key"] for h in report["heads"] if h["kind"] == "probability"
    ]
    assert report["external"]["labels"] == report["header"]["labels"]
    tested = [h for h in report["external"]["heads"] if h["p_difference"] is not None]
    assert tested
    assert all(h["p_difference"] <= h["p_adjusted"] <= 1.0 for h in tested)
    severity = {(s["key"], s["cut_off"]): s for s in report["clinical"]["severity"]}
    assert set(severity) == {
        ("potassium_high", 5.5), ("potassium_high", 6.0), ("potassium_low", 3.5), ("potassium_low", 3.0),
    }  # fmt: skip
    assert severity["potassium_high", 5.5]["positives"] >= severity["potassium_high", 6.0]["positives"]
    page = html_page(report)
    for words in ("Clinical use", "Another source", "TRIPOD+AI", "decision curve of"):
        assert words in page
    noted = {**report, "external": {**report["external"], "remarks": ["3 of 30 values are implausible"]}}
    assert "3 of 30 values are implausible" in html_page(noted)
    shown = clinical_page(report, names_of(report["heads"]))
    assert len(shown["curves"]) == len(report["clinical"]["heads"])


def test_checklists_are_filled_by_the_report_or_left_to_the_authors(report) -> None:
    found = checklists(report)
    assert [row["item"] for row in found["tripod"]] == [str(k) for k in range(1, 28)]
    filled = {row["item"] for row in found["tripod"] if row["answer"]}
    assert {"5", "8", "10", "11", "12", "14", "15", "20", "23"} <= filled
    assert not {"1", "17", "19", "25", "26"} & filled
    answers = {name: answer(report) for name, answer in ANSWERS.items()}
    assert all(answers.values())
    assert str(report["header"]["counts"]["patients"]) in answers["flow"]
