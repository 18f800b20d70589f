"""Judge each head by discrimination, calibration, decisions and values, for estimates and for windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calibration.validate.labelled import Labelled
from calibration.validate.observe import Observed
from calibration.validate.records import (
    AreaRecord,
    DecisionRecord,
    HeadRecord,
    HeadResultRecord,
    Interval,
    MeasureRecord,
    ReliabilityRecord,
    ValuesRecord,
    VerdictRecord,
    WindowsRecord,
)
from convert.stats.bounds import p_value
from convert.stats.delong import delong_interval
from convert.stats.discrimination import Ranking, ranking, roc_points
from convert.stats.evidence import CHANCE, LeastPatients, shown_level
from convert.stats.excess import PerfectError, perfect_error
from convert.stats.metrics import Score
from convert.stats.multiplicity import ALPHA, adjusted
from convert.stats.reliability import Decisions, Reliability, ValueAgreement, decisions, reliability, value_agreement
from convert.stats.resampling import Resampler
from edge.bundle.calibration import HeadCalibration
from edge.bundle.reader import Bundle
from edge.bundle.schema import OutputHead
from edge.bundle.tensors import Steps
from edge.stats import sigmoid

F64 = NDArray[np.float64]

EXTREMES = (0.15, 0.85)
"""A value head is ranked by the AUROC for the lowest and for the highest 15 % of the measured values."""

PLOT_POINTS = 400
"""Maximum number of points of a Bland-Altman plot."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Results and labels to judge.

    Attributes:
        bundle: The bundle under test.
        data: The labelled recordings.
        seen: Results of the bundle on these recordings.
        truth: Label of each window, ``(windows, heads)``; NaN if unknown.
        est_truth: Label of each estimate, ``(estimates, heads)``; NaN if unknown.
        seed: Seed of all random draws.
        resamples: Number of bootstrap replicates.
        least: Minimum number of patients of each class for a verdict.
    """

    bundle: Bundle
    data: Labelled
    seen: Observed
    truth: F64
    est_truth: F64
    seed: int
    resamples: int
    least: LeastPatients = field(default_factory=LeastPatients)

    def window_logits(self, j: int) -> F64:
        """Return the calibrated output of head ``j`` for each single window, before the sigmoid, ``(windows,)``."""
        head = self.bundle.manifest.outputs[j]
        return shown_logits(self.bundle, self.bundle.calibration[head.key], self.seen.outputs[:, head.index])

    def window_values(self, j: int) -> F64:
        """Return the probability or value of head ``j`` for each single window, ``(windows,)``."""
        logits, head = self.window_logits(j), self.bundle.manifest.outputs[j]
        if head.kind == "value":
            return logits
        knots = self.bundle.calibration[head.key].knots
        return sigmoid(logits) if knots is None else np.asarray(np.interp(logits, *knots), dtype=np.float64)

    def resampler(self, rows: NDArray[np.bool_], *, windows: bool) -> Resampler:
        """Return the bootstrap replicates of the selected windows or estimates."""
        recording = (self.seen.recording if windows else self.seen.est_recording)[rows]
        return Resampler(self.data.patient[recording], self.seed, self.resamples)


def shown_logits(bundle: Bundle, calibration: HeadCalibration, outputs: Steps) -> F64:
    """Convert outputs in steps to calibrated logits or values."""
    tensor = bundle.manifest.output
    steps = outputs.astype(np.float64) - tensor.zero_point
    return np.asarray(calibration.slope * tensor.scale * steps + calibration.offset)


NO_VERDICT = "INCONCLUSIVE"


def conclude(heads: Sequence[VerdictRecord]) -> None:
    """Set level and conclusion of each head from its interval, its patients and the tests of the whole table.

    The p-values of chance are corrected for the number of tested heads by Holm's method.
    """
    tests = [h["p_chance"] if h["enough_patients"] else None for h in heads]
    for head, p in zip(heads, adjusted(tests, "holm"), strict=True):
        head["p_adjusted"] = p
        if not (head["n"] and head["positive_patients"] and head["negative_patients"]):
            head["tier"], head["conclusion"] = None, "NOT JUDGED"
            continue
        level = shown_level(head["judged_low"], p, ALPHA) if head["enough_patients"] else None
        if level is not None and head.get("no_gain"):
            level = None
        head["tier"], head["conclusion"] = level, level or NO_VERDICT
        if level is None and not head["note"]:
            head["note"] = _why_unclear(head)


def _why_unclear(head: VerdictRecord) -> str:
    low, p = head["judged_low"], head["p_adjusted"]
    if low is not None and low > CHANCE and p is not None and p > ALPHA:
        return f"not distinguishable from chance after the correction for all outputs (adjusted p = {p:.2g})"
    if low is not None and low > CHANCE and head.get("no_gain"):
        return "its error is not shown to be smaller than that of a constant"
    return ""


def judge_heads(j: Judged) -> list[HeadRecord]:
    """Judge each head of the bundle, in its order, as JSON-able values."""
    out: list[HeadRecord] = []
    results = [
        _value(j, i, head) if head.kind == "value" else _probability(j, i, head)
        for i, head in enumerate(j.bundle.manifest.outputs)
    ]
    conclude(results)
    for head, found in zip(j.bundle.manifest.outputs, results, strict=True):
        e = head.evidence
        out.append(
            {
                "key": head.key,
                "lab": head.lab,
                "unit": head.unit,
                "kind": head.kind,
                "direction": head.direction,
                "horizon_min": head.horizon_min,
                **found,
                "claimed": {"auroc": e.auroc, "ci": e.ci, "mae": e.mae, "tier": e.tier, "n": e.n},
            }
        )
    return out


def _probability(j: Judged, i: int, head: OutputHead) -> HeadResultRecord:
    known = np.isfinite(j.est_truth[:, i])
    y, p = j.est_truth[known, i] > 0.5, j.seen.est_value[known, i]
    if not len(y):
        found = _result(verdict_of(None, j.least, 0, "no label in these data"), 0, 0, area_of(None))
        found["calibration"], found["decision"], found["windows"], found["roc"] = None, None, None, []
        return found
    resampler = j.resampler(known, windows=False)
    ranked = ranking(p, y, resampler)
    c = j.bundle.calibration[head.key]
    decided: DecisionRecord | None = None
    limit, band = c.shown_threshold, c.shown_abstain
    if limit is not None:
        unsure = np.zeros(len(p), dtype=bool) if band is None else (p >= band[0]) & (p < band[1])
        decided = _decisions(decisions(p >= limit, y, unsure, resampler, limit))
    verdict = verdict_of(ranked, j.least, len(y), note_of(y, p, ranked, j.least))
    found = _result(verdict, int(y.sum()), resampler.patients, area_of(ranked))
    found["auroc_ci_delong"] = ends(delong_interval(p, y)) if resampler.distinct else None
    perfect = perfect_error(p, resampler, j.seed)
    found["calibration"] = _reliability(reliability(p, y, resampler, j.seed), perfect)
    found["decision"] = decided
    found["windows"] = _windows(j, i)
    found["roc"] = roc_points(p, y)
    return found


def _result(verdict: VerdictRecord, positives: int | None, patients: int, area: AreaRecord) -> HeadResultRecord:
    return {
        "n": verdict["n"],
        "note": verdict["note"],
        "positive_patients": verdict["positive_patients"],
        "negative_patients": verdict["negative_patients"],
        "enough_patients": verdict["enough_patients"],
        "judged_low": verdict["judged_low"],
        "p_chance": verdict["p_chance"],
        "p_adjusted": verdict["p_adjusted"],
        "tier": verdict["tier"],
        "conclusion": verdict["conclusion"],
        "positives": positives,
        "patients": patients,
        "auroc": area["auroc"],
        "auroc_ci": area["auroc_ci"],
        "auprc": area["auprc"],
        "auprc_ci": area["auprc_ci"],
    }


def _reliability(r: Reliability, perfect: PerfectError) -> ReliabilityRecord:
    return {
        "brier": score_json(r.brier),
        "brier_of_the_prevalence": r.brier_of_the_prevalence,
        "ece": r.ece,
        "ece_chance": r.ece_chance,
        "ece_perfect": {"mean": perfect.mean, "sd": perfect.sd},
        "bins": r.bins,
        "slope": r.slope,
        "intercept": r.intercept,
        "curve": bins_json(r),
    }


def _decisions(d: Decisions) -> DecisionRecord:
    return {
        "threshold": d.threshold,
        "sensitivity": score_json(d.sensitivity),
        "specificity": score_json(d.specificity),
        "ppv": score_json(d.ppv),
        "npv": score_json(d.npv),
        "flagged": d.flagged,
        "undecided": d.undecided,
    }


def _windows(j: Judged, i: int) -> WindowsRecord | None:
    known = np.isfinite(j.truth[:, i])
    if not known.any():
        return None
    y, p = j.truth[known, i] > 0.5, j.window_values(i)[known]
    ranked = ranking(p, y, j.resampler(known, windows=True))
    return {
        "n": len(y),
        "positives": int(y.sum()),
        "auroc": rounded(ranked.auroc.value),
        "auroc_ci": ends(ranked.auroc),
        "auprc": rounded(ranked.auprc.value),
        "brier": rounded(float(np.mean((p - y) ** 2))),
    }


def _value(j: Judged, i: int, head: OutputHead) -> HeadResultRecord:
    known = np.isfinite(j.est_truth[:, i])
    truth, value = j.est_truth[known, i], j.seen.est_value[known, i]
    if not len(truth):
        found = _result(verdict_of(None, j.least, 0, "no measured value in these data"), None, 0, area_of(None))
        found["values"], found["windows"] = None, None
        return found
    resampler = j.resampler(known, windows=False)
    low, high = j.seen.est_low[known, i], j.seen.est_high[known, i]
    agreement = value_agreement(value, truth, low, high, j.bundle.calibration[head.key].level, resampler)
    step = max(1, -(-len(truth) // PLOT_POINTS))
    points = zip((0.5 * (value + truth))[::step], (value - truth)[::step], strict=True)
    by_window = np.isfinite(j.truth[:, i])
    errors = j.window_values(i)[by_window] - j.truth[by_window, i]
    edges = np.quantile(truth, EXTREMES)
    ends_of = ((-value, truth < edges[0]), (value, truth > edges[1]))
    ranked = [ranking(score, extreme, resampler) for score, extreme in ends_of]
    worst = min(ranked, key=lambda r: -1.0 if r.auroc.low is None else r.auroc.low)
    verdict = verdict_of(worst, j.least, len(truth), few_extremes(ranked, j.least))
    found = _result(verdict, None, resampler.patients, area_of(None))
    found["no_gain"] = agreement.gain.low is None or agreement.gain.low <= 0.0
    found["auroc_extremes"] = [rounded(r.auroc.value) for r in ranked]
    found["values"] = _agreement(agreement, [[rounded(a, 3), rounded(b, 3)] for a, b in points])
    mae = rounded(float(np.abs(errors).mean())) if len(errors) else None
    found["windows"] = {"n": int(by_window.sum()), "mae": mae}
    return found


def _agreement(found: ValueAgreement, points: list[list[float | None]]) -> ValuesRecord:
    return {
        "mae": score_json(found.mae),
        "mae_of_the_mean": found.mae_of_the_mean,
        "gain": score_json(found.gain),
        "bias": score_json(found.bias),
        "limits": [rounded(x) for x in found.limits],
        "slope": score_json(found.slope),
        "proportional_bias": found.proportional_bias,
        "coverage": score_json(found.coverage),
        "level": found.level,
        "points": points,
    }


def few_extremes(ranked: Sequence[Ranking], least: LeastPatients) -> str:
    """Return why the extremes of a value have too few patients; empty if they have enough."""
    for found, side in zip(ranked, ("lowest", "highest"), strict=True):
        if not least.reached(found.positives, found.negatives):
            return (
                f"too few patients: {found.positives} in the {side} {EXTREMES[0]:.0%} of the values and "
                f"{found.negatives} elsewhere; at least {least.positives} and {least.negatives} are needed"
            )
    return ""


def note_of(y: NDArray[np.bool_], p: F64, ranked: Ranking, least: LeastPatients) -> str:
    """Return why the labels or outputs of a probability limit the judgement; empty if they do not."""
    if not y.any():
        return "no positive label in these data: discrimination cannot be judged"
    if y.all():
        return "no negative label in these data: discrimination cannot be judged"
    if np.ptp(p) == 0.0:
        return "its output is constant"
    return least.missing(ranked.positives, ranked.negatives)


def area_of(ranked: Ranking | None) -> AreaRecord:
    """Return the discrimination of a head; without a ranking all entries are ``None``."""
    if ranked is None:
        return {"auroc": None, "auroc_ci": None, "auprc": None, "auprc_ci": None}
    return {
        "auroc": rounded(ranked.auroc.value),
        "auroc_ci": ends(ranked.auroc),
        "auprc": rounded(ranked.auprc.value),
        "auprc_ci": ends(ranked.auprc),
    }


def verdict_of(ranked: Ranking | None, least: LeastPatients, n: int, note: str) -> VerdictRecord:
    """Return on what a verdict rests; :func:`conclude` completes it, because the level depends on the other heads.

    Args:
        ranked: Discrimination of the head; ``None`` where there is none.
        least: Minimum number of patients of each class.
        n: Number of rows.
        note: Note for the reader.
    """
    found = None if ranked is None else ranked.auroc
    return {
        "n": n,
        "note": note,
        "positive_patients": 0 if ranked is None else ranked.positives,
        "negative_patients": 0 if ranked is None else ranked.negatives,
        "enough_patients": ranked is not None and least.reached(ranked.positives, ranked.negatives),
        "judged_low": None if found is None else rounded(found.low),
        "p_chance": None if ranked is None or found is None else p_value(found, CHANCE, ranked.df, "logit"),
        "p_adjusted": None,
        "tier": None,
        "conclusion": "NOT JUDGED",
    }


def summary_line(heads: Sequence[HeadRecord]) -> str:
    """Return a sentence with the number of heads at each evidence level, with the limits of the paper."""
    judged = [h for h in heads if h["auroc"] is not None]
    counts = {name: sum(h["tier"] == name for h in judged) for name in ("strong", "moderate", "limited")}
    rest = sum(h["kind"] == "probability" for h in heads) - len(judged)
    unclear = sum(h["conclusion"] == NO_VERDICT for h in judged)
    line = (
        f"lower end of the AUROC > 0.65 (strong) for {counts['strong']}, 0.55-0.65 (moderate) for "
        f"{counts['moderate']}, < 0.55 (limited) for {counts['limited']} of {len(judged)} heads"
    )
    line += f"; {unclear} INCONCLUSIVE (not distinguishable from chance, or too few patients)" if unclear else ""
    return line + (f"; {rest} could not be judged" if rest else "")


def rounded(value: float | None, digits: int = 4) -> float | None:
    """Round a number for JSON; ``None`` if it is missing or not finite."""
    return None if value is None or not np.isfinite(value) else round(float(value), digits)


def score_json(score: Score) -> MeasureRecord:
    """Return a measure and its interval as JSON-able values."""
    return {"value": rounded(score.value), "ci": ends(score)}


def bins_json(r: Reliability) -> list[list[float | None]]:
    """Return the bins for JSON: mean probability, share of positives, size, and the interval of the share."""
    return [[rounded(p), rounded(share.value), n, *(ends(share) or (None, None))] for p, share, n in r.curve]


def ends(score: Score) -> Interval:
    """Return an interval for JSON; ``None`` if there is none."""
    return None if score.low is None or score.high is None else [rounded(score.low), rounded(score.high)]
