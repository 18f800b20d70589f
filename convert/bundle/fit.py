"""Fit the calibration of a student, and compare the student with its teacher, on held-out patients.

A *case* is one visit or recording of a patient. Its score is the mean over its windows, as the runtime averages the
windows of the last minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.bundle.records import (
    Agreement,
    Auroc,
    Basis,
    Evidence,
    FittedEntry,
    HeadAgreement,
    HeadFigures,
    LabFigures,
    ProbabilityEntry,
    Summary,
    ValueEntry,
)
from convert.bundle.scaling import Scaling
from convert.datasets.heads import TeacherHead
from convert.stats.decide import inside
from convert.stats.evidence import EvidenceLevel, LeastPatients, evidence_level
from convert.stats.intervals import auroc_interval, mae_interval
from convert.stats.metrics import Score, auroc, calibration_error
from convert.stats.probability import (
    Linear,
    Platt,
    conformal_half_width,
    fit_linear,
    fit_platt,
    logit_sd,
    youden_threshold,
)

F64 = NDArray[np.float64]

LEVEL = 0.9
"""Nominal coverage of all intervals in a bundle."""

MIN_CASES = 10
"""Smallest number of cases of each class for a calibration on laboratory results, and half the smallest number of
measured values. With fewer, a head is calibrated on its teacher."""

FORMS = ("int8", "float", "ptq")
"""Forms of a student: the int8 model of the bundle, its float form before quantization-aware training, and the float
form after post-training quantization."""

AUROCS: Mapping[str, Auroc] = {
    "int8": "auroc_int8", "float": "auroc_float", "ptq": "auroc_ptq", "teacher": "auroc_teacher",
}  # fmt: skip
"""Key of each form's AUROC, and of the teacher's, in the figures of a head."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The windows of one part of the split.

    Attributes:
        outputs: Outputs of each form of the student, ``(n, heads)``.
        teacher: Outputs of the teacher, ``(n, heads)``.
        hard: Labels from laboratory results, ``(n, heads)``, NaN where unknown.
        case: Case of each window, ``(n,)``, from 0.
        patient: Number of the patient of each case, ``(cases,)``.
        data: Description of these patients for the evidence.
    """

    outputs: Mapping[str, F64]
    teacher: F64
    hard: F64
    case: NDArray[np.int64]
    patient: NDArray[np.int64]
    data: str

    def mean(self, values: F64) -> F64:
        """Return the mean over the windows of each case, ``(cases, heads)``."""
        count = np.bincount(self.case, minlength=len(self.patient)).astype(np.float64)
        columns = [np.bincount(self.case, values[:, j], len(self.patient)) / count for j in range(values.shape[1])]
        return np.stack(columns, axis=1)

    def truth(self) -> F64:
        """Return the mean of the known labels of each case, ``(cases, heads)``; NaN where none is known."""
        known = ~np.isnan(self.hard)
        total = self.mean(np.where(known, self.hard, 0.0))
        share = self.mean(known.astype(np.float64))
        return np.where(share > 0, total / np.maximum(share, 1e-12), np.nan)


def shown(heads: Sequence[TeacherHead], logits: F64) -> F64:
    """Return a teacher's outputs after its own calibration: logits, or values in their unit."""
    return np.asarray(logits * [h.slope for h in heads] + [h.offset for h in heads])


def calibrate(heads: Sequence[TeacherHead], scaling: Scaling, part: Part, seed: int) -> dict[str, FittedEntry]:
    """Return the entries of the heads in ``calibration.json``.

    A head with enough laboratory results is fitted to them. Another head is fitted to its teacher and keeps the
    teacher's threshold. Its interval then covers the difference to the teacher, plus the teacher's own half width for
    values where the teacher's bundle gives it. It does not cover the difference to the laboratory result.

    Args:
        heads: The outputs.
        scaling: Standardisation of the training.
        part: Windows of the calibration part.
        seed: Seed of the resampling.
    """
    scores, teacher = part.mean(part.outputs["int8"]), shown(heads, part.mean(part.teacher))
    truth = part.truth()
    return {
        h.key: (_value if h.is_value else _probability)(
            h, scores[:, j], teacher[:, j], truth[:, j], _designed(h, scaling, j), seed
        )
        for j, h in enumerate(heads)
    }


def _designed(head: TeacherHead, scaling: Scaling, j: int) -> Linear:
    """Return the line of the training's standardisation."""
    scale, centre = float(scaling.scale[j]), float(scaling.centre[j])
    return Linear(head.slope * scale, head.slope * centre + head.offset)


def _line(scores: F64, wanted: F64, designed: Linear) -> Linear:
    """Fit a line by least squares, which shrinks an uncertain student; with too few cases keep the designed line."""
    line = fit_linear(scores, wanted) if len(scores) >= MIN_CASES else designed
    return line if line.slope * designed.slope > 0 else designed


