"""The bootstrap over patients. Windows of one patient are not independent, so patients are drawn, never windows.

A replicate is a vector with the number of draws of each patient. A sum over rows then takes one product of a matrix
(replicates, patients) with a vector. A ranking takes one pass over the sorted *levels* of the score, of which an int8
output has at most 256 for any number of windows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from convert.stats.metrics import RESAMPLES, Score, quotient

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Counts = NDArray[np.uint16]

CHUNK_CELLS = 4_000_000
"""Largest number of levels times replicates in memory at once: 32 MB per array."""

KEPT_BYTES = 64 << 20
"""Draws that are kept for further rows with as many patients: 1000 replicates of up to 33,000 patients."""

STREAM = 11
"""Random stream of the replicates, used with the seed."""

EXACT = 1 << 24
"""Below this, sums of whole numbers in float32 are exact. Such a product takes a third of the time of float64."""

SPREAD = 4
"""Numbers of patients up to this many times the rows are ranked by a table, others by sorting."""

MIN_DEFINED = 0.5
"""Smallest share of replicates in which a measure must be defined to get an interval."""


class Resampler:
    """Bootstrap replicates of one set of rows.

    Args:
        patients: Number of each row's patient, ``(n,)``, any integers.
        seed: Seed of the bootstrap.
        resamples: Number of replicates.
        stream: Random stream: the same seed gives other replicates in another stream.

    Attributes:
        patients: Number of different patients.
        index: Number of each row's patient, from 0 on, ``(n,)``.
        distinct: Whether each patient has a single row.
        resamples: Number of replicates.
    """

    def __init__(
        self, patients: NDArray[np.integer], seed: int, resamples: int = RESAMPLES, stream: int = STREAM
    ) -> None:
        self.patients, self.index = _numbered(patients)
        self.distinct = self.patients == len(patients)
        self.resamples = resamples
        self._counts = _draws(self.patients, seed, resamples, stream)

    def patients_of(self, rows: Bools) -> int:
        """Return the number of different patients of some rows."""
        return int(np.count_nonzero(np.bincount(self.index[rows])))

    def totals(self, values: F64) -> F64:
        """Return the sum of values over each replicate, ``(resamples,)``.

        Args:
            values: One finite value for each row, ``(n,)``.
        """
        by_patient = np.bincount(self.index, values, minlength=max(self.patients, 1))
        return self._drawn(np.asarray(by_patient, dtype=np.float64))

    def counts(self, which: Bools, group: NDArray[np.integer], groups: int) -> tuple[F64, NDArray[np.int64]]:
        """Count chosen rows by group, in each replicate and by patient; one pass serves all groups.

        Args:
            which: Chosen rows, ``(n,)``.
            group: Group of each row, ``(n,)``, 0 to ``groups - 1``.
            groups: Number of groups.

        Returns:
            Number of chosen rows in each replicate, ``(resamples, groups)``, and number of patients with a chosen row,
            ``(groups,)``.
        """
        patients = max(self.patients, 1)
        cell = self.index[which] * groups + group[which]
        table = np.bincount(cell, minlength=patients * groups).reshape(patients, groups)
        return self._drawn(table.astype(np.float64)), np.count_nonzero(table, axis=0)

    def _drawn(self, by_patient: F64) -> F64:
        """Return the sums over each replicate of values by patient, ``(patients,)`` or ``(patients, k)``."""
        out = np.empty((self.resamples, *by_patient.shape[1:]))
        step = max(1, CHUNK_CELLS // max(self.patients, 1))
        for i in range(0, self.resamples, step):
            out[i : i + step] = self._counts[i : i + step].astype(np.float64) @ by_patient
        return out

    def ratio(self, numerator: F64, denominator: F64) -> F64:
        """Return the quotient of two sums for each replicate, ``(resamples,)``; NaN for a denominator of 0."""
        top, bottom = self.totals(numerator), self.totals(denominator)
        return quotient(top, bottom)

    def levels(self, level: NDArray[np.int64], count: int, weights: F64) -> Iterator[tuple[slice, F64]]:
        """Yield the sums of weights by level of a score, some replicates at a time.

        Args:
            level: Level of each row, ``(n,)``, 0 to ``count - 1``.
            count: Number of levels.
            weights: Weight of each row, ``(n,)``.

        Yields:
            A slice of the replicates and their sums, ``(count, replicates)``.
        """
        from scipy.sparse import coo_array

        used = np.flatnonzero(weights)
        cells = (level[used], self.index[used])
        kind = np.float32 if self._exact(level, weights) else np.float64
        table = coo_array((weights[used].astype(kind), cells), shape=(count, max(self.patients, 1))).tocsr()
        step = max(1, CHUNK_CELLS // max(count, 1))
        for i in range(0, self.resamples, step):
            chunk = slice(i, min(i + step, self.resamples))
            drawn = np.asarray(table @ self._counts[chunk].T.astype(kind, order="C"))
            yield chunk, drawn.astype(np.float64, copy=False)

    def _exact(self, level: NDArray[np.int64], weights: F64) -> bool:
        """Return whether every sum of the weights over a level of a replicate is exact in float32."""
        if not len(weights) or not self._counts.size:
            return True
        largest = float(np.bincount(level, np.abs(weights)).max()) * int(self._counts.max())
        return largest < EXACT and bool((weights == np.rint(weights)).all())


_kept: OrderedDict[tuple[int, int, int, int], Counts] = OrderedDict()


def _draws(patients: int, seed: int, resamples: int, stream: int) -> Counts:
    """Return how often each patient is drawn in each replicate, ``(resamples, patients)``, read-only.

    The draws depend on the arguments only, and most heads of a report have the same number of patients.
    """
    key = (patients, seed, resamples, stream)
    found = _kept.pop(key, None)
    if found is None:
        rng = np.random.default_rng([seed, stream])
        even = np.full(max(patients, 1), 1.0 / max(patients, 1))
        # Counts above 65535 do not occur in practice. With two bytes, 50,000 patients need 100 MB.
        found = rng.multinomial(patients, even, size=resamples).astype(np.uint16)
        found.flags.writeable = False
    _kept[key] = found  # as the newest
    while sum(counts.nbytes for counts in _kept.values()) > KEPT_BYTES:
        _kept.popitem(last=False)
    return found


def _numbered(patients: NDArray[np.integer]) -> tuple[int, NDArray[np.intp]]:
    """Return the number of different patients, and the rank of each row's patient among them, ``(n,)``."""
    dense = len(patients) and patients.min() >= 0 and patients.max() < SPREAD * len(patients)
    if not dense:
        unique, index = np.unique(patients, return_inverse=True)
        return len(unique), index
    # Without sorting, which would take longer than most of what follows.
    rank = np.cumsum(np.bincount(patients) > 0)
    return int(rank[-1]), (rank - 1)[patients]


def interval(value: float | None, replicates: F64, level: float = 0.95) -> Score:
    """Return a measure with its percentile interval.

    Args:
        value: Value of the original rows; ``None`` where it is not defined.
        replicates: Values of the replicates, NaN where not defined.
        level: Nominal coverage.
    """
    known = replicates[np.isfinite(replicates)]
    if value is None or not np.isfinite(value):
        return Score(None, None, None)
    if len(known) < MIN_DEFINED * len(replicates) or not len(known):
        return Score(float(value), None, None)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Score(float(value), float(low), float(high))
