"""Batches of a prepared data set, the same on every worker and in every run, read from disk as they are needed.

The segments of MC-MED do not fit into memory. An epoch takes the shards in random order, combines some of them into a
pool, and shuffles the segments of the pool. Reading stays local, and a batch has patients of the whole pool. Order and
augmentation depend only on seed, epoch and segment, so a run can stop and resume anywhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.datasets.mcmed import Part
from convert.datasets.prepared import PreparedDataset, PreparedShard
from convert.finetune.augment import Augmentation, augment
from firmware_bridge.errors import InputError

F32 = NDArray[np.float32]

POOL_SEGMENTS = 65_536
"""Number of segments that are shuffled together: 655 MB, of which the operating system caches as much as it can."""

OPEN_TARGETS = 1 << 29
"""Maximum size of the targets in memory, bytes; beyond it the least recently used shard is dropped."""

ORDER, AUGMENT, CHOICE = 21, 22, 23
"""Numbers of the random streams, used with the seed and the epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Segments of a part of the data.

    Attributes:
        shard: Index of each segment's shard in ``names``, ``(n,)``.
        row: Index of each segment in its shard, ``(n,)``.
        names: Names of the shards of the part.
    """

    shard: NDArray[np.int32]
    row: NDArray[np.int32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: NDArray[np.intp] | slice) -> Rows:
        """Return some of the segments."""
        return Rows(self.shard[which], self.row[which], self.names)


def all_rows(data: PreparedDataset, part: Part) -> Rows:
    """Return all segments of a part.

    Raises:
        InputError: The part has no segment.
    """
    names = data.names(part)
    sizes = {entry["name"]: int(entry["segments"]) for entry in data.manifest["shards"]}
    counts = [sizes[name] for name in names]
    if not sum(counts):
        raise InputError(f"{data.folder} has no segment in its part '{part}'", "prepare a split with more patients")
    shard = np.repeat(np.arange(len(names), dtype=np.int32), counts)
    row = np.concatenate([np.arange(n, dtype=np.int32) for n in counts])
    return Rows(shard, row, tuple(names))


def visits_of(data: PreparedDataset, rows: Rows) -> NDArray[np.int64]:
    """Return the visit of each segment, ``(n,)``; every shard is read once."""
    out = np.empty(len(rows), np.int64)
    for i, name in enumerate(rows.names):
        mine = np.flatnonzero(rows.shard == i)
        if len(mine):
            out[mine] = data.shard(name).visit[rows.row[mine]]
    return out


def spread_rows(rows: Rows, visit: NDArray[np.int64], per_visit: int, most: int) -> Rows:
    """Return segments that are evenly spread over visits, for the validation.

    Args:
        rows: Segments to choose from.
        visit: Visit of each segment, ``(n,)``.
        per_visit: Maximum number of segments of a visit.
        most: Maximum number of segments in total.
    """
    place, size = _places(visit)
    step = np.maximum(1.0, size / per_visit)
    # A segment is kept if it is the first one at or after a multiple of step.
    kept = np.floor(place / step) != np.floor((place - 1) / step)
    return rows.take(evenly(np.flatnonzero(kept), most))


def drawn_rows(rows: Rows, visit: NDArray[np.int64], per_visit: int, seed: Sequence[int]) -> Rows:
    """Return ``per_visit`` random segments of every visit at most; all segments if it is 0."""
    if not per_visit:
        return rows
    mixed = np.random.default_rng([*seed, CHOICE]).permutation(len(rows))
    place, _ = _places(visit[mixed])
    return rows.take(np.sort(mixed[place < per_visit]))


def _places(visit: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the index of each segment within its visit, and the number of segments of its visit."""
    _, which, count = np.unique(visit, return_inverse=True, return_counts=True)
    order = np.argsort(which, kind="stable")
    place = np.empty(len(visit), np.intp)
    place[order] = np.arange(len(visit)) - np.repeat(np.cumsum(count) - count, count)
    return place, count[which]


