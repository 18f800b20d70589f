"""Ridge and logistic regression on standardised features, with the strength of the penalty chosen on validation data.

The results equal those of scikit-learn's ``StandardScaler`` with ``Ridge`` and ``LogisticRegression``. One eigenvalue
decomposition serves all penalties of a ridge regression.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.stats.metrics import auroc

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

ALPHAS = np.logspace(-6.0, 6.0, 31)
"""Penalties of the ridge regression (SignalMC-MED, arXiv 2603.09940)."""

STRENGTHS = np.logspace(-4.0, 4.0, 25)
"""Inverse penalties of the logistic regression (same source)."""

MAX_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model on the test data.

    Attributes:
        scores: Predictions or decision values of the test rows, ``(n,)``.
        penalty: Chosen alpha, or chosen C.
        validation: Pearson's correlation or AUROC on the validation data.
    """

    scores: F64
    penalty: float
    validation: float


class Standard:
    """Mean and standard deviation of the training rows; a missing feature takes the mean.

    Args:
        train: Features of the training rows, ``(n, features)``, NaN where missing.
    """

    def __init__(self, train: F64) -> None:
        known = np.isfinite(train)
        count = np.maximum(known.sum(axis=0), 1)
        self.mean = np.where(known, train, 0.0).sum(axis=0) / count
        filled = np.where(known, train, self.mean)
        sd = filled.std(axis=0)
        self.sd = np.where(sd > 10.0 * np.finfo(np.float64).eps * np.maximum(np.abs(self.mean), 1.0), sd, 1.0)

    def __call__(self, rows: F64) -> F64:
        """Return standardised rows without missing values."""
        return np.asarray((np.where(np.isfinite(rows), rows, self.mean) - self.mean) / self.sd)


def pearson(a: F64, b: F64) -> float | None:
    """Return Pearson's correlation; ``None`` where one side is constant."""
    if len(a) < 2 or np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def ridge_path(x: F64, y: F64, alphas: F64 = ALPHAS) -> F64:
    """Return the coefficients of a ridge regression for each penalty, ``(penalties, features)``.

    Args:
        x: Standardised training rows, ``(n, features)``.
        y: Centred targets, ``(n,)``.
        alphas: Penalties.
    """
    if x.shape[0] >= x.shape[1]:
        values, vectors = np.linalg.eigh(x.T @ x)
        projected = vectors.T @ (x.T @ y)
        return np.stack([vectors @ (projected / (np.maximum(values, 0.0) + a)) for a in alphas])
    values, vectors = np.linalg.eigh(x @ x.T)
    projected = vectors.T @ y
    return np.stack([x.T @ (vectors @ (projected / (np.maximum(values, 0.0) + a))) for a in alphas])


def fit_ridge(train: F64, y: F64, val: F64, y_val: F64, test: F64) -> Fitted | None:
    """Fit a ridge regression and choose its penalty by Pearson's correlation on the validation rows.

    Args:
        train: Features of the training rows, ``(n, features)``.
        y: Values of the training rows, ``(n,)``.
        val: Features of the validation rows.
        y_val: Values of the validation rows.
        test: Features of the test rows.

    Returns:
        The fit; ``None`` where no penalty has a defined correlation.
    """
    scale = Standard(train)
    paths = ridge_path(scale(train), y - y.mean())
    x_val, best = scale(val), None
    for alpha, beta in zip(ALPHAS, paths, strict=True):
        found = pearson(x_val @ beta, y_val)
        if found is not None and (best is None or found > best[0]):
            best = found, float(alpha), beta
    if best is None:
        return None
    return Fitted(scale(test) @ best[2] + float(y.mean()), best[1], best[0])


def fit_logistic(train: F64, y: Bools, val: F64, y_val: Bools, test: F64) -> Fitted | None:
    """Fit a logistic regression and choose its penalty by the AUROC on the validation rows; see :func:`fit_ridge`."""
    from sklearn.linear_model import LogisticRegression

    scale = Standard(train)
    x, x_val, best = scale(train), scale(val), None
    model = LogisticRegression(max_iter=MAX_STEPS, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a weak penalty on separable classes does not converge
        for strength in STRENGTHS:
            model.set_params(C=float(strength)).fit(x, y)
            found = auroc(x_val @ model.coef_[0], y_val)
            if found is not None and (best is None or found > best[0]):
                best = found, float(strength), model.coef_[0].copy()
    return None if best is None else Fitted(scale(test) @ best[2], best[1], best[0])
