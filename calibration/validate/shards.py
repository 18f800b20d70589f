"""Run the engine on a whole data set in shards on disk, with several processes; an interrupted run resumes."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import signal
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TextIO

import numpy as np

from calibration.validate.observe import Alter, Observed, joined, observe
from convert.compute.progress import Progress
from convert.datasets.pairs import Recording
from edge.bundle.reader import Bundle, load_bundle
from edge.model import Model, load_model
from edge.process.files import write_atomically
from firmware_bridge.errors import BundleError, InputError, OutputError

SHARD_RECORDINGS = 16
"""Recordings per shard; an interruption loses at most one shard per process, a few seconds of work."""

WORTHWHILE = 8 * SHARD_RECORDINGS
"""Minimum number of recordings for several processes; each process takes about a second to start."""

DIGEST = 32
"""Bytes of a SHA-256."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Options of a run.

    Attributes:
        bundle: Path of the bundle.
        hop_s: Seconds between windows.
        jobs: Number of processes.
        alter: Function that changes the items of the link; ``None`` for no change.
        sha256: SHA-256 of the manifest, to detect a bundle that is replaced during the run; empty for no check.
        rates: Whether the heart rate is tracked.
    """

    bundle: Path
    hop_s: float
    jobs: int
    alter: Alter | None = None
    sha256: str = ""
    rates: bool = True


_Job = tuple[Path, RunPlan, list[tuple[int, Recording]]]


def run_all(
    plan: RunPlan, recordings: Sequence[tuple[int, Recording]], work: Path, key: str, progress: TextIO | None
) -> Observed:
    """Run the recordings whose results are not yet on disk, then read all results.

    Args:
        plan: Options of the run.
        recordings: Index in the data set and recording.
        work: Folder of the shards.
        key: Hash of everything that the results depend on; shards with another key are ignored.
        progress: Stream for the progress line, or ``None``.

    Raises:
        InputError: A shard changed while it was in use.
        OutputError: A shard cannot be written.
    """
    return run_each([(plan, key)], recordings, work, progress)[0]


def run_each(
    plans: Sequence[tuple[RunPlan, str]], recordings: Sequence[tuple[int, Recording]], work: Path,
    progress: TextIO | None,
) -> list[Observed]:  # fmt: skip
    """Run the same recordings by several plans, whose jobs share the processes; see :func:`run_all`.

    Args:
        plans: Options of each run and its key, at least one.
        recordings: Index in the data set and recording.
        work: Folder of the shards.
        progress: Stream for the progress line, or ``None``.
    """
    groups = [list(recordings[i : i + SHARD_RECORDINGS]) for i in range(0, len(recordings), SHARD_RECORDINGS)]
    jobs = [(work / key / f"{k:05d}.npz", plan, group) for plan, key in plans for k, group in enumerate(groups)]
    found = [_read(path) for path, _, _ in jobs]
    todo = [i for i, part in enumerate(found) if part is None]
    done = sum(len(group) for (_, _, group), part in zip(jobs, found, strict=True) if part is not None)
    bar = Progress("running the engine", len(recordings) * len(plans), "recordings", progress, done)
    try:
        for _, key in plans:
            (work / key).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot use {work / key}: {error.strerror}", "choose another --out") from error
    windows = 0
    for i, part in zip(todo, _made([jobs[i] for i in todo], plans[0][0].jobs), strict=True):
        found[i] = part
        done += len(jobs[i][2])
        windows += len(part.recording)
        bar.step(done, f"({windows} windows)")
    whole = [part for part in found if part is not None]
    return [joined(whole[i : i + len(groups)]) for i in range(0, len(whole), len(groups))]


def _made(jobs: Sequence[_Job], processes: int) -> Iterator[Observed]:
    processes = min(processes, len(jobs))
    if processes < 2 or sum(len(job[2]) for job in jobs) < WORTHWHILE:
        loaded: dict[Path, tuple[Bundle, Model]] = {}
        for job in jobs:
            plan = job[1]
            if plan.bundle not in loaded:
                loaded[plan.bundle] = open_bundle(plan.bundle)
            yield _make(job, *loaded[plan.bundle])
        return
    context = multiprocessing.get_context("spawn")
    # Ctrl-C reaches every process of the terminal; only the parent handles it.
    with context.Pool(processes, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield from pool.imap(_make_shard, jobs)


_opened: dict[Path, tuple[Bundle, Model]] = {}


def _make_shard(job: _Job) -> Observed:
    path = job[1].bundle
    if path not in _opened:
        _opened[path] = open_bundle(path)
    return _make(job, *_opened[path])


def _make(job: _Job, bundle: Bundle, model: Model) -> Observed:
    path, plan, group = job
    if plan.sha256 not in ("", bundle.sha256):
        raise BundleError(f"{plan.bundle} was replaced while it was in use", "run the command again")
    alter = plan.alter or iter
    part = observe(bundle, model, ((i, r.name, alter(r.items())) for i, r in group), plan.hop_s, rates=plan.rates)
    _write(path, part)
    return part


def open_bundle(path: Path) -> tuple[Bundle, Model]:
    """Load a bundle and its model without the self-test, which is a check of the gate."""
    bundle = load_bundle(path)
    return bundle, load_model(bundle)


def key_of(*parts: object) -> str:
    """Return a short hash of everything that a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _write(path: Path, part: Observed) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **part.arrays())
    data = buffer.getvalue()
    advice = "free some space or choose another --out"
    write_atomically(path, hashlib.sha256(data).digest() + data, advice=advice, unique=True)


def _read(path: Path) -> Observed | None:
    """Read a shard; ``None`` if it is missing or damaged and must be computed."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if hashlib.sha256(data[DIGEST:]).digest() != data[:DIGEST]:
        return None
    try:
        with np.load(io.BytesIO(data[DIGEST:]), allow_pickle=False) as found:
            return Observed(**{f.name: found[f.name] for f in fields(Observed)})
    except (ValueError, KeyError, zipfile.BadZipFile):
        return None
