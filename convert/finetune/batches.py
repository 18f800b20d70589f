"""Batches of a prepared data set: the same on every worker and in every run, read from the disk as they are needed.

Segments of MC-MED do not fit into memory. An epoch takes the shards in a drawn order, some of them together as a pool,
and the segments of a pool in a drawn order: reading stays local, and a batch holds patients from all over a pool. Order
and augmentation depend on seed, epoch and segment alone, so a run can stop anywhere and go on.
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
"""Segments that are mixed with each other: 655 MB of them, of which the system keeps in memory what it can."""

OPEN_TARGETS = 1 << 29
"""Bytes of targets held; beyond that the shard that was not used for longest is read again when it is needed."""

ORDER, AUGMENT, CHOICE = 21, 22, 23
"""Streams of chance, beside the seed and the epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Segments of a part of the data.

    Attributes:
        shard: Index of each one's shard in ``names``, ``(n,)``.
        row: Its place there, ``(n,)``.
        names: Shards of the part.
    """

    shard: NDArray[np.int32]
    row: NDArray[np.int32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: NDArray[np.intp] | slice) -> Rows:
        """Some of them."""
        return Rows(self.shard[which], self.row[which], self.names)


def all_rows(data: PreparedDataset, part: Part) -> Rows:
    """Every segment of a part.

    Raises:
        InputError: There is none.
    """
    names = data.names(part)
    sizes = {entry["name"]: int(entry["segments"]) for entry in data.manifest["shards"]}
    counts = [sizes[name] for name in names]
    if not sum(counts):
        raise InputError(f"{data.folder} has no segment in its part '{part}'", "a split with more patients is needed")
    shard = np.repeat(np.arange(len(names), dtype=np.int32), counts)
    row = np.concatenate([np.arange(n, dtype=np.int32) for n in counts])
    return Rows(shard, row, tuple(names))


def visits_of(data: PreparedDataset, rows: Rows) -> NDArray[np.int64]:
    """The visit of each segment, ``(n,)``; one look into every shard."""
    out = np.empty(len(rows), np.int64)
    for i, name in enumerate(rows.names):
        mine = np.flatnonzero(rows.shard == i)
        if len(mine):
            out[mine] = data.shard(name).visit[rows.row[mine]]
    return out


def spread_rows(rows: Rows, visit: NDArray[np.int64], per_visit: int, most: int) -> Rows:
    """Segments evenly spread over visits, for judging.

    Args:
        rows: To choose from.
        visit: Of each.
        per_visit: Of a visit at most.
        most: Altogether.
    """
    place, size = _places(visit)
    step = np.maximum(1.0, size / per_visit)
    # The k-th of those that are kept lies at k * step: kept is whoever is the first at or after such a point.
    kept = np.floor(place / step) != np.floor((place - 1) / step)
    return rows.take(evenly(np.flatnonzero(kept), most))


def drawn_rows(rows: Rows, visit: NDArray[np.int64], per_visit: int, seed: Sequence[int]) -> Rows:
    """At most so many segments of every visit, drawn anew by seed; all of them where ``per_visit`` is 0."""
    if not per_visit:
        return rows
    mixed = np.random.default_rng([*seed, CHOICE]).permutation(len(rows))
    place, _ = _places(visit[mixed])
    return rows.take(np.sort(mixed[place < per_visit]))


def _places(visit: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The place of each among those of its visit, and how many these are."""
    _, which, count = np.unique(visit, return_inverse=True, return_counts=True)
    order = np.argsort(which, kind="stable")
    place = np.empty(len(visit), np.intp)
    place[order] = np.arange(len(visit)) - np.repeat(np.cumsum(count) - count, count)
    return place, count[which]


def evenly(what: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most so many, evenly spread."""
    if len(what) <= most:
        return what
    return what[np.linspace(0, len(what) - 1, most).round().astype(np.intp)]


def epoch_order(rows: Rows, seed: Sequence[int]) -> NDArray[np.intp]:
    """The order of an epoch: shards in a drawn order, the segments of a pool of them mixed.

    Args:
        rows: The segments, ordered by shard.
        seed: Of this epoch.
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
    """Reads segments and targets of any rows, and keeps the targets of the shards in use.

    Args:
        data: The data.
    """

    def __init__(self, data: PreparedDataset) -> None:
        self._data = data
        self._open: OrderedDict[str, tuple[PreparedShard, F32]] = OrderedDict()
        self._bytes = 0

    def segments(self, rows: Rows) -> F32:
        """Segments, ``(n, 5000)``."""
        out = np.empty((len(rows), 5000), np.float32)
        for shard, at, mine in self._by_shard(rows):
            order = np.argsort(mine, kind="stable")  # from front to back on the disk
            out[at[order]] = shard[0].segments(mine[order])
        return out

    def targets(self, rows: Rows) -> F32:
        """Targets, ``(n, heads)``, NaN where unknown."""
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
        reader: Of the data.
        rows: In the order of the epoch.
        seed: Of the run.
        number: Of the epoch.
        batch: Segments of a global batch.
        augmentation: What is done to them.
        intensity: Of the augmentation, 0 to 1.
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
        """Full batches."""
        return len(self.rows) // self.batch

    def read(self, step: int, part: slice) -> tuple[F32, F32]:
        """A replica's part of a batch: segments ``(m, 5000)`` and targets ``(m, heads)``.

        Args:
            step: Number of the batch.
            part: Rows of it.
        """
        first = step * self.batch
        rows = self.rows.take(slice(first + part.start, first + part.stop))
        x, y = self.reader.segments(rows), self.reader.targets(rows)
        if self.augmentation is not None:
            for i in range(len(x)):
                rng = np.random.default_rng([self.seed, self.number, AUGMENT, first + part.start + i])
                x[i] = augment(x[i], rng, self.augmentation, self.intensity)
        return x, y
