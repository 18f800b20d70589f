"""Typed records of the evaluation report, with the keys of its JSON form."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from calibration.validate.records import Interval, MeasureRecord, ReliabilityRecord, VerdictRecord

__all__ = [
    "AggregateHeadRecord",
    "AggregateRecord",
    "BaselineHeadRecord",
    "CountsRecord",
    "DifferenceRecord",
    "HeadRecord",
    "LevelsRecord",
    "MonitoringRecord",
    "ReferenceHeadRecord",
    "SummaryRecord",
    "ValuesRecord",
]


class ValuesRecord(TypedDict):
    """Agreement of a value head with the measurements, in its unit; keys as in the report of a validation."""

    mae: MeasureRecord
    mae_of_the_median: float | None
    relative_mae: MeasureRecord
    mae_in_iqr: float | None
    iqr: float | None
    r2: float | None
    correlation: MeasureRecord
    gain: MeasureRecord
    bias: MeasureRecord
    limits: list[float | None]
    slope: MeasureRecord
    proportional_bias: bool | None


class CountsRecord(TypedDict):
    """Number of heads at each evidence level in a group."""

    group: str
    heads: int
    judged: int
    strong: int
    moderate: int
    limited: int
    inconclusive: int
    auroc_mean: float | None
    auroc_median: float | None


class LevelsRecord(TypedDict):
    """Counts of heads by group, and those of the paper."""

    groups: list[CountsRecord]
    paper: dict[str, Any]


class HeadRecord(VerdictRecord):
    """A judged head. Results that do not apply to its kind are ``None``."""

    key: str
    lab: str
    loinc: str | None
    unit: str
    kind: str
    direction: str | None
    horizon_min: int | None
    patients: int
    positives: int | None
    prevalence: float | None
    auroc: float | None
    auroc_ci: Interval
    auroc_ci_delong: Interval
    auprc: float | None
    auprc_ci: Interval
    calibration: ReliabilityRecord | None
    values: ValuesRecord | None


class MonitoringRecord(TypedDict):
    """Table of estimation and monitoring: names of the columns, and rows with one cell for each of them."""

    columns: list[str]
    rows: list[dict[str, Any]]


class DifferenceRecord(TypedDict):
    """The network against another model on one head: AUROC of a probability, mean absolute error of a value.

    ``why`` and ``trees`` exist only for a baseline: the reason if it was not trained, and its number of trees.
    """

    network: float | None
    other: float | None
    other_ci: Interval
    difference: MeasureRecord | None
    method: str
    verdict: str
    why: NotRequired[str]
    trees: NotRequired[int]


class BaselineHeadRecord(TypedDict):
    """The network against each other model on one head."""

    key: str
    kind: str
    n: int
    against: dict[str, DifferenceRecord]


class ReferenceHeadRecord(DifferenceRecord):
    """A head against the reference, with the agreement of their outputs."""

    key: str
    kind: str
    n: int
    correlation: float | None
    mean_difference: float | None
    largest_difference: float | None


class AggregateHeadRecord(TypedDict):
    """Ten minutes against a single segment on one head."""

    key: str
    kind: str
    horizon_min: int | None
    n: int
    patients: int
    segments_median: float | None
    positives: int | None
    aggregate: float | None
    single: float | None
    difference: MeasureRecord | None
    method: str
    verdict: str


class SummaryRecord(TypedDict):
    """Number of heads with each verdict, and the median difference of AUROC."""

    compared: int
    better: int
    worse: int
    INCONCLUSIVE: int
    median_difference: float | None


class AggregateRecord(TypedDict):
    """Ten minutes against a single segment, with a summary for each kind of head."""

    minutes: int
    heads: list[AggregateHeadRecord]
    summary: dict[str, SummaryRecord]
