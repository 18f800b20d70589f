"""Coverage of every kind of 95 % interval in a report, by simulation of patients whose truth is known.

``python benchmarks/bench_coverage.py`` prints the share of simulated data sets in which each interval contains the
truth, and marks the shares that are shown to be outside 93 to 97 %. ``--shares`` prints the exact coverage of intervals
of a share over all numbers of patients, where no simulation is needed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, norm

from calibration.clinical.benefit import alerts, decision_curve
from calibration.clinical.external import independent_difference
from calibration.clinical.large import calibration_in_the_large, calibration_slope
from calibration.clinical.points import predictive_values
from calibration.evaluate.heads import correlation
from convert.stats.bounds import share_interval, wilson
from convert.stats.delong import delong_difference, delong_interval
from convert.stats.discrimination import ranking
from convert.stats.metrics import Score
from convert.stats.noninferiority import auroc_difference, compare_rate
from convert.stats.reliability import difference_slope, mean_interval
from convert.stats.resampling import Resampler
from edge.stats import sigmoid

F64 = NDArray[np.float64]
LOW, HIGH = 0.93, 0.97
RESAMPLES = 300
BETWEEN = 0.5
"""Share of the variance between patients where a patient has several rows."""

Found = Iterator[tuple[str, Score, float]]


@dataclass(frozen=True)
class Setting:
    """Patients of a simulation: expected with and without the abnormal result, and rows of each patient."""

    positives: int
    negatives: int
    rows: int

    @property
    def patients(self) -> int:
        """Number of patients."""
        return self.positives + self.negatives


SETTINGS = (Setting(20, 20, 1), Setting(20, 100, 1), Setting(20, 100, 3), Setting(60, 200, 1))
AREA = 0.8
LIMIT = 0.1


def normal(rng: np.random.Generator, s: Setting) -> F64:
    """Normal rows, correlated within a patient."""
    common = np.repeat(rng.standard_normal(s.patients), s.rows)
    return math.sqrt(BETWEEN) * common + math.sqrt(1.0 - BETWEEN) * rng.standard_normal(s.patients * s.rows)


def classes(rng: np.random.Generator, s: Setting) -> NDArray[np.bool_]:
    """Class of each row. Patients are drawn from a population, so the classes vary, too."""
    return np.repeat(rng.random(s.patients) < s.positives / s.patients, s.rows)


def areas(rng: np.random.Generator, s: Setting, seed: int) -> Found:
    """AUROC, average precision and the paired difference of two models, for two normal classes."""
    patient = np.repeat(np.arange(s.patients), s.rows)
    y = classes(rng, s)
    shift = math.sqrt(2.0) * float(norm.ppf(AREA)) * y
    one, noise = normal(rng, s), normal(rng, s)
    ours, theirs = one + shift, 0.8 * one + 0.6 * noise + shift
    resampler = Resampler(patient, seed, RESAMPLES)
    a, b = ranking(ours, y, resampler), ranking(theirs, y, resampler)
    yield "AUROC, bootstrap", a.auroc, AREA
    yield "average precision", a.auprc, precision_of(s)
    yield "AUROC difference, bootstrap", auroc_difference(a, b), 0.0
    if s.rows == 1:
        yield "AUROC, DeLong", delong_interval(ours, y), AREA
        yield "AUROC difference, DeLong", delong_difference(ours, theirs, y), 0.0
    other = rng.standard_normal(len(y)) + shift
    theirs_auroc = ranking(other, y, Resampler(np.arange(len(y)), seed, RESAMPLES)).auroc if s.rows == 1 else None
    if theirs_auroc is not None:
        heads = [{"auroc": x.value, "auroc_ci": [x.low, x.high]} for x in (a.auroc, theirs_auroc)]
        yield "AUROC difference, other source", independent_difference(*heads), 0.0  # type: ignore[arg-type]  # only the keys that it reads


_precision: dict[tuple[int, int], float] = {}


def precision_of(s: Setting) -> float:
    """Average precision in the population, by a large simulation."""
    key = (s.positives, s.negatives)
    if key not in _precision:
        rng, big = np.random.default_rng(1), Setting(2000 * s.positives, 2000 * s.negatives, 1)
        y = np.arange(big.patients) < big.positives
        score = rng.standard_normal(big.patients) + math.sqrt(2.0) * float(norm.ppf(AREA)) * y
        order = np.argsort(-score)
        hit = np.cumsum(y[order])
        _precision[key] = float((hit / np.arange(1, len(y) + 1))[y[order]].mean())
    return _precision[key]


def shares(rng: np.random.Generator, s: Setting, seed: int) -> Found:
    """Shares such as sensitivities, their paired difference, and predictive values at a stated prevalence."""
    patient = np.repeat(np.arange(s.patients), s.rows)
    everybody = np.ones(len(patient), dtype=np.bool_)
    resampler = Resampler(patient, seed, RESAMPLES)
    x, noise = normal(rng, s), normal(rng, s)
    for share in (0.5, 0.8, 0.9, 0.95):
        yield f"share {share:g}", share_interval(x < norm.ppf(share), everybody, resampler), share
    other = 0.8 * x + 0.6 * noise
    limit = float(norm.ppf(0.8))
    difference = compare_rate("sensitivity", x < limit, other < limit, everybody, resampler, 0.05).difference
    yield "share difference", difference, 0.0
    ill = classes(rng, s)
    flagged = np.where(ill, x < norm.ppf(0.85), x > norm.ppf(0.75))
    found = [share_interval(hit, among, resampler) for hit, among in ((flagged, ill), (~flagged, ~ill))]
    (at,) = predictive_values(*found, (0.1,))
    for name, truth in (("ppv", 0.085 / (0.085 + 0.225)), ("npv", 0.675 / (0.675 + 0.015))):
        found_at = at["ppv"] if name == "ppv" else at["npv"]
        yield f"{name.upper()} at 10 %", Score(found_at["value"], *(found_at["ci"] or (None, None))), truth


def errors(rng: np.random.Generator, s: Setting, seed: int) -> Found:
    """Errors of values: MAE, bias, slope of a Bland-Altman plot, correlation."""
    patient = np.repeat(np.arange(s.patients), s.rows)
    resampler = Resampler(patient, seed, RESAMPLES)
    truth, error = normal(rng, s), 0.7 * normal(rng, s)
    value = truth + error
    yield "MAE", mean_interval(np.abs(error), resampler, "log"), 0.7 * math.sqrt(2.0 / math.pi)
    yield "MAE, without logarithm", mean_interval(np.abs(error), resampler), 0.7 * math.sqrt(2.0 / math.pi)
    yield "bias", mean_interval(error, resampler), 0.0
    # Differences have the variance 0.49, means 1 + 0.49 / 4, and their covariance is 0.49 / 2.
    yield "slope of differences", difference_slope(value, truth, resampler), 0.245 / (1.0 + 0.49 / 4.0)
    yield "correlation", correlation(value, truth, resampler), 1.0 / math.sqrt(1.49)


def probabilities(rng: np.random.Generator, s: Setting, seed: int) -> Found:
    """Perfect probabilities: Brier score, slope, calibration in the large, net benefit, alerts."""
    patient = np.repeat(np.arange(s.patients), s.rows)
    resampler = Resampler(patient, seed, RESAMPLES)
    mean = math.log(s.positives / s.negatives) - 0.4
    p = sigmoid(mean + 1.3 * normal(rng, s))
    y = rng.random(len(p)) < p
    brier, benefit = expected_of(mean)
    yield "Brier score", mean_interval((p - y) ** 2, resampler, "log"), brier
    yield "Brier score, without logarithm", mean_interval((p - y) ** 2, resampler), brier
    if y.any() and not y.all():
        yield "calibration slope", calibration_slope(p, y, patient), 1.0
        yield "calibration in the large", calibration_in_the_large(p, y, patient), 0.0
    at = next(r for r in decision_curve(p, y, resampler) if r["threshold"] == LIMIT)["model"]
    yield "net benefit", Score(at["value"], *(at["ci"] or (None, None))), benefit
    # Each patient has 40 estimates of six hours; a third of the patients has three times as many alerts.
    often = np.where(rng.random(s.patients) < 1.0 / 3.0, 0.15, 0.05)
    flagged = rng.random((s.patients, 40)) < often[:, None]
    begins = np.repeat(np.arange(s.patients), 40)
    found = alerts(
        flagged.ravel(), np.zeros(flagged.size, dtype=np.bool_), begins, np.full(flagged.size, 21600.0),
        Resampler(begins, seed, RESAMPLES),
    )  # fmt: skip
    begin = sum(w * (q + 39 * q * (1.0 - q)) for w, q in ((1.0 / 3.0, 0.15), (2.0 / 3.0, 0.05)))
    per_day = found["per_day"]
    yield "alerts per day", Score(per_day["value"], *(per_day["ci"] or (None, None))), begin / 10.0


_expected: dict[float, tuple[float, float]] = {}


def expected_of(mean: float) -> tuple[float, float]:
    """Expected Brier score and net benefit of perfect probabilities, by numerical integration."""
    if mean not in _expected:
        z = np.linspace(-8.0, 8.0, 20001)
        weight = norm.pdf(z) / norm.pdf(z).sum()
        p, w = sigmoid(mean + 1.3 * z), LIMIT / (1.0 - LIMIT)
        benefit = float((weight * np.where(p >= LIMIT, p - w * (1.0 - p), 0.0)).sum())
        _expected[mean] = float((weight * p * (1.0 - p)).sum()), benefit
    return _expected[mean]


KINDS: tuple[Callable[[np.random.Generator, Setting, int], Found], ...] = (areas, shares, errors, probabilities)


def coverage(s: Setting, draws: int, kinds: tuple[Callable[..., Found], ...] = KINDS) -> dict[str, tuple[float, int]]:
    """Return share of data sets with the truth inside, and number of data sets with an interval, by name."""
    counts: dict[str, list[int]] = {}
    rng = np.random.default_rng([s.positives, s.negatives, s.rows])
    for seed in range(draws):
        for kind in kinds:
            for name, found, truth in kind(rng, s, seed):
                inside, given = counts.setdefault(name, [0, 0])
                if found.low is not None and found.high is not None:
                    # Rounded intervals of the report are compared with some tolerance.
                    inside += found.low - 5e-5 <= truth <= found.high + 5e-5
                    given += 1
                counts[name] = [inside, given]
    return {name: (inside / max(given, 1), given) for name, (inside, given) in counts.items()}


def outside(share: float, given: int) -> bool:
    """Return whether a share is shown to be outside 93 to 97 %: its own 95 % interval does not reach them."""
    found = wilson(share, given)
    assert found.low is not None
    assert found.high is not None
    return found.high < LOW or found.low > HIGH


def exact(n: int, shares_of: F64, ends: tuple[F64, F64]) -> F64:
    """Return the exact coverage of the intervals of n patients for each true share."""
    hits = np.arange(n + 1)
    inside = (ends[0] <= shares_of[:, None]) & (shares_of[:, None] <= ends[1])
    return np.asarray((binom.pmf(hits, n, shares_of[:, None]) * inside).sum(axis=1))


def ends_of(n: int) -> dict[str, tuple[F64, F64]]:
    """Return the intervals of 0 to n hits among n patients by method."""
    hits = np.arange(n + 1.0)
    found = [wilson(k / n, n) for k in hits]
    jeffreys = (
        np.where(hits > 0, beta.ppf(0.025, hits + 0.5, n - hits + 0.5), 0.0),
        np.where(hits < n, beta.ppf(0.975, hits + 0.5, n - hits + 0.5), 1.0),
    )
    exact_ends = (
        np.nan_to_num(beta.ppf(0.025, hits, n - hits + 1.0), nan=0.0),
        np.nan_to_num(beta.ppf(0.975, hits + 1.0, n - hits), nan=1.0),
    )
    scores = np.array([x.low for x in found], dtype=float), np.array([x.high for x in found], dtype=float)
    return {"Wilson": scores, "Jeffreys": jeffreys, "Clopper-Pearson": exact_ends}


def print_shares() -> None:
    """Print mean and extremes of the exact coverage for true shares of 5 to 95 %."""
    true = np.linspace(0.05, 0.95, 1801)
    sys.stdout.write(f"{'n':>4} {'method':<16} {'mean':>6} {'least':>6} {'most':>6} {'inside 93-97 %':>15}\n")
    for n in (20, 40, 100, 400):
        for name, ends in ends_of(n).items():
            found = exact(n, true, ends)
            share = float(((found >= LOW) & (found <= HIGH)).mean())
            sys.stdout.write(
                f"{n:>4} {name:<16} {found.mean():>6.3f} {found.min():>6.3f} {found.max():>6.3f} {share:>15.0%}\n"
            )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000, help="simulations of each setting; default %(default)s")
    parser.add_argument("--shares", action="store_true", help="only print the exact coverage of shares")
    args = parser.parse_args()
    if args.shares:
        print_shares()
        return
    found = [coverage(s, args.draws) for s in SETTINGS]
    heads = [f"{s.positives}+{s.negatives}x{s.rows}" for s in SETTINGS]
    sys.stdout.write(f"{'interval':<32} {''.join(f'{h:>12}' for h in heads)}\n")
    for name in dict.fromkeys(name for one in found for name in one):
        cells = []
        for one in found:
            share, given = one.get(name, (0.0, 0))
            mark = "*" if given and outside(share, given) else " "
            cells.append(f"{share:.3f}{mark}" if given else "- ")
        sys.stdout.write(f"{name:<32} {''.join(f'{c:>12}' for c in cells)}\n")
    sys.stdout.write("patients with + without x rows of each; * shown to be outside 93 to 97 %\n")


if __name__ == "__main__":
    main()
