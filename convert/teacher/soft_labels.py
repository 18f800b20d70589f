"""A teacher's labels of a data set, computed once and kept on disk in shards with checksums.

A shard holds the windows of a few recordings: raw context, logits and features. It is written atomically, and its bytes
depend on the recordings and the teacher only, so an interrupted run loses one shard at most and gives the same bytes
when it is resumed. A shard that does not match its checksum is made again.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import signal
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.progress import Progress
from convert.compute.schedule import check_scheduler, run_jobs
from convert.datasets.pairs import CONTEXT_SAMPLES, RawWindow, Recording, chosen_windows
from convert.teacher.open import LiteRtTeacher, Teacher
from convert.teacher.share import SharedTeacher, share, teacher_of
from edge.process.files import remove_partials, write_atomically
from firmware_bridge.errors import InputError, OutputError, UsageError

SHARD_RECORDINGS = 4
"""Number of recordings in a shard. An interrupted run loses one shard at most, some seconds of work."""

WORKERS = 2
"""Number of parallel labelling processes. Simulating and filtering a recording takes as long as labelling it."""

WORTHWHILE = 16
"""Minimum number of shards for which processes are started; each takes seconds to start."""

MAGIC = b"anyecg labels 2\n"
DIGEST = 32
LENGTH = 8
CONTEXT_BYTES = 2 * CONTEXT_SAMPLES

FREE_DISK = "free some space or name another work folder"
"""Advice without an option: commands name this folder in several ways, and some make it themselves."""

SEEN_S = 90.0
"""How long to wait for a shard of another machine to appear, seconds: NFS caches a missing file for a minute."""

PARTIALS = ".labels-*.part"
"""Shards that a killed worker was writing."""

LOOK_S = 0.5
"""Time between two looks at the folder, seconds."""


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Choice of the windows that are labelled.

    Attributes:
        hop_s: Hop between the windows of a recording, 0.1 to 3600 s.
        most: Maximum number of windows of a recording, 1 to 100000, spread over it.
    """

    hop_s: float = 5.0
    most: int = 16

    def __post_init__(self) -> None:
        # The filter decimates by four from the start of a segment, so windows start at multiples of 8 ms.
        if not 0.1 <= self.hop_s <= 3600.0 or not 1 <= self.most <= 100_000:
            raise UsageError("--hop must be 0.1 to 3600 s, and --windows 1 to 100000")


@dataclass(frozen=True, slots=True)
class Crew:
    """Workers that label.

    Attributes:
        scheduler: Scheduler as :mod:`convert.compute.schedule` takes it; ``None`` for two processes on this machine if
            there are enough shards, which needs no Dask.
        shared: Folder that all workers see, for the teacher's model; ``None`` for the folder of the shards.
    """

    scheduler: str | None = None
    shared: Path | None = None

    def __post_init__(self) -> None:
        if self.scheduler is not None:
            check_scheduler(self.scheduler)


@dataclass(frozen=True, slots=True)
class Contexts:
    """Raw samples of one shard's windows.

    The file is opened for each read, because a data set may have more shards than a process may have open files.

    Attributes:
        path: File of the shard.
        first: Offset of the samples in the file, bytes.
        count: Number of windows.
    """

    path: Path
    first: int
    count: int

    def read(self, i: int) -> NDArray[np.int16]:
        """Return the raw samples of window ``i``, ``(6112,)`` int16.

        Raises:
            InputError: The shard was removed or changed.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.first + i * CONTEXT_BYTES)
                return np.frombuffer(file.read(CONTEXT_BYTES), "<i2").reshape(CONTEXT_SAMPLES)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path} changed during the run", "run the command again") from error


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The labelled windows of some recordings.

    Attributes:
        contexts: Raw samples of each shard as 16-bit numbers, which is the resolution of a patch. They stay on disk,
            because they are large.
        ends: Index after the last window of each shard, ``(shards,)``.
        scales: Offset and step of each window, ``(n, 2)``: ``value = offset + step * number``.
        recording: Index of each window's recording, ``(n,)``.
        start_s: Signal time of each window's start, seconds, ``(n,)``.
        logits: Logits of the teacher, ``(n, heads)``.
        features: Features of the teacher, ``(n, width)``; the width is 0 for a teacher without features.
        skipped: Name and reason of each recording without a window, ``(k, 2)`` text.
    """

    contexts: tuple[Contexts, ...]
    ends: NDArray[np.int64]
    scales: NDArray[np.float64]
    recording: NDArray[np.int32]
    start_s: NDArray[np.float64]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    skipped: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.logits)

    def context(self, i: int) -> NDArray[np.float64]:
        """Return the raw samples of window ``i``, ``(6112,)`` float64, in the unit of the recording."""
        shard = int(np.searchsorted(self.ends, i, side="right"))
        numbers = self.contexts[shard].read(i - int(self.ends[shard]) + self.contexts[shard].count)
        return np.asarray(self.scales[i, 0] + self.scales[i, 1] * numbers.astype(np.float64))


