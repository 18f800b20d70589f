"""DeLong's intervals: the scale, the level, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from convert.stats.delong import delong, delong_difference, delong_interval
from convert.stats.metrics import UNDEFINED, Score
from helpers.slow_intervals import welch

RNG = np.random.default_rng(0)
LABELS = np.arange(40) < 15
OURS = RNG.standard_normal(40) + LABELS
THEIRS = OURS + 0.5 * RNG.standard_normal(40)


def t_of(level: float) -> float:
    return float(t.ppf(0.5 + level / 2, welch(15, 25)))


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_interval_is_even_on_the_logit_scale(level: float) -> None:
    found = delong(OURS[None], LABELS)
    area, sd = found.areas[0], np.sqrt(found.covariance[0, 0])
    score = delong_interval(OURS, LABELS, level)
    assert score.value == pytest.approx(area)
    half = t_of(level) * sd / (area * (1 - area))
    logits = np.log(np.array([score.low, score.high]) / (1 - np.array([score.low, score.high])))
    assert logits == pytest.approx(np.log(area / (1 - area)) + np.array([-half, half]))


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_interval_of_a_difference_is_even_about_it(level: float) -> None:
    found = delong(np.stack((OURS, THEIRS)), LABELS)
    c = found.covariance
    gap, half = found.areas[0] - found.areas[1], t_of(level) * np.sqrt(c[0, 0] + c[1, 1] - 2 * c[0, 1])
    score = delong_difference(OURS, THEIRS, LABELS, level)
    assert (score.value, score.low, score.high) == pytest.approx((gap, gap - half, gap + half))
    assert half > 0.01


def test_without_a_level_it_is_95_percent() -> None:
    assert delong_interval(OURS, LABELS) == delong_interval(OURS, LABELS, 0.95)
    assert delong_difference(OURS, THEIRS, LABELS) == delong_difference(OURS, THEIRS, LABELS, 0.95)


@pytest.mark.parametrize(("positives", "negatives", "defined"), [(1, 5, False), (5, 1, False), (2, 2, True)])
def test_two_rows_of_each_class_are_needed(positives: int, negatives: int, defined: bool) -> None:
    labels = np.arange(positives + negatives) < positives
    scores = np.array([0.0, 2.0, 1.0, 3.0, 5.0, 4.0])[: len(labels)]
    for found in (delong_interval(scores, labels), delong_difference(scores, -scores, labels)):
        assert (found == UNDEFINED) is not defined
    assert delong_interval(scores, labels).value == (pytest.approx(0.25) if defined else None)


@pytest.mark.parametrize(("sign", "area"), [(1.0, 1.0), (-1.0, 0.0)])
def test_classes_that_lie_apart_have_an_area_without_interval(sign: float, area: float) -> None:
    assert delong_interval(sign * LABELS.astype(float), LABELS) == Score(area, None, None)


def test_a_model_and_itself_differ_by_nothing() -> None:
    assert delong_difference(OURS, OURS, LABELS) == Score(0.0, 0.0, 0.0)
