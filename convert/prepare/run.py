"""Prepare a data set: write labelled segments to disk. ``docs/prepare.md`` describes the command.

A run reads the tables once, makes the shards, and writes the manifest last, so a folder with a manifest is complete.
An interrupted run resumes when it is started again, and gives the same bytes as an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TextIO

import numpy as np

from convert.compute.progress import Progress
from convert.compute.schedule import check_scheduler, run_jobs
from convert.datasets.labcatalogue import catalogue
from convert.datasets.mcmed import Part
from convert.datasets.prepared import MANIFEST, SCHEMA, SHARDS
from convert.labels.labs import LabCounts, LabSorter, limits_for
from convert.labels.plan import CandidateHead, LabelPlan, candidate_heads
from convert.prepare.copies import refuse_copies
from convert.prepare.records import (
    HeadCounts,
    LabRows,
    Manifest,
    ManifestHead,
    PartCounts,
    ShardEntry,
    ShardSummary,
    json_text,
)
from convert.prepare.shard import STATS, ShardJob, ShardReport, head_counts, make_shard
from convert.prepare.sources import PARTS, Patient, Source
from edge.process.files import remove_partials, write_atomically
from firmware_bridge.errors import InputError, OutputError, UsageError

FRONT_END = "ecgfounder/1"
PATIENTS_PER_SHARD = 8
"""An interrupted run loses one shard at most. A shard of MC-MED has about 3000 segments, 30 MB."""

CLAIM = "prepare.json"
WORK = ".labs"
FREE_DISK = "free some space and run the command again; finished shards are kept"


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """Options of a preparation.

    Attributes:
        plan: Label plan, read from the label file.
        scheduler: Workers that make the shards, as :mod:`convert.compute.schedule` takes it.
        patients_per_shard: Number of patients in a shard, 1 to 10000.
        skip_broken: Leave out and count recordings that cannot be read, instead of stopping.
    """

    plan: LabelPlan
    scheduler: str = "none"
    patients_per_shard: int = PATIENTS_PER_SHARD
    skip_broken: bool = False

    def __post_init__(self) -> None:
        check_scheduler(self.scheduler)
        if not 1 <= self.patients_per_shard <= 10_000:
            raise UsageError(f"cannot put {self.patients_per_shard} patients into a shard", "give 1 to 10000")


def prepare(source: Source, out: Path, options: PrepareOptions, progress: TextIO | None = None) -> Manifest:
    """Prepare a data set.

    Args:
        source: The data set.
        out: Output folder: new, empty, or left by an interrupted run.
        options: Options of the preparation.
        progress: Stream for the progress line, or ``None``.

    Returns:
        The manifest.

    Raises:
        InputError: The data cannot be used; the message names the fault and its place.
        UsageError: The folder holds another prepared data set.
        OutputError: The folder cannot be written.
    """
    patients = source.patients()
    key = _key(source, options)
    try:
        _claim(out, key, source.name)
        work = out / WORK
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        groups = _groups(patients, options.patients_per_shard)
        counts = _sorted_labs(source, options.plan, groups, work)
        jobs = _jobs(source, out, options, groups, counts, key)
        reports = _run_jobs(jobs, options.scheduler, progress)
        refuse_copies(out / SHARDS, [job.name for job in jobs])
        manifest = _manifest(source, out, options, counts, reports, key)
        write_atomically(out / MANIFEST, json_text(manifest), advice=FREE_DISK)
        _tidy(out, {job.name for job in jobs})
        shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}", FREE_DISK) from error
    return manifest


def _key(source: Source, options: PrepareOptions) -> str:
    """Return a fingerprint of everything that determines the output, except the signals, which are too large."""
    digest = hashlib.sha256()
    facts = {
        "schema": SCHEMA,
        "front_end": FRONT_END,
        "source": source.name,
        "listing": source.listing,
        "plan": asdict(options.plan),
        "patients_per_shard": options.patients_per_shard,
        "skip_broken": options.skip_broken,
    }
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for path in source.files:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}", "check that the data set is complete") from error
    return digest.hexdigest()


def _claim(out: Path, key: str, name: str) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is not a folder", "name a new folder")
    path = out / CLAIM
    if path.is_file():
        if f'"{key}"' not in path.read_text(encoding="utf-8"):
            raise UsageError(
                f"{out} holds another data set, split or label file", "name another --out or delete this one"
            )
    elif out.is_dir() and any(p.name != f".{CLAIM}.part" for p in out.iterdir()):
        raise OutputError(f"{out} is not empty", "name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    # The claim is written first, so that a folder without it never belongs to this command.
    if not path.is_file():
        write_atomically(path, json_text({"key": key, "source": name}), advice=FREE_DISK)
    (out / SHARDS).mkdir(exist_ok=True)
    remove_partials(out)
    remove_partials(out / SHARDS)


_Groups = dict[str, tuple[Patient, ...]]


def _groups(patients: list[Patient], size: int) -> _Groups:
    """Return the patients of each shard by its name. All patients of a shard are in the same part."""
    out: _Groups = {}
    for part in PARTS:
        mine = [p for p in patients if p.part == part]
        for i in range(0, len(mine), size):
            out[f"{part}-{i // size:05d}"] = tuple(mine[i : i + size])
    return out


def _sorted_labs(source: Source, plan: LabelPlan, groups: _Groups, work: Path) -> LabCounts:
    files = {name: work / name for name in groups}
    shard_of = {v.visit: files[name] for name, some in groups.items() for p in some for v in p.visits}
    return LabSorter(plan, shard_of, source.elsewhere).run(source.rows())


def _jobs(
    source: Source, out: Path, options: PrepareOptions, groups: _Groups, counts: LabCounts, key: str
) -> list[ShardJob]:
    limits = limits_for(options.plan, counts)
    folder = (out / SHARDS).absolute()
    return [
        ShardJob(
            name=name,
            part=some[0].part,
            folder=folder,
            patients=some,
            rows=(out / WORK / name).absolute(),
            limits=limits,
            plan=options.plan,
            opener=source.opener,
            key=key,
            skip_broken=options.skip_broken,
        )
        for name, some in groups.items()
    ]


def _run_jobs(jobs: list[ShardJob], scheduler: str, progress: TextIO | None) -> list[ShardSummary]:
    bar = Progress("preparing", len(jobs), "shards", progress)
    found: dict[str, ShardSummary] = {}
    faults: list[ShardReport] = []
    segments = 0
    for done, report in enumerate(run_jobs(jobs, scheduler, make_shard), 1):
        if report.content is None:
            faults.append(report)
        else:
            found[report.name] = report.content
            segments += report.content["segments"]
        bar.step(done, f"({segments} segments)")
    if faults:
        first = min(faults, key=lambda r: r.name)
        more = f" (and {len(faults) - 1} more shards have such a recording)" if len(faults) > 1 else ""
        raise InputError(
            f"{first.fault}{more}", f"{first.fix or 'repair it'}, or leave such recordings out with --skip-broken"
        )
    return [found[job.name] for job in jobs]


def _manifest(
    source: Source, out: Path, options: PrepareOptions, counts: LabCounts, reports: list[ShardSummary], key: str
) -> Manifest:
    candidates = candidate_heads(options.plan)
    stats = {part: np.zeros((len(candidates), len(STATS)), dtype=np.int64) for part in PARTS}
    for report in reports:
        stats[report["part"]] += np.array(report["heads"], dtype=np.int64)
    scaling = _scaling(out, reports)
    heads = []
    column = {True: 0, False: 0}
    for j, head in enumerate(candidates):
        is_value = head.direction is None
        by_part: dict[Part, HeadCounts] = {part: head_counts(stats[part][j].tolist()) for part in PARTS}
        heads.append(_head(head, options.plan, column[is_value], by_part, scaling.get(j)))
        column[is_value] += 1
    if not any(r["segments"] for r in reports):
        raise InputError("no usable segment in the data set", _reasons(reports))
    return {
        "schema": SCHEMA,
        "key": key,
        "source": source.name,
        "simulated": source.simulated,
        "origin": source.origin,
        "front_end": {"name": FRONT_END, "fs_hz": 500, "samples": 5000},
        "plan": asdict(options.plan),
        "heads": heads,
        "segments": _by_part(reports, "segments"),
        "patients": _by_part(reports, "patients_with_segments"),
        "visits": _by_part(reports, "visits"),
        "recordings": _by_part(reports, "recordings"),
        "excluded_segments": _total(r["excluded"] for r in reports),
        "excluded_visits": _counted(source.elsewhere.values()),
        "lab_rows": _lab_rows(counts, sum(r["repeated_rows"] for r in reports)),
        "broken": [line for r in reports for line in r["broken"]],
        "shards": [_entry(r) for r in reports],
    }


def _lab_rows(counts: LabCounts, repeated: int) -> LabRows:
    return {
        "read": counts.rows,
        "used": counts.used - repeated,
        "excluded": _total([counts.excluded, {"repeated": repeated}]),
        "notes": dict(sorted(counts.notes.items())),
        "unknown_components": dict(counts.unknown.most_common(40)),
    }


def _by_part(
    reports: list[ShardSummary], count: Literal["segments", "patients_with_segments", "visits", "recordings"]
) -> PartCounts:
    return {part: sum(r[count] for r in reports if r["part"] == part) for part in PARTS}


def _entry(report: ShardSummary) -> ShardEntry:
    return {
        "name": report["name"],
        "part": report["part"],
        "segments": report["segments"],
        "patients": report["patients"],
        "sha256": report["sha256"],
    }


def _head(
    head: CandidateHead,
    plan: LabelPlan,
    column: int,
    by_part: dict[Part, HeadCounts],
    scaling: tuple[float, float] | None,
) -> ManifestHead:
    lab = catalogue()[plan.labs[head.lab].key]
    is_value = head.direction is None
    train = by_part["train"]
    dropped = ""
    if train["results"] < max(1, plan.heads.min_values):
        dropped = f"{train['results']} results"
    elif not is_value and train["positive_results"] < plan.heads.min_positives:
        dropped = f"{train['positive_results']} positive results"
    elif not is_value and train["positive_results"] == train["results"]:
        dropped = "no negative result"
    median, iqr = scaling or (0.0, 1.0)
    return {
        "key": head.key,
        "lab": lab.key,
        "loinc": lab.loinc,
        "unit": lab.unit if is_value else "1",
        "kind": "value" if is_value else "probability",
        "direction": head.direction,
        "horizon_min": head.horizon_min,
        "column": column,
        "median": median,
        "iqr": iqr,
        "kept": not dropped,
        "dropped": dropped,
        "counts": by_part,
    }


def _scaling(out: Path, reports: list[ShardSummary]) -> dict[int, tuple[float, float]]:
    """Return median and interquartile range of each value head over the distinct results of the training part."""
    heads, values = [np.empty(0, dtype=np.int32)], [np.empty(0)]
    for report in reports:
        if report["part"] == "train":
            with np.load(out / SHARDS / f"{report['name']}.npz", allow_pickle=False) as arrays:
                heads.append(arrays["result_head"])
                values.append(arrays["result_value"])
    head, value = np.concatenate(heads), np.concatenate(values)
    found = {}
    for j in np.unique(head).tolist():
        low, middle, high = (float(q) for q in np.percentile(value[head == j], (25.0, 50.0, 75.0)))
        found[j] = (middle, high - low if high > low else 1.0)
    return found


def _total(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for count in counts:
        for reason, n in count.items():
            out[reason] = out.get(reason, 0) + n
    return {reason: n for reason, n in sorted(out.items()) if n}


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    return _total({reason: 1} for reason in reasons)


def _reasons(reports: list[ShardSummary]) -> str:
    total = _total(r["excluded"] for r in reports)
    return "left out: " + ", ".join(f"{reason} {n}" for reason, n in total.items()) if total else "no visit has results"


def _tidy(out: Path, names: set[str]) -> None:
    """Remove files that an interrupted run on a cluster may have left."""
    for path in (out / SHARDS).iterdir():
        if path.name.split(".")[0] not in names:
            path.unlink(missing_ok=True)
