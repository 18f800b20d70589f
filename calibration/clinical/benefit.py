"""Decision curves (Vickers & Elkin, Med Decis Making 2006;26:565) and alerts per patient and day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from calibration.validate.judge import rounded, score_json
from calibration.validate.records import MeasureRecord
from convert.stats.bounds import se_interval
from convert.stats.reliability import mean_interval
from convert.stats.resampling import Resampler

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Threshold probabilities: from one true finding in 50 blood tests to one in two."""

DAY_S = 86_400.0


class BenefitRecord(TypedDict):
    """Net benefit at a threshold probability, per patient; ``gain`` is over the better of testing all and none."""

    threshold: float
    model: MeasureRecord
    all: float
    gain: MeasureRecord


class AlertsRecord(TypedDict):
    """Alerts of the deployed threshold; an alert that lasts over several estimates counts once."""

    alerts: int
    false_alerts: int
    days: float
    per_day: MeasureRecord
    false_per_day: MeasureRecord


def decision_curve(p: F64, labels: Bools, resampler: Resampler) -> list[BenefitRecord]:
    """Return the net benefit at each of :data:`THRESHOLDS`.

    Args:
        p: Calibrated probabilities, ``(n,)``.
        labels: Outcomes, ``(n,)``.
        resampler: Replicates of these rows.
    """
    out: list[BenefitRecord] = []
    y = labels.astype(np.float64)
    for limit in THRESHOLDS:
        weight = limit / (1.0 - limit)
        each = y - weight * (1.0 - y)
        model, everybody = np.where(p >= limit, each, 0.0), float(each.mean())
        gain = model - each if everybody > 0.0 else model
        out.append(
            {
                "threshold": limit,
                "model": score_json(mean_interval(model, resampler)),
                "all": round(everybody, 4),
                "gain": score_json(mean_interval(gain, resampler)),
            }
        )
    return out


def useful_range(rows: Sequence[BenefitRecord]) -> list[float] | None:
    """Return lowest and highest threshold at which the benefit is shown; ``None`` where there is none."""
    shown = [r["threshold"] for r in rows if r["gain"]["ci"] and (r["gain"]["ci"][0] or 0.0) > 0.0]
    return [min(shown), max(shown)] if shown else None


def alerts(
    flagged: Bools, labels: Bools, recording: NDArray[np.int64], seconds: F64, resampler: Resampler
) -> AlertsRecord:
    """Count the alerts of a head.

    Args:
        flagged: Whether each estimate reaches the threshold, ``(n,)``, in the order of time within a recording.
        labels: Whether the result was abnormal, ``(n,)``.
        recording: Recording of each estimate, ``(n,)``.
        seconds: Signal time for which each estimate stands, ``(n,)``.
        resampler: Replicates of these rows.
    """
    first = np.concatenate(([True], recording[1:] != recording[:-1]))
    before = np.concatenate(([False], flagged[:-1])) & ~first
    begins = flagged & ~before
    false = begins & ~labels
    days = seconds / DAY_S
    total = float(days.sum())

    def rate(what: Bools) -> MeasureRecord:
        value = float(what.sum()) / total if total > 0.0 and what.any() else 0.0
        drawn = resampler.ratio(what.astype(np.float64), days)
        return score_json(se_interval(value if value > 0.0 else None, drawn, resampler.patients, "log"))

    return {
        "alerts": int(begins.sum()),
        "false_alerts": int(false.sum()),
        "days": rounded(total, 6) or 0.0,
        "per_day": rate(begins),
        "false_per_day": rate(false),
    }
