"""Fuse the heads of a bundle with the waves of the ECG, where this is better on held-out patients."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from calibration.fusion.additive import Rows, choose, cross_fitted, fit, logits_of, patient_weights
from calibration.validate.judge import rounded
from calibration.validate.observe import Observed
from calibration.validate.recalibrate import MIN_PATIENTS, Scores
from convert.stats.decide import Rule, abstention, inside
from convert.stats.discrimination import ranking
from convert.stats.metrics import RESAMPLES, Score
from convert.stats.noninferiority import auroc_difference
from convert.stats.resampling import Resampler
from edge.bundle.calibration import HeadCalibration
from edge.bundle.fusion import Fusion
from edge.bundle.reader import Bundle
from edge.bundle.schema import OutputHead
from edge.frontend.stream import WINDOW_S
from edge.stats import sigmoid
from edge.waves.fuse import MEASUREMENTS, WaveMeans

F64 = NDArray[np.float64]

STREAM = 17
"""Random stream of the paired bootstrap."""
SPREAD_RESAMPLES = 50
"""Replicates of the fit for its standard deviation."""


class FusedRecord(TypedDict, total=False):
    """Report of a head: AUROC of the network and of the fused head, cross-fitted by patient.

    ``left`` is the reason if the network stays alone.
    """

    n: int
    patients: int
    positives: int
    left: NotRequired[str]
    features: list[str]
    auroc_network: float | None
    auroc_fused: float | None
    difference: float | None
    difference_ci: list[float | None]
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Options: the rule for thresholds, and the seed of folds and bootstrap."""

    rule: Rule = dataclasses.field(default_factory=Rule)
    seed: int = 1


def wave_means(seen: Observed, span_s: float) -> F64:
    """Return the mean measurements of each estimate by the code of the device, ``(m, len(MEASUREMENTS))``.

    Args:
        seen: Results of the bundle on recordings.
        span_s: Time over which the bundle averages, s.
    """
    out = np.full((len(seen.est_recording), len(MEASUREMENTS)), np.nan)
    place = {(int(r), float(s)): i for i, (r, s) in enumerate(zip(seen.est_recording, seen.est_start_s, strict=True))}
    means, current = WaveMeans(), -1
    for recording, start_s, row in zip(seen.recording, seen.start_s, seen.waves, strict=True):
        if recording != current:
            means, current = WaveMeans(), int(recording)
        end_s = float(start_s) + WINDOW_S
        means.add(end_s, row)
        means.drop_until(end_s - span_s)
        found = place.get((int(recording), float(start_s)))
        now = means.means()
        if found is not None and now is not None:
            out[found] = now
    return out


def fuse_heads(
    bundle: Bundle, entries: Mapping[str, Mapping[str, Any]], scores: Scores, means: F64, wanted: Wanted
) -> tuple[dict[str, dict[str, Any]], dict[str, FusedRecord]]:
    """Fuse every head for which this is better.

    Args:
        bundle: The bundle.
        entries: Heads of its present ``calibration.json``, by key.
        scores: Scores of held-out patients.
        means: Measurements of each row of the scores, ``(n, len(MEASUREMENTS))``.
        wanted: Options.

    Returns:
        New entries of ``calibration.json`` and the report of each head, both by key.
    """
    made: dict[str, dict[str, Any]] = {}
    said: dict[str, FusedRecord] = {}
    for j, head in enumerate(bundle.manifest.outputs):
        old = bundle.calibration[head.key]
        entry = {key: value for key, value in entries[head.key].items() if key != "fusion"}
        known = ~np.isnan(scores.truth[:, j])
        network = old.slope * scores.raw[known, j] + old.offset
        rows = Rows(network, means[known], scores.truth[known, j] > 0.5, scores.patient[known])
        fusion, said[head.key] = _head(head, old, entry, rows, wanted)
        made[head.key] = entry if fusion is None else {**entry, "fusion": fusion}
    return made, said


