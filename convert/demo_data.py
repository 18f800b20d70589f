"""The demonstration's data: simulated patients, filtered by the device's front end, split by patient, kept on disk."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.demo_heads import DEMO_LABS
from convert.progress import Progress
from convert.training import save_arrays
from convert.windows import stream_of
from firmware_bridge.errors import InputError, OutputError, UsageError

SHARD = 25
"""Patients in a file: the unit that is lost when a run is killed."""

WORKERS = 2

LABS = tuple(dict.fromkeys(lab for lab, _ in DEMO_LABS))

SPLIT_SHARES = {"test": 0.12, "calibration": 0.12, "validation": 0.06}
"""The rest trains. Calibration and test are large because rare conditions need positives there."""


@dataclass(frozen=True, slots=True)
class DataConfig:
    """What is simulated.

    Attributes:
        patients: How many.
        seed: Seed of the cohort.
        seconds: Length of each record.
    """

    patients: int
    seed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cohort:
    """Simulated patients behind the front end.

    Attributes:
        streams: float32 ``(patients, samples)`` at 125 Hz.
        labs: Lab key -> ``(patients,)``.
    """

    streams: NDArray[np.float32]
    labs: Mapping[str, NDArray[np.float64]]

    def take(self, rows: NDArray[np.int64]) -> Cohort:
        """Some of the patients."""
        return Cohort(self.streams[rows], {k: v[rows] for k, v in self.labs.items()})


def split(patients: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Patient numbers of ``train``, ``validation``, ``calibration`` and ``test``, no patient in two of them."""
    order = np.random.default_rng([seed, 3]).permutation(patients)
    found: dict[str, NDArray[np.int64]] = {}
    at = 0
    for name, share in SPLIT_SHARES.items():
        count = round(patients * share)
        found[name] = np.sort(order[at : at + count])
        at += count
    found["train"] = np.sort(order[at:])
    return found


def load_cohort(workdir: Path, config: DataConfig, progress: TextIO | None) -> Cohort:
    """Simulate what is not yet on disk, then read everything.

    Args:
        workdir: Folder of the intermediate files.
        config: What to simulate.
        progress: Stream for the progress line, or ``None``.

    Raises:
        UsageError: The folder belongs to another configuration.
        OutputError: It cannot be written.
    """
    if config.patients < 4 * SHARD:
        raise UsageError(f"{config.patients} patients are too few to split", f"use at least {4 * SHARD}")
    claim(workdir, {"data": asdict(config), "first_patient": _probe(config)})
    numbers = range(-(-config.patients // SHARD))
    todo = [n for n in numbers if not _path(workdir, n).is_file()]
    bar = Progress("simulating", len(numbers), f"shards of {SHARD} patients", progress, len(numbers) - len(todo))
    done = len(numbers) - len(todo)
    if todo:
        context = multiprocessing.get_context("spawn")
        # Ctrl-C reaches every process of the terminal; only this one shall answer it.
        with context.Pool(min(WORKERS, len(todo)), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
            jobs = [(workdir, config, n) for n in todo]
            for _ in pool.imap_unordered(_make_shard, jobs):
                done += 1
                bar.step(done)
    parts = [_read_shard(_path(workdir, n)) for n in numbers]
    streams = np.concatenate([p[0] for p in parts])
    labs = np.concatenate([p[1] for p in parts])
    return Cohort(streams, {lab: labs[:, i] for i, lab in enumerate(LABS)})


def claim(workdir: Path, config: Mapping[str, object]) -> None:
    """Bind a work folder to a configuration, so that a restart never mixes two.

    Raises:
        UsageError: The folder belongs to another configuration.
        OutputError: It cannot be written.
    """
    path = workdir / "config.json"
    text = json.dumps(config, indent=2, sort_keys=True)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            if path.read_text() != text:
                raise UsageError(f"{workdir} holds another run", "name another --workdir or delete this one")
            return
        path.write_text(text)
    except OSError as error:
        raise OutputError(f"cannot use {workdir}: {error.strerror}", "name another --workdir") from error


def _probe(config: DataConfig) -> str:
    """Hash of the first patient's stream: shards of another version of the simulator or front end are not mixed in."""
    from convert.simulate import simulate_patient

    patient = simulate_patient(config.seed, 0, config.seconds)
    return hashlib.sha256(stream_of(patient.ecg_mv, round(patient.fs_hz)).tobytes()).hexdigest()


def _path(workdir: Path, number: int) -> Path:
    return workdir / "streams" / f"{number:05d}.npz"


def _make_shard(job: tuple[Path, DataConfig, int]) -> int:
    from convert.simulate import simulate_patient

    workdir, config, number = job
    last = min(config.patients, (number + 1) * SHARD)
    streams, labs = [], []
    for index in range(number * SHARD, last):
        patient = simulate_patient(config.seed, index, config.seconds)
        streams.append(stream_of(patient.ecg_mv, round(patient.fs_hz)))
        labs.append([patient.labs.get(lab, np.nan) for lab in LABS])
    save_arrays(_path(workdir, number), {"streams": np.stack(streams), "labs": np.array(labs, dtype=np.float64)})
    return number


def _read_shard(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return data["streams"], data["labs"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged", "delete it and start again") from error
