"""Run a teacher on every segment of a part, in shards on disk, with several processes or a cluster.

Each shard of scores belongs to a shard of the data. Its bytes depend only on the teacher and the segments, so any
machine produces the same shard, and an interrupted run resumes with the missing shards.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from calibration.evaluate.scorer import Scorer, ScorerSpec
from calibration.evaluate.teacher import OpenTeacher
from convert.compute.progress import Progress
from convert.compute.schedule import run_jobs
from convert.datasets.mcmed import Part
from convert.datasets.prepared import SHARDS, PreparedDataset
from convert.datasets.shards import read_shard
from edge.process.files import remove_partials, write_atomically
from firmware_bridge.errors import InputError, OutputError

DIGEST = 32
"""Bytes of a SHA-256."""

WORTHWHILE = 500
"""Minimum number of segments per process; starting a process takes seconds."""

FREE_DISK = "free some space or choose another --out; finished work is kept"

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """One shard of segments to score; a process on any machine with the same files can run it.

    Attributes:
        data: Folder of the prepared data set.
        key: Key of the data set.
        name: Name of the shard.
        sha256: Suffix and SHA-256 of its two files, from the manifest.
        segments: Number of its segments.
        out: File of the scores.
        spec: Model of the teacher.
    """

    data: Path
    key: str
    name: str
    sha256: tuple[tuple[str, str], ...]
    segments: int
    out: Path
    spec: ScorerSpec


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes or cluster that compute the scores.

    Attributes:
        jobs: Number of processes on this machine.
        scheduler: ``none``, or a scheduler of :mod:`convert.compute.schedule`, which ignores ``jobs``.
    """

    jobs: int = 1
    scheduler: str = "none"


def score_part(
    data: PreparedDataset, part: Part, teacher: OpenTeacher, work: Path, workers: Workers, progress: TextIO | None
) -> Iterator[F32]:
    """Score the shards that are not yet on disk, then read the scores shard by shard.

    Args:
        data: The prepared data set.
        part: Part of the data set.
        teacher: The teacher.
        work: Folder of the shards of scores.
        workers: Processes or cluster that compute the scores.
        progress: Stream for the progress line, or ``None``.

    Returns:
        Scores of each shard, ``(segments, outputs)``, in the order of
        :meth:`convert.datasets.prepared.PreparedDataset.shards`. All at once would take as much memory again as what is
        made of them.

    Raises:
        InputError: A shard of the data is damaged; the message names it.
        OutputError: A shard of scores cannot be written.
    """
    jobs = _jobs(data, part, teacher, work)
    folders = {job.out.parent for job in jobs}
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            remove_partials(folder)
    except OSError as error:
        raise OutputError(f"cannot use {work}: {error.strerror or error}", FREE_DISK) from error
    todo = [job for job in jobs if _read(job) is None]
    total = sum(job.segments for job in jobs)
    done = total - sum(job.segments for job in todo)
    bar = Progress(f"scoring with {teacher.name}", total, "segments", progress, done)
    with closing(_made(todo, workers)) as made:
        for segments in made:
            done += segments
            bar.step(done)
    with suppress(OSError):
        # What a worker of a cluster leaves that is killed while it writes; another one has made the shard.
        for folder in folders:
            remove_partials(folder)
    return map(_found, jobs)


def _jobs(data: PreparedDataset, part: Part, teacher: OpenTeacher, work: Path) -> list[ScoreJob]:
    entries = [s for s in data.manifest["shards"] if s["part"] == part and s["segments"]]
    key = str(data.manifest["key"])
    inputs = [teacher.identity, key, part]
    folder = work / f"scores-{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]}"
    spec = teacher.spec(work)
    return [
        ScoreJob(
            data=data.folder.absolute(),
            key=key,
            name=entry["name"],
            sha256=tuple(sorted(entry["sha256"].items())),
            segments=entry["segments"],
            out=(folder / f"{entry['name']}.scores").absolute(),
            spec=spec,
        )
        for entry in entries
    ]


def _made(jobs: Sequence[ScoreJob], workers: Workers) -> Generator[int, None, None]:
    if workers.scheduler != "none":
        yield from run_jobs(jobs, workers.scheduler, make_scores)
        return
    processes = min(workers.jobs, len(jobs), sum(job.segments for job in jobs) // WORTHWHILE)
    if processes < 2:
        yield from map(make_scores, jobs)
    else:
        context = multiprocessing.get_context("spawn")
        # Ctrl-C reaches every process of the terminal; only the parent handles it.
        with context.Pool(processes, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
            yield from pool.imap_unordered(make_scores, jobs)


_mine = threading.local()
"""Scorer of this thread; an interpreter is not thread-safe."""


def make_scores(job: ScoreJob) -> int:
    """Score a shard, write the result and return the number of its segments.

    Raises:
        InputError: The shard of the data or the teacher's model is damaged.
        OutputError: The scores cannot be written.
    """
    kept: tuple[ScorerSpec, Scorer] | None = getattr(_mine, "kept", None)
    if kept is None or kept[0] != job.spec:
        kept = _mine.kept = (job.spec, Scorer(job.spec))
    check_shard(job.data, job.name, job.key, dict(job.sha256))
    shard = PreparedDataset(job.data).shard(job.name)
    if len(shard) != job.segments:
        raise damaged(job.data, job.name)
    buffer = io.BytesIO()
    np.save(buffer, kept[1].score(shard.segments(slice(None))), allow_pickle=False)
    data = buffer.getvalue()
    write_atomically(job.out, _digest(job, data) + data, advice=FREE_DISK, unique=True)
    return job.segments


def check_shard(folder: Path, name: str, key: str, sha256: dict[str, str]) -> None:
    """Compare both files of a shard of the data with the manifest.

    Raises:
        InputError: The shard is missing or altered.
    """
    content = read_shard(folder / SHARDS, name, key)
    if content is None or content["sha256"] != sha256:
        raise damaged(folder, name)


def damaged(folder: Path, name: str) -> InputError:
    """Return the error for a shard that differs from the manifest."""
    return InputError(f"the shard {name} of {folder} is damaged", "run 'anyecg prepare' again to rebuild it")


def _digest(job: ScoreJob, data: bytes) -> bytes:
    # The hashes of the segments are included, so that data prepared again under the same key are scored again.
    return hashlib.sha256(json.dumps(job.sha256).encode() + data).digest()


def _read(job: ScoreJob) -> F32 | None:
    """Read a shard of scores; ``None`` if it is missing or damaged and must be computed."""
    try:
        raw = job.out.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {job.out}: {error.strerror or error}") from error
    if _digest(job, raw[DIGEST:]) != raw[:DIGEST]:
        return None
    try:
        found: F32 = np.load(io.BytesIO(raw[DIGEST:]), allow_pickle=False)
    except (ValueError, EOFError):
        return None
    return found if found.shape == (job.segments, job.spec.outputs) else None


def _found(job: ScoreJob) -> F32:
    found = _read(job)
    if found is None:
        raise InputError(f"{job.out} changed while it was in use", "run the command again")
    return found