def evenly(what: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Return at most ``most`` entries, evenly spread."""
    if len(what) <= most:
        return what
    return what[np.linspace(0, len(what) - 1, most).round().astype(np.intp)]


def epoch_order(rows: Rows, seed: Sequence[int]) -> NDArray[np.intp]:
    """Return the order of an epoch: random order of the shards, and shuffled segments within each pool of shards.

    Args:
        rows: Segments, sorted by shard.
        seed: Seed of the epoch.
    """
    rng = np.random.default_rng([*seed, ORDER])
    counts = np.bincount(rows.shard, minlength=len(rows.names))
    starts = np.r_[0, np.cumsum(counts)]
    out, pool, size = [], [], 0
    shards = [int(s) for s in rng.permutation(len(rows.names)) if counts[s]]
    for number, s in enumerate(shards):
        pool.append(np.arange(starts[s], starts[s + 1]))
        size += int(counts[s])
        if size >= POOL_SEGMENTS or number == len(shards) - 1:
            out.append(rng.permutation(np.concatenate(pool)))
            pool, size = [], 0
    return np.concatenate(out)


class Reader:
    """Reads segments and targets, and keeps the targets of recent shards in memory.

    Args:
        data: The prepared data set.
    """

    def __init__(self, data: PreparedDataset) -> None:
        self._data = data
        self._open: OrderedDict[str, tuple[PreparedShard, F32]] = OrderedDict()
        self._bytes = 0

    def segments(self, rows: Rows) -> F32:
        """Return the segments, ``(n, 5000)`` float32."""
        out = np.empty((len(rows), 5000), np.float32)
        for shard, at, mine in self._by_shard(rows):
            order = np.argsort(mine, kind="stable")  # read the file from start to end
            out[at[order]] = shard[0].segments(mine[order])
        return out

    def targets(self, rows: Rows) -> F32:
        """Return the targets, ``(n, heads)`` float32, NaN where unknown."""
        out = np.empty((len(rows), len(self._data.heads)), np.float32)
        for shard, at, mine in self._by_shard(rows):
            out[at] = shard[1][mine]
        return out

    def _by_shard(self, rows: Rows) -> Iterator[tuple[tuple[PreparedShard, F32], NDArray[np.intp], NDArray[np.intp]]]:
        for i in np.unique(rows.shard):
            at = np.flatnonzero(rows.shard == i)
            yield self._shard(rows.names[i]), at, rows.row[at].astype(np.intp)

    def _shard(self, name: str) -> tuple[PreparedShard, F32]:
        if name not in self._open:
            shard = self._data.shard(name)
            self._open[name] = shard, shard.targets()
            self._bytes += self._open[name][1].nbytes
            while self._bytes > OPEN_TARGETS and len(self._open) > 1:
                self._bytes -= self._open.popitem(last=False)[1][1].nbytes
        self._open.move_to_end(name)
        return self._open[name]


@dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """The batches of one epoch.

    Attributes:
        reader: Reader of the data.
        rows: Segments in the order of the epoch.
        seed: Seed of the run.
        number: Number of the epoch, from 0.
        batch: Number of segments of a global batch.
        augmentation: Augmentation of the segments; ``None`` for none.
        intensity: Intensity of the augmentation, 0 to 1.
    """

    reader: Reader
    rows: Rows
    seed: int
    number: int
    batch: int
    augmentation: Augmentation | None
    intensity: float

    @property
    def steps(self) -> int:
        """Number of full batches."""
        return len(self.rows) // self.batch

    def read(self, step: int, part: slice) -> tuple[F32, F32]:
        """Return a replica's part of a batch: segments ``(m, 5000)`` and targets ``(m, heads)``.

        Args:
            step: Number of the batch, from 0.
            part: Rows of the replica in the batch.
        """
        first = step * self.batch
        rows = self.rows.take(slice(first + part.start, first + part.stop))
        x, y = self.reader.segments(rows), self.reader.targets(rows)
        if self.augmentation is not None:
            for i in range(len(x)):
                rng = np.random.default_rng([self.seed, self.number, AUGMENT, first + part.start + i])
                x[i] = augment(x[i], rng, self.augmentation, self.intensity)
        return x, y
