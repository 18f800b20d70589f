"""One shard: some patients' segments and labels, written whole or not at all.

Three files: ``NAME.npy`` the segments, ``NAME.npz`` what is known of them, and ``NAME.json`` with the checksums of
both, written last. Their bytes depend on the data and the plan alone: whoever makes a shard again, anywhere, makes the
same. Segments go to the disk one by one, so memory does not grow with the shard.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from convert.datasets.mcmed import Part
from convert.datasets.shards import read_shard
from convert.labels.labs import read_rows, with_limits
from convert.labels.pairing import UNKNOWN, VisitLabels, label_visit
from convert.labels.plan import LabelPlan, SegmentPlan, candidate_heads
from convert.prepare.sources import Batch, LeftOut, Opener, Patient, Visit
from edge.frontend.ecgfounder import WINDOW_SAMPLES, ZSCORE_EPSILON, EcgFounderFrontEnd
from edge.process.files import sha256_of
from edge.quality.measures import clipped_s, stands_still
from firmware_bridge.errors import InputError, OutputError

INT16_MAX = 32767
HEADER_BYTES = 128
"""Of a ``.npy`` file with a shape like ours."""

STATS = ("segments", "positive_segments", "results", "positive_results", "patients", "positive_patients")
"""What is counted of each head; results are distinct laboratory results."""

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ShardJob:
    """A shard to make; travels to any process that sees the same files.

    Attributes:
        name: Such as ``train-00000``.
        part: Of the split; a shard has one.
        folder: Where it goes.
        patients: Whose segments.
        rows: File of their laboratory rows.
        limits: Of each lab low and high for rows without a range, NaN for none.
        plan: The label file.
        opener: Opens recordings.
        key: Fingerprint of everything that decides on the bytes.
        skip_broken: Recordings that cannot be read are left out and counted, and do not stop the run.
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
    """What a shard holds, or why it could not be made.

    Attributes:
        name: Of the shard.
        content: As in its ``.json`` file; empty where it failed.
        fault: What is wrong with the data, empty where nothing is.
        fix: What to do about it.
        made: It was made now, and not found complete.
    """

    name: str
    content: dict[str, Any]
    fault: str = ""
    fix: str = ""
    made: bool = True


def make_shard(job: ShardJob) -> ShardReport:
    """Makes a shard unless it is there already.

    Raises:
        OutputError: It cannot be written.
        MissingExtraError: scipy is missing.
    """
    found = read_shard(job.folder, job.name, job.key)
    if found is not None:
        return ShardReport(job.name, found, made=False)
    partial = job.folder / f".{job.name}.{uuid.uuid4().hex}.part"
    try:
        with partial.open("w+b") as file:
            builder = _Builder(job, file)
            for patient in job.patients:
                builder.patient(patient)
            arrays = builder.finish()
        return ShardReport(job.name, _commit(job, partial, builder, arrays))
    except InputError as error:
        return ShardReport(job.name, {}, error.what, error.fix)
    except OSError as error:
        raise OutputError(
            f"cannot write {job.folder / job.name}: {error.strerror or error}", "free some space and start again"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@dataclass(slots=True)
class _Columns:
    """What is known of the segments so far, a list a column."""

    scale: list[float] = field(default_factory=list)
    sd_mv: list[float] = field(default_factory=list)
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
        self._rows = with_limits(rows, job.limits)
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
        """Segments kept so far."""
        return len(self._columns.scale)

    def patient(self, patient: Patient) -> None:
        """Adds the segments of a patient."""
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
        """Filters and writes ten seconds; or says why they are left out."""
        why = unusable(raw, self._job.plan.segments)
        if why:
            return why
        y = self._front_end.filter(raw)
        span = float(y.max() - y.min())
        if scale_known and span < self._job.plan.segments.flat_mv:
            return "flat"
        if scale_known and span > self._job.plan.segments.max_mv:
            return "amplitude"
        # As EcgFounderFrontEnd has it, with the deviation kept: it is all that tells millivolts from a z-score.
        y = y - np.add.reduce(y) / len(y)
        sd = float(np.sqrt(np.add.reduce(y * y) / len(y)))
        z = y / (sd + ZSCORE_EPSILON)
        scale = np.float32(max(float(np.abs(z).max()), 1e-6) / INT16_MAX)
        numbers = np.clip(np.rint(z / float(scale)), -INT16_MAX, INT16_MAX).astype("<i2")
        self._file.write(numbers.tobytes())
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
        """Completes the segments' file and gives the arrays of the other."""
        self._file.seek(0)
        shape = (self.n, WINDOW_SAMPLES)
        np.lib.format.write_array_header_1_0(self._file, {"descr": "<i2", "fortran_order": False, "shape": shape})
        if self._file.tell() != HEADER_BYTES:
            raise AssertionError("numpy writes headers of another size")
        self._file.flush()
        os.fsync(self._file.fileno())
        c = self._columns
        drawn = [(j, value) for j in sorted(self._drawn) for value in self._drawn[j]]
        return {
            "scale": np.array(c.scale, dtype="<f4"),
            "sd_mv": np.array(c.sd_mv, dtype="<f4"),
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


def unusable(raw: F64, plan: SegmentPlan) -> str:
    """Why ten raw seconds are no segment: ``gap``, ``flat``, ``clipped``; empty where they may be one.

    Args:
        raw: ``(5000,)``, 500 Hz, NaN where there is no sample.
        plan: Its thresholds.
    """
    if not np.isfinite(raw).all():
        return "gap"
    # The measures' thresholds were set at 250 Hz.
    half = 0.5 * (raw[::2] + raw[1::2])
    low, high = float(half.min()), float(half.max())
    if high <= low or stands_still(half, 250.0, high - low, plan.flat_s):
        return "flat"
    return "clipped" if clipped_s(half, 250.0, low, high) >= plan.clipped_s else ""


def _commit(job: ShardJob, partial: Path, builder: _Builder, arrays: dict[str, Any]) -> dict[str, Any]:
    with_arrays = partial.with_suffix(".npz.part")
    marker = partial.with_suffix(".json.part")
    try:
        with with_arrays.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        content = {
            "name": job.name,
            "part": job.part,
            "key": job.key,
            "segments": builder.n,
            "patients": len(job.patients),
            "patients_with_segments": int(np.unique(arrays["patient"]).size),
            "excluded": dict(sorted((k, v) for k, v in builder.excluded.items() if v)),
            "repeated_rows": builder.repeated,
            "broken": builder.broken,
            "heads": builder.stats.tolist(),
            "sha256": {".npy": sha256_of(partial), ".npz": sha256_of(with_arrays)},
        }
        marker.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        partial.replace(job.folder / f"{job.name}.npy")
        with_arrays.replace(job.folder / f"{job.name}.npz")
        marker.replace(job.folder / f"{job.name}.json")
    finally:
        with_arrays.unlink(missing_ok=True)
        marker.unlink(missing_ok=True)
    return content
