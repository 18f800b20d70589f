"""Logistic regression: scikit-learn's coefficients, an offset by hand, a slow variance over patients, no solution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t
from sklearn.linear_model import LogisticRegression

from convert.stats.logistic import CLIP, fit_logistic, logits, patient_intervals
from edge.stats import sigmoid


def rows(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.column_stack((np.ones(n), rng.standard_normal((n, 2))))
    return x, rng.random(n) < sigmoid(x @ np.array([-0.5, 1.2, -0.7]))


def test_coefficients_are_those_of_scikit_learn() -> None:
    x, y = rows(0)
    found = fit_logistic(x, y)
    theirs = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(x[:, 1:], y)
    assert found == pytest.approx([theirs.intercept_[0], *theirs.coef_[0]], abs=1e-7)


def test_an_offset_has_the_coefficient_one() -> None:
    """With an offset of the logit of 20 % and a share of 50 %, the intercept is log 4."""
    y = np.arange(40) < 20
    offset = np.full(40, np.log(0.25))
    assert fit_logistic(np.ones((40, 1)), y, offset) == pytest.approx([np.log(4.0)])
    for far, share in ((8.0, 0.1), (-8.0, 0.9)):  # one step of Newton's method from here ends beyond 1,000
        ill = np.arange(40) < round(40 * share)
        assert fit_logistic(np.ones((40, 1)), ill, far) == pytest.approx([np.log(share / (1 - share)) - far])
    x, labels = rows(1)
    moved = fit_logistic(x, labels, 0.3 * x[:, 1])
    assert moved == pytest.approx(fit_logistic(x, labels) - [0.0, 0.3, 0.0])


@pytest.mark.parametrize("with_offset", [False, True])
def test_intervals_are_those_of_a_sum_over_patients(with_offset: bool) -> None:
    """The sandwich by its definition, one patient after the other."""
    x, y = rows(2, 60)
    patient = np.repeat(np.arange(20), 3) + 100
    offset = 0.4 * x[:, 2] if with_offset else 0.0
    beta = fit_logistic(x, y, offset)
    mean = sigmoid(x @ beta + offset)
    bread = np.linalg.inv(sum(m * (1 - m) * np.outer(row, row) for m, row in zip(mean, x, strict=True)))
    meat = np.zeros((3, 3))
    for who in np.unique(patient):
        mine = patient == who
        score = ((y[mine] - mean[mine])[:, None] * x[mine]).sum(axis=0)
        meat += np.outer(score, score)
    half = t.ppf(0.975, 19) * np.sqrt(np.diag(bread @ meat @ bread) * 20 / 19)
    found = patient_intervals(x, y, beta, patient, offset)
    assert [s.value for s in found] == pytest.approx(beta)
    assert [s.low for s in found] == pytest.approx(beta - half)
    assert [s.high for s in found] == pytest.approx(beta + half)


def test_two_patients_have_one_degree_of_freedom() -> None:
    """Shares of 1 and 3 in 4: both scores are 1, the information is 2, and the sandwich is 0.5 times 2 over 1."""
    ones, y = np.ones((8, 1)), np.array([1, 0, 0, 0, 1, 1, 1, 0], dtype=bool)
    (found,) = patient_intervals(ones, y, np.zeros(1), np.repeat([0, 1], 4))
    assert found.high - found.value == pytest.approx(t.ppf(0.975, 1) * np.sqrt(0.5 * 2.0 / 1.0))


def test_what_has_no_solution_is_none() -> None:
    x, y = rows(3, 50)
    assert fit_logistic(x, np.zeros(50, bool)) is None
    assert fit_logistic(x, np.ones(50, bool)) is None
    assert fit_logistic(x, x[:, 1] > 0.0) is None  # separable
    assert fit_logistic(np.column_stack((x, 2.0 * x[:, 1])), y) is None


@pytest.mark.parametrize(("step", "defined"), [(0.023, True), (0.021, False)])
def test_coefficients_beyond_a_hundred_are_none(step: float, defined: bool) -> None:
    """Shares of 1 in 4 and 3 in 4, ``step`` apart: the coefficient is 2 log 3 / step, 95.5 or 104.6."""
    x = np.column_stack((np.ones(80), np.repeat([-step / 2, step / 2], 40)))
    y = np.concatenate([np.arange(40) % 4 == 0, np.arange(40) % 4 != 0])
    found = fit_logistic(x, y)
    assert (found is not None) == defined
    if found is not None:
        assert found[1] == pytest.approx(2.0 * np.log(3.0) / step)


def test_logits_of_certain_probabilities_are_finite() -> None:
    assert logits(np.array([0.0, 0.5, 1.0])) == pytest.approx([np.log(CLIP), 0.0, -np.log(CLIP)], abs=1e-6)
    assert logits(np.array([0.2])) == pytest.approx([np.log(0.25)])
