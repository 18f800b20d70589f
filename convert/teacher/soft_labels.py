"""A teacher's labels of a data set, computed once, in checksummed shards on disk.

A shard holds the windows of a few recordings: raw context, logits and features. It is written whole or not at all, and
its bytes depend on the recordings and the teacher alone, so a run that was killed loses at most one shard's work and
ends with the same bytes as one that was not. A shard that does not match its checksum is made again.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import signal
import time
import uuid
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
from firmware_bridge.errors import InputError, OutputError, UsageError

SHARD_RECORDINGS = 4
"""Recordings in a shard: the unit that is lost when a run is killed, some seconds of work."""

WORKERS = 2
"""Processes that label side by side: simulating and filtering a recording takes as long as labelling it."""

WORTHWHILE = 16
"""Shards from which processes are started for them; each takes seconds to start."""

MAGIC = b"anyecg labels 2\n"
DIGEST = 32
LENGTH = 8
CONTEXT_BYTES = 2 * CONTEXT_SAMPLES

FREE_DISK = "free some space or name another --workdir"

SEEN_S = 90.0
"""How long a shard of another machine may take to be seen here: NFS believes for a minute that there is none."""

LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """Which windows are labelled.

    Attributes:
        hop_s: Seconds between the windows of a recording.
        most: Windows of a recording at most, spread over it.
    """

    hop_s: float = 5.0
    most: int = 16

    def __post_init__(self) -> None:
        # The filter decimates by four from the start of a segment, so windows begin at multiples of 8 ms.
        if not 0.1 <= self.hop_s <= 3600.0 or not 1 <= self.most <= 100_000:
            raise UsageError("windows lie 0.1 to 3600 s apart, and a recording gives 1 to 100000 of them")


@dataclass(frozen=True, slots=True)
class Crew:
    """Who labels.

    Attributes:
        scheduler: As :mod:`convert.compute.schedule` takes it; ``None`` for two processes of this machine where it
        is worth it, which needs no Dask.
        shared: Folder that everybody sees, for the teacher; ``None`` for that of the shards.
    """

    scheduler: str | None = None
    shared: Path | None = None

    def __post_init__(self) -> None:
        if self.scheduler is not None:
            check_scheduler(self.scheduler)


@dataclass(frozen=True, slots=True)
class Contexts:
    """The raw samples of one shard's windows, read one by one: a data set has more shards than a process has files.

    Attributes:
        path: The shard.
        first: Byte at which they begin.
        count: How many windows.
    """

    path: Path
    first: int
    count: int

    def read(self, i: int) -> NDArray[np.int16]:
        """Raw samples of window ``i``, ``(6112,)``.

        Raises:
            InputError: The shard is gone.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.first + i * CONTEXT_BYTES)
                return np.frombuffer(file.read(CONTEXT_BYTES), "<i2").reshape(CONTEXT_SAMPLES)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path} was altered while it was in use", "start again") from error


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The labelled windows of some recordings.

    Attributes:
        contexts: Raw samples as 16-bit numbers, a shard each: a patch's converter has no more. They stay on disk, for
            they are the bulk.
        ends: One past each shard's last window, ``(shards,)``.
        scales: Offset and step of each, ``(n, 2)``: ``value = offset + step * number``.
        recording: Index of each window's recording, ``(n,)``.
        start_s: Signal time of each, ``(n,)``.
        logits: The teacher's, ``(n, heads)``.
        features: The teacher's, ``(n, width)``; the width is 0 where it shows none.
        skipped: For recordings without a window, why: ``(k, 2)``, name and reason.
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
        """Raw samples of window ``i``, ``(6112,)``."""
        shard = int(np.searchsorted(self.ends, i, side="right"))
        numbers = self.contexts[shard].read(i - int(self.ends[shard]) + self.contexts[shard].count)
        return np.asarray(self.scales[i, 0] + self.scales[i, 1] * numbers.astype(np.float64))


