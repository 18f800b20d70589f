"""Reliability of probabilities, performance of decisions, and errors of values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.stats.bounds import Scale, se_interval, share_interval, share_intervals
from convert.stats.logistic import fit_logistic, logits
from convert.stats.metrics import Score, binned_error, equal_bins, quotient
from convert.stats.resampling import Resampler

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHANCE_DRAWS = 200
"""Simulations for the calibration error of perfect probabilities."""

AGREEMENT_Z = 1.96
"""Limits of agreement in standard deviations (Bland & Altman, Lancet 1986;327:307)."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Comparison of calibrated probabilities with outcomes.

    Attributes:
        brier: Brier score.
        brier_of_the_prevalence: Brier score of a constant probability equal to the prevalence.
        ece: Expected calibration error over bins of equal size.
        ece_chance: Calibration error of perfect probabilities on as many rows, by simulation; it is never zero.
        bins: Number of bins.
        slope: Slope of the labels on the predicted logit: 1 is ideal, less is overconfident. ``None`` if not defined.
        intercept: Intercept of the same fit: 0 is ideal.
        curve: Mean probability, share of positives with its interval, and number of rows of each bin.
    """

    brier: Score
    brier_of_the_prevalence: float
    ece: float
    ece_chance: float
    bins: int
    slope: float | None
    intercept: float | None
    curve: list[tuple[float, Score, int]]


def reliability(p: F64, labels: Bools, resampler: Resampler, seed: int) -> Reliability:
    """Compare probabilities with outcomes.

    Args:
        p: Probabilities, ``(n,)``, at least one.
        labels: Outcomes, ``(n,)``.
        resampler: Replicates of these rows.
        seed: Seed of the simulation for ``ece_chance``.
    """
    y = labels.astype(np.float64)
    squares = (p - y) ** 2
    brier = mean_interval(squares, resampler, "log")
    parts = equal_bins(p)
    rng = np.random.default_rng([seed, 13])
    chance = 0.0
    for part in parts:
        chance += len(part) / len(p) * _by_chance(p[part], rng)
    of = np.empty(len(p), dtype=np.int64)
    of[np.concatenate(parts)] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    shares = share_intervals(labels, of, len(parts), resampler)
    slope, intercept = slope_and_intercept(p, labels)
    return Reliability(
        brier,
        float(y.mean() * (1.0 - y.mean())),
        binned_error(p, labels, parts),
        chance,
        len(parts),
        slope,
        intercept,
        [(float(p[part].mean()), share, len(part)) for part, share in zip(parts, shares, strict=True)],
    )


def _by_chance(p: F64, rng: np.random.Generator) -> float:
    """Return the mean distance of the share of positives from perfect probabilities, ``(n,)``, by simulation."""
    # One draw at a time: all draws of a bin of a million rows would take 100 MB.
    share, drawn = np.empty(CHANCE_DRAWS), np.empty(len(p))
    for i in range(CHANCE_DRAWS):
        rng.random(out=drawn)
        share[i] = np.count_nonzero(drawn < p) / len(p)
    return float(np.abs(share - p.mean()).mean())


def slope_and_intercept(p: F64, labels: Bools) -> tuple[float | None, float | None]:
    """Return slope and intercept of the logistic regression of the labels on the predicted logit (Cox 1958)."""
    x = slope_columns(p)
    beta = None if x is None else fit_logistic(x, labels)
    return (None, None) if beta is None else (float(beta[1]), float(beta[0]))


def slope_columns(p: F64) -> F64 | None:
    """Return ones and the predicted logit, ``(n, 2)``; ``None`` for a constant probability, which has no slope."""
    z = logits(p)
    return None if np.ptp(z) < 1e-9 else np.stack((np.ones(len(p)), z), axis=1)


@dataclass(frozen=True, slots=True)
class Decisions:
    """Performance of a threshold. Shares are ``None`` where their denominator is 0.

    Attributes:
        threshold: Value from which the device flags.
        sensitivity: Share of the decided positives that are flagged.
        specificity: Share of the decided negatives that are not flagged.
        ppv: Positive predictive value.
        npv: Negative predictive value.
        flagged: Number of flagged rows.
        undecided: Number of rows without a decision (abstention).
    """

    threshold: float
    sensitivity: Score
    specificity: Score
    ppv: Score
    npv: Score
    flagged: int
    undecided: int


def decisions(flagged: Bools, labels: Bools, undecided: Bools, resampler: Resampler, threshold: float) -> Decisions:
    """Return sensitivity, specificity and predictive values.

    Args:
        flagged: Whether a row reaches the threshold, ``(n,)``.
        labels: Labels, ``(n,)``.
        undecided: Whether the device abstains, ``(n,)``; such rows are left out of all shares.
        resampler: Replicates of these rows.
        threshold: The threshold, which is only stored in the result.
    """
    sure = ~undecided
    return Decisions(
        threshold,
        share_interval(flagged, labels & sure, resampler),
        share_interval(~flagged, ~labels & sure, resampler),
        share_interval(labels, flagged & sure, resampler),
        share_interval(~labels, ~flagged & sure, resampler),
        int((flagged & sure).sum()),
        int(undecided.sum()),
    )


def kappa(a: Bools, b: Bools) -> float | None:
    """Return Cohen's kappa of two decisions; ``None`` where both are constant and equal."""
    n = len(a)
    if not n:
        return None
    agree = float((a == b).mean())
    chance = float(a.mean() * b.mean() + (1.0 - a.mean()) * (1.0 - b.mean()))
    return None if chance >= 1.0 else (agree - chance) / (1.0 - chance)


