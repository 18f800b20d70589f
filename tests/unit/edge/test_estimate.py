"""Aggregation, calibration, interval, threshold."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from edge.bundle.calibration import HeadCalibration
from edge.bundle.reader import Bundle, load_bundle
from edge.estimate import FIRST_ROWS, WEIGHT_STEPS, Estimator, IsotonicCurves
from edge.stats import median, normal_quantile, sigmoid


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


def test_sums_of_the_largest_outputs_and_weights_do_not_overflow(bundle: Bundle) -> None:
    """Below numpy 2 the product of an int16 array and an int64 number keeps the narrow type: it overflowed."""
    estimator = Estimator(bundle)
    estimator._zero_point = -128
    for number in range(100):
        estimator.add(float(number), outputs(bundle, 127), 1.0)
    held = estimator._held
    assert held.total.tolist() == [100 * WEIGHT_STEPS * 255] * held.total.size
    assert held.squares.tolist() == [100 * WEIGHT_STEPS * 255**2] * held.squares.size


def test_old_windows_are_dropped(bundle: Bundle) -> None:
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
    # Ten times as many windows over the same ten seconds add no information.
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


def test_small_statistics_match_numpy_and_scipy() -> None:
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


def test_model_error_and_spread_of_windows_add_as_independent_errors(bundle: Bundle) -> None:
    """Two windows without overlap, 40 steps apart: their variances add, not their standard deviations."""
    estimator, m = Estimator(bundle), bundle.manifest
    estimator.add(10.0, outputs(bundle, 0), 1.0)
    estimator.add(20.0, outputs(bundle, 40), 1.0)
    labs = {lab.key: lab for lab in estimator.labs()}
    z = stats.norm.ppf(0.95)
    spread = np.std([0.0, 40.0], ddof=1) / math.sqrt(2.0) * m.output.scale

    probability, cal = labs["potassium_low"], bundle.calibration["potassium_low"]
    low, high = (math.log(p / (1.0 - p)) for p in probability.interval)
    assert cal.interval_method == "logit_sd"
    assert (high - low) / 2.0 == pytest.approx(z * math.sqrt(cal.interval_width**2 + (cal.slope * spread) ** 2))

    value, cal = labs["potassium"], bundle.calibration["potassium"]
    low, high = value.interval
    assert cal.interval_method == "conformal"
    assert (high - low) / 2.0 == pytest.approx(math.sqrt(cal.interval_width**2 + (z * cal.slope * spread) ** 2))


def calibrated(bundle: Bundle, **of_all: object) -> Bundle:
    """Return the bundle with some values of every head's calibration replaced."""
    return replace(bundle, calibration={key: replace(c, **of_all) for key, c in bundle.calibration.items()})


@pytest.mark.parametrize("hop_s", [1.0, 4.0, 10.0, 25.0])
def test_the_error_of_the_mean_counts_whole_windows_of_covered_time(bundle: Bundle, hop_s: float) -> None:
    """Without a model error the interval is the standard error alone, and a gap between windows covers no time."""
    exact, n = calibrated(bundle, interval_width=0.0), 5
    estimator, values = Estimator(exact), [0, 10, 40, 20, 5]
    for k, value in enumerate(values):
        estimator.add(50.0 + k * hop_s, outputs(bundle, value), 1.0)
    lab = next(lab for lab in estimator.labs() if lab.key == "potassium")
    independent = (10.0 + (n - 1) * min(hop_s, 10.0)) / 10.0
    error = np.std(values, ddof=1) / math.sqrt(independent) * bundle.manifest.output.scale
    half = stats.norm.ppf(0.95) * exact.calibration["potassium"].slope * error
    assert lab.interval == pytest.approx((lab.value - half, lab.value + half))


def test_a_negative_slope_does_not_swap_the_bounds(bundle: Bundle) -> None:
    estimator = Estimator(calibrated(bundle, slope=-1.0))
    for end_s, value in ((0.0, 10), (10.0, 30)):
        estimator.add(end_s, outputs(bundle, value), 1.0)
    assert all(lab.interval[0] < lab.value < lab.interval[1] for lab in estimator.labs())


def test_without_a_method_there_is_no_interval(bundle: Bundle) -> None:
    estimator = Estimator(calibrated(bundle, interval_method="none"))
    estimator.add(0.0, outputs(bundle, 5), 1.0)
    assert [lab.interval for lab in estimator.labs()] == [None] * len(bundle.manifest.outputs)


def test_a_value_equal_to_the_threshold_is_flagged(bundle: Bundle) -> None:
    estimator = Estimator(calibrated(bundle, offset=0.0, threshold=0.5))
    estimator.add(0.0, outputs(bundle, bundle.manifest.output.zero_point), 1.0)
    lab = estimator.labs()[0]
    assert (lab.value, lab.flag) == (0.5, True)


@pytest.mark.parametrize(
    ("band", "flag"), [((0.4, 0.6), None), ((0.5, 0.6), None), ((0.4, 0.5), True), ((0.6, 0.7), True), (None, True)]
)
def test_within_the_band_from_its_lower_bound_on_nothing_is_decided(
    bundle: Bundle, band: tuple[float, float] | None, flag: bool | None
) -> None:
    at_a_half = calibrated(bundle, offset=0.0, threshold=0.5)
    first, *others = at_a_half.calibration
    banded = {first: replace(at_a_half.calibration[first], abstain=band)}
    estimator = Estimator(replace(at_a_half, calibration=at_a_half.calibration | banded))
    estimator.add(0.0, outputs(bundle, bundle.manifest.output.zero_point), 1.0)
    labs = {lab.key: lab for lab in estimator.labs()}
    assert labs[first].flag is flag
    # A head without a band decides everything.
    sure = [key for key in others if labs[key].tier != "limited" and labs[key].unit == "1"]
    assert {labs[key].flag for key in sure} == {True}


