"""Methods that map a head's aggregated logit to a probability, and their selection by cross-validated log-loss.

Folds consist of patients, and every patient has the same weight, independent of the number of rows. The bundle's
present calibration is one of the candidates. It was fitted on other patients, so it needs no cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convert.stats.method_names import METHODS, Method
from convert.stats.probability import MIN_SLOPE, fit_platt
from edge.bundle.calibration import MAX_KNOTS
from edge.stats import sigmoid

F64 = NDArray[np.float64]

FOLDS = 5
DIGITS = 9
"""Decimals of written numbers; device and host then differ by less than 1e-6."""

MIN_BLOCK = 8
"""Smallest number of rows for each knot of an isotonic curve; with fewer the curve follows noise."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A calibration as in ``calibration.json``.

    Attributes:
        method: Name of the method.
        a: Factor on the logit.
        b: Offset, added after the factor.
        x: Knots of an isotonic curve, logits.
        y: Probabilities at the knots.
    """

    method: Method
    a: float = 1.0
    b: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def probability(self, logits: F64) -> F64:
        """Return the calibrated probabilities of logits, ``(n,)``."""
        if self.method == "isotonic":
            return np.asarray(np.interp(logits, self.x, self.y))
        return sigmoid(self.a * logits + self.b)

    def entry(self) -> dict[str, Any]:
        """Return the keys of the method in ``calibration.json``."""
        if self.method == "isotonic":
            return {"method": "isotonic", "x": list(self.x), "y": list(self.y)}
        shown = {"none": {}, "temperature": {"a": self.a}, "platt": {"a": self.a, "b": self.b}}[self.method]
        return {"method": self.method, **shown}


def fit(method: Method, logits: F64, labels: NDArray[np.bool_]) -> Curve:
    """Fit one method.

    Args:
        method: Name of the method.
        logits: Aggregated logits, ``(n,)``.
        labels: Labels, ``(n,)``, with both classes.
    """
    if method == "none":
        return Curve("none")
    if method == "temperature":
        return Curve("temperature", round(_temperature(logits, labels), DIGITS))
    if method == "platt":
        line = fit_platt(logits, labels)
        return Curve("platt", round(line.a, DIGITS), round(line.b, DIGITS))
    return _isotonic(logits, labels)


def _temperature(logits: F64, labels: NDArray[np.bool_]) -> float:
    """Return the factor with the lowest log-loss (Guo et al., ICML 2017), by Newton's method on its logarithm."""
    log_a = 0.0
    for _ in range(100):
        a = float(np.exp(log_a))
        p = sigmoid(a * logits)
        slope = float(np.sum((p - labels) * logits)) * a
        bend = float(np.sum(p * (1 - p) * logits**2)) * a * a + abs(slope) + 1e-9
        step = float(np.clip(slope / bend, -0.5, 0.5))
        log_a = max(log_a - step, float(np.log(MIN_SLOPE)))
        if abs(step) < 1e-12:
            break
    return float(np.exp(log_a))


def _isotonic(logits: F64, labels: NDArray[np.bool_]) -> Curve:
    """Fit an isotonic regression (scikit-learn) with straight lines between the middles of its steps.

    Steps of few patients are joined with their neighbours. Each step's share is shrunk to the prevalence, as if the
    step had one more patient with that prevalence, so that no probability is 0 or 1.
    """
    from sklearn.isotonic import IsotonicRegression

    order = np.argsort(logits, kind="stable")
    x, y = logits[order], labels[order].astype(np.float64)
    fitted = IsotonicRegression(increasing=True).fit(x, y).predict(x)
    least = max(MIN_BLOCK, int(np.ceil(len(x) / MAX_KNOTS)) + 1)
    starts = [0]
    for i in range(1, len(x)):
        if fitted[i] > fitted[i - 1] and i - starts[-1] >= least and len(x) - i >= least:
            starts.append(i)
    prevalence = float(y.mean())
    middle, share = [], []
    for lo, hi in zip(starts, [*starts[1:], len(x)], strict=True):
        middle.append(round(float(np.mean(x[lo:hi])), DIGITS))
        share.append(float((y[lo:hi].sum() + prevalence) / (hi - lo + 1)))
    share = [round(s, DIGITS) for s in np.maximum.accumulate(share).tolist()]
    kept = [i for i, m in enumerate(middle) if i == 0 or m > middle[i - 1]]
    if len(kept) < 2:
        return Curve("isotonic", x=(middle[0] - 1.0, middle[0] + 1.0), y=(share[0], share[0]))
    return Curve("isotonic", x=tuple(middle[i] for i in kept), y=tuple(share[i] for i in kept))


