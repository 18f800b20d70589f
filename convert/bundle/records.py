"""Types of the manifest, of ``calibration.json`` and of a student's figures; ``docs/bundle.md`` describes the files."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from convert.datasets.outputs_file import Direction, Kind
from edge.rhythm.record import RhythmName

Basis = Literal["laboratory results", "teacher"]
"""What a head is fitted to."""

Auroc = Literal["auroc_int8", "auroc_float", "auroc_ptq", "auroc_teacher"]
"""Key of an AUROC in the figures of a head."""


class LogitInterval(TypedDict):
    """Interval of a probability: standard deviation of the logit, and nominal coverage."""

    method: Literal["logit_sd"]
    sd: float
    level: float


class ValueInterval(TypedDict):
    """Interval of a value: half width in its unit, and nominal coverage."""

    method: Literal["conformal"]
    half_width: float
    level: float


class NoInterval(TypedDict):
    """Interval of an uncalibrated head."""

    method: Literal["none"]


class ProbabilityEntry(TypedDict):
    """A calibrated probability in ``calibration.json``.

    Attributes:
        method: Name of the method.
        a: Factor on the logit.
        b: Offset, added after the factor.
        threshold: Decision threshold, a probability; ``None`` for none.
        threshold_method: Source of the threshold.
        interval: Interval of the probability.
        basis: What the head is fitted to.
    """

    method: Literal["platt"]
    a: float
    b: float
    threshold: float | None
    threshold_method: Literal["youden", "teacher"]
    interval: LogitInterval
    basis: Basis


class ValueEntry(TypedDict):
    """A calibrated value in ``calibration.json``.

    Attributes:
        method: Name of the method.
        slope: Factor on the output.
        intercept: Offset in the unit of the value, added after the factor.
        threshold: Always ``None``.
        interval: Interval of the value.
        basis: What the head is fitted to.
    """

    method: Literal["linear"]
    slope: float
    intercept: float
    threshold: None
    interval: ValueInterval
    basis: Basis


FittedEntry = ProbabilityEntry | ValueEntry


class UncalibratedProbability(TypedDict):
    """An uncalibrated probability in ``calibration.json``: the line from the model's scale to the teacher's logit."""

    method: Literal["none"]
    a: float
    b: float
    threshold: None
    interval: NoInterval


class UncalibratedValue(TypedDict):
    """An uncalibrated value in ``calibration.json``: the line from the model's scale to the unit of the value."""

    method: Literal["linear"]
    slope: float
    intercept: float
    threshold: None
    interval: NoInterval


UncalibratedEntry = UncalibratedProbability | UncalibratedValue


class Evidence(TypedDict):
    """Evidence of a head in the manifest, measured on held-out patients; ``None`` where a figure is not defined.

    Attributes:
        auroc: AUROC of a probability.
        ci: 95 % interval of the AUROC: low and high.
        n: Number of cases with a laboratory result.
        positives: Number of positive cases.
        tier: Level of the evidence.
        mae: Mean absolute error of a value, in its unit.
        data: Description of the patients.
    """

    auroc: float | None
    ci: list[float | None] | None
    n: int
    positives: int | None
    tier: str
    mae: float | None
    data: str


