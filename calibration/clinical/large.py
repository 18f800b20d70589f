"""Calibration in the large and slope of probabilities, with intervals over patients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.stats.logistic import fit_logistic, logits, patient_intervals
from convert.stats.metrics import UNDEFINED, Score
from convert.stats.reliability import slope_columns

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


def calibration_in_the_large(p: F64, labels: Bools, patient: NDArray[np.int64]) -> Score:
    """Return the offset on the logit scale that makes the mean probability equal the share of positives; 0 is ideal.

    Args:
        p: Probabilities, ``(n,)``.
        labels: Outcomes, ``(n,)``, with both classes.
        patient: Number of the patient of each row, ``(n,)``.
    """
    z, ones = logits(p), np.ones((len(p), 1))
    beta = fit_logistic(ones, labels, z)
    return UNDEFINED if beta is None else patient_intervals(ones, labels, beta, patient, z)[0]


def calibration_slope(p: F64, labels: Bools, patient: NDArray[np.int64]) -> Score:
    """Return the slope of the outcomes on the predicted logit, 1 is ideal and less is overconfident; see above."""
    x = slope_columns(p)
    beta = None if x is None else fit_logistic(x, labels)
    return UNDEFINED if x is None or beta is None else patient_intervals(x, labels, beta, patient)[1]