def log_loss(probabilities: F64, labels: NDArray[np.bool_]) -> F64:
    """Return the log-loss of each row, nats. Probabilities are clipped to 1e-6 from 0 and 1."""
    p = np.clip(probabilities, 1e-6, 1.0 - 1e-6)
    return np.asarray(-np.where(labels, np.log(p), np.log1p(-p)))


def folds(patients: NDArray[np.int64], labels: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Return the fold of each row. No patient is in two folds, and each fold has about the same share of positives."""
    rng = np.random.default_rng([seed, 11])
    unique, index = np.unique(patients, return_inverse=True)
    positive = np.bincount(index, labels, len(unique)) > 0
    fold = np.empty(len(unique), dtype=np.int64)
    for group in (np.flatnonzero(positive), np.flatnonzero(~positive)):
        fold[rng.permutation(group)] = np.arange(len(group)) % FOLDS
    return np.asarray(fold[index])


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The selected calibration.

    Attributes:
        curve: The calibration, fitted on all patients.
        kept: Whether it is the present calibration of the bundle.
        held_out: Probability of each row from a fit without its patient, ``(n,)``.
        losses: Cross-validated log-loss by method; ``before`` for the present calibration.
    """

    curve: Curve
    kept: bool
    held_out: F64
    losses: dict[str, float]


def choose(
    logits: F64,
    labels: NDArray[np.bool_],
    patients: NDArray[np.int64],
    methods: Sequence[Method] = METHODS,
    before: Curve | None = None,
    seed: int = 0,
) -> Chosen:
    """Select a method by cross-validated log-loss and fit it on all patients.

    Args:
        logits: Aggregated logits, ``(n,)``.
        labels: Labels, ``(n,)``, with positives and negatives of at least ``FOLDS`` patients each.
        patients: Number of each row's patient, ``(n,)``.
        methods: Methods to choose from.
        before: Present calibration of the bundle, fitted on other patients. It is kept if no method is better.
        seed: Seed of the folds.
    """
    fold = folds(patients, labels, seed)
    allowed: list[Method | Literal["before"]] = [m for m in METHODS if m in methods]
    held_out: dict[Method | Literal["before"], F64] = {}
    for m in METHODS:
        if m in methods:
            held_out[m] = _held_out(partial(fit, m), logits, labels, fold)
    if before is not None:
        held_out["before"] = before.probability(logits)
        allowed.insert(0, "before")
    by_patient = {m: _mean_by(log_loss(p, labels), patients) for m, p in held_out.items()}
    taken = min(allowed, key=lambda m: float(by_patient[m].mean()))
    losses = {str(m): float(loss.mean()) for m, loss in by_patient.items()}
    if before is not None and taken == "before":
        return Chosen(before, True, held_out[taken], losses)
    assert taken != "before"
    return Chosen(fit(taken, logits, labels), False, held_out[taken], losses)


def _held_out(
    fitted: Callable[[F64, NDArray[np.bool_]], Curve], logits: F64, labels: NDArray[np.bool_], fold: NDArray[np.int64]
) -> F64:
    out = np.empty(len(logits))
    for k in range(FOLDS):
        rest = fold != k
        out[~rest] = fitted(logits[rest], labels[rest]).probability(logits[~rest])
    return out


def _mean_by(values: F64, patients: NDArray[np.int64]) -> F64:
    _, index = np.unique(patients, return_inverse=True)
    return np.asarray(np.bincount(index, values) / np.bincount(index))
