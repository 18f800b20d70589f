"""Coverage of nominal 95 % intervals of an AUROC by simulation: percentiles of the bootstrap, and those of the reports.

Two normal scores of equal spread; three rows of each patient are correlated. ``python benchmarks/bench_confidence.py``
prints the share of simulations in which each interval contains the truth.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np
from scipy.stats import norm

from convert.stats.discrimination import ranking
from convert.stats.resampling import Resampler, interval

SETTINGS = ((20, 20, 1), (20, 100, 1), (20, 100, 3), (60, 200, 1))
AREAS = (0.5, 0.7, 0.85, 0.95)
BETWEEN = 0.6
"""Share of the variance between patients."""


def coverage(positives: int, negatives: int, rows: int, area: float, draws: int) -> tuple[float, float]:
    """Return the coverage of the percentiles and of the interval of the reports."""
    rng = np.random.default_rng([positives, negatives, rows, round(1000 * area)])
    patient = np.repeat(np.arange(positives + negatives), rows)
    labels = patient < positives
    inside = np.zeros(2)
    for seed in range(draws):
        common = np.repeat(rng.standard_normal(positives + negatives), rows)
        noise = rng.standard_normal(len(patient))
        shift = math.sqrt(2.0) * float(norm.ppf(area))
        score = math.sqrt(BETWEEN) * common + math.sqrt(1.0 - BETWEEN) * noise + shift * labels
        found = ranking(score, labels, Resampler(patient, seed, 400))
        plain = interval(found.auroc.value, found.auroc_replicates)
        for k, one in enumerate((plain, found.auroc)):
            inside[k] += one.low is not None and one.high is not None and one.low <= area <= one.high
    return float(inside[0] / draws), float(inside[1] / draws)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=600, help="simulations of each setting; default %(default)s")
    draws = parser.parse_args().draws
    sys.stdout.write(f"{'with':>5} {'without':>8} {'rows':>5} {'AUROC':>6} {'percentiles':>12} {'reports':>8}\n")
    for positives, negatives, rows in SETTINGS:
        for area in AREAS:
            a, b = coverage(positives, negatives, rows, area, draws)
            sys.stdout.write(f"{positives:>5} {negatives:>8} {rows:>5} {area:>6.2f} {a:>12.3f} {b:>8.3f}\n")


if __name__ == "__main__":
    main()
