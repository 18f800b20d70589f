"""Aggregation, calibration, interval, threshold."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from edge.bundle.reader import Bundle, load_bundle
from edge.estimate import Estimator, sigmoid
from edge.stats import median, normal_quantile


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


def outputs(bundle: Bundle, value: int) -> np.ndarray:
    return np.full(len(bundle.manifest.outputs), value, dtype=np.int8)


def test_one_window_gives_the_calibrated_probability(bundle: Bundle) -> None:
    estimator = Estimator(bundle)
    estimator.add(10.0, outputs(bundle, 17), 0.9)
    lab = estimator.labs()[0]
    cal = bundle.calibration[lab.key]
    logit = (17 - bundle.manifest.output.zero_point) * bundle.manifest.output.scale
    assert lab.value == pytest.approx(1 / (1 + math.exp(-(cal.slope * logit + cal.offset))), abs=1e-12)
    assert lab.flag == (lab.value >= cal.threshold)
    assert lab.windows == 1
    assert lab.interval[0] < lab.value < lab.interval[1]


def test_windows_are_weighted_by_quality_in_logit_space(bundle: Bundle) -> None:
    estimator = Estimator(bundle)
    estimator.add(10.0, outputs(bundle, 10), 1.0)
    estimator.add(11.0, outputs(bundle, 40), 0.5)
    lab, m = estimator.labs()[0], bundle.manifest
    cal = bundle.calibration[lab.key]
    mean = ((10 * 1.0 + 40 * 0.5) / 1.5 - m.output.zero_point) * m.output.scale
    assert lab.value == pytest.approx(sigmoid(cal.slope * mean + cal.offset), abs=1e-12)


def test_old_windows_are_forgotten(bundle: Bundle) -> None:
    estimator = Estimator(bundle)
    for t in range(1000):
        estimator.add(float(t), outputs(bundle, 50 if t < 600 else -50), 1.0)
    assert estimator.labs()[0].windows == 300
    fresh = Estimator(bundle)
    fresh.add(0.0, outputs(bundle, -50), 1.0)
    assert estimator.labs()[0].value == pytest.approx(fresh.labs()[0].value)


def test_spread_widens_the_interval_and_overlap_does_not_narrow_it(bundle: Bundle) -> None:
    def width(values: list[int], hop_s: float) -> float:
        estimator = Estimator(bundle)
        for i, v in enumerate(values):
            estimator.add(i * hop_s, outputs(bundle, v), 1.0)
        lab = estimator.labs()[0]
        return math.log(lab.interval[1] / (1 - lab.interval[1])) - math.log(lab.interval[0] / (1 - lab.interval[0]))

    same, spread = [20] * 20, [0, 40] * 10
    assert width(spread, 1.0) > width(same, 1.0)
    # Ten times as many windows over the same ten seconds say no more.
    assert width(spread, 0.1) > width(spread, 10.0)
    assert width([0, 40] * 100, 0.1) == pytest.approx(width([0, 40] * 10, 1.0), rel=0.2)


def test_value_heads_have_no_threshold(bundle: Bundle) -> None:
    estimator = Estimator(bundle)
    estimator.add(0.0, outputs(bundle, 0), 1.0)
    values = [lab for lab in estimator.labs() if lab.unit != "1"]
    assert values
    assert all(lab.flag is None and lab.threshold is None for lab in values)
    assert all(lab.interval[0] < lab.value < lab.interval[1] for lab in values)


def test_equal_weighting_ignores_quality(bundle: Bundle) -> None:
    equal = replace(bundle, manifest=replace(bundle.manifest, weighting="equal"))
    a, b = Estimator(equal), Estimator(equal)
    for estimator, score in ((a, 0.1), (b, 1.0)):
        estimator.add(0.0, outputs(bundle, 5), score)
        estimator.add(1.0, outputs(bundle, 25), 1.0)
    assert a.labs() == b.labs()


def test_nothing_accepted_gives_nothing(bundle: Bundle) -> None:
    assert Estimator(bundle).labs() == ()


def test_small_statistics_equal_the_large_libraries() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 10, 101):
        x = rng.standard_normal(n)
        assert median(x) == np.median(x)
    for p in (1e-6, 0.025, 0.4, 0.5, 0.95, 0.999):
        assert normal_quantile(p) == pytest.approx(stats.norm.ppf(p), abs=1e-8)
    for x in (-800.0, -1.0, 0.0, 3.0, 800.0):
        assert sigmoid(x) == pytest.approx(1 / (1 + np.exp(-np.clip(x, -700, 700))), abs=1e-12)


def test_a_head_with_limited_evidence_raises_no_flag(bundle: Bundle) -> None:
    estimator = Estimator(bundle)
    estimator.add(0.0, outputs(bundle, 127), 1.0)
    labs = estimator.labs()
    limited = [lab for lab in labs if lab.tier == "limited"]
    assert limited
    assert all(lab.flag is None and lab.value is not None for lab in limited)
    assert any(lab.flag for lab in labs if lab.tier != "limited")