class LabFigures(TypedDict):
    """Figures of a head on the test part; without laboratory results only the first ones are known.

    Attributes:
        evidence: Evidence for the manifest.
        calibration_error: Calibration error of the probabilities.
        brier: Brier score.
        brier_of_the_prevalence: Brier score of a constant probability, the prevalence.
        mean_probability: Mean of the probabilities.
        prevalence: Share of positive cases.
        sensitivity: Sensitivity at the threshold.
        specificity: Specificity at the threshold.
        auroc_int8: AUROC of the int8 student.
        auroc_float: AUROC of its float form.
        auroc_ptq: AUROC of its form after post-training quantization.
        auroc_teacher: AUROC of the teacher.
        mae_from_teacher: Mean absolute difference of a value from the teacher, in its unit.
        mae_teacher: Mean absolute error of the teacher's value.
        mae_of_the_mean: Mean absolute error of a constant value, the mean.
        coverage: Share of the laboratory results within the interval.
    """

    evidence: Evidence
    calibration_error: NotRequired[float | None]
    brier: NotRequired[float | None]
    brier_of_the_prevalence: NotRequired[float | None]
    mean_probability: NotRequired[float | None]
    prevalence: NotRequired[float | None]
    sensitivity: NotRequired[float | None]
    specificity: NotRequired[float | None]
    auroc_int8: NotRequired[float | None]
    auroc_float: NotRequired[float | None]
    auroc_ptq: NotRequired[float | None]
    auroc_teacher: NotRequired[float | None]
    mae_from_teacher: NotRequired[float | None]
    mae_teacher: NotRequired[float | None]
    mae_of_the_mean: NotRequired[float | None]
    coverage: NotRequired[float | None]


class HeadFigures(LabFigures):
    """Figures of a head, and the correlation of each form with the teacher over the windows, or over the cases."""

    correlation_int8: float | None
    correlation_float: float | None
    correlation_ptq: float | None
    correlation_cases: float | None


class Summary(TypedDict):
    """Medians and macro averages over the heads; ``None`` where no head has the figure."""

    median_correlation_int8: float | None
    median_correlation_float: float | None
    median_correlation_ptq: float | None
    median_correlation_cases: float | None
    heads_with_auroc: int
    macro_auroc_int8: float | None
    macro_auroc_float: float | None
    macro_auroc_ptq: float | None
    macro_auroc_teacher: float | None
    worst_calibration_error: float | None
    worst_head_lost_by_int8: NotRequired[float | None]


class HeadAgreement(TypedDict):
    """Correlation of one head with its teacher on other recordings."""

    correlation_int8: float | None
    correlation_float: float | None


class Agreement(TypedDict):
    """Correlation of a student with its teacher on other recordings: medians over the heads, and each head."""

    median_correlation_int8: float | None
    median_correlation_float: float | None
    heads: dict[str, HeadAgreement]


class ManifestTeacher(TypedDict):
    """The teacher in the manifest: its name, its SHA-256 in hexadecimal, and the facts of its checkpoint."""

    name: str
    sha256: str
    facts: NotRequired[dict[str, Any]]


class ManifestFrontEnd(TypedDict):
    """Front end of a bundle.

    Attributes:
        name: ``stream/1`` or ``ecgfounder/1``.
        grid_hz: Sampling rate before the front end, Hz.
        fs_hz: Sampling rate of the window, Hz.
        window_s: Length of the window, seconds.
        group_delay_s: Delay of the front end, seconds.
        clamp: Largest absolute z-score.
    """

    name: str
    grid_hz: int
    fs_hz: int
    window_s: float
    group_delay_s: float
    clamp: float


class ManifestTensor(TypedDict):
    """Input or output of the model: type, shape, scale, zero point, and the coarser copies of an int8 output."""

    dtype: str
    shape: list[int]
    scale: float
    zero_point: int
    coarse: NotRequired[dict[str, int]]


class ManifestAggregation(TypedDict):
    """Aggregation of the outputs over the last minutes."""

    method: str
    minutes: float
    weighting: str


class Manifest(TypedDict):
    """Keys that the manifests of all tiers have; see :class:`convert.bundle.writer.BundleContents`."""

    name: str
    version: str
    tier: str
    licence: str
    teacher: ManifestTeacher
    front_end: ManifestFrontEnd
    input: ManifestTensor
    output: ManifestTensor
    aggregation: ManifestAggregation


class ManifestOutput(TypedDict):
    """One head in the manifest of a student; see ``convert.datasets.outputs_file.OutputEntry``."""

    index: int
    key: str
    lab: str
    loinc: str | None
    unit: str
    direction: Direction | None
    kind: Kind
    horizon_min: int | None
    evidence: Evidence
    means: str | None
    rhythms: NotRequired[list[RhythmName]]