def _probability(
    head: TeacherHead, scores: F64, teacher: F64, truth: F64, designed: Linear, seed: int
) -> ProbabilityEntry:
    known = ~np.isnan(truth)
    y = truth[known] > 0.5
    if min(int(y.sum()), int((~y).sum())) >= MIN_CASES:
        platt = fit_platt(scores[known], y)
        sd = logit_sd(scores[known], teacher[known], y, platt, seed=seed)
        a, b = platt.a, platt.b
        basis: Basis = "laboratory results"
        threshold: float | None = youden_threshold(platt.probability(scores[known]), y)
        method: Literal["youden", "teacher"] = "youden"
    else:
        line = _line(scores, teacher, designed)
        a, b, basis = line.slope, line.intercept, "teacher"
        sd = float(np.sqrt(np.mean((line.value(scores) - teacher) ** 2)))
        threshold, method = head.threshold, "teacher"
    return {
        "method": "platt",
        "a": _short(a),
        "b": _short(b),
        "threshold": None if threshold is None else inside(_short(threshold)),
        "threshold_method": method,
        "interval": {"method": "logit_sd", "sd": _short(sd), "level": LEVEL},
        "basis": basis,
    }


def _value(head: TeacherHead, scores: F64, teacher: F64, truth: F64, designed: Linear, seed: int) -> ValueEntry:
    del seed
    known = ~np.isnan(truth)
    by_lab = int(known.sum()) >= 2 * MIN_CASES
    x, wanted = (scores[known], truth[known]) if by_lab else (scores, teacher)
    if len(x) >= 2 * MIN_CASES:
        # The line is fitted on one half of the cases and the residuals are taken on the other half.
        fit = np.arange(len(x)) % 2 == 0
        line = fit_linear(x[fit], wanted[fit])
        half = conformal_half_width(line.value(x[~fit]) - wanted[~fit], LEVEL)
    else:
        line = designed
        half = conformal_half_width(line.value(x) - wanted, LEVEL)
    return {
        "method": "linear",
        "slope": _short(line.slope),
        "intercept": _short(line.intercept),
        "threshold": None,
        "interval": {
            "method": "conformal",
            "half_width": _short(half if by_lab else half + head.half_width),
            "level": LEVEL,
        },
        "basis": "laboratory results" if by_lab else "teacher",
    }


def judge(
    heads: Sequence[TeacherHead], part: Part, entries: Mapping[str, FittedEntry], seed: int
) -> dict[str, HeadFigures]:
    """Return the entry of each head in the report on the test part: ``evidence`` for the manifest, and comparisons."""
    means = {form: part.mean(out) for form, out in part.outputs.items()}
    teacher, truth = part.mean(part.teacher), part.truth()
    out: dict[str, HeadFigures] = {}
    for j, head in enumerate(heads):
        scores = {form: means[form][:, j] for form in FORMS} | {"teacher": shown(heads, teacher)[:, j]}
        entry = entries[head.key]
        judged = (
            _judge_value(scores, truth[:, j], part, entry, seed)
            if entry["method"] == "linear"
            else _judge_probability(scores, truth[:, j], part, entry, seed)
        )
        apart = {form: _correlation(part.outputs[form][:, j], part.teacher[:, j]) for form in FORMS}
        out[head.key] = {
            **judged,
            "correlation_int8": apart["int8"],
            "correlation_float": apart["float"],
            "correlation_ptq": apart["ptq"],
            "correlation_cases": _correlation(means["int8"][:, j], teacher[:, j]),
        }
    return out


def _judge_probability(
    scores: Mapping[str, F64], truth: F64, part: Part, entry: ProbabilityEntry, seed: int
) -> LabFigures:
    known = ~np.isnan(truth)
    y = truth[known] > 0.5
    evidence = _no_evidence(part, int(known.sum()))
    found: LabFigures = {"evidence": evidence}
    if known.any():
        _add_calibration(found, Platt(entry["a"], entry["b"]).probability(scores["int8"][known]), y, entry["threshold"])
    if y.any() and (~y).any():
        area = auroc_interval(scores["int8"][known], y, part.patient[known], seed=seed)
        evidence["auroc"] = _opt(area.value)
        evidence["ci"] = None if area.low is None or area.high is None else [_opt(area.low), _opt(area.high)]
        evidence["positives"] = int(y.sum())
        evidence["tier"] = _level([area], y, part.patient[known])
        for form, key in AUROCS.items():
            found[key] = _opt(auroc(scores[form][known], y))
    return found


def _add_calibration(found: LabFigures, p: F64, y: NDArray[np.bool_], threshold: float | None) -> None:
    """Add calibration error of the probabilities on held-out patients, and performance of the threshold."""
    found["calibration_error"] = _opt(calibration_error(p, y))
    found["brier"] = _opt(float(np.mean((p - y) ** 2)))
    found["brier_of_the_prevalence"] = _opt(float(y.mean() * (1 - y.mean())))
    found["mean_probability"] = _opt(float(p.mean()))
    found["prevalence"] = _opt(float(y.mean()))
    if threshold is not None:
        flagged = p >= threshold
        found["sensitivity"] = _opt(float(flagged[y].mean())) if y.any() else None
        found["specificity"] = _opt(float((~flagged[~y]).mean())) if (~y).any() else None


