"""Results of a reference on the same windows: another bundle, a checkpoint, the float form, or a file of logits.

A reference bundle runs through the engine like the bundle under test and has its own estimates. The other references
give results for windows only, which are averaged into estimates with the weights of the device.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from calibration.validate.float_form import WHAT, FloatForm
from calibration.validate.judge import Judged
from calibration.validate.labelled import Labelled
from calibration.validate.observe import HOP_EPSILON_S, Observed
from calibration.validate.shards import RunPlan, key_of, open_bundle, run_all
from convert.compute.progress import Progress
from convert.datasets.npz import read_npz
from convert.datasets.pairs import RawWindow, student_stream, windows_of
from convert.teacher.open import CheckpointOptions, open_teacher
from convert.teacher.place import is_bundle
from edge.bundle.reader import DEMO, Bundle, resolve
from edge.frontend.stream import FS_HZ, WINDOW_SAMPLES, normalise_window
from edge.process.files import output_error, written_beside
from firmware_bridge.errors import InputError, OutputError

F64 = NDArray[np.float64]

MAX_FILE_BYTES = 4 << 30
SHARD_RECORDINGS = 16
FREE_DISK = "free some space or choose another --out"
SPAN_S = (WINDOW_SAMPLES - 1) / FS_HZ
"""Time from the first to the last sample of a window, seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Results of a reference, aligned with those of the bundle under test.

    Attributes:
        name: Name for the report.
        kind: ``bundle``, ``checkpoint``, ``float`` or ``logits``.
        sha256: SHA-256 of the file that it was read from.
        logits: Logits or values of the windows, ``(windows, heads)`` in the order of the tested bundle; NaN if missing.
        shown: Score of each estimate, ``(estimates, heads)``, in any scale with the same ranking; NaN if missing.
        thresholds: Threshold of each head in the scale of ``shown``; ``None`` if it has none.
        missing: Heads of the tested bundle that the reference does not have.
    """

    name: str
    kind: str
    sha256: str
    logits: F64
    shown: F64
    thresholds: tuple[float | None, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReferencePlan:
    """Options for opening and running a reference.

    Attributes:
        what: Value of ``--reference``.
        outputs: File that describes the outputs of a checkpoint; ``None`` for ``outputs.json`` in the same folder.
        work: Folder of intermediate files.
        hop_s: Seconds between windows.
        jobs: Number of processes.
        form: Float form of the bundle under test; ``None`` if it has none.
    """

    what: str
    outputs: Path | None
    work: Path
    hop_s: float
    jobs: int
    form: FloatForm | None = None


def check_reference(what: str, bundle: Bundle, form: FloatForm | None) -> None:
    """Refuse an impossible reference before hours of recordings are processed.

    Args:
        what: Value of ``--reference``.
        bundle: Bundle under test.
        form: Its float form; ``None`` if it has none.

    Raises:
        InputError: The path does not exist, or the bundle has no float form.
    """
    if what == WHAT:
        if form is None:
            raise InputError(
                f"{bundle.manifest.name} contains no float form",
                "use --reference with the teacher or another bundle; 'anyecg convert micro' adds a float form",
            )
    elif what != DEMO and not resolve(what).exists():
        raise InputError(
            f"no reference at {resolve(what)}", "give a bundle, a checkpoint (.pth), logits (.npz) or 'float'"
        )


def open_reference(plan: ReferencePlan, judged: Judged, progress: TextIO | None) -> Reference:
    """Run or read the reference.

    Args:
        plan: Options of the reference.
        judged: Results of the bundle under test, with labels.
        progress: Stream for the progress line, or ``None``.

    Raises:
        InputError: The reference cannot be read, shares no head, or has no result for these windows.
        BundleError: The reference is an invalid bundle.
    """
    check_reference(plan.what, judged.bundle, plan.form)
    if plan.form is not None and plan.what == WHAT:
        return _known(_float_form(plan, plan.form, judged, progress), "its own float form")
    path = resolve(plan.what)
    if path.suffix == ".npz":
        found = _logits_file(path, plan, judged)
    elif is_bundle(path):
        found = _bundle(path, plan, judged, progress)
    else:
        found = _checkpoint(path, plan, judged, progress)
    return _known(found, str(path))


def _known(found: Reference, what: str) -> Reference:
    if not np.isfinite(found.shown).any():
        raise InputError(
            f"the reference {what} has no result for these recordings", "use a reference from the same data"
        )
    return found


def _columns(keys: Sequence[str], judged: Judged, what: str) -> tuple[list[int | None], tuple[str, ...]]:
    """Return the column of each head of the tested bundle in the reference, and the missing heads."""
    at = {key: i for i, key in enumerate(keys)}
    ours = [h.key for h in judged.bundle.manifest.outputs]
    if not any(key in at for key in ours):
        raise InputError(
            f"{what} has no common head, but {', '.join(list(keys)[:6])}",
            f"heads are matched by key; the bundle has {', '.join(ours[:6])}",
        )
    return [at.get(key) for key in ours], tuple(key for key in ours if key not in at)


def _bundle(path: Path, plan: ReferencePlan, judged: Judged, progress: TextIO | None) -> Reference:
    bundle, _ = open_bundle(path)
    m = bundle.manifest
    columns, missing = _columns([h.key for h in m.outputs], judged, str(path))
    data = judged.data
    key = key_of(bundle.sha256, data.sha256, plan.hop_s, len(data.recordings))
    seen = run_all(
        RunPlan(path, plan.hop_s, plan.jobs, sha256=bundle.sha256),
        list(enumerate(data.recordings)),
        plan.work,
        f"run-{key}",
        progress,
    )
    theirs = Judged(bundle, data, seen, judged.truth, judged.est_truth, judged.seed, judged.resamples)
    logits = np.stack([theirs.window_logits(j) for j in range(len(m.outputs))], axis=1)
    span_s = judged.bundle.manifest.aggregation_minutes * 60.0
    rows = _matched(_window_keys(seen), _window_keys(judged.seen))
    est_rows = _matched(_estimate_keys(seen, span_s), _estimate_keys(judged.seen, span_s))
    limits = [bundle.calibration[h.key].shown_threshold for h in m.outputs]
    return Reference(
        f"{m.name} {m.version}", "bundle", bundle.sha256, _taken(logits, rows, columns),
        _taken(seen.est_value, est_rows, columns),
        tuple(None if c is None else limits[c] for c in columns), missing,
    )  # fmt: skip


def _window_keys(seen: Observed) -> NDArray[np.int64]:
    return np.stack((seen.recording.astype(np.int64), seen.hop), axis=1)


def _estimate_keys(seen: Observed, span_s: float) -> NDArray[np.int64]:
    span = (seen.est_start_s // span_s).astype(np.int64)
    return np.stack((seen.est_recording.astype(np.int64), span), axis=1)


def _matched(theirs: NDArray[np.int64], ours: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of ``theirs`` that matches each row of ``ours``, -1 if there is none."""
    at = {(int(a), int(b)): i for i, (a, b) in enumerate(theirs)}
    return np.array([at.get((int(a), int(b)), -1) for a, b in ours], dtype=np.int64)


