"""What a reference says of the same windows: another bundle, a float checkpoint or form, or logits of somebody's.

A bundle runs through the engine as the one under test does, and its estimates are its own. The others say something of
windows only; these are averaged into estimates with the weights of the device.
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
from convert.datasets.pairs import RawWindow, student_stream, windows_of
from convert.teacher.open import CheckpointOptions, open_teacher
from convert.teacher.place import is_bundle
from edge.bundle.reader import DEMO, Bundle, resolve
from edge.frontend.stream import FS_HZ, WINDOW_SAMPLES, normalise_window
from firmware_bridge.errors import InputError, OutputError

F64 = NDArray[np.float64]

MAX_FILE_BYTES = 4 << 30
SHARD_RECORDINGS = 16
SPAN_S = (WINDOW_SAMPLES - 1) / FS_HZ
"""From the first to the last sample of a window."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What the reference says, beside what the bundle under test says.

    Attributes:
        name: For people.
        kind: ``bundle``, ``checkpoint``, ``float`` or ``logits``.
        sha256: Of what it was read from.
        logits: Its logits or values of the windows, ``(windows, heads)`` in the order of the tested bundle, NaN where
            it says nothing.
        shown: Of the estimates, ``(estimates, heads)``, in a scale of its own that ranks alike, NaN as above.
        thresholds: Where it decides, in the scale of ``shown``; ``None`` where it does not say.
        missing: Heads of the tested bundle that it does not have.
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
    """How a reference is opened and run.

    Attributes:
        what: As given on the command line.
        outputs: What a checkpoint's outputs mean; ``None`` for ``outputs.json`` beside it.
        work: Folder of intermediate files.
        hop_s: Seconds between windows.
        jobs: Processes.
        form: Float form of the bundle under test; ``None`` where it carries none.
    """

    what: str
    outputs: Path | None
    work: Path
    hop_s: float
    jobs: int
    form: FloatForm | None = None


def check_reference(what: str, bundle: Bundle, form: FloatForm | None) -> None:
    """Refuses a reference that cannot be, before hours of recordings are run for it.

    Args:
        what: As given on the command line.
        bundle: Under test.
        form: Its float form; ``None`` where it carries none.

    Raises:
        InputError: There is nothing, or no float form in the bundle.
    """
    if what == WHAT:
        if form is None:
            raise InputError(
                f"{bundle.manifest.name} carries no float form",
                "'anyecg convert micro' puts one in; or --reference with the teacher or another bundle",
            )
    elif what != DEMO and not resolve(what).exists():
        raise InputError(
            f"no reference at {resolve(what)}", "give a bundle, a checkpoint (.pth), logits (.npz) or 'float'"
        )


def open_reference(plan: ReferencePlan, judged: Judged, progress: TextIO | None) -> Reference:
    """Runs or reads the reference.

    Args:
        plan: What, and how.
        judged: The bundle under test and what it said.
        progress: Stream for the progress line, or ``None``.

    Raises:
        InputError: It cannot be read, shares no head, or says nothing of these windows.
        BundleError: It is a bundle that is not what it says.
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
        raise InputError(f"the reference {what} says nothing of these recordings", "was it made from other data?")
    return found


def _columns(keys: Sequence[str], judged: Judged, what: str) -> tuple[list[int | None], tuple[str, ...]]:
    """Where each head of the tested bundle stands in the reference, and those that it lacks."""
    at = {key: i for i, key in enumerate(keys)}
    ours = [h.key for h in judged.bundle.manifest.outputs]
    if not any(key in at for key in ours):
        raise InputError(
            f"{what} has other heads: {', '.join(list(keys)[:6])}",
            f"the bundle has {', '.join(ours[:6])}; heads are matched by key",
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
    limits = [bundle.calibration[h.key].threshold for h in m.outputs]
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
    """Row of theirs that belongs to each of ours, -1 where there is none."""
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
    """Means over the windows behind each estimate, weighted as the device weighs them; NaN where one is missing.

    Args:
        judged: The bundle under test and what it said.
        logits: ``(windows, heads)``.
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
    """A file of logits: ``keys`` ``(heads,)``, ``record`` and ``start_s`` ``(windows,)``, ``logits``, ``thresholds``.

    Returns:
        Keys, recordings, begins, logits, and thresholds on the scale of the logits (NaN where the file has none).

    Raises:
        InputError: It is no such file.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
        with np.load(path, allow_pickle=False) as file:
            keys = [str(key) for key in file["keys"]]
            records, start_s = file["record"], file["start_s"].astype(np.float64)
            logits = file["logits"].astype(np.float64)
            limits = file["thresholds"].astype(np.float64) if "thresholds" in file else np.full(len(keys), np.nan)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no logits: {error}", "docs/validate.md describes the file") from None
    if logits.shape != (len(records), len(keys)) or start_s.shape != (len(records),) or limits.shape != (len(keys),):
        raise InputError(f"{path}: keys, record, start_s and logits do not fit each other")
    return keys, records, start_s, logits, limits


def save_logits(path: Path, judged: Judged) -> None:
    """Writes what the tested bundle said of every window as a file that can be a reference itself."""
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
        np.savez_compressed(path, allow_pickle=False, **arrays)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}", "free some space or name another --out") from error


def _thresholds_on_logits(judged: Judged) -> list[float | None]:
    """Where the bundle under test decides, before the sigmoid."""
    out: list[float | None] = []
    for h in judged.bundle.manifest.outputs:
        t = judged.bundle.calibration[h.key].threshold
        out.append(t if t is None or h.kind == "value" or not 0.0 < t < 1.0 else math.log(t / (1.0 - t)))
    return out


def _float_form(plan: ReferencePlan, form: FloatForm, judged: Judged, progress: TextIO | None) -> Reference:
    """The bundle before it was rounded: every window again, through the same calibration to the same thresholds."""
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
"""What a reference says of a window, ``(heads,)``."""


def _shards(
    plan: ReferencePlan, name: str, heads: int, outputs: Outputs, data: Labelled, progress: TextIO | None
) -> tuple[NDArray[np.int64], F64]:
    """Recording and hop of every window, and what the reference says of it; a killed run goes on."""
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
        raise OutputError(f"cannot use {folder}: {error.strerror}", "free some space or name another --out") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise InputError(f"a file in {folder} is damaged", "delete that folder and start again") from None
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
            continue  # the device's run reports a broken recording


def _save_shard(path: Path, rows: Sequence[tuple[int, int, NDArray[np.float32]]]) -> None:
    partial = path.with_suffix(".part.npz")
    np.savez_compressed(
        partial,
        allow_pickle=False,
        keys=np.array([(i, hop) for i, hop, _ in rows], dtype=np.int64).reshape(-1, 2),
        logits=np.array([out for _, _, out in rows], dtype=np.float32),
    )
    partial.replace(path)
