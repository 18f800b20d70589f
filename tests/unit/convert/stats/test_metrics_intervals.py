"""Intervals of AUROC and of the mean absolute error against resampling patients one by one."""

from __future__ import annotations

import numpy as np
import pytest

from convert.stats.intervals import auroc_interval, mae_interval
from convert.stats.metrics import RESAMPLES, UNDEFINED, Score, auroc, calibration_error
from helpers.slow_intervals import ends_of, welch


def drawn_patients(patients: int, seed: int, resamples: int) -> np.ndarray:
    """How often each patient is drawn in each resample, as the module documents its seed."""
    return np.random.default_rng([seed, 7]).multinomial(patients, np.full(patients, 1 / patients), size=resamples)


def windows(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels and patients of windows: 25 patients with one to five windows each."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(25), rng.integers(1, 6, 25))
    y = rng.random(len(patient)) < 0.4
    return np.round(rng.standard_normal(len(patient)) + y, 1), y, patient


def test_an_interval_of_an_auroc_resamples_patients() -> None:
    s, y, patient = windows(0)
    counts = drawn_patients(25, 4, 300)[:, patient]
    slow = [auroc(np.repeat(s, c), np.repeat(y, c)) for c in counts]
    found = auroc_interval(s, y, 100 + patient, seed=4, resamples=300)
    ill, well = len(np.unique(patient[y])), len(np.unique(patient[~y]))
    ends = ends_of(auroc(s, y), slow, min(ill, well), "logit", welch(ill, well))
    assert (found.value, found.low, found.high) == pytest.approx((auroc(s, y), *ends))


def test_an_interval_of_a_mean_absolute_error_resamples_patients() -> None:
    error, _, patient = windows(1)
    counts = drawn_patients(25, 4, 300)[:, patient]
    slow = [np.mean(np.repeat(np.abs(error), c)) for c in counts]
    found = mae_interval(error, 100 + patient, seed=4, resamples=300)
    assert (found.value, found.low, found.high) == pytest.approx(
        (np.mean(np.abs(error)), *ends_of(np.mean(np.abs(error)), slow, 25, "log"))
    )


def test_without_options_there_are_a_thousand_resamples_of_seed_0() -> None:
    assert RESAMPLES == 1000
    s, y, _ = windows(2)
    options = {"seed": 0, "resamples": 1000}
    assert auroc_interval(s, y) == auroc_interval(s, y, None, **options)
    assert mae_interval(s) == mae_interval(s, None, **options)
    slow = (drawn_patients(len(s), 0, 1000) @ np.abs(s)) / len(s)
    ends = ends_of(np.mean(np.abs(s)), slow, len(s), "log")
    assert (mae_interval(s).low, mae_interval(s).high) == pytest.approx(ends)


def test_resamples_without_a_class_are_left_out() -> None:
    s, y = np.array([0.1, 0.4, 0.3, 0.9]), np.array([False, False, True, True])
    slow = [auroc(np.repeat(s, c), np.repeat(y, c)) for c in drawn_patients(4, 0, 200)]
    known = [a for a in slow if a is not None]
    assert 0 < len(known) < 200
    found = auroc_interval(s, y, resamples=200)
    assert (found.low, found.high) == pytest.approx(ends_of(found.value, known, 2, "logit", 2))


def test_labels_may_be_zeros_and_ones() -> None:
    s, y, _ = windows(3)
    numbers = y.astype(np.uint8)
    assert auroc(s, numbers) == auroc(s, y)
    assert auroc_interval(s, numbers, resamples=50) == auroc_interval(s, y, resamples=50)
    p = 1 / (1 + np.exp(-s))
    assert calibration_error(p, numbers) == calibration_error(p, y)


def test_nobody_and_a_single_class_have_no_score() -> None:
    assert Score(None, None, None) == UNDEFINED
    assert mae_interval(np.empty(0)) == UNDEFINED
    assert auroc_interval(np.arange(4.0), np.ones(4, bool)) == UNDEFINED
    assert auroc(np.arange(4.0), np.ones(4, bool)) is None
    assert mae_interval(np.array([-2.0]), resamples=10) == Score(2.0, None, None)


def test_the_calibration_error_has_fifteen_bins_of_equal_size() -> None:
    """Thirty rows in the order of their probability: each bin is a pair, and each pair is off by a half."""
    p = np.arange(30) / 100 + 0.3
    y = np.arange(30) % 2 == 0
    pairs = [abs(p[i : i + 2].mean() - 0.5) for i in range(0, 30, 2)]
    assert calibration_error(p, y) == pytest.approx(np.mean(pairs))
    assert calibration_error(p[::-1], y[::-1]) == pytest.approx(np.mean(pairs))
    assert calibration_error(p, y, bins=30) == pytest.approx(np.mean(np.abs(p - y)))
    assert calibration_error(p, y, bins=1) == pytest.approx(abs(p.mean() - 0.5))