def _taken(values: F64, rows: NDArray[np.int64], columns: Sequence[int | None]) -> F64:
    out = np.full((len(rows), len(columns)), np.nan)
    known = rows >= 0
    for j, column in enumerate(columns):
        if column is not None:
            out[known, j] = values[rows[known], column]
    return out


def averaged(judged: Judged, logits: F64) -> F64:
    """Average logits over the windows of each estimate with the weights of the device.

    Args:
        judged: Results of the bundle under test.
        logits: Logits or values of the windows, ``(windows, heads)``.

    Returns:
        Means, ``(estimates, heads)``; NaN if no window has a result.
    """
    m = judged.bundle.manifest
    span_s = m.aggregation_minutes * 60.0
    seen = judged.seen
    weight = seen.score.astype(np.float64) if m.weighting == "quality" else np.ones(len(seen.score))
    out = np.full((len(seen.est_recording), logits.shape[1]), np.nan)
    for i, (recording, start_s) in enumerate(zip(seen.est_recording, seen.est_start_s, strict=True)):
        first, last = np.searchsorted(seen.recording, (recording, recording + 1))
        rows = np.arange(first, last)
        rows = rows[(seen.start_s[rows] <= start_s + 1e-6) & (seen.start_s[rows] > start_s - span_s)]
        rows = rows[np.isfinite(logits[rows]).any(axis=1)]
        if len(rows):
            out[i] = (logits[rows] * weight[rows, None]).sum(axis=0) / weight[rows].sum()
    return out


