"""The patients of the demonstration: their split, and the training data of the teacher.

Patients are pure functions of seed and number. Only the teacher's training windows are kept on disk, in shards of a few
patients, so an interrupted run loses one shard at most.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.compute.progress import Progress
from convert.compute.training import save_arrays
from convert.datasets.pairs import CONTEXT_SAMPLES, GRID_HZ, MARGIN, student_stream
from convert.demo.heads import DEMO_LABS
from convert.demo.measurements import measurements
from convert.simulate.patient import SIMULATOR_VERSION
from convert.simulate.wearable import Wearable, disturb
from edge.frontend.ecgfounder import WINDOW_SAMPLES, EcgFounderFrontEnd
from edge.process.files import write_atomically
from firmware_bridge.errors import InputError, OutputError, UsageError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I16 = NDArray[np.int16]

SHARD = 25
"""Number of patients in a shard; an interrupted run loses one shard at most."""

WORKERS = 2
WORTHWHILE = 8

LABS = tuple(dict.fromkeys(lab for lab, _ in DEMO_LABS))

SPLIT_SHARES = {"test": 0.25, "calibration": 0.20, "validation": 0.04}
"""Shares of the patients; the rest is for training. Calibration and test are large, because rare conditions need
positives there, and because with too few patients in each of the fifteen bins the calibration error is overestimated.
"""

MIN_PATIENTS = 100

WINDOWS = 4
"""Number of training windows of a patient. Every second window has the noise of a wearable, because a teacher that is
sensitive to noise cannot teach a student to tolerate it."""

STEP = 1.0 / 2048.0
"""Step of the stored 16-bit windows: z-scores up to 16, with a finer resolution than the converter of a patch."""


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Options of the simulated cohort.

    Attributes:
        patients: Number of patients.
        seed: Seed of the cohort.
        seconds: Length of each record, seconds.
    """

    patients: int
    seed: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class TeacherData:
    """Training data of the teacher.

    Attributes:
        windows: Output of the front end ``ecgfounder/1``, ``(patients, WINDOWS, 5000)`` int16, in steps of
            :data:`STEP`.
        labs: Laboratory values by lab key, ``(patients,)`` in the unit of the lab.
        measurements: Measurements of the ECG, ``(patients, COUNT)`` of :mod:`convert.demo.measurements`.
    """

    windows: I16
    labs: Mapping[str, F64]
    measurements: F64


