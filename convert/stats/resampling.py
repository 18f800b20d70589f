"""The bootstrap over patients: windows of one patient are not independent, so patients are drawn, never windows.

A replicate is a vector of how often each patient was drawn. Everything that is a sum over rows then costs one product
of a matrix (replicates, patients) with a vector; whatever needs a ranking costs one pass over the *sorted levels* of
the score, of which an int8 output has 256 at most however many windows there are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from convert.stats.metrics import RESAMPLES, Score

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHUNK_CELLS = 4_000_000
"""Levels times replicates held at once: 32 MB an array."""

LEAST_DEFINED = 0.5
"""Share of replicates in which a measure must be defined for its interval to be given."""


class Resampler:
    """Replicates of one set of rows.

    Args:
        patients: Patient of each row, ``(n,)``, any integers.
        seed: Of the drawing.
        resamples: How many replicates.

    Attributes:
        patients: How many different ones.
        distinct: Every row is a patient of its own.
    """

    def __init__(self, patients: NDArray[np.integer], seed: int, resamples: int = RESAMPLES) -> None:
        unique, self._index = np.unique(patients, return_inverse=True)
        self.patients = len(unique)
        self.distinct = self.patients == len(patients)
        self.resamples = resamples
        rng = np.random.default_rng([seed, 11])
        even = np.full(max(self.patients, 1), 1.0 / max(self.patients, 1))
        # Counts beyond 65535 cannot be drawn of patients that fit into memory; two bytes keep 50,000 of them at 100 MB.
        self._counts = rng.multinomial(self.patients, even, size=resamples).astype(np.uint16)

    def patients_of(self, rows: Bools) -> int:
        """How many different patients some rows belong to."""
        return len(np.unique(self._index[rows]))

    def totals(self, values: F64) -> F64:
        """Sums of each replicate, ``(resamples,)``.

        Args:
            values: One a row, finite.
        """
        by_patient = np.bincount(self._index, values, minlength=max(self.patients, 1))
        out = np.empty(self.resamples)
        step = max(1, CHUNK_CELLS // max(self.patients, 1))
        for i in range(0, self.resamples, step):
            out[i : i + step] = self._counts[i : i + step].astype(np.float64) @ by_patient
        return out

    def ratio(self, numerator: F64, denominator: F64) -> F64:
        """Quotients of the sums of each replicate; NaN where the lower one is nothing."""
        top, bottom = self.totals(numerator), self.totals(denominator)
        return quotient(top, bottom)

    def levels(self, level: NDArray[np.int64], count: int, weights: F64) -> Iterator[tuple[slice, F64]]:
        """Sums of each replicate by level of a score, some replicates at a time.

        Args:
            level: Level of each row, ``(n,)``, 0 to ``count - 1``.
            count: How many levels.
            weights: Weight of each row, ``(n,)``.

        Yields:
            The replicates, and ``(count, replicates)``.
        """
        table = coo_array((weights, (level, self._index)), shape=(count, max(self.patients, 1))).tocsr()
        step = max(1, CHUNK_CELLS // max(count, 1))
        for i in range(0, self.resamples, step):
            chunk = slice(i, min(i + step, self.resamples))
            yield chunk, np.asarray(table @ self._counts[chunk].T.astype(np.float64))


def quotient(top: F64, bottom: F64) -> F64:
    """Element by element; NaN where the lower one is nothing."""
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0), dtype=np.float64)


def interval(value: float | None, replicates: F64, level: float = 0.95) -> Score:
    """A measure with its percentile interval.

    Args:
        value: Of the rows as they are; ``None`` where it is not defined.
        replicates: Of the resamples, NaN where not defined.
        level: Nominal coverage.
    """
    known = replicates[np.isfinite(replicates)]
    if value is None or not np.isfinite(value):
        return Score(None, None, None)
    if len(known) < LEAST_DEFINED * len(replicates) or not len(known):
        return Score(float(value), None, None)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Score(float(value), float(low), float(high))
