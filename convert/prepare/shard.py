"""One shard of a prepared data set: segments and labels of some patients, written atomically.

A shard has three files: ``NAME.npy`` with the segments, ``NAME.npz`` with their labels and attributes, and
``NAME.json`` with the checksums of both, which is written last. The bytes depend on the data and the plan only, so
every process and machine makes the same shard. Segments are written one by one to keep the memory small.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from convert.datasets.mcmed import Part
from convert.datasets.shards import read_shard
from convert.labels.labs import read_rows, with_limits
from convert.labels.pairing import UNKNOWN, VisitLabels, label_visit
from convert.labels.plan import LabelPlan, SegmentPlan, candidate_heads
from convert.prepare.records import HeadCounts, ShardSummary, json_text
from convert.prepare.sources import Batch, LeftOut, Opener, Patient, Visit
from edge.frontend.ecgfounder import WINDOW_SAMPLES, ZSCORE_EPSILON, EcgFounderFrontEnd
from edge.process.files import sha256_of, write_atomically, written_beside
from edge.quality.measures import stands_still
from edge.quality.rails import find_rails
from firmware_bridge.errors import InputError

FREE_DISK = "free some space and run the command again"

INT16_MAX = 32767
HEADER_BYTES = 128
"""Size of the header that numpy writes for an array of this shape."""

STATS = ("segments", "positive_segments", "results", "positive_results", "patients", "positive_patients")
"""Names of the counts of each head; ``results`` are distinct laboratory results."""

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ShardJob:
    """A job that makes one shard. Any process that sees the same files can run it.

    Attributes:
        name: Name of the shard, such as ``train-00000``.
        part: Part of the split.
        folder: Folder of the shards.
        patients: Patients of the shard.
        rows: File with the laboratory rows of these patients.
        limits: Lower and upper limit of each lab for rows without a reference range; NaN for no limit.
        plan: Label plan, read from the label file.
        opener: Opener of the recordings.
        key: Fingerprint of everything that determines the output.
        skip_broken: Leave out and count recordings that cannot be read, instead of stopping.
    """

    name: str
    part: Part
    folder: Path
    patients: tuple[Patient, ...]
    rows: Path
    limits: tuple[tuple[float, float], ...]
    plan: LabelPlan
    opener: Opener
    key: str
    skip_broken: bool = False


@dataclass(frozen=True, slots=True)
class ShardReport:
    """Result of one job: the content of the shard, or the fault that stopped it.

    Attributes:
        name: Name of the shard.
        content: Content of its ``.json`` file; ``None`` after a fault.
        fault: Fault of the data; empty if there is none.
        fix: What the user can do about the fault.
        made: Whether the shard was made now; ``False`` if it was already complete.
    """

    name: str
    content: ShardSummary | None
    fault: str = ""
    fix: str = ""
    made: bool = True


def make_shard(job: ShardJob) -> ShardReport:
    """Make a shard unless it already exists.

    Raises:
        OutputError: The shard cannot be written.
        MissingExtraError: scipy is not installed.
    """
    found = read_shard(job.folder, job.name, job.key)
    if found is not None:
        return ShardReport(job.name, cast("ShardSummary", found), made=False)
    try:
        return ShardReport(job.name, _write_shard(job))
    except InputError as error:
        return ShardReport(job.name, None, error.what, error.fix)


@dataclass(slots=True)
class _Columns:
    """Attributes and labels of the segments so far, one list for each column."""

    scale: list[float] = field(default_factory=list)
    sd_mv: list[float] = field(default_factory=list)
    digest: list[int] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    visit: list[int] = field(default_factory=list)
    patient: list[int] = field(default_factory=list)
    recording: list[int] = field(default_factory=list)
    age: list[float] = field(default_factory=list)
    sex: list[str] = field(default_factory=list)
    binary: list[NDArray[np.uint8]] = field(default_factory=list)
    values: list[NDArray[np.float32]] = field(default_factory=list)


class _Builder:
    def __init__(self, job: ShardJob, file: BinaryIO) -> None:
        self._job, self._file = job, file
        self._heads = candidate_heads(job.plan)
        self._front_end = EcgFounderFrontEnd()
        rows, self.repeated = read_rows(job.rows)
        self._rows = with_limits(rows, job.limits, job.plan)
        self._columns = _Columns()
        self._patients: list[str] = []
        self._recordings: list[str] = []
        self._results: dict[int, NDArray[np.void]] = {}
        self._seen: dict[int, list[set[int]]] = {}
        self.excluded: Counter[str] = Counter()
        self.broken: list[str] = []
        self.stats = np.zeros((len(self._heads), len(STATS)), dtype=np.int64)
        self._drawn: dict[int, list[float]] = defaultdict(list)
        self._binary_of = [j for j, h in enumerate(self._heads) if h.direction is not None]
        self._values_of = [j for j, h in enumerate(self._heads) if h.direction is None]
        file.write(b"\0" * HEADER_BYTES)

    @property
    def n(self) -> int:
        """Number of segments kept so far."""
        return len(self._columns.scale)

    def patient(self, patient: Patient) -> None:
        """Add the segments of a patient."""
        before = self.n
        self._patients.append(patient.patient)
        for visit in patient.visits:
            self._visit(visit)
        known = np.zeros(len(self._heads), dtype=bool)
        positive = np.zeros(len(self._heads), dtype=bool)
        if self.n > before:
            binary = np.stack(self._columns.binary[before:])
            values = np.stack(self._columns.values[before:])
            known[self._binary_of] = (binary != UNKNOWN).any(axis=0)
            known[self._values_of] = (~np.isnan(values)).any(axis=0)
            positive[self._binary_of] = (binary == 1).any(axis=0)
        self.stats[:, 4] += known
        self.stats[:, 5] += positive

    def _visit(self, visit: Visit) -> None:
        rows = self._rows[self._rows["visit"] == visit.visit]
        drawn: set[tuple[int, int, int]] = set()
        try:
            for part in self._job.opener(visit.visit, self._job.plan.segments.hop_s):
                if isinstance(part, LeftOut):
                    self.excluded[part.reason] += part.count
                else:
                    self._try_batch(part, visit, rows, drawn)
        except InputError as error:
            self._broken(error)
        self._count_results(rows, drawn)

    def _try_batch(self, batch: Batch, visit: Visit, rows: NDArray[np.void], drawn: set[tuple[int, int, int]]) -> None:
        try:
            self._batch(batch, visit, rows, drawn)
        except InputError as error:
            self._broken(error)

    def _broken(self, error: InputError) -> None:
        if not self._job.skip_broken:
            raise error
        self.excluded["unreadable"] += 1
        self.broken.append(error.what)

    def _batch(self, batch: Batch, visit: Visit, rows: NDArray[np.void], drawn: set[tuple[int, int, int]]) -> None:
        labels = label_visit(batch.start_s, rows, self._job.plan, self._heads)
        wanted = labels.labelled | self._job.plan.segments.keep_unlabelled
        self.excluded["no_label"] += int(np.count_nonzero(~wanted))
        self._recordings.append(batch.recording)
        for i in np.flatnonzero(wanted).tolist():
            raw = batch.read(i)
            why = self._segment(raw, batch.scale_known)
            if why:
                self.excluded[why] += 1
                continue
            self._describe(visit, float(batch.start_s[i]), labels, i, drawn)

    def _segment(self, raw: F64, scale_known: bool) -> str:
        """Filter and write ten seconds; return the reason if they are left out, else an empty text."""
        why = unusable(raw, self._job.plan.segments)
        if why:
            return why
        y = self._front_end.filter(raw)
        span = float(y.max() - y.min())
        if scale_known and span < self._job.plan.segments.flat_mv:
            return "flat"
        if scale_known and span > self._job.plan.segments.max_mv:
            return "amplitude"
        # The same z-score as EcgFounderFrontEnd; the deviation is kept, because it converts back to millivolts.
        y = y - np.add.reduce(y) / len(y)
        sd = float(np.sqrt(np.add.reduce(y * y) / len(y)))
        z = y / (sd + ZSCORE_EPSILON)
        scale = np.float32(max(float(np.abs(z).max()), 1e-6) / INT16_MAX)
        numbers = np.clip(np.rint(z / float(scale)), -INT16_MAX, INT16_MAX).astype("<i2")
        samples = numbers.tobytes()
        self._file.write(samples)
        self._columns.digest.append(int.from_bytes(hashlib.blake2b(samples, digest_size=8).digest(), "little"))
        self._columns.scale.append(float(scale))
        self._columns.sd_mv.append(sd if scale_known else float("nan"))
        return ""

    def _describe(
        self, visit: Visit, start_s: float, labels: VisitLabels, i: int, drawn: set[tuple[int, int, int]]
    ) -> None:
        columns = self._columns
        columns.start_s.append(start_s)
        columns.visit.append(visit.visit)
        columns.patient.append(len(self._patients) - 1)
        columns.recording.append(len(self._recordings) - 1)
        columns.age.append(visit.age)
        columns.sex.append(visit.sex[:8])
        binary, values, draws = labels.binary[i], labels.values[i], labels.draws[i]
        columns.binary.append(binary)
        columns.values.append(values)
        label = np.empty(len(self._heads), dtype=np.int64)
        label[self._binary_of] = binary
        label[self._values_of] = np.where(np.isnan(values), UNKNOWN, 0)
        self.stats[:, 0] += label != UNKNOWN
        self.stats[:, 1] += label == 1
        known = np.flatnonzero(draws >= 0)
        drawn.update(zip(known.tolist(), draws[known].tolist(), label[known].tolist(), strict=True))

    def _count_results(self, rows: NDArray[np.void], drawn: set[tuple[int, int, int]]) -> None:
        for j, _, label in drawn:
            self.stats[j, 2] += 1
            self.stats[j, 3] += label == 1
        for j, row, _ in sorted(drawn):
            if self._heads[j].direction is None:
                self._drawn[j].append(float(rows["value"][row]))

    def finish(self) -> dict[str, Any]:
        """Complete the file of the segments and return the arrays of the ``.npz`` file."""
        self._file.seek(0)
        shape = (self.n, WINDOW_SAMPLES)
        np.lib.format.write_array_header_1_0(self._file, {"descr": "<i2", "fortran_order": False, "shape": shape})
        if self._file.tell() != HEADER_BYTES:
            raise AssertionError(f"numpy no longer writes headers of {HEADER_BYTES} bytes")

        c = self._columns
        drawn = [(j, value) for j in sorted(self._drawn) for value in self._drawn[j]]
        return {
            "scale": np.array(c.scale, dtype="<f4"),
            "sd_mv": np.array(c.sd_mv, dtype="<f4"),
            "digest": np.array(c.digest, dtype="<u8"),
            "start_s": np.array(c.start_s, dtype="<f8"),
            "visit": np.array(c.visit, dtype="<i8"),
            "patient": np.array(c.patient, dtype="<i4"),
            "recording": np.array(c.recording, dtype="<i4"),
            "age": np.array(c.age, dtype="<f4"),
            "sex": np.array(c.sex, dtype="<U8"),
            "patients": np.array(self._patients, dtype=np.str_),
            "recordings": np.array(self._recordings, dtype=np.str_),
            "binary": np.array(c.binary, dtype=np.uint8).reshape(self.n, len(self._binary_of)),
            "values": np.array(c.values, dtype="<f4").reshape(self.n, len(self._values_of)),
            "result_head": np.array([j for j, _ in drawn], dtype="<i4"),
            "result_value": np.array([value for _, value in drawn], dtype="<f8"),
        }


def head_counts(numbers: Sequence[int]) -> HeadCounts:
    """Return the counts of one head by name.

    Args:
        numbers: One number for each entry of ``STATS``.
    """
    segments, positive_segments, results, positive_results, patients, positive_patients = numbers
    return {
        "segments": segments,
        "positive_segments": positive_segments,
        "results": results,
        "positive_results": positive_results,
        "patients": patients,
        "positive_patients": positive_patients,
    }


def unusable(raw: F64, plan: SegmentPlan) -> str:
    """Return why ten raw seconds cannot be a segment: ``gap``, ``flat`` or ``clipped``; empty if they can.

    Args:
        raw: Raw samples, ``(5000,)`` at 500 Hz, NaN where a sample is missing.
        plan: Thresholds.
    """
    if not np.isfinite(raw).all():
        return "gap"
    if find_rails(raw, 500.0, np.empty(0, np.int64)).at_rail_s >= plan.clipped_s:
        return "clipped"
    # The threshold was chosen at 250 Hz.
    half = 0.5 * (raw[::2] + raw[1::2])
    low, high = float(half.min()), float(half.max())
    if high <= low or stands_still(half, 250.0, high - low, plan.flat_s):
        return "flat"
    return ""


def _write_shard(job: ShardJob) -> ShardSummary:
    """Write the three files of a shard and return the content of the last one.

    The ``.json`` file is written last. It holds the checksums of the other two, so a shard without it, or with files
    of another run, counts as missing.
    """
    npy, npz, marker = (job.folder / f"{job.name}{suffix}" for suffix in (".npy", ".npz", ".json"))
    # A cluster may run a job twice at the same time, when it loses contact with a worker that is still writing.
    with written_beside(npy, advice=FREE_DISK, unique=True) as segments:
        with segments.open("w+b") as file:
            builder = _Builder(job, file)
            for patient in job.patients:
                builder.patient(patient)
            arrays = builder.finish()
        with written_beside(npz, advice=FREE_DISK, unique=True) as described:
            with described.open("wb") as file:
                np.savez(file, **arrays)
            checksums = {".npy": sha256_of(segments), ".npz": sha256_of(described)}
    content: ShardSummary = {
        "name": job.name,
        "part": job.part,
        "key": job.key,
        "segments": builder.n,
        "patients": len(job.patients),
        "patients_with_segments": int(np.unique(arrays["patient"]).size),
        "visits": int(np.unique(arrays["visit"]).size),
        "recordings": len(set(arrays["recordings"][np.unique(arrays["recording"])].tolist())),
        "excluded": dict(sorted((k, v) for k, v in builder.excluded.items() if v)),
        "repeated_rows": builder.repeated,
        "broken": builder.broken,
        "heads": builder.stats.tolist(),
        "sha256": checksums,
    }
    write_atomically(marker, json_text(content), advice=FREE_DISK, unique=True)
    return content
