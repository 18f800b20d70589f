"""Hand-crafted features of the segments of a prepared data set, computed once and kept in a work folder.

There is one file for each shard and choice of rows. It is written atomically and carries a key of the data, the rows
and the version of the features; a file that is damaged or has another key is computed again. Its bytes depend only on
these inputs, not on the process that wrote it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from calibration.baselines.pool import run_each
from convert.compute.progress import Progress
from convert.compute.training import save_arrays
from convert.datasets.mcmed import Part
from convert.datasets.prepared import PreparedDataset
from edge.waves.features import FEATURE_VERSION, FEATURES, segment_features
from firmware_bridge.errors import InputError

F32 = NDArray[np.float32]
Rows = NDArray[np.intp]

FOLDER = "features"
BATCH = 256
"""Segments read from disk at once: 5 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Selected rows of a shard.

    Attributes:
        shard: Name of the shard.
        rows: Row numbers in increasing order, ``(k,)``.
    """

    shard: str
    rows: Rows


@dataclass(frozen=True, slots=True)
class _Job:
    data: Path
    shard: str
    rows: Rows
    path: Path
    key: str


def all_rows(data: PreparedDataset, part: Part) -> list[Chosen]:
    """Return every segment of a part, in the order of the data set."""
    return [Chosen(shard.name, np.arange(len(shard))) for shard in data.shards(part)]


def spread_rows(data: PreparedDataset, part: Part, per_visit: int, total: int, seed: int) -> list[Chosen]:
    """Select a limited number of segments of each visit, evenly spread over it, and a limited number in total.

    If the total is too large, each visit gives fewer segments; if one segment per visit is still too many, visits are
    drawn at random.

    Args:
        data: The data set.
        part: Part of the data set.
        per_visit: Maximum number of segments of a visit.
        total: Maximum number of segments in total.
        seed: Seed of the random draw.
    """
    visits: list[tuple[str, list[Rows]]] = []
    for shard in data.shards(part):
        order = np.lexsort((shard.start_s, shard.visit))
        cuts = np.flatnonzero(np.diff(shard.visit[order])) + 1
        visits.append((shard.name, [np.asarray(rows) for rows in np.split(order, cuts)]))
    sizes = np.array([len(rows) for _, shard_visits in visits for rows in shard_visits], dtype=np.int64)
    each = per_visit
    while each > 1 and int(np.minimum(sizes, each).sum()) > total:
        each -= 1
    kept = np.ones(len(sizes), dtype=bool)
    if len(sizes) > total:
        kept[:] = False
        kept[np.random.default_rng([seed, 23]).permutation(len(sizes))[:total]] = True
    chosen, at = [], 0
    for name, shard_visits in visits:
        rows = [spread(visit, each) for k, visit in enumerate(shard_visits) if kept[at + k]]
        at += len(shard_visits)
        if rows:
            chosen.append(Chosen(name, np.sort(np.concatenate(rows))))
    return chosen


def spread(rows: Rows, most: int) -> Rows:
    """Return at most ``most`` of the rows, evenly spread: the middle row of each of ``most`` equal stretches."""
    if len(rows) <= most:
        return rows
    return rows[((np.arange(most) + 0.5) * len(rows) / most).astype(np.intp)]


def features_of(
    data: PreparedDataset, chosen: Sequence[Chosen], work: Path, jobs: int, progress: TextIO | None
) -> Iterator[F32]:
    """Yield the features of the chosen rows, read from the work folder where they are already there.

    Args:
        data: The data set.
        chosen: Rows of each shard.
        work: Folder in which the features are kept.
        jobs: Number of processes.
        progress: Stream for the progress line, or ``None``.

    Yields:
        ``(rows, len(FEATURES))`` for each of ``chosen``, in order.

    Raises:
        InputError: A shard cannot be read.
        OutputError: The folder cannot be written.
    """
    todo = [_job(data, c, work) for c in chosen]
    missing = [job for job in todo if _read(job) is None]
    total = sum(len(job.rows) for job in todo)
    done = total - sum(len(job.rows) for job in missing)
    bar = Progress("ECG intervals", total, "segments", progress, done)
    for n in run_each(_make, missing, jobs):
        done += n
        bar.step(done)
    for job in todo:
        found = _read(job)
        if found is None:
            raise InputError(f"{job.path} was written and cannot be read", "check the disk, then run the command again")
        yield found


def _job(data: PreparedDataset, chosen: Chosen, work: Path) -> _Job:
    entry = next(s for s in data.manifest["shards"] if s["name"] == chosen.shard)
    rows = hashlib.sha256(chosen.rows.astype("<i8").tobytes()).hexdigest()
    bound = {
        "data": data.manifest["key"],
        "sha256": entry["sha256"],
        "features": [FEATURE_VERSION, [f.name for f in FEATURES]],
        "rows": rows,
    }
    key = hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()
    return _Job(data.folder, chosen.shard, chosen.rows, work / FOLDER / f"{chosen.shard}-{rows[:8]}.npz", key)


def _make(job: _Job) -> int:
    shard = PreparedDataset(job.data).shard(job.shard)
    found = np.empty((len(job.rows), len(FEATURES)), dtype=np.float32)
    for i in range(0, len(job.rows), BATCH):
        rows = job.rows[i : i + BATCH]
        found[i : i + BATCH] = segment_features(shard.segments(rows), shard.sd_mv[rows])
    save_arrays(job.path, {"key": np.array(job.key), "features": found, "sha256": np.array(_sha256(found))})
    return len(found)


def _read(job: _Job) -> F32 | None:
    try:
        with np.load(job.path, allow_pickle=False) as arrays:
            if str(arrays["key"]) != job.key:
                return None
            found: F32 = arrays["features"]
            sound = str(arrays["sha256"]) == _sha256(found) and found.shape == (len(job.rows), len(FEATURES))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if sound else None


def _sha256(array: F32) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