def label(
    workdir: Path,
    recordings: Sequence[Recording],
    teacher: Teacher,
    plan: LabelPlan,
    progress: TextIO | None,
    crew: Crew | None = None,
) -> Labels:
    """Labels what is not yet on disk, then reads everything.

    Args:
        workdir: Folder of the shards; bound to this teacher, these recordings and this plan.
        recordings: In the order of their names.
        teacher: Labels the windows.
        plan: Which windows.
        progress: Stream for the progress line, or ``None``.
        crew: Who labels.

    Raises:
        UsageError: The folder belongs to other labels.
        InputError: No recording holds a usable window.
        OutputError: The folder cannot be written.
        MissingExtraError: Dask was asked for and is not installed.
        LinkError: A cluster cannot be reached, or lost a shard too often.
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
    for number in _made(todo, teacher, workdir, crew or Crew()):
        group, part = groups[number], _seen(paths[number])
        found[number] = part
        if part is None:
            raise OutputError(f"{paths[number]} does not come back as it was written", "is the disk sound?")
        done += len(group)
        windows += len(part)
        bar.step(done, f"({windows} windows)")
    labels = _joined([part for part in found if part is not None])
    if not len(labels):
        name, why = labels.skipped[0]
        raise InputError(f"no usable recording among {len(recordings)}: {name}: {why}")
    return labels


def _claim(workdir: Path, recordings: Sequence[Recording], teacher: Teacher, plan: LabelPlan) -> None:
    listed = [[r.name, r.patient, r.size] for r in recordings]
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
        for rest in workdir.glob(".labels-*.part"):
            rest.unlink(missing_ok=True)
        if path.is_file():
            if path.read_text(encoding="utf-8") != text:
                raise UsageError(
                    f"{workdir} holds labels of another teacher, data set or plan",
                    "name another --workdir or delete this one",
                )
            return
        begun = path.with_suffix(".part")
        begun.write_text(text, encoding="utf-8")
        begun.replace(path)
    except OSError as error:
        raise OutputError(f"cannot use {workdir}: {error.strerror or error}", FREE_DISK) from error


_Job = tuple[int, Path, list[tuple[int, Recording]], LabelPlan]
"""A shard to make: its number, its file, its recordings with their numbers, which windows."""


def _made(jobs: Sequence[_Job], teacher: Teacher, workdir: Path, crew: Crew) -> Iterator[int]:
    """Makes shards, and gives the number of each as soon as it is on disk."""
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
    with context.Pool(WORKERS, _begin_worker, (teacher,)) as pool:
        yield from pool.imap_unordered(_make_in_worker, jobs)


_worker: dict[str, Teacher] = {}


def _begin_worker(teacher: Teacher) -> None:
    # Ctrl-C reaches every process of the terminal; only the first shall answer it.
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
    recordings: Sequence[tuple[int, Recording]], teacher: Teacher, plan: LabelPlan
) -> tuple[bytes, dict[str, Any]]:
    """The contexts' bytes and the arrays of a shard."""
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
                    f"the teacher {teacher.name} gives values that are not finite", "is it the right file?"
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
    """Digest, length of the contexts, contexts, the rest as ``.npz``."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    data = len(contexts).to_bytes(LENGTH, "little") + contexts + buffer.getvalue()
    # A cluster may start a shard again while a worker that it lost still writes the same: each has a file of its own.
    begun = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part")
    try:
        with begun.open("wb") as file:
            file.write(MAGIC + hashlib.sha256(data).digest() + data)
            file.flush()
            os.fsync(file.fileno())
        begun.replace(path)
    except OSError as error:
        begun.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror or error}", FREE_DISK) from error


def _seen(path: Path) -> Labels | None:
    """A shard that was just made, perhaps by another machine."""
    deadline_s = time.monotonic() + SEEN_S
    while (found := _read(path)) is None and not path.exists() and time.monotonic() < deadline_s:
        time.sleep(LOOK_S)
        with suppress(OSError):
            # Listing the folder asks the file server anew.
            sum(1 for _ in path.parent.iterdir())
    return found


def _read(path: Path) -> Labels | None:
    """The shard, or ``None`` where it is missing or damaged and has to be made again."""
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
