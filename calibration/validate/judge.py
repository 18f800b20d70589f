"""Head by head: discrimination, calibration, decisions and values, per estimate and per window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.validate.labelled import Labelled
from calibration.validate.observe import Observed
from convert.stats.delong import delong_interval
from convert.stats.discrimination import Ranking, ranking, roc_points
from convert.stats.evidence import evidence_level
from convert.stats.metrics import Score, auroc
from convert.stats.noninferiority import LEAST_EVENTS
from convert.stats.reliability import decisions, reliability, value_agreement
from convert.stats.resampling import Resampler
from edge.bundle.reader import Bundle
from edge.bundle.schema import HeadCalibration, OutputHead
from edge.stats import sigmoid

F64 = NDArray[np.float64]

EXTREMES = (0.15, 0.85)
"""A value head is ranked by how well it finds the lowest and the highest 15 % of the measured values."""

PLOT_POINTS = 400
"""Points of a Bland-Altman plot at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What is needed to judge: results and truth, side by side.

    Attributes:
        bundle: What was run.
        data: On what.
        seen: What it said.
        truth: Per window, ``(windows, heads)``, NaN where unknown.
        est_truth: Per estimate, ``(estimates, heads)``.
        seed: Of everything that is drawn.
        resamples: Replicates of the bootstrap.
    """

    bundle: Bundle
    data: Labelled
    seen: Observed
    truth: F64
    est_truth: F64
    seed: int
    resamples: int

    def window_logits(self, j: int) -> F64:
        """What head ``j`` shows of each window alone, before the sigmoid, ``(windows,)``."""
        head = self.bundle.manifest.outputs[j]
        return shown_logits(self.bundle, self.bundle.calibration[head.key], self.seen.outputs[:, head.index])

    def window_values(self, j: int) -> F64:
        """What head ``j`` shows of each window alone, ``(windows,)``."""
        logits, head = self.window_logits(j), self.bundle.manifest.outputs[j]
        if head.kind == "value":
            return logits
        knots = self.bundle.calibration[head.key].knots
        return sigmoid(logits) if knots is None else np.asarray(np.interp(logits, *knots), dtype=np.float64)

    def resampler(self, rows: NDArray[np.bool_], *, windows: bool) -> Resampler:
        """Replicates of some windows or estimates."""
        recording = (self.seen.recording if windows else self.seen.est_recording)[rows]
        return Resampler(self.data.patient[recording], self.seed, self.resamples)


def shown_logits(bundle: Bundle, calibration: HeadCalibration, outputs: NDArray[np.int8]) -> F64:
    """int8 outputs as calibrated logits or values."""
    tensor = bundle.manifest.output
    steps = outputs.astype(np.float64) - tensor.zero_point
    return np.asarray(calibration.slope * tensor.scale * steps + calibration.offset)


def conclusion(found: Score, labels: NDArray[np.bool_]) -> str:
    """The tier, or INCONCLUSIVE where the interval reaches chance or rests on a handful: nothing has been shown yet."""
    if found.value is None:
        return "NOT JUDGED"
    if found.low is None or found.low <= 0.5 or _fewest(labels) < LEAST_EVENTS:
        return "INCONCLUSIVE"
    return str(evidence_level(found.value))


def _fewest(labels: NDArray[np.bool_]) -> int:
    return min(int(labels.sum()), int((~labels).sum()))


def judge_heads(j: Judged) -> list[dict[str, Any]]:
    """Every head of the bundle, in its order, as JSON-able values."""
    out = []
    for i, head in enumerate(j.bundle.manifest.outputs):
        found = _value(j, i, head) if head.kind == "value" else _probability(j, i, head)
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


def _probability(j: Judged, i: int, head: OutputHead) -> dict[str, Any]:
    known = np.isfinite(j.est_truth[:, i])
    y, p = j.est_truth[known, i] > 0.5, j.seen.est_value[known, i]
    found: dict[str, Any] = {"n": len(y), "positives": int(y.sum()), "patients": 0, "note": _note(y, p)}
    if not len(y):
        return {**found, **_no_area(), "calibration": None, "decision": None, "windows": None, "roc": []}
    resampler = j.resampler(known, windows=False)
    found["patients"] = resampler.patients
    ranked = ranking(p, y, resampler)
    c = j.bundle.calibration[head.key]
    calibrated = asdict(reliability(p, y, resampler, j.seed))
    calibrated["brier"] = score_json(calibrated["brier"])
    decided = None
    if c.threshold is not None:
        unsure = np.zeros(len(p), dtype=bool) if c.abstain is None else (p >= c.abstain[0]) & (p < c.abstain[1])
        decided = asdict(decisions(p >= c.threshold, y, unsure, resampler, c.threshold))
        for name in ("sensitivity", "specificity"):
            decided[name] = score_json(decided[name])
    return {
        **found,
        **_area(ranked, y),
        "auroc_ci_delong": _pair(delong_interval(p, y)) if resampler.distinct else None,
        "calibration": calibrated,
        "decision": decided,
        "windows": _windows(j, i),
        "roc": roc_points(p, y),
    }


def _windows(j: Judged, i: int) -> dict[str, Any] | None:
    known = np.isfinite(j.truth[:, i])
    if not known.any():
        return None
    y, p = j.truth[known, i] > 0.5, j.window_values(i)[known]
    ranked = ranking(p, y, j.resampler(known, windows=True))
    return {
        "n": len(y),
        "positives": int(y.sum()),
        "auroc": rounded(ranked.auroc.value),
        "auroc_ci": _pair(ranked.auroc),
        "auprc": rounded(ranked.auprc.value),
        "brier": rounded(float(np.mean((p - y) ** 2))),
    }


def _value(j: Judged, i: int, head: OutputHead) -> dict[str, Any]:
    known = np.isfinite(j.est_truth[:, i])
    truth, value = j.est_truth[known, i], j.seen.est_value[known, i]
    found: dict[str, Any] = {"n": len(truth), "positives": None, "patients": 0, "note": ""}
    if not len(truth):
        return {**found, **_no_area(), "note": "no measured value in these data", "values": None, "windows": None}
    resampler = j.resampler(known, windows=False)
    low, high = j.seen.est_low[known, i], j.seen.est_high[known, i]
    agreement = asdict(value_agreement(value, truth, low, high, j.bundle.calibration[head.key].level, resampler))
    for name in ("mae", "bias", "coverage"):
        agreement[name] = score_json(agreement[name])
    agreement["limits"] = [rounded(x) for x in agreement["limits"]]
    step = max(1, -(-len(truth) // PLOT_POINTS))
    points = zip((0.5 * (value + truth))[::step], (value - truth)[::step], strict=True)
    by_window = np.isfinite(j.truth[:, i])
    errors = j.window_values(i)[by_window] - j.truth[by_window, i]
    edges = np.quantile(truth, EXTREMES)
    ends = [auroc(-value, truth < edges[0]), auroc(value, truth > edges[1])]
    worst = None if None in ends else min(a for a in ends if a is not None)
    return {
        **found,
        **_no_area(),
        "patients": resampler.patients,
        "tier": evidence_level(worst),
        "auroc_extremes": [rounded(a) for a in ends],
        "values": {**agreement, "points": [[rounded(a, 3), rounded(b, 3)] for a, b in points]},
        "windows": {"n": int(by_window.sum()), "mae": rounded(float(np.abs(errors).mean())) if len(errors) else None},
        "conclusion": evidence_level(worst) or "NOT JUDGED",
    }


def _note(y: NDArray[np.bool_], p: F64) -> str:
    if not len(y):
        return "no label in these data"
    if not y.any():
        return "no positive in these data: nothing can be said of its discrimination"
    if y.all():
        return "no negative in these data: nothing can be said of its discrimination"
    if np.ptp(p) == 0.0:
        return "it always says the same"
    few = _fewest(y)
    return f"only {few} of the rarer outcome: fewer than {LEAST_EVENTS} show nothing" if few < LEAST_EVENTS else ""


def _area(ranked: Ranking, labels: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "auroc": rounded(ranked.auroc.value),
        "auroc_ci": _pair(ranked.auroc),
        "auprc": rounded(ranked.auprc.value),
        "auprc_ci": _pair(ranked.auprc),
        "tier": evidence_level(ranked.auroc.value),
        "conclusion": conclusion(ranked.auroc, labels),
    }


def _no_area() -> dict[str, Any]:
    return {
        "auroc": None, "auroc_ci": None, "auprc": None, "auprc_ci": None, "tier": None, "conclusion": "NOT JUDGED",
    }  # fmt: skip


def summary_line(heads: Sequence[dict[str, Any]]) -> str:
    """How many heads are in each tier, as the paper puts it."""
    judged = [h for h in heads if h["auroc"] is not None]
    counts = {name: sum(h["tier"] == name for h in judged) for name in ("strong", "moderate", "limited")}
    rest = sum(h["kind"] == "probability" for h in heads) - len(judged)
    unclear = sum(h["conclusion"] == "INCONCLUSIVE" for h in judged)
    line = (
        f"AUROC > 0.65 (strong) for {counts['strong']}, 0.55-0.65 (moderate) for {counts['moderate']}, "
        f"< 0.55 (limited) for {counts['limited']} of {len(judged)} heads"
    )
    line += f"; {unclear} INCONCLUSIVE (the interval reaches chance, or too few events)" if unclear else ""
    return line + (f"; {rest} could not be judged" if rest else "")


def rounded(value: float | None, digits: int = 4) -> float | None:
    """A number for JSON; ``None`` for what is none."""
    return None if value is None or not np.isfinite(value) else round(float(value), digits)


def score_json(score: Any) -> dict[str, Any]:
    """A measure with its interval, as JSON-able values."""
    found = score if isinstance(score, dict) else asdict(score)
    return {"value": rounded(found["value"]), "ci": _ends(found["low"], found["high"])}


def _pair(score: Score) -> list[float | None] | None:
    return _ends(score.low, score.high)


def _ends(low: float | None, high: float | None) -> list[float | None] | None:
    return None if low is None or high is None else [rounded(low), rounded(high)]
