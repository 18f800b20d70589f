"""Logistic regression without a penalty, with an offset and with standard errors over patients.

scikit-learn has neither an offset nor standard errors; the coefficients equal those of its ``LogisticRegression`` with
``C=inf``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.stats.bounds import quantile_t
from convert.stats.metrics import Score
from edge.stats import sigmoid

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

STEPS = 100
MAX_STEP = 2.0
"""Largest change of a coefficient in one step, so that nearly separable classes do not overshoot."""

CLIP = 1e-9
"""Probabilities are kept this far from 0 and 1."""

MAX_COEFFICIENT = 100.0
"""Largest coefficient that is reported. Beyond it the classes are separable, or a column is nearly constant."""


def logits(p: F64) -> F64:
    """Return the logits of probabilities."""
    clipped = np.clip(p, CLIP, 1.0 - CLIP)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def fit_logistic(x: F64, labels: Bools, offset: F64 | float = 0.0) -> F64 | None:
    """Return the coefficients of largest likelihood, by Newton's method.

    Args:
        x: Columns of the model, ``(n, columns)``, with a column of ones for an intercept.
        labels: Outcomes, ``(n,)``.
        offset: Part of the logit with a fixed coefficient of 1, ``(n,)``.

    Returns:
        The coefficients, ``(columns,)``; ``None`` where they are not finite: a single class, separable classes, or
        columns that depend on each other.
    """
    if not labels.any() or labels.all():
        return None
    y, beta = labels.astype(np.float64), np.zeros(x.shape[1])
    for _ in range(STEPS):
        mean = sigmoid(x @ beta + offset)
        try:
            step = np.linalg.solve(_information(x, mean), x.T @ (y - mean))
        except np.linalg.LinAlgError:
            return None
        beta = beta + np.clip(step, -MAX_STEP, MAX_STEP)
        if np.abs(step).max() < 1e-10:
            return None if np.abs(beta).max() > MAX_COEFFICIENT else beta
    return None


def patient_intervals(
    x: F64, labels: Bools, beta: F64, patient: NDArray[np.integer], offset: F64 | float = 0.0
) -> list[Score]:
    """Return the coefficients with intervals from a variance over patients (Liang & Zeger, Biometrika 1986;73:13).

    Args:
        x: Columns of the model, ``(n, columns)``.
        labels: Outcomes, ``(n,)``.
        beta: Result of :func:`fit_logistic`.
        patient: Number of the patient of each row, ``(n,)``.
        offset: As for the fit.
    """
    mean = sigmoid(x @ beta + offset)
    who, index = np.unique(patient, return_inverse=True)
    scores = x * (labels.astype(np.float64) - mean)[:, None]
    by_patient = np.stack([np.bincount(index, column) for column in scores.T], axis=1)
    bread = np.linalg.inv(_information(x, mean))
    n = len(who)
    variance = bread @ (by_patient.T @ by_patient) @ bread * n / max(n - 1, 1)
    half = quantile_t(n - 1) * np.sqrt(np.diag(variance))
    return [Score(float(b), float(b - h), float(b + h)) for b, h in zip(beta, half, strict=True)]


def _information(x: F64, mean: F64) -> F64:
    return np.asarray((x * (mean * (1.0 - mean))[:, None]).T @ x)
