"""What calibration error perfect probabilities have, and how far it scatters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convert.stats.metrics import equal_bins
from convert.stats.resampling import Resampler

F64 = NDArray[np.float64]

DRAWS = 400
"""Simulations of perfect probabilities."""


class PerfectError(NamedTuple):
    """Calibration error of perfect probabilities.

    Attributes:
        mean: Its mean.
        sd: Its standard deviation.
    """

    mean: float
    sd: float


def perfect_error(p: F64, resampler: Resampler, seed: int) -> PerfectError:
    """Return the expected calibration error that perfect probabilities would have, by simulation.

    All rows of a patient share one random number, so that they depend on one another as much as they can: several rows
    of a patient are worth less than rows of several patients, and at worst no more than one.

    Args:
        p: Probabilities, ``(n,)``, at least one.
        resampler: Replicates of these rows, which know the patients.
        seed: Seed of the simulation.
    """
    parts = equal_bins(p)
    order, starts = np.concatenate(parts), np.cumsum([0, *map(len, parts[:-1])])
    ranked, patient = p[order], resampler.index[order]
    rng = np.random.default_rng([seed, 29])
    drawn = np.empty(DRAWS)
    for i in range(DRAWS):
        outcomes = rng.random(resampler.patients)[patient] < ranked
        drawn[i] = np.abs(np.add.reduceat(outcomes - ranked, starts)).sum() / len(p)
    return PerfectError(float(drawn.mean()), float(drawn.std(ddof=1)))
