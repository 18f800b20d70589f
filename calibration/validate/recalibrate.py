"""Fit probabilities, values, thresholds and abstention of a bundle again, on held-out patients."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from calibration.validate.labelled import Labelled, heads_of, labels_for
from calibration.validate.observe import Observed
from calibration.validate.records import CalibratedRecord
from calibration.validate.teacher_line import in_logits, teacher_lines, to_model
from convert.bundle.reopen import reopened
from convert.bundle.writer import BundleContents, to_json
from convert.labels.plan import LabelPlan
from convert.stats.decide import Rule, abstention, inside
from convert.stats.evidence import LeastPatients, evidence_level
from convert.stats.intervals import auroc_interval, mae_interval
from convert.stats.method_names import METHODS, Method
from convert.stats.methods import FOLDS, Curve, choose, folds
from convert.stats.metrics import calibration_error
from convert.stats.probability import conformal_half_width, fit_linear, fit_platt
from convert.teacher.patients import FILE as PATIENTS_FILE
from convert.teacher.patients import aliases, hashes, listed, names_training, patients_file, read_patients
from edge.bundle.calibration import HeadCalibration
from edge.bundle.reader import Bundle
from edge.bundle.schema import OutputHead
from edge.estimate import Estimator
from edge.frontend.stream import WINDOW_S
from edge.stats import normal_quantile
from firmware_bridge.errors import InputError

F64 = NDArray[np.float64]

SCHEMA = "anyecg.calibration-report/1"
REPORT = "validation/probability.json"
CARD_HEAD = "\n## Recalibration\n"
MIN_PATIENTS = 10
"""Minimum number of patients of each class for calibrating a head; with fewer it stays unchanged."""
LEVEL = 0.9
BOOTSTRAPS = 200


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What a command writes into a bundle besides ``calibration.json``.

    Attributes:
        report: Relative path of its report.
        schema: Schema of the report.
        key: Key of the facts in the manifest.
        heading: Heading in the model card; the text from there on is replaced.
        done: What happened to the heads, one word.
        voids: What other commands wrote, and this one makes void.
        page: Relative path of the page that it adds; empty for none.
    """

    report: str
    schema: str
    key: str
    heading: str
    done: str
    voids: tuple[Rewriting, ...] = ()
    page: str = ""


FUSION = Rewriting(
    "validation/fusion.json", "anyecg.fusion-report/1", "fused", "\n## Fusion with the waves of the ECG\n", "fused",
    page="validation/fusion.html",
)  # fmt: skip
RECALIBRATION = Rewriting(REPORT, SCHEMA, "calibrated", CARD_HEAD, "calibrated", (FUSION,))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Options of a calibration.

    Attributes:
        methods: Methods to choose from.
        rule: Rule for thresholds.
        coverage: Coverage of the band of abstention for each class, 0.5 to 1; ``None`` for no band.
        seed: Seed of folds and bootstrap.
    """

    methods: tuple[Method, ...] = METHODS
    rule: Rule = dataclasses.field(default_factory=Rule)
    coverage: float | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Aggregated outputs and laboratory results of each estimate.

    Attributes:
        raw: Outputs before any calibration, ``(n, heads)``.
        truth: 0, 1 or the value in its unit, ``(n, heads)``; NaN if unknown.
        patient: Number of the patient of each row, ``(n,)``.
    """

    raw: F64
    truth: F64
    patient: NDArray[np.int64]


_USE = {"test": "tested", "train": "trained", "teacher_train": "trained the teacher of"}


def check_overlap(bundle: Path, data: Labelled) -> str:
    """Refuse patients on which the bundle was trained or tested.

    Returns:
        ``none``, or why the overlap could not be checked.

    Raises:
        InputError: The bundle was trained or tested on some of the patients.
    """
    known = read_patients(bundle)
    if known is None:
        return "not known: the bundle does not list its patients"
    ours = aliases(data.recordings)
    for part, found in known.items():
        both = listed(ours, found) if part != "calibration" else frozenset[bytes]()
        if both:
            use = _USE.get(part, f"were in the part '{part}' of")
            raise InputError(
                f"{len(both)} of the {len(ours)} patients in {data.folder} {use} this bundle",
                "calibrate on held-out patients",
            )
    return "none" if names_training(known) else "not known: the bundle does not list its training patients"