def _logits_file(path: Path, plan: ReferencePlan, judged: Judged) -> Reference:
    keys, records, start_s, logits, thresholds = read_logits(path)
    columns, missing = _columns(keys, judged, str(path))
    index = {r.name: i for i, r in enumerate(judged.data.recordings)}
    number = np.array([index.get(str(name), -1) for name in records], dtype=np.int64)
    hop = np.floor((start_s + SPAN_S) / plan.hop_s + HOP_EPSILON_S).astype(np.int64)
    rows = _matched(np.stack((number, hop), axis=1), _window_keys(judged.seen))
    aligned = _taken(logits, rows, columns)
    limits = tuple(None if c is None or not np.isfinite(thresholds[c]) else float(thresholds[c]) for c in columns)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Reference(path.name, "logits", digest, aligned, averaged(judged, aligned), limits, missing)


def read_logits(path: Path) -> tuple[list[str], NDArray[np.str_], F64, F64, F64]:
    """Read a file of logits.

    It holds ``keys`` ``(heads,)``, ``record`` and ``start_s`` ``(windows,)``, ``logits`` ``(windows, heads)`` and
    optionally ``thresholds`` ``(heads,)``.

    Returns:
        Keys, names of the recordings, start times in seconds, logits, and thresholds in the scale of the logits (NaN
        if the file has none).

    Raises:
        InputError: The file is not a valid file of logits.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than {MAX_FILE_BYTES} bytes", "use a smaller file of logits")
        file = read_npz(path, MAX_FILE_BYTES)
        keys = [str(key) for key in file["keys"]]
        records, start_s = file["record"], file["start_s"].astype(np.float64)
        logits = file["logits"].astype(np.float64)
        limits = file["thresholds"].astype(np.float64) if "thresholds" in file else np.full(len(keys), np.nan)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a file of logits: {error}", "docs/validate.md describes the format") from None
    lengths = records.shape if records.ndim == 1 else (-1,)
    if logits.shape != (*lengths, len(keys)) or start_s.shape != lengths or limits.shape != (len(keys),):
        raise InputError(f"{path}: the shapes of its arrays do not match", "docs/validate.md describes the format")
    return keys, records, start_s, logits, limits


def save_logits(path: Path, judged: Judged) -> None:
    """Write the logits of the tested bundle for every window as a file that can serve as a reference."""
    m = judged.bundle.manifest
    logits = np.stack([judged.window_logits(j) for j in range(len(m.outputs))], axis=1)
    on_logits = [math.nan if t is None else t for t in _thresholds_on_logits(judged)]
    names = np.array([r.name for r in judged.data.recordings], dtype=np.str_)
    arrays = {
        "keys": np.array([h.key for h in m.outputs], dtype=np.str_),
        "record": names[judged.seen.recording],
        "start_s": judged.seen.start_s,
        "logits": logits.astype(np.float32),
        "thresholds": np.array(on_logits),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error, FREE_DISK) from None
    with written_beside(path, advice=FREE_DISK, suffix=".npz") as partial:
        np.savez_compressed(partial, allow_pickle=False, **arrays)


def _thresholds_on_logits(judged: Judged) -> list[float | None]:
    """Return the thresholds of the bundle under test before the sigmoid."""
    out: list[float | None] = []
    for h in judged.bundle.manifest.outputs:
        t = judged.bundle.calibration[h.key].threshold
        out.append(t if t is None or h.kind == "value" or not 0.0 < t < 1.0 else math.log(t / (1.0 - t)))
    return out


def _float_form(plan: ReferencePlan, form: FloatForm, judged: Judged, progress: TextIO | None) -> Reference:
    """Run every window through the float form, with the calibration and thresholds of the bundle."""
    bundle, data = judged.bundle, judged.data
    m = bundle.manifest
    clamp = m.front_end.clamp

    def outputs(window: RawWindow) -> NDArray[np.float32]:
        z = np.clip(normalise_window(student_stream(window.context)), -clamp, clamp)
        return np.asarray(form.run(z.reshape(1, -1))[0])

    key = key_of(f"float {bundle.sha256}", data.sha256, plan.hop_s, len(data.recordings))
    keys, found = _shards(plan, f"float-{key}", form.width, outputs, data, progress)
    entries = [bundle.calibration[h.key] for h in m.outputs]
    logits = found[:, [h.index for h in m.outputs]] * [e.slope for e in entries] + [e.offset for e in entries]
    aligned = _taken(logits, _matched(keys, _window_keys(judged.seen)), range(len(m.outputs)))
    limits = tuple(_thresholds_on_logits(judged))
    name = f"{m.name} {m.version} in float"
    return Reference(name, WHAT, bundle.sha256, aligned, averaged(judged, aligned), limits, ())


def _checkpoint(path: Path, plan: ReferencePlan, judged: Judged, progress: TextIO | None) -> Reference:
    teacher = open_teacher(path, CheckpointOptions(plan.outputs), plan.work)
    columns, missing = _columns([h.key for h in teacher.heads], judged, str(path))
    key = key_of(teacher.identity, judged.data.sha256, plan.hop_s, len(judged.data.recordings))

    def outputs(window: RawWindow) -> NDArray[np.float32]:
        return teacher.label(window.raw)[0]

    keys, logits = _shards(plan, f"teacher-{key}", len(teacher.heads), outputs, judged.data, progress)
    aligned = _taken(logits, _matched(keys, _window_keys(judged.seen)), columns)
    limits: tuple[float | None, ...] = tuple(None for _ in columns)
    return Reference(teacher.name, "checkpoint", teacher.sha256, aligned, averaged(judged, aligned), limits, missing)


Outputs = Callable[[RawWindow], NDArray[np.float32]]
"""A function from a window to the outputs of a reference, ``(heads,)``."""


def _shards(
    plan: ReferencePlan, name: str, heads: int, outputs: Outputs, data: Labelled, progress: TextIO | None
) -> tuple[NDArray[np.int64], F64]:
    """Return recording, hop and outputs of every window; an interrupted run resumes from the shards on disk."""
    folder = plan.work / name
    total = len(data.recordings)
    bar = Progress("running the reference", total, "recordings", progress)
    keys, logits = [], []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for first in range(0, total, SHARD_RECORDINGS):
            path = folder / f"{first:06d}.npz"
            if not path.is_file():
                indices = range(first, min(first + SHARD_RECORDINGS, total))
                _save_shard(path, list(_of_recordings(outputs, data, indices, plan.hop_s)))
            with np.load(path, allow_pickle=False) as file:
                keys.append(file["keys"])
                logits.append(file["logits"].astype(np.float64).reshape(-1, heads))
            bar.step(min(first + SHARD_RECORDINGS, total))
    except OSError as error:
        raise OutputError(f"cannot use {folder}: {error.strerror}", FREE_DISK) from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise InputError(f"a file in {folder} is damaged", "delete that folder and run the command again") from None
    return np.concatenate(keys), np.concatenate(logits)


def _of_recordings(
    outputs: Outputs, data: Labelled, indices: range, hop_s: float
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    for i in indices:
        try:
            for window in windows_of(data.recordings[i].items(), hop_s):
                hop = math.floor((window.start_s + SPAN_S) / hop_s + HOP_EPSILON_S)
                yield i, hop, outputs(window)
        except InputError:
            continue  # the run of the bundle already reports broken recordings


def _save_shard(path: Path, rows: Sequence[tuple[int, int, NDArray[np.float32]]]) -> None:
    with written_beside(path, advice=FREE_DISK, suffix=".npz") as partial:
        np.savez_compressed(
            partial,
            allow_pickle=False,
            keys=np.array([(i, hop) for i, hop, _ in rows], dtype=np.int64).reshape(-1, 2),
            logits=np.array([out for _, _, out in rows], dtype=np.float32),
        )
