"""Types of the JSON files that ``anyecg prepare`` writes; ``docs/prepared-format.md`` describes every key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from convert.datasets.mcmed import Part
from convert.labels.plan import Direction

PartCounts = dict[Part, int]
"""A number for each part of the split."""


class ShardSummary(TypedDict):
    """``shards/NAME.json``: the counts and checksums of one shard.

    Attributes:
        name: Name of the shard, such as ``train-00000``.
        part: Part of the split.
        key: Fingerprint of the run; see ``Manifest``.
        segments: Number of segments.
        patients: Number of patients, including those without a segment.
        patients_with_segments: Number of patients with at least one segment.
        visits: Number of visits with at least one segment.
        recordings: Number of recordings with at least one segment.
        excluded: Number of left-out segments by reason.
        repeated_rows: Number of laboratory rows that repeat another row.
        broken: One line for each recording that cannot be read.
        heads: For each candidate head, the counts of ``convert.prepare.shard.STATS``.
        sha256: SHA-256 in hexadecimal by file suffix, ``.npy`` and ``.npz``.
    """

    name: str
    part: Part
    key: str
    segments: int
    patients: int
    patients_with_segments: int
    visits: int
    recordings: int
    excluded: dict[str, int]
    repeated_rows: int
    broken: list[str]
    heads: list[list[int]]
    sha256: dict[str, str]


class HeadCounts(TypedDict):
    """Counts of a head in one part; ``results`` are distinct laboratory results."""

    segments: int
    positive_segments: int
    results: int
    positive_results: int
    patients: int
    positive_patients: int


class ManifestHead(TypedDict):
    """One candidate head in the manifest.

    Attributes:
        key: Unique key, such as ``potassium_high``.
        lab: Key of the lab in the catalogue.
        loinc: LOINC code.
        unit: UCUM unit; ``"1"`` for a probability.
        kind: Whether the head is a probability or a value.
        direction: Side of the reference range; ``None`` for a value.
        horizon_min: Prediction horizon, minutes; ``None`` for an estimate of the present.
        column: Column in the array ``binary`` or ``values`` of a shard.
        median: Median of a value head in the training part, in its unit; 0 for a probability.
        iqr: Interquartile range of a value head in the training part, in its unit; 1 for a probability.
        kept: Whether there are enough results for the head.
        dropped: Why the head is dropped; empty if it is kept.
        counts: The counts by part.
    """

    key: str
    lab: str
    loinc: str
    unit: str
    kind: Literal["probability", "value"]
    direction: Direction | None
    horizon_min: int | None
    column: int
    median: float
    iqr: float
    kept: bool
    dropped: str
    counts: dict[Part, HeadCounts]


class LabRows(TypedDict):
    """Counts of used and excluded laboratory rows.

    Attributes:
        read: Number of rows read.
        used: Number of rows used.
        excluded: Number of left-out rows by reason.
        notes: Number of used rows by remark.
        unknown_components: Number of rows by component name, for names that are not in the catalogue; largest first.
    """

    read: int
    used: int
    excluded: dict[str, int]
    notes: dict[str, int]
    unknown_components: dict[str, int]


class FrontEndEntry(TypedDict):
    """Front end of the segments: its name, sampling rate in Hz and samples per segment."""

    name: str
    fs_hz: int
    samples: int


class ShardEntry(TypedDict):
    """One shard in the manifest; see ``ShardSummary``."""

    name: str
    part: Part
    segments: int
    patients: int
    sha256: dict[str, str]


class Manifest(TypedDict):
    """``manifest.json``, which is written last: a folder that has it is complete.

    Attributes:
        schema: Name and version of the format.
        key: Fingerprint of everything that determines the shards, except the signals.
        source: Description of the data set.
        simulated: Whether the simulator wrote the data set.
        origin: Source of the recordings, see ``convert.prepare.sources.Source``.
        front_end: Front end of the segments.
        plan: The label plan.
        heads: The candidate heads.
        segments: Number of segments by part.
        patients: Number of patients with segments by part.
        visits: Number of visits with segments by part.
        recordings: Number of recordings with segments by part.
        excluded_segments: Number of left-out segments by reason.
        excluded_visits: Number of left-out visits by reason.
        lab_rows: Counts of used and excluded laboratory rows.
        broken: One line for each recording that cannot be read.
        shards: The shards.
    """

    schema: str
    key: str
    source: str
    simulated: bool
    origin: dict[str, Any]
    front_end: FrontEndEntry
    plan: dict[str, Any]
    heads: list[ManifestHead]
    segments: PartCounts
    patients: PartCounts
    visits: PartCounts
    recordings: PartCounts
    excluded_segments: dict[str, int]
    excluded_visits: dict[str, int]
    lab_rows: LabRows
    broken: list[str]
    shards: list[ShardEntry]


class PartSummary(HeadCounts):
    """The counts of one head in one part, and the share of positive segments; ``None`` where it is not defined."""

    prevalence: float | None


class HeadSummary(TypedDict):
    """One head in the summary."""

    key: str
    kept: bool
    dropped: str
    train: PartSummary
    val: PartSummary
    test: PartSummary


class Summary(TypedDict):
    """``summary.json``: the figures of the manifest, without the shards."""

    source: str
    simulated: bool
    segments: PartCounts
    patients: PartCounts
    visits: PartCounts
    recordings: PartCounts
    excluded_segments: dict[str, int]
    excluded_visits: dict[str, int]
    lab_rows: LabRows
    broken: list[str]
    heads: list[HeadSummary]


def json_text(content: Mapping[str, Any]) -> str:
    """Return the text of a JSON file."""
    return json.dumps(content, indent=1) + "\n"