def scores_of(bundle: Bundle, data: Labelled, seen: Observed, plan: LabelPlan | None = None) -> Scores:
    """Aggregate the windows with the estimator of the device before calibration, and add the labels.

    Args:
        bundle: The bundle.
        data: Labelled recordings.
        seen: Results of the bundle on them.
        plan: Rules from results to labels; ``None`` for those of the kit.

    Raises:
        InputError: There is no label.
    """
    plain = HeadCalibration("linear", 1.0, 0.0, None, "none", 0.0, LEVEL)
    outputs = tuple(dataclasses.replace(head, kind="value", rhythms=None) for head in bundle.manifest.outputs)
    uncalibrated = dataclasses.replace(
        bundle,
        manifest=dataclasses.replace(bundle.manifest, outputs=outputs),
        calibration={head.key: plain for head in outputs},
    )
    rows = np.full((len(seen.est_recording), len(outputs)), np.nan)
    place = {(int(r), float(s)): i for i, (r, s) in enumerate(zip(seen.est_recording, seen.est_start_s, strict=True))}
    estimator, current = Estimator(uncalibrated), -1
    for recording, start_s, score, out in zip(seen.recording, seen.start_s, seen.score, seen.outputs, strict=True):
        if recording != current:
            estimator, current = Estimator(uncalibrated), int(recording)
        estimator.add(float(start_s) + WINDOW_S, out, float(score))
        row = place.get((int(recording), float(start_s)))
        if row is not None:
            rows[row] = [lab.value for lab in estimator.labs()]
    truth = labels_for(data, heads_of(bundle), seen.est_recording, seen.est_start_s, plan)
    truth[np.isnan(seen.est_value)] = np.nan  # where the device abstains, there is nothing to fit
    return Scores(rows, truth, data.patient[seen.est_recording])


def calibrate_heads(
    bundle: Bundle, entries: Mapping[str, Mapping[str, Any]], scores: Scores, wanted: Wanted
) -> tuple[dict[str, dict[str, Any]], dict[str, CalibratedRecord]]:
    """Calibrate every head.

    Args:
        bundle: The bundle.
        entries: Heads of its present ``calibration.json``, by key.
        scores: Scores of held-out patients.
        wanted: Options of the calibration.

    Returns:
        New entries of ``calibration.json`` and the report of each head, both by key.
    """
    made: dict[str, dict[str, Any]] = {}
    said: dict[str, CalibratedRecord] = {}
    lines = teacher_lines(bundle)
    for j, head in enumerate(bundle.manifest.outputs):
        known = ~np.isnan(scores.truth[:, j])
        one = Scores(scores.raw[known, j], scores.truth[known, j], scores.patient[known])
        # A fused head reads the calibrated logit, so its model is void once the calibration changes.
        entry = {key: value for key, value in entries[head.key].items() if key != "fusion"}
        old, line = bundle.calibration[head.key], lines[head.key]
        if head.kind == "value":
            made[head.key], said[head.key] = _value(head, old, entry, one, wanted)
            continue
        logits = dataclasses.replace(one, raw=line.centre + line.scale * one.raw)
        found, said[head.key] = _probability(head, in_logits(old, line), entry, logits, wanted)
        made[head.key] = found if "left" in said[head.key] else to_model(found, line)
    return made, said