def label(
    workdir: Path,
    recordings: Sequence[Recording],
    teacher: Teacher,
    plan: WindowPlan,
    progress: TextIO | None,
    crew: Crew | None = None,
) -> Labels:
    """Label the shards that are not yet on disk, then read all of them.

    Args:
        workdir: Folder of the shards, bound to this teacher, these recordings and this plan.
        recordings: Recordings, sorted by name.
        teacher: Teacher that labels the windows.
        plan: Choice of the windows.
        progress: Stream for the progress line, or ``None``.
        crew: Workers that label.

    Raises:
        UsageError: The folder belongs to other labels.
        InputError: No recording has a usable window.
        OutputError: The folder cannot be written.
        MissingExtraError: The scheduler needs Dask, which is not installed.
        LinkError: The cluster does not answer, or lost a shard too often.
    """
    workdir = workdir.absolute()
    _claim(workdir, recordings, teacher, plan)
    groups = [range(i, min(i + SHARD_RECORDINGS, len(recordings))) for i in range(0, len(recordings), SHARD_RECORDINGS)]
    paths = [workdir / f"labels-{number:05d}.shard" for number in range(len(groups))]
    found = [_read(path) for path in paths]
    done = sum(len(group) for group, part in zip(groups, found, strict=True) if part is not None)
    bar = Progress("labelling", len(recordings), "recordings", progress, done)
    windows = sum(len(part) for part in found if part is not None)
    todo = [
        (number, paths[number], [(i, recordings[i]) for i in group], plan)
        for number, group in enumerate(groups)
        if found[number] is None
    ]
    for number in _make_shards(todo, teacher, workdir, crew or Crew()):
        group, part = groups[number], _seen(paths[number])
        found[number] = part
        if part is None:
            raise OutputError(f"{paths[number]} reads back differently from what was written", "check the disk")
        done += len(group)
        windows += len(part)
        bar.step(done, f"({windows} windows)")
    with suppress(OSError):
        # A worker of a cluster that was killed while it wrote has left its part; another one has made the shard.
        remove_partials(workdir, PARTIALS)
    labels = _joined([part for part in found if part is not None])
    if not len(labels):
        name, why = labels.skipped[0]
        raise InputError(f"none of {len(recordings)} recordings has a usable window; {name}: {why}")
    return labels


def _claim(workdir: Path, recordings: Sequence[Recording], teacher: Teacher, plan: WindowPlan) -> None:
    listed = [[r.name, r.patient, r.size, *filter(None, [r.stated])] for r in recordings]
    config = {
        "teacher": teacher.identity,
        "heads": len(teacher.heads),
        "features": teacher.features,
        "recordings": hashlib.sha256(json.dumps(listed).encode()).hexdigest(),
        **asdict(plan),
    }
    text = json.dumps(config, indent=2, sort_keys=True)
    path = workdir / "labels.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        remove_partials(workdir, PARTIALS)
        if path.is_file():
            if path.read_text(encoding="utf-8") != text:
                raise UsageError(
                    f"{workdir} holds labels of another teacher, data set or plan",
                    "name another work folder or delete this one",
                )
            return
    except OSError as error:
        raise OutputError(f"cannot use {workdir}: {error.strerror or error}", FREE_DISK) from error
    write_atomically(path, text, advice=FREE_DISK)


_Job = tuple[int, Path, list[tuple[int, Recording]], WindowPlan]
"""One shard to make: its number, its file, its recordings with their numbers, and the choice of the windows."""


def _make_shards(jobs: Sequence[_Job], teacher: Teacher, workdir: Path, crew: Crew) -> Iterator[int]:
    """Make shards, and yield the number of each as soon as it is on disk."""
    if jobs and crew.scheduler not in (None, "none"):
        yield from run_jobs(jobs, str(crew.scheduler), partial(_make_for, share(teacher, crew.shared or workdir)))
        return
    if crew.scheduler == "none":
        yield from (_make(job, teacher) for job in jobs)
        return
    if len(jobs) < WORTHWHILE or not isinstance(teacher, LiteRtTeacher):
        for job in jobs:
            yield _make(job, teacher)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(WORKERS, _start_worker, (teacher,)) as pool:
        yield from pool.imap_unordered(_make_in_worker, jobs)


