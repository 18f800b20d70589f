"""The clinical chapter of a validation report, as JSON-able values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from calibration.clinical.benefit import AlertsRecord, BenefitRecord, alerts, decision_curve, useful_range
from calibration.clinical.large import calibration_in_the_large, calibration_slope
from calibration.clinical.points import PointRecord, operating_points
from calibration.clinical.severity import SeverityRecord, severity
from calibration.validate.judge import Judged, score_json
from calibration.validate.records import HeadRecord, MeasureRecord
from convert.labels.plan import LabelPlan
from edge.frontend.stream import WINDOW_S

MIN_ALERT_S = 60.0
"""Median signal time of an estimate below which alerts per day mean nothing, such as for ECGs of ten seconds."""


class ClinicalHeadRecord(TypedDict):
    """What a clinician asks of a head."""

    key: str
    prevalence: float
    points: list[PointRecord]
    in_the_large: MeasureRecord
    slope: MeasureRecord
    benefit: list[BenefitRecord]
    useful: list[float] | None
    alerts: AlertsRecord | None


class ClinicalRecord(TypedDict):
    """The chapter: heads with enough patients, and stricter cut-offs."""

    heads: list[ClinicalHeadRecord]
    severity: list[SeverityRecord]
    left_out: int


def clinical_chapter(j: Judged, heads: Sequence[HeadRecord], plan: LabelPlan | None, hop_s: float) -> ClinicalRecord:
    """Return the chapter; heads with too few patients are left out and counted.

    Args:
        j: Results and labels.
        heads: Judged heads of the report, in the order of the bundle.
        plan: Rules from results to labels.
        hop_s: Seconds between windows.
    """
    probabilities = [i for i, h in enumerate(heads) if h["kind"] == "probability"]
    enough = [i for i in probabilities if heads[i]["enough_patients"]]
    return {
        "heads": [_head(j, i, hop_s, shown=heads[i]["tier"] is not None) for i in enough],
        "severity": severity(j, plan),
        "left_out": len(probabilities) - len(enough),
    }


def _head(j: Judged, i: int, hop_s: float, *, shown: bool) -> ClinicalHeadRecord:
    head = j.bundle.manifest.outputs[i]
    known = np.isfinite(j.est_truth[:, i])
    y, p = j.est_truth[known, i] > 0.5, j.seen.est_value[known, i]
    recording = j.seen.est_recording[known].astype(np.int64)
    patient, resampler = j.data.patient[recording], j.resampler(known, windows=False)
    threshold = j.bundle.calibration[head.key].shown_threshold
    benefit = decision_curve(p, y, resampler)
    # An estimate stands for the signal of its windows, which overlap by all but a hop.
    seconds = WINDOW_S + (j.seen.est_windows[known].astype(np.float64) - 1.0) * hop_s
    short = float(np.median(seconds)) < MIN_ALERT_S
    return {
        "key": head.key,
        "prevalence": round(float(y.mean()), 4),
        "points": operating_points(p, y, patient, resampler, threshold, j.seed),
        "in_the_large": score_json(calibration_in_the_large(p, y, patient)),
        "slope": score_json(calibration_slope(p, y, patient)),
        "benefit": benefit,
        # A benefit of an output that is not distinguishable from chance is chance, too.
        "useful": useful_range(benefit) if shown else None,
        "alerts": None if threshold is None or short else alerts(p >= threshold, y, recording, seconds, resampler),
    }