def _probability(
    head: OutputHead, old: HeadCalibration, entry: Mapping[str, Any], one: Scores, wanted: Wanted
) -> tuple[dict[str, Any], CalibratedRecord]:
    y = one.truth > 0.5
    ill, well = len(np.unique(one.patient[y])), len(np.unique(one.patient[~y]))
    said: CalibratedRecord = {"n": len(y), "patients": len(np.unique(one.patient)), "positives": int(y.sum())}
    if min(ill, well) < MIN_PATIENTS:
        short = f"{ill} positive and {well} negative patients" if len(y) else "no results"
        said["left"] = f"{short}; at least {MIN_PATIENTS} of each are needed"
        return dict(entry), said
    was = _curve(old)
    found = choose(one.raw, y, one.patient, wanted.methods, was, wanted.seed)
    before = was.probability(one.raw)
    threshold = wanted.rule.threshold(found.held_out, y)
    new: dict[str, Any] = {
        **found.curve.entry(),
        "threshold": None if threshold is None else inside(round(threshold, 9)),
        "threshold_method": wanted.rule.name + (f"={wanted.rule.target:g}" if wanted.rule.target else ""),
        "interval": {"method": "logit_sd", "sd": round(_sd(old, found.curve, one, wanted.seed), 9), "level": LEVEL},
        "basis": "laboratory results",
    }
    said |= {
        "method": f"kept {found.curve.method}" if found.kept else found.curve.method,
        "log_loss": {m: round(v, 5) for m, v in found.losses.items()},
        "calibration_error_before": _round(calibration_error(before, y)),
        "calibration_error": _round(calibration_error(found.held_out, y)),
        "brier": _round(float(np.mean((found.held_out - y) ** 2))),
        "threshold": new["threshold"],
    }
    band: tuple[float, float] | None = None
    if wanted.coverage is not None:
        low, high = band = abstention(found.held_out, y, wanted.coverage, threshold)
        new["abstain"] = {
            "method": "conformal", "low": round(low, 9), "high": round(high, 9), "coverage": wanted.coverage,
        }  # fmt: skip
    if threshold is not None:
        _add_error_rates(said, found.held_out, y, threshold, band)
    if head.evidence.auroc is None and LeastPatients().reached(ill, well):
        area = auroc_interval(one.raw, y, one.patient, seed=wanted.seed)
        said["evidence"] = {
            "auroc": _round(area.value), "ci": [_round(area.low), _round(area.high)], "n": len(y),
            "positives": int(y.sum()), "tier": evidence_level(area.low) or "limited",
            "mae": None, "data": "calibration patients",
        }  # fmt: skip
    return new, said


def _add_error_rates(
    said: CalibratedRecord, p: F64, y: NDArray[np.bool_], threshold: float, band: tuple[float, float] | None
) -> None:
    """Add the error rates of threshold and band from cross-validated probabilities."""
    said["sensitivity"] = _round(float(np.mean(p[y] >= threshold)))
    said["specificity"] = _round(float(np.mean(p[~y] < threshold)))
    if band is not None:
        sure = (p < band[0]) | (p >= band[1])
        said["undecided"] = _round(float(np.mean(~sure)))
        said["positives_cleared"] = _round(float(np.mean(p[y] < band[0])))
        said["negatives_flagged"] = _round(float(np.mean(p[~y] >= band[1])))


def _curve(old: HeadCalibration) -> Curve:
    if old.knots is not None:
        return Curve("isotonic", x=old.knots[0], y=old.knots[1])
    return Curve(cast("Method", old.method), old.slope, old.offset)


def _sd(old: HeadCalibration, curve: Curve, one: Scores, seed: int) -> float:
    """Scale the width of the interval with the slope; if there was none, use the bootstrap spread of a Platt line."""
    slope = curve.a if curve.method != "isotonic" else 1.0
    if old.interval_method == "logit_sd" and old.slope > 0.0:
        return old.interval_width / old.slope * slope
    rng = np.random.default_rng([seed, 12])
    y = one.truth > 0.5
    who, index = np.unique(one.patient, return_inverse=True)
    counts = rng.multinomial(len(who), np.full(len(who), 1.0 / len(who)), size=BOOTSTRAPS)[:, index]
    lines = [fit_platt(one.raw, y, c.astype(np.float64)) for c in counts]
    spread = float(np.sqrt(np.mean(np.var([line.logit(one.raw) for line in lines], axis=0))))
    return spread / max(float(np.median([line.a for line in lines])), 0.05) * slope


def _value(
    head: OutputHead, old: HeadCalibration, entry: Mapping[str, Any], one: Scores, wanted: Wanted
) -> tuple[dict[str, Any], CalibratedRecord]:
    patients = len(np.unique(one.patient))
    said: CalibratedRecord = {"n": len(one.truth), "patients": patients}
    if patients < 2 * MIN_PATIENTS:
        said["left"] = f"results of {patients} patients; at least {2 * MIN_PATIENTS} are needed"
        return dict(entry), said
    line = fit_linear(one.raw, one.truth)
    if line.slope * old.slope <= 0.0:
        said["left"] = "the results contradict the sign of the output"
        return dict(entry), said
    fold = folds(one.patient, np.zeros(len(one.truth), dtype=bool), wanted.seed)
    held_out = np.empty(len(one.truth))
    for k in range(FOLDS):
        held_out[fold == k] = fit_linear(one.raw[fold != k], one.truth[fold != k]).value(one.raw[fold == k])
    error = held_out - one.truth
    half = conformal_half_width(error, LEVEL)
    new = {
        "method": "linear", "slope": round(line.slope, 9), "intercept": round(line.intercept, 9),
        "threshold": entry.get("threshold"),
        "interval": {"method": "conformal", "half_width": round(half, 9), "level": LEVEL},
        "persons": person_spreads(error, one.patient, half), "basis": "laboratory results",
    }  # fmt: skip
    before = old.slope * one.raw + old.offset
    said |= {
        "method": "linear",
        "mae_before": _round(float(np.mean(np.abs(before - one.truth)))),
        "mae": _round(mae_interval(error, one.patient, seed=wanted.seed).value),
        "half_width": _round(half),
    }
    del head
    return new, said


