"""Typed records of the validation report, with the keys of its JSON form."""

from __future__ import annotations

from typing import Any, NotRequired, Required, TypedDict

__all__ = [
    "AbstentionRecord",
    "AgreementRecord",
    "AreaRecord",
    "CalibratedRecord",
    "CheckRecord",
    "ClaimRecord",
    "ComparisonRecord",
    "DecisionRecord",
    "EvidenceRecord",
    "HeadAgreementRecord",
    "HeadRecord",
    "HeadResultRecord",
    "Interval",
    "LinkRecord",
    "MeasureRecord",
    "ReliabilityRecord",
    "RobustnessRecord",
    "SubgroupRecord",
    "SubgroupsRecord",
    "ValuesRecord",
    "VerdictRecord",
    "WindowsRecord",
]

Interval = list[float | None] | None
"""Lower and upper end of a 95 % interval; ``None`` if there is none."""


class MeasureRecord(TypedDict):
    """A measure with its interval."""

    value: float | None
    ci: Interval


class VerdictRecord(TypedDict):
    """On what the verdict of a head rests; ``tier`` is its evidence level.

    ``judged_low`` is the lower end of the interval that sets the level, ``p_chance`` the p-value of chance, and
    ``p_adjusted`` the same after the correction for all heads of the table. ``no_gain`` exists only for values: the
    error is not shown to be smaller than that of a constant.
    """

    n: int
    note: str
    positive_patients: int
    negative_patients: int
    enough_patients: bool
    judged_low: float | None
    p_chance: float | None
    p_adjusted: float | None
    tier: str | None
    conclusion: str
    no_gain: NotRequired[bool]


class AreaRecord(TypedDict):
    """Discrimination of a head."""

    auroc: float | None
    auroc_ci: Interval
    auprc: float | None
    auprc_ci: Interval


class PerfectRecord(TypedDict):
    """Calibration error of perfect probabilities if all estimates of a patient count as one."""

    mean: float
    sd: float


class ReliabilityRecord(TypedDict):
    """Calibration of a probability head.

    ``curve`` holds mean probability, share of positives, size, and the interval of the share, for each bin. The gate of
    ``anyecg validate`` needs ``ece_perfect``.
    """

    brier: MeasureRecord
    brier_of_the_prevalence: float | None
    ece: float | None
    ece_chance: float | None
    ece_perfect: NotRequired[PerfectRecord]
    bins: int
    slope: float | None
    intercept: float | None
    curve: list[Any]


class DecisionRecord(TypedDict):
    """Decisions of a head at its threshold."""

    threshold: float
    sensitivity: MeasureRecord
    specificity: MeasureRecord
    ppv: MeasureRecord
    npv: MeasureRecord
    flagged: int
    undecided: int


class WindowsRecord(TypedDict):
    """Results of a head on single windows: AUROC, AUPRC and Brier score of a probability, error of a value."""

    n: int
    positives: NotRequired[int]
    auroc: NotRequired[float | None]
    auroc_ci: NotRequired[Interval]
    auprc: NotRequired[float | None]
    brier: NotRequired[float | None]
    mae: NotRequired[float | None]


class ValuesRecord(TypedDict):
    """Agreement of a value head with the measurements, in its unit.

    ``gain`` is by how much the error is smaller than that of a constant, ``slope`` that of the differences on the
    means, and ``points`` are those of the Bland-Altman plot.
    """

    mae: MeasureRecord
    mae_of_the_mean: float
    gain: MeasureRecord
    bias: MeasureRecord
    limits: list[float | None]
    slope: MeasureRecord
    proportional_bias: bool | None
    coverage: MeasureRecord
    level: float
    points: list[list[float | None]]


class HeadResultRecord(VerdictRecord, AreaRecord):
    """Results of a head: counts (``positives`` is ``None`` for a value), discrimination, and a note for the reader.

    Some of the other keys exist only for probabilities, some only for values.
    """

    positives: int | None
    patients: int
    auroc_ci_delong: NotRequired[Interval]
    auroc_extremes: NotRequired[list[float | None]]
    calibration: NotRequired[ReliabilityRecord | None]
    decision: NotRequired[DecisionRecord | None]
    values: NotRequired[ValuesRecord | None]
    windows: NotRequired[WindowsRecord | None]
    roc: NotRequired[list[tuple[float, float]]]