def _judge_value(scores: Mapping[str, F64], truth: F64, part: Part, entry: ValueEntry, seed: int) -> LabFigures:
    line = Linear(entry["slope"], entry["intercept"])
    value = line.value(scores["int8"])
    known = ~np.isnan(truth)
    evidence = _no_evidence(part, int(known.sum()))
    apart = float(np.mean(np.abs(value - scores["teacher"])))
    found: LabFigures = {"evidence": evidence, "mae_from_teacher": _opt(apart)}
    if known.any():
        error = value[known] - truth[known]
        evidence["mae"] = _opt(mae_interval(error, part.patient[known], seed=seed).value)
        low, high = np.quantile(truth[known], [0.15, 0.85])
        sides = ((-value[known], truth[known] < low), (value[known], truth[known] > high))
        areas = [auroc_interval(score, side, part.patient[known], seed=seed) for score, side in sides]
        evidence["tier"] = _level(areas, truth[known] < low, part.patient[known])
        found["mae_teacher"] = _opt(float(np.mean(np.abs(scores["teacher"][known] - truth[known]))))
        found["mae_of_the_mean"] = _opt(float(np.mean(np.abs(truth[known] - truth[known].mean()))))
        found["coverage"] = _opt(float(np.mean(np.abs(error) <= entry["interval"]["half_width"])))
    return found


def _level(areas: Sequence[Score], labels: NDArray[np.bool_], patient: NDArray[np.int64]) -> EvidenceLevel:
    """Return the evidence level that the lower ends of the intervals show; the lowest with too few patients."""
    ends = [area.low for area in areas]
    enough = LeastPatients().reached(len(np.unique(patient[labels])), len(np.unique(patient[~labels])))
    known = [low for low in ends if low is not None]
    return (evidence_level(min(known)) or "limited") if enough and len(known) == len(ends) else "limited"


def _no_evidence(part: Part, n: int) -> Evidence:
    return {
        "auroc": None, "ci": None, "n": n, "positives": None, "tier": "limited", "mae": None, "data": part.data,
    }  # fmt: skip


def summary(found: Mapping[str, HeadFigures]) -> Summary:
    """Return medians and macro averages over the heads, and the loss of each step."""
    heads = list(found.values())
    ranked = [h for h in heads if h.get("auroc_int8") is not None]
    out: Summary = {
        "median_correlation_int8": _median([h["correlation_int8"] for h in heads]),
        "median_correlation_float": _median([h["correlation_float"] for h in heads]),
        "median_correlation_ptq": _median([h["correlation_ptq"] for h in heads]),
        "median_correlation_cases": _median([h["correlation_cases"] for h in heads]),
        "heads_with_auroc": len(ranked),
        "macro_auroc_int8": _mean_auroc(ranked, "auroc_int8"),
        "macro_auroc_float": _mean_auroc(ranked, "auroc_float"),
        "macro_auroc_ptq": _mean_auroc(ranked, "auroc_ptq"),
        "macro_auroc_teacher": _mean_auroc(ranked, "auroc_teacher"),
        "worst_calibration_error": max(
            (e for h in heads if (e := h.get("calibration_error")) is not None), default=None
        ),
    }
    if ranked:
        pairs = zip(_aurocs(ranked, "auroc_float"), _aurocs(ranked, "auroc_int8"), strict=True)
        out["worst_head_lost_by_int8"] = _opt(max(floating - int8 for floating, int8 in pairs))
    return out


def _mean_auroc(ranked: Sequence[HeadFigures], key: Auroc) -> float | None:
    return _opt(float(np.mean(_aurocs(ranked, key)))) if ranked else None


def _aurocs(ranked: Sequence[HeadFigures], key: Auroc) -> list[float]:
    return [area for h in ranked if (area := h[key]) is not None]


def agreement(heads: Sequence[TeacherHead], int8: F64, floating: F64, teacher: F64) -> Agreement:
    """Return the correlation of student and teacher on other recordings for each head, and the medians.

    Args:
        heads: The outputs.
        int8: Outputs of the int8 student, ``(windows, heads)``.
        floating: Outputs of its float form, ``(windows, heads)``.
        teacher: Outputs of the teacher, ``(windows, heads)``.
    """
    found: dict[str, HeadAgreement] = {
        h.key: {
            "correlation_int8": _correlation(int8[:, j], teacher[:, j]),
            "correlation_float": _correlation(floating[:, j], teacher[:, j]),
        }
        for j, h in enumerate(heads)
    }
    return {
        "median_correlation_int8": _median([c["correlation_int8"] for c in found.values()]),
        "median_correlation_float": _median([c["correlation_float"] for c in found.values()]),
        "heads": found,
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return _opt(float(np.median(known))) if known else None


def _correlation(a: F64, b: F64) -> float | None:
    if len(a) < 3 or a.std() < 1e-9 or b.std() < 1e-9:
        return None
    return _opt(float(np.corrcoef(a, b)[0, 1]))


def _opt(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def _short(value: float) -> float:
    return round(float(value), 6)
