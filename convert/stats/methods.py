"""Ways from a head's aggregated logit to a probability, and the choice among them by cross-validated log-loss.

Folds are made of patients, and every patient counts the same, however often seen. What the bundle does already is one
of the candidates: it was fitted on others, so nothing speaks for it but its loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from convert.stats.probability import MIN_SLOPE, fit_platt
from edge.bundle.schema import MAX_KNOTS
from edge.estimate import sigmoid

F64 = NDArray[np.float64]

Method = Literal["none", "temperature", "platt", "isotonic"]
METHODS: tuple[Method, ...] = get_args(Method)
"""From the simplest to the most pliant."""

FOLDS = 5
DIGITS = 9
"""Decimals of what is written: the device then differs from the host by less than 1e-6."""

LEAST_BLOCK = 8
"""Patients behind a knot of an isotonic curve, at least: fewer follow noise."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A calibration as ``calibration.json`` has it.

    Attributes:
        method: Which.
        a: Factor on the logit.
        b: Added after it.
        x: Knots of an isotonic curve.
        y: Probabilities there.
    """

    method: Method
    a: float = 1.0
    b: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def probability(self, logits: F64) -> F64:
        """Calibrated probabilities, ``(n,)``."""
        if self.method == "isotonic":
            return np.asarray(np.interp(logits, self.x, self.y))
        return sigmoid(self.a * logits + self.b)

    def entry(self) -> dict[str, Any]:
        """The method's keys in ``calibration.json``."""
        if self.method == "isotonic":
            return {"method": "isotonic", "x": list(self.x), "y": list(self.y)}
        shown = {"none": {}, "temperature": {"a": self.a}, "platt": {"a": self.a, "b": self.b}}[self.method]
        return {"method": self.method, **shown}


def fit(method: Method, logits: F64, labels: NDArray[np.bool_]) -> Curve:
    """Fits one way.

    Args:
        method: Which.
        logits: Aggregated, ``(n,)``.
        labels: ``(n,)``, both classes present.
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
    """The factor with the least log-loss (Guo et al., ICML 2017), by Newton's method in its logarithm."""
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
    """Isotonic regression (scikit-learn) with lines between the middles of its steps.

    Steps of few patients are joined with their neighbours, and each step's share is drawn to the prevalence as if one
    more patient of that mix had been in it, so that no probability is 0 or 1.
    """
    from sklearn.isotonic import IsotonicRegression

    order = np.argsort(logits, kind="stable")
    x, y = logits[order], labels[order].astype(np.float64)
    fitted = IsotonicRegression(increasing=True).fit(x, y).predict(x)
    least = max(LEAST_BLOCK, int(np.ceil(len(x) / MAX_KNOTS)) + 1)
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
    """Of each row, in nats; probabilities are kept a millionth from 0 and 1."""
    p = np.clip(probabilities, 1e-6, 1.0 - 1e-6)
    return np.asarray(-np.where(labels, np.log(p), np.log1p(-p)))


def folds(patients: NDArray[np.int64], labels: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Number of each row's fold; nobody is in two, and each has about its share of positives."""
    rng = np.random.default_rng([seed, 11])
    who, index = np.unique(patients, return_inverse=True)
    ill = np.bincount(index, labels, len(who)) > 0
    fold = np.empty(len(who), dtype=np.int64)
    for group in (np.flatnonzero(ill), np.flatnonzero(~ill)):
        fold[rng.permutation(group)] = np.arange(len(group)) % FOLDS
    return np.asarray(fold[index])


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The way that was taken.

    Attributes:
        curve: Fitted on everybody.
        kept: It is the one from before.
        held_out: Probabilities of each row by the way fitted without its patient, ``(n,)``.
        losses: Cross-validated log-loss by method; ``before`` for the one from before.
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
    """Chooses by cross-validated log-loss and fits on everybody.

    Args:
        logits: Aggregated, ``(n,)``.
        labels: ``(n,)``; positives and negatives of at least ``FOLDS`` patients each.
        patients: Number of each row's patient.
        methods: What may be chosen.
        before: What the bundle does now, fitted on others: it stays where nothing is better.
        seed: Of the folds.
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
