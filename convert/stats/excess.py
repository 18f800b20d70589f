"""What calibration error perfect probabilities have, and how far it scatters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convert.stats.metrics import CALIBRATION_BINS

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


def perfect_error(p: F64, patients: NDArray[np.integer], seed: int) -> PerfectError:
    """Return the expected calibration error that perfect probabilities would have, by simulation.

    All rows of a patient share one random number, so that they depend on one another as much as they can: several rows
    of a patient are worth less than rows of several patients, and at worst no more than one.

    Args:
        p: Probabilities, ``(n,)``, at least one.
        patients: Number of each row's patient, ``(n,)``, any integers.
        seed: Seed of the simulation.
    """
    n, bins = len(p), min(CALIBRATION_BINS, len(p))
    of = np.empty(n, dtype=np.int64)
    for i, part in enumerate(np.array_split(np.argsort(p, kind="stable"), bins)):
        of[part] = i
    expected = np.bincount(of, p, minlength=bins)
    index = np.unique(patients, return_inverse=True)[1]
    rng = np.random.default_rng([seed, 29])
    drawn = np.empty(DRAWS)
    for i in range(DRAWS):
        outcomes = rng.random(int(index.max()) + 1)[index] < p
        drawn[i] = np.abs(np.bincount(of, outcomes, minlength=bins) - expected).sum() / n
    return PerfectError(float(drawn.mean()), float(drawn.std(ddof=1)))
