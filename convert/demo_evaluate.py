"""Calibration and evidence of the demonstration's heads, on patients that trained nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.metrics import Score, auroc, auroc_interval, mae_interval
from calibration.probability import (
    Linear,
    Platt,
    conformal_half_width,
    fit_linear,
    fit_platt,
    logit_sd,
    youden_threshold,
)
from convert.demo_heads import Head

F64 = NDArray[np.float64]

LEVEL = 0.9
"""Coverage of every interval a bundle promises."""

DATA = "simulated, held-out patients"


@dataclass(frozen=True, slots=True)
class Scored:
    """Model outputs of one split.

    Attributes:
        outputs: Dequantized outputs ``(patients, windows, heads)``, windows in the order of time.
        labs: Lab key -> ``(patients,)``.
    """

    outputs: F64
    labs: Mapping[str, F64]

    def scores(self, index: int) -> F64:
        """A head's aggregated output: the mean over a patient's windows, ``(patients,)``."""
        return np.asarray(self.outputs[:, :, index].mean(axis=1))


def positives(head: Head, labs: Mapping[str, F64]) -> NDArray[np.bool_]:
    """Which patients lie beyond a head's limit."""
    if head.limit is None:
        raise ValueError(f"{head.key} has no limit")
    return np.asarray(labs[head.lab] < head.limit if head.direction == "low" else labs[head.lab] > head.limit)


def calibrate(head: Head, index: int, scored: Scored, rival: Scored, seed: int) -> dict[str, Any]:
    """Fit one head on the calibration split.

    Args:
        head: The head.
        index: Its place in the output.
        scored: The calibration split.
        rival: The same split, scored by another training run.
        seed: Seed of what is resampled.

    Returns:
        The head's entry in ``calibration.json``.
    """
    scores = scored.scores(index)
    if head.kind == "value":
        return _calibrate_value(scores, scored.labs[head.lab])
    y = positives(head, scored.labs)
    platt = fit_platt(scores, y)
    sd = logit_sd(scores, rival.scores(index), y, platt, seed=seed)
    return {
        "method": "platt",
        "a": _short(platt.a),
        "b": _short(platt.b),
        "threshold": _short(youden_threshold(platt.probability(scores), y)),
        "threshold_method": "youden",
        "interval": {"method": "logit_sd", "sd": _short(sd), "level": LEVEL},
    }


def _calibrate_value(scores: F64, values: F64) -> dict[str, Any]:
    """Line on one half of the patients, conformal residuals on the other, so that none judges its own fit."""
    fit, judge = np.arange(len(scores)) % 2 == 0, np.arange(len(scores)) % 2 == 1
    line = fit_linear(scores[fit], values[fit])
    half = conformal_half_width(line.value(scores[judge]) - values[judge], LEVEL)
    return {
        "method": "linear",
        "slope": _short(line.slope),
        "intercept": _short(line.intercept),
        "threshold": None,
        "interval": {"method": "conformal", "half_width": _short(half), "level": LEVEL},
    }


def tier(value: float | None) -> str:
    """Strength of evidence as in arXiv 2510.22301: strong above 0.65, limited below 0.55."""
    if value is None or value < 0.55:
        return "limited"
    return "strong" if value > 0.65 else "moderate"


def evidence(head: Head, index: int, scored: Scored, entry: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """One head's evidence on the test split, for the manifest.

    Args:
        head: The head.
        index: Its place in the output.
        scored: The test split.
        entry: The head's calibration.
        seed: Seed of the bootstrap.
    """
    scores = scored.scores(index)
    if head.kind == "value":
        error = Linear(entry["slope"], entry["intercept"]).value(scores) - scored.labs[head.lab]
        mae = mae_interval(error, seed=seed)
        return _evidence(Score(None, mae.low, mae.high), len(scores), None, _value_tier(error, scored, head), mae.value)
    y = positives(head, scored.labs)
    area = auroc_interval(scores, y, seed=seed)
    return _evidence(area, len(scores), int(y.sum()), tier(area.value), None)


def _value_tier(error: F64, scored: Scored, head: Head) -> str:
    """A value has no AUROC of its own: the weaker of the two limits of the lab, ranked by the estimate, decides."""
    truth = scored.labs[head.lab]
    low, high = np.quantile(truth, [0.15, 0.85])
    estimate = truth + error
    areas = [auroc(-estimate, truth < low), auroc(estimate, truth > high)]
    return tier(min(a for a in areas if a is not None))


def _evidence(area: Score, n: int, count: int | None, strength: str, mae: float | None) -> dict[str, Any]:
    ci = None if area.low is None or area.high is None else [_short(area.low, 4), _short(area.high, 4)]
    return {
        "auroc": None if area.value is None else _short(area.value, 4),
        "ci": ci,
        "n": n,
        "positives": count,
        "tier": strength,
        "mae": None if mae is None else _short(mae, 4),
        "data": DATA,
    }


def details(
    head: Head, index: int, scored: Scored, entry: Mapping[str, Any], others: Mapping[str, F64]
) -> dict[str, Any]:
    """What the validation report adds: single windows, calibration in the test split, other forms of the model.

    Args:
        head: The head.
        index: Its place in the output.
        scored: The test split of the shipped model.
        entry: The head's calibration.
        others: Name -> outputs ``(patients, windows, heads)`` of other forms of the same student.
    """
    truth = scored.labs[head.lab]
    score = scored.scores(index)
    if head.kind == "value":
        line = Linear(entry["slope"], entry["intercept"])
        error = line.value(score) - truth
        return {
            "pearson": _short(float(np.corrcoef(score, truth)[0, 1]), 4),
            "mae_of_the_mean": _short(float(np.mean(np.abs(truth - truth.mean()))), 4),
            "coverage": _short(float(np.mean(np.abs(error) <= entry["interval"]["half_width"])), 4),
        }
    y = positives(head, scored.labs)
    patients, windows, _ = scored.outputs.shape
    single = auroc_interval(
        scored.outputs[:, :, index].ravel(), np.repeat(y, windows), np.repeat(np.arange(patients), windows)
    )
    p = Platt(entry["a"], entry["b"]).probability(score)
    flagged = p >= entry["threshold"]
    found: dict[str, Any] = {
        "auroc_single_window": None if single.value is None else _short(single.value, 4),
        "brier": _short(float(np.mean((p - y) ** 2)), 4),
        "brier_of_the_prevalence": _short(float(y.mean() * (1 - y.mean())), 4),
        "mean_probability": _short(float(p.mean()), 4),
        "prevalence": _short(float(y.mean()), 4),
        "sensitivity": _short(float(flagged[y].mean()), 4) if y.any() else None,
        "specificity": _short(float((~flagged[~y]).mean()), 4) if (~y).any() else None,
    }
    for name, outputs in others.items():
        area = auroc(outputs[:, :, index].mean(axis=1), y)
        found[f"auroc_{name}"] = None if area is None else _short(area, 4)
    return found


def manifest_outputs(heads: Sequence[Head], found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The manifest's ``outputs``."""
    return [
        {
            "index": i,
            "key": head.key,
            "lab": head.lab,
            "loinc": head.loinc,
            "unit": head.unit,
            "direction": head.direction,
            "kind": head.kind,
            "horizon_min": None,
            "evidence": dict(one),
        }
        for i, (head, one) in enumerate(zip(heads, found, strict=True))
    ]


def _short(value: float, digits: int = 6) -> float:
    return round(float(value), digits)
