"""Can the probabilities be believed, what do the decisions do, and how far are the values off?"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.stats.metrics import CALIBRATION_BINS, Score, calibration_error
from convert.stats.resampling import Resampler, interval

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHANCE_DRAWS = 200
"""Simulations behind the calibration error that perfect probabilities would show."""

STEEPEST = 100.0
"""A calibration slope beyond this has no meaning: the classes are separable, or the probability hardly moves."""

AGREEMENT_Z = 1.96
"""Bland & Altman, Lancet 1986;327:307: limits of agreement at 1.96 standard deviations."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Calibrated probabilities against what happened.

    Attributes:
        brier: Mean squared distance.
        brier_of_the_prevalence: What always saying the prevalence would reach.
        ece: Expected calibration error over bins of equal mass.
        ece_chance: What perfect probabilities would show on as many rows, by simulation: ``ece`` is never zero.
        bins: How many.
        slope: Of the labels on the predicted logit; 1 is right, less is overconfident. ``None`` where not defined.
        intercept: Of the same fit; 0 is right.
        curve: Mean probability, share of positives and rows of each bin.
    """

    brier: Score
    brier_of_the_prevalence: float
    ece: float
    ece_chance: float
    bins: int
    slope: float | None
    intercept: float | None
    curve: list[tuple[float, float, int]]


def reliability(p: F64, labels: Bools, resampler: Resampler, seed: int) -> Reliability:
    """Judges probabilities.

    Args:
        p: ``(n,)``, at least one.
        labels: ``(n,)``.
        resampler: Of these rows.
        seed: Of the simulation behind ``ece_chance``.
    """
    y = labels.astype(np.float64)
    squares = (p - y) ** 2
    brier = interval(float(squares.mean()), resampler.ratio(squares, np.ones_like(squares)))
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, min(CALIBRATION_BINS, len(p))) if len(part)]
    rng = np.random.default_rng([seed, 13])
    chance = 0.0
    for part in parts:
        drawn = rng.random((CHANCE_DRAWS, len(part))) < p[part]
        chance += len(part) / len(p) * float(np.abs(drawn.mean(axis=1) - p[part].mean()).mean())
    slope, intercept = slope_and_intercept(p, labels)
    return Reliability(
        brier,
        float(y.mean() * (1.0 - y.mean())),
        calibration_error(p, labels) or 0.0,
        chance,
        len(parts),
        slope,
        intercept,
        [(float(p[part].mean()), float(y[part].mean()), len(part)) for part in parts],
    )


def slope_and_intercept(p: F64, labels: Bools) -> tuple[float | None, float | None]:
    """Calibration slope and intercept: the logistic regression of the labels on the predicted logit (Cox 1958)."""
    from sklearn.linear_model import LogisticRegression

    if not labels.any() or labels.all():
        return None, None
    clipped = np.clip(p, 1e-9, 1.0 - 1e-9)
    logit = np.log(clipped / (1.0 - clipped))
    if np.ptp(logit) < 1e-9:
        return None, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separable classes do not converge; they are recognised below
        fit = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8, max_iter=100).fit(logit[:, None], labels)
    slope, intercept = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    return (None, None) if abs(slope) > STEEPEST else (slope, intercept)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a threshold does. Shares are ``None`` where nobody is in their denominator.

    Attributes:
        threshold: Where the device flags.
        sensitivity: Among the positives that it decides about.
        specificity: Among the negatives that it decides about.
        ppv: Positive predictive value.
        npv: Negative predictive value.
        flagged: How many it flags.
        undecided: How many it neither flags nor clears.
    """

    threshold: float
    sensitivity: Score
    specificity: Score
    ppv: float | None
    npv: float | None
    flagged: int
    undecided: int


def decisions(flagged: Bools, labels: Bools, undecided: Bools, resampler: Resampler, threshold: float) -> Decisions:
    """Sensitivity, specificity and predictive values.

    Args:
        flagged: ``(n,)``, what reaches the threshold.
        labels: ``(n,)``.
        undecided: ``(n,)``, what the device abstains from; it counts nowhere else.
        resampler: Of these rows.
        threshold: Where it flags, for the record.
    """

    def share(hit: Bools, among: Bools) -> float | None:
        return float(hit[among].mean()) if among.any() else None

    def with_interval(hit: Bools, among: Bools) -> Score:
        drawn = resampler.ratio((hit & among).astype(np.float64), among.astype(np.float64))
        return interval(share(hit, among), drawn)

    return Decisions(
        threshold,
        with_interval(flagged, labels & ~undecided),
        with_interval(~flagged, ~labels & ~undecided),
        share(labels, flagged & ~undecided),
        share(~labels, ~flagged & ~undecided),
        int((flagged & ~undecided).sum()),
        int(undecided.sum()),
    )


def kappa(a: Bools, b: Bools) -> float | None:
    """Cohen's kappa of two decisions; ``None`` where both always say the same one thing (nothing to agree about)."""
    n = len(a)
    if not n:
        return None
    agree = float((a == b).mean())
    chance = float(a.mean() * b.mean() + (1.0 - a.mean()) * (1.0 - b.mean()))
    return None if chance >= 1.0 else (agree - chance) / (1.0 - chance)


@dataclass(frozen=True, slots=True)
class ValueAgreement:
    """Estimated values against measured ones.

    Attributes:
        mae: Mean absolute error.
        mae_of_the_mean: What always saying the mean of these labels would reach.
        bias: Mean of estimate less truth.
        limits: Bland-Altman limits of agreement.
        coverage: Share of truths within the device's own interval; ``None`` where it gives none.
        level: What that interval promises.
    """

    mae: Score
    mae_of_the_mean: float
    bias: Score
    limits: tuple[float, float]
    coverage: Score
    level: float


def value_agreement(value: F64, truth: F64, low: F64, high: F64, level: float, resampler: Resampler) -> ValueAgreement:
    """Judges values.

    Args:
        value: ``(n,)``, at least one.
        truth: ``(n,)``.
        low: Lower end of the device's interval, NaN where it gives none.
        high: Upper end.
        level: Its nominal coverage.
        resampler: Of these rows.
    """
    error, ones = value - truth, np.ones_like(value)
    within = (truth >= low) & (truth <= high)
    given = np.isfinite(low) & np.isfinite(high)
    covered = float(within[given].mean()) if given.any() else None
    sd = float(error.std(ddof=1)) if len(error) > 1 else 0.0
    return ValueAgreement(
        interval(float(np.abs(error).mean()), resampler.ratio(np.abs(error), ones)),
        float(np.abs(truth - truth.mean()).mean()),
        interval(float(error.mean()), resampler.ratio(error, ones)),
        (float(error.mean()) - AGREEMENT_Z * sd, float(error.mean()) + AGREEMENT_Z * sd),
        interval(covered, resampler.ratio((within & given).astype(np.float64), given.astype(np.float64))),
        level,
    )
