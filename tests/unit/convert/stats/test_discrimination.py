"""AUROC, average precision and the points of the ROC curve by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from convert.stats.discrimination import areas, average_precisions, ranking, roc_points
from convert.stats.metrics import UNDEFINED
from convert.stats.resampling import Resampler
from helpers.slow_intervals import ends_of


def test_areas_and_precisions_by_hand() -> None:
    """Three levels, lowest first; the second column counts the middle one twice, the third has no positive."""
    positive = np.array([[1.0, 1.0, 0.0], [1.0, 2.0, 0.0], [2.0, 2.0, 0.0]])
    negative = np.array([[2.0, 2.0, 1.0], [1.0, 2.0, 0.0], [1.0, 1.0, 0.0]])
    wins = [1 * 1.0 + 1 * 2.5 + 2 * 3.5, 1 * 1.0 + 2 * 3.0 + 2 * 4.5]
    assert areas(positive, negative) == pytest.approx([wins[0] / 16, wins[1] / 25, np.nan], nan_ok=True)
    gained = [2 * 2 / 3 + 1 * 3 / 5 + 1 * 4 / 8, 2 * 2 / 3 + 2 * 4 / 7 + 1 * 5 / 10]
    found = average_precisions(positive, negative)
    assert found == pytest.approx([gained[0] / 4, gained[1] / 5, np.nan], nan_ok=True)


def test_the_interval_of_the_average_precision_resamples_patients() -> None:
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(30), 3)
    y = (rng.random(30) < 0.4)[patient]
    s = np.round(rng.standard_normal(90) + y, 1)
    drawn = np.random.default_rng([6, 11]).multinomial(30, np.full(30, 1 / 30), size=150)
    slow = [average_precision_score(np.repeat(y, c[patient]), np.repeat(s, c[patient])) for c in drawn]
    found = ranking(s, y, Resampler(patient, 6, 150)).auprc
    ends = ends_of(found.value, slow, len(np.unique(patient[y])), "logit")
    assert (found.low, found.high) == pytest.approx(ends)


@pytest.mark.parametrize("label", [False, True])
def test_a_single_class_has_no_ranking(label: bool) -> None:
    found = ranking(np.arange(6.0), np.full(6, label), Resampler(np.arange(6), 0, 40))
    assert (found.auroc, found.auprc) == (UNDEFINED, UNDEFINED)
    assert found.auroc_replicates.shape == (40,)
    assert np.isnan(found.auroc_replicates).all()
    assert roc_points(np.arange(6.0), np.full(6, label)) == []


def test_points_of_a_roc_curve_by_hand() -> None:
    """From the highest score: a positive, a pair of one each, a negative, a positive, a negative."""
    scores = np.array([0.9, 0.7, 0.7, 0.5, 0.3, 0.1])
    labels = np.array([True, True, False, False, True, False])
    third, two_thirds = 0.3333, 0.6667
    every = [(0.0, 0.0), (0.0, third), (third, two_thirds), (two_thirds, two_thirds), (two_thirds, 1.0), (1.0, 1.0)]
    assert roc_points(scores, labels) == every
    assert roc_points(scores[::-1], labels[::-1], most=60) == every
    assert roc_points(scores, labels, most=3) == [every[0], every[2], every[5]]
    assert roc_points(scores, labels, most=2) == [every[0], every[5]]


def test_a_roc_curve_has_at_most_sixty_points() -> None:
    labels = np.arange(2000) % 2 == 0
    points = roc_points(np.random.default_rng(0).permutation(2000).astype(float), labels)
    assert len(points) == 60
    assert (points[0], points[-1]) == ((0.0, 0.0), (1.0, 1.0))
    steps = np.abs(np.diff(points, axis=0)).sum(axis=1)
    assert steps == pytest.approx(2 / 59, abs=0.0022)