def test_windows_of_quality_zero_have_equal_weights(bundle: Bundle) -> None:
    a, b = Estimator(bundle), Estimator(bundle)
    for estimator, score in ((a, 0.0), (b, 1.0)):
        estimator.add(0.0, outputs(bundle, 10), score)
        estimator.add(10.0, outputs(bundle, 30), score)
    assert a.labs() == b.labs()


def test_a_window_is_dropped_when_it_is_as_old_as_the_span(bundle: Bundle) -> None:
    estimator, span_s = Estimator(bundle), bundle.manifest.aggregation_minutes * 60.0
    estimator.add(100.0, outputs(bundle, 10), 1.0)
    estimator.add(100.0 + span_s - 0.001, outputs(bundle, 10), 1.0)
    assert estimator.labs()[0].windows == 2
    estimator.add(100.0 + span_s, outputs(bundle, 10), 1.0)
    assert estimator.labs()[0].windows == 2


@pytest.mark.parametrize("n", [FIRST_ROWS - 1, FIRST_ROWS, FIRST_ROWS + 1, 2 * FIRST_ROWS + 1, 1000])
def test_dropped_windows_leave_no_rounding_error(bundle: Bundle, n: int) -> None:
    """The running sums equal, to the bit, those of a new estimator that has seen only the last windows."""
    rng = np.random.default_rng(n)
    values, scores = rng.integers(-128, 128, n), rng.random(n)
    estimator, fresh = Estimator(bundle), Estimator(bundle)
    for k in range(n):
        estimator.add(10.0 * k, outputs(bundle, int(values[k])), float(scores[k]))
    for k in range(max(0, n - 30), n):  # 300 s
        fresh.add(10.0 * k, outputs(bundle, int(values[k])), float(scores[k]))
    assert estimator.labs() == fresh.labs()


def test_each_head_reads_its_own_output(bundle: Bundle) -> None:
    raw = np.arange(len(bundle.manifest.outputs), dtype=np.int8)
    estimator = Estimator(bundle)
    estimator.add(0.0, raw, 1.0)
    for head, lab in zip(bundle.manifest.outputs, estimator.labs(), strict=True):
        cal, m = bundle.calibration[head.key], bundle.manifest
        line = cal.slope * (float(raw[head.index]) - m.output.zero_point) * m.output.scale + cal.offset
        assert lab.value == pytest.approx(sigmoid(np.array(line)) if head.kind == "probability" else line)
        assert (lab.key, lab.loinc, lab.unit, lab.tier) == (head.key, head.loinc, head.unit, head.evidence.tier)
        assert lab.threshold == cal.threshold
        assert lab.windows == 1


def curve(x: tuple[float, ...], y: tuple[float, ...]) -> HeadCalibration:
    return HeadCalibration("isotonic", 1.0, 0.0, None, "none", 0.0, 0.9, knots=(x, y))


def test_isotonic_curves_are_linear_between_knots_and_constant_beyond() -> None:
    plain = HeadCalibration("platt", 1.0, 0.0, None, "none", 0.0, 0.9)
    axes = [((-1.0, 0.0, 2.0), (0.1, 0.4, 0.9)), ((-2.0, 3.0), (0.2, 0.7)), ((0.5,), (0.3,))]
    curves = IsotonicCurves.of([curve(*axes[0]), plain, curve(*axes[1]), curve(*axes[2])])
    assert curves is not None
    z = np.array([-9.0, -2.0, -1.5, -1.0, -0.3, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 9.0])
    raw, shown = np.repeat(z[:, None], 4, axis=1), np.full((len(z), 4), -5.0)
    curves.put(raw, shown)
    for column, (x, y) in zip((0, 2, 3), axes, strict=True):
        assert shown[:, column] == pytest.approx(np.interp(z, x, y), abs=1e-15)
    assert shown[:, 1].tolist() == [-5.0] * len(z)
    assert IsotonicCurves.of([plain, plain]) is None


def test_an_isotonic_head_shows_its_curve_and_its_interval_follows_it(bundle: Bundle) -> None:
    first = bundle.manifest.outputs[0].key
    knots = ((-4.0, 0.0, 4.0), (0.1, 0.2, 0.8))
    made = replace(bundle.calibration[first], slope=1.0, offset=0.0, knots=knots, interval_width=1.0)
    estimator = Estimator(replace(bundle, calibration=bundle.calibration | {first: made}))
    estimator.add(0.0, outputs(bundle, bundle.manifest.output.zero_point), 1.0)
    lab, half = estimator.labs()[0], stats.norm.ppf(0.95)
    assert lab.value == pytest.approx(0.2)
    assert lab.interval == pytest.approx((np.interp(-half, *knots), np.interp(half, *knots)))


def test_the_sigmoid_is_exact_in_its_tails_and_never_overflows() -> None:
    x = np.array([-1e6, -700.0, -40.0, 0.0, 40.0, 1e6])
    with np.errstate(over="raise"):
        p = sigmoid(x)
    assert p[3] == 0.5
    assert p[2] == pytest.approx(math.exp(-40.0), rel=1e-12)
    assert p[1] == pytest.approx(math.exp(-700.0), rel=1e-12)
    assert 0.0 <= p[0] <= p[1]
    assert p[5] == 1.0
