"""Baselines to compare the network with: gradient boosting on age and sex, and on hand-crafted ECG intervals.

::

    found = fit_baselines(data, "test", BaselinePlan(), work, sys.stderr)
    found["intervals"].scores        # (segments of the part, heads): logits, or values scaled as the targets

They are trained on the same patients as the network, and the patients of the part ``val`` decide when to stop.
Results that take long are kept in the work folder: rerun the command to resume.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from calibration.baselines.features import Chosen, all_rows, features_of, spread_rows
from calibration.baselines.fit import FIT_VERSION, HeadJob, HeadScores, coded, fit_head, level_edges
from calibration.baselines.pool import run_each
from convert.compute.progress import Progress
from convert.compute.training import save_arrays
from convert.datasets.mcmed import Part
from convert.datasets.prepared import PreparedDataset
from edge.waves.features import FEATURE_VERSION, NAMES
from firmware_bridge.errors import MissingExtraError, OutputError, UsageError

F32 = NDArray[np.float32]

DEMOGRAPHICS = ("age", "sex")
"""Age in years; sex as 0 (F) or 1 (M). Unknown values stay NaN: a tree learns the better branch for them."""

GROUPS: dict[str, tuple[str, ...]] = {
    "demographics": DEMOGRAPHICS,
    "intervals": NAMES,
    "intervals+demographics": (*NAMES, *DEMOGRAPHICS),
}
"""The baselines and their features."""

COLUMNS = (*NAMES, *DEMOGRAPHICS)
VAL_SHARE = 4
"""Training segments for each segment that decides when to stop."""


@dataclass(frozen=True, slots=True)
class BaselinePlan:
    """How the baselines are trained.

    Attributes:
        segments_per_visit: Maximum number of training segments of a visit, evenly spread over it.
        max_segments: Maximum number of training segments in total.
        min_positives: Minimum number of training patients with a positive label and with a negative label (for a value
            head: with a value); a head with fewer has no baseline.
        seed: Seed of all random draws.
        jobs: Number of processes; 0 for one per core. It has no effect on the scores.
    """

    segments_per_visit: int = 12
    max_segments: int = 200_000
    min_positives: int = 10
    seed: int = 0
    jobs: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class BaselineScores:
    """Scores of one baseline.

    Attributes:
        name: ``"demographics"``, ``"intervals"`` or ``"intervals+demographics"``.
        features: Names of its features.
        scores: ``(n, heads)`` float32, a logit or a value scaled like the targets; segments in the order of
            ``data.shards(judged)``, heads in the order of ``data.heads``. All NaN for a head without a baseline.
            Memory-mapped.
        why: Reason for each head without a baseline, otherwise empty.
        trees: Number of trees for each head, 0 without a baseline.
    """

    name: str
    features: tuple[str, ...]
    scores: F32
    why: tuple[str, ...]
    trees: tuple[int, ...]


def fit_baselines(
    data: PreparedDataset,
    judged: Part,
    plan: BaselinePlan,
    work: Path,
    progress: TextIO | None = None,
    heads: Sequence[int] | None = None,
) -> dict[str, BaselineScores]:
    """Train the baselines on the training part and score every segment of another part.

    Args:
        data: The data set.
        judged: Part to score: ``"test"``, or ``"val"``; with ``"val"`` no patients are left to decide when to stop,
            and every model has 30 trees.
        plan: Limits of the training.
        work: Folder for intermediate results; nothing else may use it.
        progress: Stream for progress lines, or ``None``.
        heads: Positions in ``data.heads`` of the heads to fit; ``None`` for all.

    Returns:
        Scores by name of the baseline, in the order of :data:`GROUPS`.

    Raises:
        UsageError: The part is the training part, or a number of the plan is out of range.
        InputError: The data set cannot be read.
        OutputError: The work folder cannot be written.
        MissingExtraError: scikit-learn or scipy is not installed.
    """
    wanted = list(range(len(data.heads))) if heads is None else sorted(set(heads))
    _check(judged, plan)
    if wanted and not 0 <= wanted[0] <= wanted[-1] < len(data.heads):
        raise UsageError(f"head {wanted[0]} or {wanted[-1]} does not exist: the data set has {len(data.heads)} heads")
    train = spread_rows(data, "train", plan.segments_per_visit, plan.max_segments, plan.seed)
    val_segments = max(1, plan.max_segments // VAL_SHARE)
    val = [] if judged == "val" else spread_rows(data, "val", plan.segments_per_visit, val_segments, plan.seed)
    parts = {"train": train, "val": val, "judged": all_rows(data, judged)}
    own = work / judged
    try:
        (own / "matrices").mkdir(parents=True, exist_ok=True)
        features = features_of(data, [c for chosen in parts.values() for c in chosen], work, plan.jobs, progress)
        _matrices(data, parts, own / "matrices", features)
        return _scored(data, judged, plan, own, progress, wanted)
    except OSError as error:
        raise OutputError(
            f"cannot write {work}: {error.strerror or error}", "free some space or name another folder"
        ) from error


def _check(judged: Part, plan: BaselinePlan) -> None:
    if judged == "train":
        raise UsageError("baselines cannot be judged on the patients they are trained on", "choose the part 'test'")
    if min(plan.segments_per_visit, plan.max_segments, plan.min_positives) < 1 or plan.jobs < 0:
        raise UsageError(f"a number of the plan is out of range: {plan}")
    try:
        import sklearn  # noqa: F401  # checked before hours of work; used after them
    except ImportError as error:
        raise MissingExtraError("the baselines", "convert") from error


def _matrices(data: PreparedDataset, parts: dict[str, list[Chosen]], folder: Path, features: Iterator[F32]) -> None:
    """Write features, targets and patients of each part as plain arrays that any process can map."""
    numbers: dict[str, int] = {}
    edges: list[NDArray[np.float64]] = []
    for part, chosen in parts.items():
        n = sum(len(c.rows) for c in chosen)
        x = _array(folder / f"x_{part}.npy", np.float32, (n, len(COLUMNS)))
        learns = part != "judged"
        y = _array(folder / f"y_{part}.npy", np.float32, (len(data.heads), n if learns else 0))
        patient = _array(folder / f"patient_{part}.npy", np.int64, (n,))
        at = 0
        for c in chosen:
            shard, rows = data.shard(c.shard), slice(at, at + len(c.rows))
            x[rows, : len(NAMES)] = next(features)
            x[rows, len(NAMES)] = shard.age[c.rows]
            x[rows, len(NAMES) + 1] = sex_number(shard.sex[c.rows])
            if learns:
                y[:, rows] = shard.targets()[c.rows].T
            patient[rows] = [numbers.setdefault(str(p), len(numbers)) for p in shard.patient[c.rows]]
            at += len(c.rows)
        if part == "train":
            edges = level_edges(x)
        coded(x, edges)


def _array(path: Path, kind: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """Create an array on disk with all its space allocated, so that a full disk raises an error here and now."""
    if 0 in shape:  # an empty file cannot be mapped
        empty: NDArray[Any] = np.zeros(shape, dtype=kind)
        with path.open("wb") as file:
            np.save(file, empty)
        return empty
    found: NDArray[Any] = np.lib.format.open_memmap(path, "w+", kind, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return found


def sex_number(sex: NDArray[np.str_]) -> F32:
    """Return 0 for texts that begin with F, 1 for M, NaN for anything else, ``(n,)``."""
    first = np.char.upper(np.char.strip(sex).astype("<U1"))
    return np.where(first == "F", 0.0, np.where(first == "M", 1.0, np.nan)).astype(np.float32)


def _scored(
    data: PreparedDataset, judged: Part, plan: BaselinePlan, own: Path, progress: TextIO | None, wanted: list[int]
) -> dict[str, BaselineScores]:
    jobs = {i: _head_job(data, judged, plan, own, i) for i in wanted}
    n = data.size(judged)
    missing = [job for job in jobs.values() if _kept(job, n) is None]
    done = len(jobs) - len(missing)
    bar = Progress("baselines", len(jobs), "heads", progress, done)
    for _ in run_each(_fit, missing, plan.jobs):
        done += 1
        bar.step(done)
    why = {name: ["not asked for"] * len(data.heads) for name in GROUPS}
    trees = {name: [0] * len(data.heads) for name in GROUPS}
    # Another name until it is complete: another process may still be reading the table of an earlier run.
    partial = {name: own / f"scores-{name}.npy.part" for name in GROUPS}
    tables = {name: _array(path, np.float32, (len(data.heads), n)) for name, path in partial.items()}
    for table in tables.values():
        table[:] = np.nan
    for i, job in jobs.items():
        head = _kept(job, n) or _fit(job)
        for k, name in enumerate(GROUPS):
            tables[name][i], why[name][i], trees[name][i] = head.scores[k], head.why[k], head.trees[k]
    return {
        name: BaselineScores(
            name, features, _finished(partial[name], tables[name]), tuple(why[name]), tuple(trees[name])
        )
        for name, features in GROUPS.items()
    }


def _finished(partial: Path, table: NDArray[Any]) -> F32:
    """Rename the finished table and return it memory-mapped, ``(n, heads)``."""
    if not isinstance(table, np.memmap):
        return np.asarray(table, dtype=np.float32).T
    table.flush()
    found: F32 = np.load(partial.replace(partial.with_suffix("")), mmap_mode="r", allow_pickle=False)
    return found.T


def _head_job(data: PreparedDataset, judged: Part, plan: BaselinePlan, own: Path, i: int) -> HeadJob:
    import sklearn

    head = data.heads[i]
    settings = {k: v for k, v in asdict(plan).items() if k != "jobs"}
    bound = {
        "data": [data.manifest["key"], [[s["name"], s["sha256"]] for s in data.manifest["shards"]]],
        "versions": [FEATURE_VERSION, FIT_VERSION, sklearn.__version__, list(COLUMNS)],
        "plan": settings,
        "judged": judged,
        "head": asdict(head),
    }
    key = hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()
    groups = tuple(tuple(COLUMNS.index(f) for f in features) for features in GROUPS.values())
    path = own / "heads" / f"{i:05d}.npz"
    return HeadJob(own / "matrices", i, head.kind == "value", groups, plan.min_positives, plan.seed, path, key)


def _fit(job: HeadJob) -> HeadScores:
    found = fit_head(job)
    save_arrays(
        job.path,
        {"key": np.array(job.key), "scores": found.scores, "why": np.array(found.why), "trees": np.array(found.trees)},
    )
    return found


def _kept(job: HeadJob, n: int) -> HeadScores | None:
    try:
        with np.load(job.path, allow_pickle=False) as arrays:
            if str(arrays["key"]) != job.key or arrays["scores"].shape != (len(job.groups), n):
                return None
            why = tuple(str(w) for w in arrays["why"])
            return HeadScores(arrays["scores"], why, tuple(int(t) for t in arrays["trees"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