@dataclass(frozen=True, slots=True)
class ValueAgreement:
    """Comparison of estimated with measured values, in their unit.

    Attributes:
        mae: Mean absolute error.
        mae_of_the_mean: Mean absolute error of a constant estimate equal to the mean of these labels.
        gain: By how much the mean absolute error is smaller than that of this constant.
        bias: Mean of estimate minus truth.
        limits: Bland-Altman limits of agreement.
        slope: Slope of estimate minus truth on the mean of both (Bland & Altman, Stat Methods Med Res 1999;8:135), per
            unit; 0 without proportional bias. An estimate that is shrunk to the mean has a negative one.
        coverage: Share of true values inside the device's interval; ``None`` where the device gives no interval.
        level: Nominal coverage of that interval.
    """

    mae: Score
    mae_of_the_mean: float
    gain: Score
    bias: Score
    limits: tuple[float, float]
    slope: Score
    coverage: Score
    level: float

    @property
    def proportional_bias(self) -> bool | None:
        """Whether the bias is shown to depend on the value; ``None`` where that could not be tested."""
        if self.slope.low is None or self.slope.high is None:
            return None
        return not self.slope.low <= 0.0 <= self.slope.high


def value_agreement(value: F64, truth: F64, low: F64, high: F64, level: float, resampler: Resampler) -> ValueAgreement:
    """Compare estimated with measured values.

    Args:
        value: Estimates, ``(n,)``, at least one.
        truth: Measured values, ``(n,)``.
        low: Lower ends of the device's intervals, ``(n,)``, NaN where it gives none.
        high: Upper ends of the intervals, ``(n,)``.
        level: Nominal coverage of the intervals.
        resampler: Replicates of these rows.
    """
    error = value - truth
    constant = np.abs(truth - truth.mean())
    given = np.isfinite(low) & np.isfinite(high)
    sd = float(error.std(ddof=1)) if len(error) > 1 else 0.0
    return ValueAgreement(
        mean_interval(np.abs(error), resampler, "log"),
        float(constant.mean()),
        mean_interval(constant - np.abs(error), resampler),
        mean_interval(error, resampler),
        (float(error.mean()) - AGREEMENT_Z * sd, float(error.mean()) + AGREEMENT_Z * sd),
        difference_slope(value, truth, resampler),
        share_interval((truth >= low) & (truth <= high), given, resampler),
        level,
    )


def mean_interval(values: F64, resampler: Resampler, scale: Scale = "plain") -> Score:
    """Return the mean of one value for each row, ``(n,)``, with its interval over patients on a scale."""
    drawn = resampler.ratio(values, np.ones_like(values))
    return se_interval(float(values.mean()), drawn, resampler.patients, scale)


def difference_slope(value: F64, truth: F64, resampler: Resampler) -> Score:
    """Return the slope of the differences on the means of a Bland-Altman plot, with its interval over patients."""
    mean, difference = 0.5 * (value + truth), value - truth
    if len(mean) < 3 or np.ptp(mean) == 0.0:
        return Score(None, None, None)
    x, y = mean - mean.mean(), difference - difference.mean()
    parts = (np.ones_like(x), x, y, x * x, x * y)

    def slope(n: F64, sx: F64, sy: F64, sxx: F64, sxy: F64) -> F64:
        return quotient(n * sxy - sx * sy, n * sxx - sx * sx)

    found = float(slope(*(np.array([part.sum()]) for part in parts))[0])
    return se_interval(found, slope(*(resampler.totals(part) for part in parts)), resampler.patients)
