"""From aggregated model outputs to calibrated probabilities, values, thresholds and intervals.

Everything here is fitted on patients that neither trained nor tested the model. A score is the mean of a patient's
window outputs, as the runtime aggregates them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

MIN_SLOPE = 1e-3
"""A head that knows nothing may come out with a slope below zero by chance; it is held at (almost) zero, because a
calibration must not turn a model's ranking round."""

_NEWTON_STEPS = 100


@dataclass(frozen=True, slots=True)
class Platt:
    """``probability = sigmoid(a * logit + b)``."""

    a: float
    b: float

    def logit(self, scores: NDArray[np.floating]) -> F64:
        """The calibrated logit."""
        return np.asarray(self.a * np.asarray(scores, dtype=np.float64) + self.b)

    def probability(self, scores: NDArray[np.floating]) -> F64:
        """The calibrated probability."""
        return np.asarray(1.0 / (1.0 + np.exp(-self.logit(scores))))


def fit_platt(scores: NDArray[np.floating], labels: NDArray[np.bool_], weights: F64 | None = None) -> Platt:
    """Fit Platt scaling by Newton's method (Lin, Lin & Weng, Machine Learning 2007;68:267).

    Args:
        scores: Shape ``(n,)``, one per patient.
        labels: Shape ``(n,)``, true for a positive.
        weights: Optional weight of each patient.
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    w = np.ones_like(x) if weights is None else weights
    positives, negatives = float(w[y].sum()), float(w[~y].sum())
    # Smoothed targets: without them a separable calibration set would send the slope to infinity.
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
        p = 1.0 / (1.0 + np.exp(-(a * x + b)))
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
    """The probability that maximises sensitivity + specificity - 1 (Youden, Cancer 1950;3:32).

    Args:
        probabilities: Shape ``(n,)``.
        labels: Shape ``(n,)``, both classes present.

    Returns:
        Halfway between the two neighbouring patients, so that it does not sit on a patient's own value.
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
    """Uncertainty of a patient's calibrated logit that a longer signal does not remove, as one standard deviation.

    Two parts, added in quadrature: how far a second training run, calibrated in the same way, disagrees about the same
    patients (the standard deviation of the difference over the root of two, Lakshminarayanan et al., NeurIPS 2017, with
    two members), and how far the Platt line moves when the calibration patients are resampled. The scatter of single
    windows is not in it: the runtime measures that live and adds it. Nor is what the ECG cannot tell about the lab: the
    probability itself says that.

    Args:
        scores: Aggregated model outputs, ``(n,)``.
        rival_scores: The same from another training run.
        labels: Shape ``(n,)``.
        platt: The calibration of ``scores``.
        seed: Seed of the resampling.
        resamples: How many.
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
    """``value = slope * output + intercept``."""

    slope: float
    intercept: float

    def value(self, scores: NDArray[np.floating]) -> F64:
        """The calibrated value."""
        return np.asarray(self.slope * np.asarray(scores, dtype=np.float64) + self.intercept)


def fit_linear(scores: NDArray[np.floating], values: F64) -> Linear:
    """Least squares of the true values on the aggregated outputs (which shrinks an unsure model towards the mean)."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(values, dtype=np.float64)
    spread = float(np.mean((x - x.mean()) ** 2))
    slope = float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread > 0 else 0.0
    return Linear(slope, float(y.mean() - slope * x.mean()))


def conformal_half_width(residuals: F64, level: float = 0.9) -> float:
    """Split-conformal half-width (Lei et al., JASA 2018;113:1094).

    Args:
        residuals: Estimate minus truth on patients that did not fit the line, ``(n,)``.
        level: Coverage on a new patient of the same population.

    Returns:
        The ``ceil((n + 1) level)``-th smallest absolute residual.
    """
    size = np.sort(np.abs(residuals))
    rank = min(len(size), int(np.ceil((len(size) + 1) * level)))
    return float(size[rank - 1])
