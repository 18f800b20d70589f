"""Ridge and logistic regression on standardised features, with the strength of the penalty chosen on validation data.

The features are prepared and the probabilities fitted by scikit-learn. Ridge regressions are not: scikit-learn
decomposes the data once for each penalty, here one decomposition serves all 31. The results are equal.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
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


def standard(train: F64) -> Callable[[F64], F64]:
    """Return a function that standardises rows like the training rows; a missing feature takes the mean.

    Args:
        train: Features of the training rows, ``(n, features)``, NaN where missing.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()).fit(train)

    def scaled(rows: F64) -> F64:
        return np.asarray(pipeline.transform(rows), dtype=np.float64)

    return scaled


def pearson(a: F64, b: F64) -> float | None:
    """Return Pearson's correlation; ``None`` where one side is constant, unlike 0 in :func:`edge.stats.correlation`.

    A penalty that leaves nothing but the mean must not be chosen over one with a correlation.
    """
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
    scale = standard(train)
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

    scale = standard(train)
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
