"""The calibration error of perfect probabilities, also with several rows of each patient."""

from __future__ import annotations

import numpy as np
import pytest

from convert.stats.excess import perfect_error
from convert.stats.metrics import calibration_error
from convert.stats.resampling import Resampler


def cohort(rng: np.random.Generator, rows: int, each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return perfect probabilities, outcomes that the rows of a patient share, and the patients."""
    patients = np.arange(rows) // each
    p = np.clip(rng.beta(1.0, 3.0, rows // each)[patients] + rng.normal(0.0, 0.02, rows), 0.001, 0.999)
    return p, rng.random(rows // each)[patients] < p, patients


def deviation(p: np.ndarray, y: np.ndarray, patients: np.ndarray) -> float:
    """Return how far the error lies above that of perfect probabilities, in standard deviations."""
    perfect = perfect_error(p, Resampler(patients, 0, 1), 0)
    error = calibration_error(p, y)
    assert error is not None
    return (error - perfect.mean) / perfect.sd


@pytest.mark.parametrize("each", [1, 4])
def test_the_error_of_perfect_probabilities_scatters_as_said(each):
    rng = np.random.default_rng(each)
    found = np.array([deviation(*cohort(rng, 160, each)) for _ in range(300)])
    assert abs(found.mean()) < 0.15
    assert 0.85 < found.std() < 1.15
    assert 0.02 <= np.mean(found > 1.645) <= 0.10


def test_repeated_rows_are_no_more_than_one():
    """The rows of 40 patients, four times each: as if they were 160 patients, half of the errors would look clear."""
    rng = np.random.default_rng(2)
    tables = [cohort(rng, 160, 4) for _ in range(100)]
    as_rows = [deviation(p, y, np.arange(160)) for p, y, _ in tables]
    by_patient = [deviation(*one) for one in tables]
    assert np.mean(np.array(as_rows) > 1.645) > 0.5
    assert np.mean(np.array(by_patient) > 1.645) < 0.12


def test_overconfident_probabilities_stand_out():
    rng = np.random.default_rng(3)
    z = rng.normal(-1.5, 1.2, 400)
    y = rng.random(400) < 1.0 / (1.0 + np.exp(-z))
    assert deviation(1.0 / (1.0 + np.exp(-(z + 1.0))), y, np.arange(400)) > 4.0
    assert deviation(1.0 / (1.0 + np.exp(-z)), y, np.arange(400)) < 2.3


def test_certain_probabilities_have_no_error():
    assert perfect_error(np.array([0.0, 1.0, 1.0]), Resampler(np.arange(3), 0, 1), 0) == (0.0, 0.0)