def split(patients: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Return the patient numbers of ``train``, ``validation``, ``calibration`` and ``test``, without overlap.

    Raises:
        UsageError: There are too few patients.
    """
    if patients < MIN_PATIENTS:
        raise UsageError(f"{patients} patients are too few to split", f"use at least {MIN_PATIENTS}")
    order = np.random.default_rng([seed, 3]).permutation(patients)
    found: dict[str, NDArray[np.int64]] = {}
    at = 0
    for name, share in SPLIT_SHARES.items():
        count = round(patients * share)
        found[name] = np.sort(order[at : at + count])
        at += count
    found["train"] = np.sort(order[at:])
    return found


def teacher_data(
    workdir: Path, config: DataConfig, patients: NDArray[np.int64], progress: TextIO | None
) -> TeacherData:
    """Simulate the shards that are not yet on disk, then read all of them.

    Args:
        workdir: Folder of the shards, claimed by this configuration (:func:`claim`).
        config: Options of the cohort.
        patients: Numbers of the patients, in the order of the result.
        progress: Stream for the progress line, or ``None``.

    Raises:
        InputError: A shard is damaged.
        OutputError: A shard cannot be written.
    """
    groups = [patients[i : i + SHARD] for i in range(0, len(patients), SHARD)]
    paths = [workdir / "teacher-windows" / f"{group[0]:06d}-{group[-1]:06d}-{len(group)}.npz" for group in groups]
    todo = [k for k, path in enumerate(paths) if not path.is_file()]
    done = len(groups) - len(todo)
    bar = Progress("simulating", len(groups), f"shards of {SHARD} patients", progress, done)
    for _ in _make_shards([(paths[k], config, groups[k].tolist()) for k in todo]):
        done += 1
        bar.step(done)
    windows = np.empty((len(patients), WINDOWS, WINDOW_SAMPLES), np.int16)
    labs = np.empty((len(patients), len(LABS)))
    for k, path in enumerate(paths):
        rows = slice(k * SHARD, k * SHARD + len(groups[k]))
        windows[rows], labs[rows] = _read_shard(path)
    found = measurements(patients, config.seed)
    return TeacherData(windows, {lab: labs[:, i] for i, lab in enumerate(LABS)}, found)


_Job = tuple[Path, DataConfig, list[int]]


def _make_shards(jobs: Sequence[_Job]) -> Iterator[None]:
    """Make shards, in several processes if there are enough shards to justify starting them."""
    if len(jobs) < WORTHWHILE:
        yield from map(_make_shard, jobs)
        return
    context = multiprocessing.get_context("spawn")
    # Ctrl-C reaches every process of the terminal; only this process must handle it.
    with context.Pool(WORKERS, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield from pool.imap_unordered(_make_shard, jobs)


def claim(workdir: Path, config: Mapping[str, object]) -> None:
    """Bind a work folder to a configuration, so that a restart never mixes two configurations.

    Raises:
        UsageError: The folder belongs to another configuration.
        OutputError: The folder cannot be written.
    """
    path = workdir / "config.json"
    text = json.dumps(config, indent=2, sort_keys=True)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            if path.read_text(encoding="utf-8") != text:
                raise UsageError(f"{workdir} holds another run", "name another --work or delete this one")
            return
    except OSError as error:
        raise OutputError(f"cannot use {workdir}: {error.strerror}", "name another --work") from error
    write_atomically(path, text, advice="name another --work")


def probe(config: DataConfig) -> dict[str, object]:
    """Return the configuration that a work folder is bound to.

    It has a hash of the first patient's windows, so that shards of different versions of the simulator or the front end
    are never mixed.
    """
    windows, _ = _patient(config, 0)
    found = hashlib.sha256(windows.tobytes()).hexdigest()
    return {"data": asdict(config), "simulator": SIMULATOR_VERSION, "first_patient": found}


def _patient(config: DataConfig, index: int) -> tuple[I16, list[float]]:
    from convert.simulate.patient import simulate_patient

    patient = simulate_patient(config.seed, index, config.seconds)
    rng = np.random.default_rng([config.seed, index, 5])
    ecg = patient.ecg_mv.astype(np.float64)
    front_end = EcgFounderFrontEnd()
    found = []
    for k in range(WINDOWS):
        first = int(rng.integers(0, len(ecg) - CONTEXT_SAMPLES + 1))
        context = ecg[first : first + CONTEXT_SAMPLES]
        if k % 2:
            context = disturb(context, float(student_stream(context).std()), rng, Wearable())
        z = front_end(context[MARGIN:-MARGIN])
        found.append(np.clip(np.rint(z / STEP), -32768, 32767).astype(np.int16))
    return np.stack(found), [patient.labs.get(lab, np.nan) for lab in LABS]


def _make_shard(job: _Job) -> None:
    path, config, patients = job
    found = [_patient(config, index) for index in patients]
    windows, labs = np.stack([w for w, _ in found]), np.array([values for _, values in found], dtype=np.float64)
    save_arrays(path, {"windows": windows, "labs": labs})


def _read_shard(path: Path) -> tuple[I16, F64]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return data["windows"], data["labs"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged", "delete it and run the command again") from error


MIN_SECONDS = CONTEXT_SAMPLES / GRID_HZ + 1.0
"""Minimum length of a record, seconds: one window with the support of the filter, and 1 s to place it."""