def person_spreads(error: F64, patient: NDArray[np.int64], half: float) -> dict[str, float]:
    """Estimate the error spread between and within persons by one-way analysis of variance over repeated patients.

    ``anyecg calibrate person`` uses it for shrinkage. With fewer than :data:`MIN_PATIENTS` repeated patients, each
    component gets half of the variance, an arbitrary choice.
    """
    _, index, count = np.unique(patient, return_inverse=True, return_counts=True)
    mean = np.bincount(index, error) / count
    repeated = count > 1
    total = float((half / normal_quantile(0.5 + 0.5 * LEVEL)) ** 2)
    if int(repeated.sum()) < MIN_PATIENTS:
        return {"between_sd": _root(0.5 * total), "within_sd": _root(0.5 * total)}
    rest = (error - mean[index])[repeated[index]]
    within = float(np.sum(rest**2) / (count[repeated].sum() - repeated.sum()))
    between = float(np.var(mean[repeated], ddof=1) - within * np.mean(1.0 / count[repeated]))
    return {"between_sd": _root(max(between, 0.0)), "within_sd": _root(within)}


def _root(variance: float) -> float:
    return round(float(np.sqrt(variance)), 6)


def rewritten(
    folder: Path,
    bundle: Bundle,
    data: Labelled,
    entries: Mapping[str, Mapping[str, Any]],
    said: Mapping[str, Mapping[str, Any]],
    overlap: str,
    labels: Mapping[str, str] | None = None,
    how: Rewriting = RECALIBRATION,
) -> BundleContents:
    """Return the bundle with the new calibration; model, golden vectors and all other files stay unchanged.

    Raises:
        BundleError: A file of the bundle can no longer be read.
    """
    was = reopened(folder, bundle)
    manifest, extra, card = dict(was.manifest), dict(was.extra), was.model_card
    patients = hashes(data.recordings)
    done = [key for key, one in said.items() if "left" not in one]
    manifest["outputs"] = [
        {**o, "evidence": said[o["key"]]["evidence"]} if "evidence" in said[o["key"]] else o
        for o in manifest["outputs"]
    ]
    facts = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(), "data": data.folder.name, "data_sha256": data.sha256,
        "split": data.split, "simulated": data.simulated, "patients": len(patients), "heads": len(done),
        "overlap": overlap, **({} if labels is None else {"labels": dict(labels)}),
    }  # fmt: skip
    for old in (how, *how.voids):
        card = card.partition(old.heading)[0]
        manifest.pop(old.key, None)
        extra.pop(old.report, None)
        extra.pop(old.page, None)
    manifest[how.key] = facts
    known = read_patients(folder)
    parts = {**(known or {}), "calibration": patients | (known or {}).get("calibration", frozenset())}
    # A list without training patients would claim that the model has none.
    extra |= {PATIENTS_FILE: patients_file(parts)} if known is not None else {}
    extra[how.report] = to_json({"schema": how.schema, **facts, "heads": said})
    noun = "simulated patients" if data.simulated else "patients"
    card += (
        f"{how.heading}\n{len(done)} of {len(said)} outputs {how.done}, on {len(patients)} {noun} of the part "
        f"'{data.split}' of {data.folder.name}, {facts['date']}. Overlap with the training patients: {overlap}. "
        f"Numbers: `{how.report}`.{f' Curves: `{how.page}`.' if how.page else ''}\n"
    )
    return dataclasses.replace(was, manifest=manifest, heads=entries, model_card=card, extra=extra)


def _round(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, 4)