def _head(
    head: OutputHead, old: HeadCalibration, entry: Mapping[str, Any], rows: Rows, wanted: Wanted
) -> tuple[dict[str, Any] | None, FusedRecord]:
    y = rows.labels
    said: FusedRecord = {"n": len(y), "patients": len(np.unique(rows.patient)), "positives": int(y.sum())}
    if head.kind == "value":
        return None, {**said, "left": "a value; only probabilities are fused"}
    ill, well = _patients(rows)
    if not enough(rows):
        return None, {**said, "left": f"{ill} positive and {well} negative patients; {MIN_PATIENTS} of each are needed"}
    held_out = cross_fitted(rows, wanted.seed)
    network, fused, gain = compare(held_out, rows, wanted.seed)
    said |= {
        "auroc_network": rounded(network.value), "auroc_fused": rounded(fused.value),
        "difference": rounded(gain.value), "difference_ci": [rounded(gain.low), rounded(gain.high)],
    }  # fmt: skip
    features = choose(rows, wanted.seed)
    said["features"] = features
    model, left = gated(rows, features, gain)
    if model is None:
        return None, {**said, "left": left}
    p = sigmoid(held_out)
    threshold = wanted.rule.threshold(p, y)
    said["threshold"] = None if threshold is None else inside(round(threshold, 9))
    model = dataclasses.replace(model, threshold=said["threshold"], sd=_sd(rows, features, wanted.seed))
    coverage = entry.get("abstain", {}).get("coverage") if old.abstain is not None else None
    if coverage is not None:
        model = dataclasses.replace(model, abstain=abstention(p, y, float(coverage), threshold))
    return _entry(model), said


def enough(rows: Rows) -> bool:
    """Return whether there are enough patients of each class to fuse a head."""
    return min(_patients(rows)) >= MIN_PATIENTS


def _patients(rows: Rows) -> tuple[int, int]:
    return len(np.unique(rows.patient[rows.labels])), len(np.unique(rows.patient[~rows.labels]))


def gated(rows: Rows, features: Sequence[str], gain: Score) -> tuple[Fusion | None, str]:
    """Return the fused model of a head, or ``None`` and why the network stays alone.

    Args:
        rows: The rows.
        features: The chosen measurements.
        gain: Difference in AUROC to the network, cross-fitted by patient.
    """
    if not features:
        return None, "no measurement adds to the network"
    if gain.low is None or gain.low <= 0.0:
        return None, "not clearly better than the network"
    model = fit(rows, features)
    if not model.weight > 0.0:
        return None, "the results contradict the sign of the output"
    return model, ""


def compare(held_out: F64, rows: Rows, seed: int) -> tuple[Score, Score, Score]:
    """Return the AUROC of the network, of the fused head and their difference, by a paired bootstrap over patients.

    Args:
        held_out: Fused logits, each from a fit without its patient, ``(n,)``.
        rows: The rows.
        seed: Seed of the bootstrap.
    """
    resampler = Resampler(rows.patient, seed, RESAMPLES, STREAM)
    fused, network = (ranking(s, rows.labels, resampler) for s in (held_out, rows.network))
    return network.auroc, fused.auroc, auroc_difference(fused, network)


def _sd(rows: Rows, features: Sequence[str], seed: int) -> float:
    """Return the spread of fused logits over fits to bootstrap samples of the patients."""
    rng = np.random.default_rng([seed, STREAM + 1])
    who, index = np.unique(rows.patient, return_inverse=True)
    own = patient_weights(rows.patient)
    found = []
    for _ in range(SPREAD_RESAMPLES):
        count = rng.multinomial(len(who), np.full(len(who), 1.0 / len(who))).astype(np.float64)
        found.append(logits_of(fit(rows, features, count[index] * own), rows))
    return round(float(np.sqrt(np.mean(np.var(found, axis=0)))), 6)


def _entry(model: Fusion) -> dict[str, Any]:
    """Return the value of ``fusion`` in ``calibration.json``."""
    terms = [{"feature": t.feature, "x": list(t.x), "y": list(t.y), "missing": t.missing} for t in model.terms]
    entry = {
        "method": "additive", "weight": model.weight, "offset": model.offset, "terms": terms,
        "threshold": model.threshold, "sd": model.sd,
    }  # fmt: skip
    band = model.abstain
    return entry if band is None else {**entry, "abstain": {"low": round(band[0], 9), "high": round(band[1], 9)}}


def table(said: Mapping[str, FusedRecord], keys: Sequence[str]) -> str:
    """Return a table for a terminal: AUROC of the network and of the fused head, and their difference."""
    lines = [f"{'output':<20} {'patients':>8} {'positive':>8}  {'network':>7} {'fused':>6}  difference (95 %)"]
    for key in keys:
        one = said[key]
        start = f"{key:<20} {one['patients']:>8} {one['positives']:>8}  "
        if one.get("auroc_network") is None:
            lines.append(f"{start}unchanged: {one.get('left')}")
            continue
        low, high = one["difference_ci"]
        interval = "" if low is None or high is None else f" ({low:+.3f} to {high:+.3f})"
        fate = f"unchanged: {one['left']}" if "left" in one else "with " + ", ".join(one["features"])
        areas = f"{one['auroc_network']:>7.3f} {one['auroc_fused']:>6.3f}  {one['difference']:+.3f}"
        lines.append(f"{start}{areas}{interval}  {fate}")
    return "\n".join(lines) + "\n"