_worker: dict[str, Teacher] = {}


def _start_worker(teacher: Teacher) -> None:
    # Ctrl-C reaches every process of the terminal; only the main process must handle it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker["teacher"] = teacher


def _make_in_worker(job: _Job) -> int:
    return _make(job, _worker["teacher"])


def _make_for(given: SharedTeacher | Teacher, job: _Job) -> int:
    return _make(job, teacher_of(given))


def _make(job: _Job, teacher: Teacher) -> int:
    number, path, recordings, plan = job
    _write(path, *_label_group(recordings, teacher, plan))
    return number


def _label_group(
    recordings: Sequence[tuple[int, Recording]], teacher: Teacher, plan: WindowPlan
) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of the contexts and the arrays of a shard."""
    contexts, scales, index, start_s, logits, features, skipped = [], [], [], [], [], [], []
    for i, recording in recordings:
        chosen, why = chosen_windows(recording, plan.hop_s, plan.most)
        if why:
            skipped.append((recording.name[:200], why[:240]))
        for window in chosen:
            numbers, scale = _packed(window)
            out, seen = teacher.label(window.raw)
            if not (np.all(np.isfinite(out)) and np.all(np.isfinite(seen))):
                raise InputError(
                    f"the teacher {teacher.name} returns NaN or infinity", "check that it is the right file"
                )
            contexts.append(numbers)
            scales.append(scale)
            index.append(i)
            start_s.append(window.start_s)
            logits.append(out)
            features.append(seen)
    arrays = {
        "scales": np.array(scales, dtype=np.float64).reshape(-1, 2),
        "recording": np.array(index, dtype=np.int32),
        "start_s": np.array(start_s, dtype=np.float64),
        "logits": np.array(logits, dtype=np.float32).reshape(-1, len(teacher.heads)),
        "features": np.array(features, dtype=np.float32).reshape(len(features), teacher.features),
        "skipped": np.array(skipped, dtype=np.str_).reshape(-1, 2),
    }
    return b"".join(c.astype("<i2").tobytes() for c in contexts), arrays


def _packed(window: RawWindow) -> tuple[NDArray[np.int16], tuple[float, float]]:
    low, high = float(window.context.min()), float(window.context.max())
    step = max((high - low) / 65534.0, 1e-12)
    offset = 0.5 * (low + high)
    return np.rint((window.context - offset) / step).astype(np.int16), (offset, step)


_FIELDS = ("scales", "recording", "start_s", "logits", "features", "skipped")


def _joined(parts: Sequence[Labels]) -> Labels:
    contexts = tuple(c for p in parts for c in p.contexts)
    ends = np.cumsum([part.count for part in contexts], dtype=np.int64)
    return Labels(contexts, ends, *(np.concatenate([getattr(p, name) for p in parts]) for name in _FIELDS))


def _write(path: Path, contexts: bytes, arrays: dict[str, Any]) -> None:
    """Write a shard: magic number, digest, length of the contexts, contexts, and the arrays as ``.npz``."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    data = len(contexts).to_bytes(LENGTH, "little") + contexts + buffer.getvalue()
    # A cluster may run a job twice at the same time, when it loses contact with a worker that is still writing.
    write_atomically(path, MAGIC + hashlib.sha256(data).digest() + data, advice=FREE_DISK, unique=True)


def _seen(path: Path) -> Labels | None:
    """Read a shard that was just made, perhaps by another machine."""
    deadline_s = time.monotonic() + SEEN_S
    while (found := _read(path)) is None and not path.exists() and time.monotonic() < deadline_s:
        time.sleep(LOOK_S)
        with suppress(OSError):
            # Listing the folder refreshes the cache of the file server.
            sum(1 for _ in path.parent.iterdir())
    return found


def _read(path: Path) -> Labels | None:
    """Read a shard; return ``None`` if it is missing or damaged and must be made again."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = len(MAGIC) + DIGEST
    if data[: len(MAGIC)] != MAGIC or hashlib.sha256(data[start:]).digest() != data[len(MAGIC) : start]:
        return None
    first = start + LENGTH
    size = int.from_bytes(data[start:first], "little")
    try:
        with np.load(io.BytesIO(data[first + size :]), allow_pickle=False) as arrays:
            rest = [arrays[name] for name in _FIELDS]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
        return None
    count = size // CONTEXT_BYTES
    return Labels((Contexts(path, first, count),), np.array([count]), *rest)
