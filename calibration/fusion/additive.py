"""Fit an additive model of a network's logit and of measurements of the ECG, and choose the measurements.

Every measurement has a piecewise linear curve with knots at its quantiles, and a constant where it is missing. Large
and rough curves are penalised (P-splines; Eilers and Marx, Statistical Science 1996;11:89), so that a measurement
without information has a flat curve. A measurement is used only if it clearly lowers the log-loss of patients
who took no part in the fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.stats.methods import FOLDS, folds, log_loss
from edge.bundle.fusion import MAX_LOGITS, Fusion, FusionTerm
from edge.stats import sigmoid
from edge.waves.fuse import MEASUREMENTS, fused_logits

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

CANDIDATES: tuple[str, ...] = tuple(name for name in MEASUREMENTS if name not in {"qt_ms", "qtc_bazett_ms"})
"""Measurements to choose from. QT and Bazett's QTc follow the rate; Fridericia's QTc and the RR interval say the same
separately."""
MAX_TERMS = 4
"""Most measurements of a head; more cannot be read in a drawing, and hardly add anything."""
QUANTILES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.98)
"""Quantiles of a measurement at which its curve has knots."""
MIN_KNOWN = 30
"""Minimum number of rows with a measurement for a curve."""
SIZE_PENALTY = 1.0
"""Penalty on squared logits at the knots: a prior standard deviation of 1 logit."""
BEND_PENALTY = 4.0
"""Penalty on squared second differences of the knots: a prior standard deviation of half a logit."""
GAIN = 2.0
"""Minimum gain in log-loss of a measurement, in standard errors over patients."""
STEPS = 30
DIGITS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a head.

    Attributes:
        network: Calibrated logits of the network, ``(n,)``.
        means: Measurements, ``(n, len(MEASUREMENTS))``; NaN where missing.
        labels: Labels, ``(n,)``.
        patient: Number of the patient of each row, ``(n,)``.
    """

    network: F64
    means: F64
    labels: Bools
    patient: NDArray[np.int64]

    def part(self, kept: NDArray[np.generic]) -> Rows:
        """Return some of the rows, given as a mask or as indices."""
        return Rows(self.network[kept], self.means[kept], self.labels[kept], self.patient[kept])


def fit(rows: Rows, features: Sequence[str], weights: F64 | None = None) -> Fusion:
    """Fit the additive model with given measurements by penalised maximum likelihood.

    Args:
        rows: Rows with both classes.
        features: Names of the measurements.
        weights: Weights of the rows, ``(n,)``; ``None`` for the same weight of every patient.

    Returns:
        The model, without threshold and with an ``sd`` of 0.
    """
    w = patient_weights(rows.patient) if weights is None else weights
    knots = {name: found for name in features if (found := _knots(_column(rows, name))) is not None}
    columns = [rows.network[:, None], np.ones((len(rows.network), 1))]
    penalty = [np.zeros((2, 2))]
    for name, x in knots.items():
        columns.append(_basis(_column(rows, name), x))
        penalty.append(_penalty(len(x)))
    from scipy.linalg import block_diag

    beta = _newton(np.hstack(columns), rows.labels.astype(np.float64), w, block_diag(*penalty))
    terms, at = [], 2
    for name, x in knots.items():
        y = np.clip(beta[at : at + len(x) + 1], -MAX_LOGITS, MAX_LOGITS)
        at += len(x) + 1
        terms.append(FusionTerm(name, tuple(x.tolist()), tuple(_rounded(y[:-1])), round(float(y[-1]), DIGITS)))
    return Fusion(round(float(beta[0]), DIGITS), round(float(beta[1]), DIGITS), tuple(terms), None, 0.0)


def choose(rows: Rows, seed: int) -> list[str]:
    """Choose measurements step by step; each must clearly lower the log-loss of patients outside of the fit.

    Args:
        rows: Rows with both classes, of at least ``FOLDS`` patients each.
        seed: Seed of the folds.

    Returns:
        Names of the measurements, most useful first; empty if none helps.
    """
    fold = folds(rows.patient, rows.labels, seed)
    chosen: list[str] = []
    now = _loss(rows, chosen, fold)
    left = [name for name in CANDIDATES if _knots(_column(rows, name)) is not None]
    while left and len(chosen) < MAX_TERMS:
        losses = {name: _loss(rows, [*chosen, name], fold) for name in left}
        # A measurement that does not help now is not tried again: the sum would have to need both.
        left = [name for name in left if _clear_gain(now, losses[name])]
        if not left:
            break
        best = min(left, key=lambda name: float(losses[name].mean()))
        chosen.append(best)
        left.remove(best)
        now = losses[best]
    return chosen


