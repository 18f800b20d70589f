"""Calibration in the large and slope of probabilities, with intervals over patients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.stats.bounds import quantile_t
from convert.stats.metrics import Score
from edge.stats import sigmoid

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

STEPS = 50
CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1."""


def logits(p: F64) -> F64:
    """Return the logits of probabilities."""
    clipped = np.clip(p, CLIP, 1.0 - CLIP)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def calibration_in_the_large(p: F64, labels: Bools, patient: NDArray[np.int64]) -> Score:
    """Return the offset on the logit scale that makes the mean probability equal the share of positives; 0 is ideal.

    Args:
        p: Probabilities, ``(n,)``.
        labels: Outcomes, ``(n,)``, with both classes.
        patient: Number of the patient of each row, ``(n,)``.

    Returns:
        The offset with an interval from a variance over patients (Liang & Zeger, Biometrika 1986;73:13).
    """
    z, ones = logits(p), np.ones((len(p), 1))
    found = _fit(ones, labels, patient, z)
    return Score(None, None, None) if found is None else found[0]


def calibration_slope(p: F64, labels: Bools, patient: NDArray[np.int64]) -> Score:
    """Return the slope of the outcomes on the predicted logit, 1 is ideal and less is overconfident; see above."""
    z = logits(p)
    if np.ptp(z) < 1e-9:
        return Score(None, None, None)
    found = _fit(np.stack((np.ones(len(p)), z), axis=1), labels, patient, np.zeros(len(p)))
    return Score(None, None, None) if found is None else found[1]


def _fit(x: F64, labels: Bools, patient: NDArray[np.int64], offset: F64) -> list[Score] | None:
    """Fit a logistic regression and return its coefficients; ``None`` where it has no finite solution."""
    if not labels.any() or labels.all():
        return None
    y, beta = labels.astype(np.float64), np.zeros(x.shape[1])
    information = np.eye(x.shape[1])
    for _ in range(STEPS):
        mean = sigmoid(x @ beta + offset)
        information = (x * (mean * (1.0 - mean))[:, None]).T @ x
        try:
            step = np.linalg.solve(information, x.T @ (y - mean))
        except np.linalg.LinAlgError:
            return None
        beta = beta + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    else:
        return None
    if np.abs(beta).max() > 100.0:
        return None
    who, index = np.unique(patient, return_inverse=True)
    scores = x * (y - sigmoid(x @ beta + offset))[:, None]
    by_patient = np.stack([np.bincount(index, scores[:, k]) for k in range(x.shape[1])], axis=1)
    bread = np.linalg.inv(information)
    n = len(who)
    variance = bread @ (by_patient.T @ by_patient) @ bread * n / max(n - 1, 1)
    half = quantile_t(n - 1) * np.sqrt(np.diag(variance))
    return [Score(float(b), float(b - h), float(b + h)) for b, h in zip(beta, half, strict=True)]
