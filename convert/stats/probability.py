"""Fit the map from aggregated model outputs to calibrated probabilities, values, thresholds and intervals.

All fits use patients that neither trained nor tested the model. A score is the mean of a patient's window outputs, as
the runtime aggregates them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.stats import sigmoid

F64 = NDArray[np.float64]

MIN_SLOPE = 1e-3
"""Smallest slope. A head without information may get a negative slope by chance, and a calibration must not reverse the
ranking of a model."""

_NEWTON_STEPS = 100


@dataclass(frozen=True, slots=True)
class Platt:
    """Platt scaling, ``probability = sigmoid(a * logit + b)``."""

    a: float
    b: float

    def logit(self, scores: NDArray[np.floating]) -> F64:
        """Return the calibrated logits."""
        return np.asarray(self.a * np.asarray(scores, dtype=np.float64) + self.b)

    def probability(self, scores: NDArray[np.floating]) -> F64:
        """Return the calibrated probabilities."""
        return sigmoid(self.logit(scores))


def fit_platt(scores: NDArray[np.floating], labels: NDArray[np.bool_], weights: F64 | None = None) -> Platt:
    """Fit Platt scaling by Newton's method (Lin, Lin & Weng, Machine Learning 2007;68:267).

    Args:
        scores: Scores, ``(n,)``, one per patient.
        labels: Labels, ``(n,)``, true for a positive.
        weights: Weight of each patient, ``(n,)``; ``None`` for equal weights.
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    w = np.ones_like(x) if weights is None else weights
    positives, negatives = float(w[y].sum()), float(w[~y].sum())
    # Smoothed targets keep the slope finite for a separable calibration set.
    target = np.where(y, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    b0 = float(np.log((positives + 1) / (negatives + 1)))
    a, b = _newton(x, target, w, 0.0, b0, fixed_slope=False)
    if a < MIN_SLOPE:
        a, b = _newton(x, target, w, MIN_SLOPE, b0, fixed_slope=True)
    return Platt(a, b)


def _newton(x: F64, target: F64, w: F64, a: float, b: float, *, fixed_slope: bool) -> tuple[float, float]:
    def cost(a: float, b: float) -> float:
        z = a * x + b
        return float(np.sum(w * (np.logaddexp(0.0, z) - target * z)))

    now = cost(a, b)
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(a * x + b)
        gradient = np.array([np.sum(w * (p - target) * x), np.sum(w * (p - target))])
        v = w * p * (1 - p)
        hessian = np.array([[np.sum(v * x * x), np.sum(v * x)], [np.sum(v * x), np.sum(v)]]) + 1e-9 * np.eye(2)
        step = np.array([0.0, gradient[1] / hessian[1, 1]]) if fixed_slope else np.linalg.solve(hessian, gradient)
        size = 1.0
        while cost(a - size * step[0], b - size * step[1]) > now and size > 1e-6:
            size /= 2
        a, b = a - size * float(step[0]), b - size * float(step[1])
        before, now = now, cost(a, b)
        if before - now < 1e-10:
            break
    return a, b


def youden_threshold(probabilities: F64, labels: NDArray[np.bool_]) -> float:
    """Return the threshold that maximises sensitivity + specificity - 1 (Youden, Cancer 1950;3:32).

    Args:
        probabilities: Probabilities, ``(n,)``.
        labels: Labels, ``(n,)``, with both classes.

    Returns:
        The middle between the two neighbouring patients, so that no patient is exactly at the threshold.
    """
    order = np.argsort(-probabilities, kind="stable")
    p, y = probabilities[order], np.asarray(labels, dtype=bool)[order]
    gain = np.cumsum(y) / max(1, y.sum()) - np.cumsum(~y) / max(1, (~y).sum())
    allowed = np.append(p[1:] != p[:-1], True)
    best = int(np.argmax(np.where(allowed, gain, -1.0)))
    return float(0.5 * (p[best] + p[best + 1])) if best + 1 < len(p) else float(p[best])


def logit_sd(
    scores: F64,
    rival_scores: F64,
    labels: NDArray[np.bool_],
    platt: Platt,
    *,
    seed: int = 0,
    resamples: int = 200,
) -> float:
    """Return the standard deviation of a patient's calibrated logit that a longer signal does not reduce.

    It has two parts, added in quadrature. The first is the disagreement of a second training run, calibrated in the
    same way, about the same patients: the standard deviation of the difference divided by the square root of two
    (Lakshminarayanan et al., NeurIPS 2017, with two members). The second is the spread of the Platt line when the
    calibration patients are resampled. The spread of single windows is not included, because the runtime measures and
    adds it. The part that the ECG cannot show is not included either, because the probability expresses it.

    Args:
        scores: Aggregated model outputs, ``(n,)``.
        rival_scores: Aggregated outputs of another training run, ``(n,)``.
        labels: Labels, ``(n,)``.
        platt: The calibration of ``scores``.
        seed: Seed of the bootstrap.
        resamples: Number of replicates.
    """
    rival = fit_platt(rival_scores, labels)
    between = float(np.std(platt.logit(scores) - rival.logit(rival_scores))) / np.sqrt(2.0)
    rng = np.random.default_rng([seed, 8])
    counts = rng.multinomial(len(scores), np.full(len(scores), 1.0 / len(scores)), size=resamples)
    lines = [fit_platt(scores, labels, c.astype(np.float64)) for c in counts]
    fitted = np.stack([line.logit(scores) for line in lines])
    return float(np.hypot(between, np.sqrt(np.mean(np.var(fitted, axis=0)))))


@dataclass(frozen=True, slots=True)
class Linear:
    """Linear calibration, ``value = slope * output + intercept``."""

    slope: float
    intercept: float

    def value(self, scores: NDArray[np.floating]) -> F64:
        """Return the calibrated values."""
        return np.asarray(self.slope * np.asarray(scores, dtype=np.float64) + self.intercept)


def fit_linear(scores: NDArray[np.floating], values: F64) -> Linear:
    """Fit the true values to the aggregated outputs by least squares, which shrinks an uncertain model to the mean."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(values, dtype=np.float64)
    spread = float(np.mean((x - x.mean()) ** 2))
    slope = float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread > 0 else 0.0
    return Linear(slope, float(y.mean() - slope * x.mean()))


def conformal_half_width(residuals: F64, level: float = 0.9) -> float:
    """Return the split-conformal half width (Lei et al., JASA 2018;113:1094).

    Args:
        residuals: Estimate minus truth of patients that were not used for the fit, ``(n,)``.
        level: Coverage for a new patient of the same population.

    Returns:
        The ``ceil((n + 1) level)``-th smallest absolute residual.
    """
    size = np.sort(np.abs(residuals))
    rank = min(len(size), int(np.ceil((len(size) + 1) * level)))
    return float(size[rank - 1])