def cross_fitted(rows: Rows, seed: int) -> F64:
    """Return the fused logit of each row from a choice and a fit without its patient, ``(n,)``."""
    fold = folds(rows.patient, rows.labels, seed + 1)
    out = np.empty(len(rows.network))
    for k in range(FOLDS):
        rest = rows.part(fold != k)
        model = fit(rest, choose(rest, seed))
        out[fold == k] = logits_of(model, rows.part(fold == k))
    return out


def logits_of(model: Fusion, rows: Rows) -> F64:
    """Return the fused logits of rows, ``(n,)``, by the code of the device."""
    return fused_logits(model, rows.network, rows.means)


def patient_weights(patient: NDArray[np.int64]) -> F64:
    """Return the weight of each row, so that every patient has weight 1."""
    _, index, count = np.unique(patient, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / count[index])


def _column(rows: Rows, name: str) -> F64:
    return rows.means[:, MEASUREMENTS.index(name)]


def _knots(values: F64) -> F64 | None:
    """Return the knots of a measurement; ``None`` if it is hardly known or constant."""
    known = values[np.isfinite(values)]
    if len(known) < MIN_KNOWN:
        return None
    x = np.unique(np.round(np.quantile(known, QUANTILES), 4))
    return x if len(x) >= 2 else None


def _basis(values: F64, x: F64) -> F64:
    """Return the weights of the knots and of a missing value, ``(n, knots + 1)``, which sum to 1 in each row."""
    missing = np.isnan(values)
    v = np.clip(np.where(missing, x[0], values), x[0], x[-1])
    high = np.clip(np.searchsorted(x, v, side="right"), 1, len(x) - 1)
    share = (v - x[high - 1]) / (x[high] - x[high - 1])
    out = np.zeros((len(values), len(x) + 1))
    row = np.arange(len(values))
    out[row, high - 1] = 1.0 - share
    out[row, high] = share
    out[missing] = 0.0
    out[missing, -1] = 1.0
    return out


def _penalty(knots: int) -> F64:
    out = SIZE_PENALTY * np.eye(knots + 1)
    if knots > 2:
        bend = np.diff(np.eye(knots), 2, axis=0)
        out[:knots, :knots] += BEND_PENALTY * bend.T @ bend
    return out


def _newton(x: F64, y: F64, w: F64, penalty: F64) -> F64:
    """Return the coefficients of the penalised logistic regression, by Newton's method with halved steps."""
    beta = np.zeros(x.shape[1])
    beta[0] = 1.0
    loss = _objective(x, y, w, penalty, beta)
    for _ in range(STEPS):
        p = sigmoid(x @ beta)
        slope = x.T @ (w * (p - y)) + penalty @ beta
        bend = (x * (w * np.maximum(p * (1.0 - p), 1e-9))[:, None]).T @ x + penalty + 1e-8 * np.eye(len(beta))
        step, size = np.linalg.solve(bend, slope), 1.0
        while (new := _objective(x, y, w, penalty, beta - size * step)) > loss and size > 1e-4:
            size *= 0.5
        if new > loss:
            break
        beta, gain, loss = beta - size * step, loss - new, new
        if gain < 1e-9 * max(loss, 1.0):
            break
    return beta


def _objective(x: F64, y: F64, w: F64, penalty: F64, beta: F64) -> float:
    z = x @ beta
    return float(w @ (np.logaddexp(0.0, z) - y * z) + 0.5 * beta @ penalty @ beta)


def _loss(rows: Rows, features: Sequence[str], fold: NDArray[np.int64]) -> F64:
    """Return the log-loss of each patient by models that were fitted without them, ``(patients,)``."""
    out = np.empty(len(rows.network))
    for k in range(FOLDS):
        model = fit(rows.part(fold != k), features)
        part = rows.part(fold == k)
        out[fold == k] = log_loss(sigmoid(logits_of(model, part)), part.labels)
    _, index, count = np.unique(rows.patient, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(index, out) / count)


def _clear_gain(before: F64, after: F64) -> bool:
    gain = before - after
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return bool(gain.mean() > GAIN * error)


def _rounded(values: F64) -> list[float]:
    return [round(float(v), DIGITS) for v in values]