class ClaimRecord(TypedDict):
    """Evidence of a head that the manifest claims."""

    auroc: float | None
    ci: tuple[float, float] | None
    mae: float | None
    tier: str
    n: int | None


class HeadRecord(HeadResultRecord):
    """A head of the bundle with its results."""

    key: str
    lab: str
    unit: str
    kind: str
    direction: str | None
    horizon_min: int | None
    claimed: ClaimRecord


class LinkRecord(TypedDict):
    """A link of the chain: ``status`` is ``ok``, ``FAILED`` or ``not run``; ``lsb`` is the largest difference."""

    name: str
    status: str
    found: str
    lsb: float | None
    windows: int | None


class ComparisonRecord(TypedDict):
    """A non-inferiority test of a head by one measure."""

    key: str
    measure: str
    ours: float | None
    theirs: float | None
    difference: MeasureRecord
    margin: float
    verdict: str
    method: str
    n: int


class HeadAgreementRecord(TypedDict):
    """Agreement of a head with the reference on windows (logits) and on estimates (decisions)."""

    key: str
    windows: int
    correlation: float | None
    mean_difference: float | None
    probability_mean: float | None
    estimates: int
    kappa: float | None
    flips: int | None


class AgreementRecord(TypedDict):
    """Agreement with the reference."""

    name: str
    kind: str
    sha256: str
    missing_heads: list[str]
    correlation_median: float | None
    heads: list[HeadAgreementRecord]


class AbstentionRecord(TypedDict):
    """Outcomes of the hops; ``by_rhythm`` are those in which an output that names rhythms abstains, by its key."""

    hops: int
    accepted: int
    share_accepted: float | None
    reasons: dict[str, int]
    by_rhythm: dict[str, int]
    recordings_without_estimate: int
    broken: list[str]


class RobustnessRecord(TypedDict):
    """Results under one disturbance."""

    disturbance: str
    kind: str
    size: float
    recordings: int
    share_answered: float | None
    share_answered_clean: float | None
    estimates: int
    logit_shift_median: float | None
    logit_shift_p95: float | None
    flips: int
    decisions: int
    macro_auroc: float | None


class SubgroupRecord(TypedDict):
    """A head in one group of patients."""

    by: str
    group: str
    key: str
    n: int
    patients: int
    positives: int
    auroc: float | None
    auroc_ci: Interval
    difference: float
    probability_shift: float | None
    p_worse: float | None
    p_adjusted: float | None
    clearly_worse: bool


class SubgroupsRecord(TypedDict):
    """All groups that are large enough, worst first."""

    rows: list[SubgroupRecord]
    suppressed: int
    patients_min: float
    events_min: float


class EvidenceRecord(TypedDict):
    """Evidence of a head in the manifest; ``tier`` is its evidence level."""

    auroc: float | None
    ci: Interval
    n: int
    positives: int | None
    tier: str
    mae: float | None
    data: str


class CalibratedRecord(TypedDict, total=False):
    """Report of the calibration of a head, with cross-validated errors.

    ``left`` is the reason if the head stays unchanged. ``undecided``, ``positives_cleared`` and ``negatives_flagged``
    are the error rates of the band of abstention.
    """

    n: Required[int]
    patients: Required[int]
    positives: int
    left: str
    method: str
    log_loss: dict[str, float]
    calibration_error_before: float | None
    calibration_error: float | None
    brier: float | None
    threshold: float | None
    sensitivity: float | None
    specificity: float | None
    undecided: float | None
    positives_cleared: float | None
    negatives_flagged: float | None
    evidence: EvidenceRecord
    mae_before: float | None
    mae: float | None
    half_width: float | None


class CheckRecord(TypedDict):
    """A check of the gate."""

    name: str
    ok: bool
    found: str
