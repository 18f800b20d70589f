"""``anyecg validate``: run the code of the device on labelled data and judge the results."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from calibration.checks import defaults
from calibration.checks.defaults import SplitName
from calibration.checks.labels import check_labelled
from calibration.checks.overlap import known_patients
from calibration.clinical.chapter import clinical_chapter
from calibration.clinical.checklists import checklists
from calibration.clinical.external import Source, external, open_external
from calibration.validate.compare import agreement, comparisons
from calibration.validate.float_form import read_float_form
from calibration.validate.gate import checks_json, judge, least_patients, load_limits
from calibration.validate.judge import Judged, judge_heads, summary_line
from calibration.validate.labelled import Labelled, heads_of, labels_for, labels_header, open_labelled
from calibration.validate.links import float_link, model_links
from calibration.validate.observe import OUTCOMES, Observed
from calibration.validate.records import AbstentionRecord, ComparisonRecord
from calibration.validate.reference import ReferencePlan, check_reference, open_reference, save_logits
from calibration.validate.robustness import robustness
from calibration.validate.shards import RunPlan, key_of, open_bundle, run_all
from calibration.validate.subgroups import subgroups
from convert.datasets.described import RecordingOptions
from convert.labels.travelling_plan import ChosenPlan, chosen_plan, read_bundle_plan
from convert.teacher.patients import aliases, read_patients
from edge.bundle.reader import Bundle, resolve
from edge.records import NOTICE
from edge.rhythm.gate import fits
from edge.rhythm.record import RHYTHM_NAMES
from firmware_bridge.errors import InputError

SCHEMA = "anyecg.validate/1"

PACKAGES = ("anyecg-edge", "numpy", "scipy", "scikit-learn", "ai-edge-litert")
"""Packages whose versions may change the numbers."""


@dataclass(frozen=True, slots=True)
class ValidateOptions:
    """Options of a validation.

    Attributes:
        bundle: Folder or zip file of the bundle, or ``demo``.
        data: Folder of the labelled recordings.
        out: Folder of the report and of intermediate files.
        split: Part of the data.
        reference: Bundle, checkpoint, file of logits or ``float`` to compare with; ``None`` for no comparison.
        outputs: File that describes the outputs of a checkpoint; ``None`` for ``outputs.json`` in the same folder.
        margin: Non-inferiority margin, AUROC; ``None`` for the one in ``validate.toml``.
        gate: File of limits; ``None`` for the limits of the kit.
        seed: Seed of all random draws.
        hop_s: Seconds between windows.
        resamples: Number of bootstrap replicates.
        robustness: Number of recordings to disturb; 0 for none.
        jobs: Number of processes.
        limit: Maximum number of recordings; ``None`` for all.
        one_recording_a_patient: Treat each recording of a folder without patient identifiers as a separate patient.
        label_plan: File with the rules from results to labels; ``None`` for those of the bundle, or else of the kit.
        external: Data folder of another source to judge as well; ``None`` for none.
        external_split: Part of the other source.
        command: Command line for the report.
        recordings: Options about recordings that do not state their rate, scale or lead.
        external_recordings: The same for the other source.
    """

    bundle: str
    data: Path
    out: Path
    split: SplitName = defaults.SPLIT
    reference: str | None = None
    outputs: Path | None = None
    margin: float | None = None
    gate: Path | None = None
    seed: int = defaults.SEED
    hop_s: float = defaults.HOP_S
    resamples: int = defaults.RESAMPLES
    robustness: int = defaults.ROBUSTNESS
    jobs: int = 1
    limit: int | None = None
    one_recording_a_patient: bool = False
    label_plan: Path | None = None
    external: Path | None = None
    external_split: SplitName = "all"
    command: str = ""
    recordings: RecordingOptions = field(default_factory=RecordingOptions)
    external_recordings: RecordingOptions = field(default_factory=RecordingOptions)


def validate(options: ValidateOptions, progress: TextIO | None) -> dict[str, Any]:
    """Validate a bundle.

    Args:
        options: Options of the validation.
        progress: Stream for the progress line, or ``None``.

    Returns:
        The report, as JSON-able values.

    Raises:
        InputError: The data cannot be used.
        BundleError: The bundle cannot be used.
        OutputError: The intermediate files cannot be written.
    """
    limits = _limits(options)
    path = resolve(options.bundle)
    bundle, _ = open_bundle(path)
    chosen, theirs = _plans(options, path)
    data, other = _checked_data(options, path, bundle, (chosen, theirs), progress)
    form = read_float_form(path, bundle)
    if options.reference is not None:
        check_reference(options.reference, bundle, form)
    work = options.out / "work"
    key = key_of(bundle.sha256, data.sha256, options.hop_s, len(data.recordings))
    plan = RunPlan(path, options.hop_s, options.jobs, sha256=bundle.sha256)
    seen = run_all(plan, list(enumerate(data.recordings)), work, f"run-{key}", progress)
    if not len(seen.recording):
        raise InputError(f"the quality gate accepted no window of {options.data}", _why_nothing(seen))
    judged = replace(judged_of(bundle, data, seen, options, chosen), least=least_patients(limits))
    heads = judge_heads(judged)
    links = [
        *model_links(bundle, seen.sample_inputs, limits["links"], micro=bundle.manifest.tier == "micro"),
        float_link(bundle, form, seen.sample_inputs, limits["links"]),
    ]
    compared: list[ComparisonRecord] = []
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "notice": NOTICE,
        "header": {**header(judged, options, limits), "labels": labels_header(data, chosen)},
        "abstention": abstention(bundle, seen),
        "heads": heads,
        "links": links,
        "reference": None,
        "comparisons": [],
    }
    if options.reference is not None:
        how = ReferencePlan(options.reference, options.outputs, work, options.hop_s, options.jobs, form)
        reference = open_reference(how, judged, progress)
        report["reference"] = agreement(judged, reference)
        report["comparisons"] = compared = comparisons(judged, reference, limits["noninferiority"])
    save_logits(options.out / "logits.npz", judged)
    report["clinical"] = clinical_chapter(judged, heads, chosen.plan, options.hop_s)
    report["external"] = None if other is None else external(judged, other, plan, theirs, work, progress, heads)
    report["subgroups"] = subgroups(judged, limits["subgroups"])
    report["robustness"] = (
        robustness(judged, path, options.robustness, options.jobs, work, progress) if options.robustness else []
    )
    checks = judge(heads, links, compared, limits)
    report["gate"] = {"ok": all(c.ok for c in checks), "limits": limits, "checks": checks_json(checks)}
    report["summary"] = summary_line(heads)
    report["checklists"] = checklists(report)
    return report


def _limits(options: ValidateOptions) -> dict[str, dict[str, float]]:
    limits = load_limits(options.gate)
    if options.margin is not None:
        limits["noninferiority"]["auroc_margin"] = options.margin
    return limits


def _plans(options: ValidateOptions, path: Path) -> tuple[ChosenPlan, ChosenPlan]:
    """Return the label plans of the data and of the other source; MIMIC-IV needs other rules than MC-MED."""
    kept = read_bundle_plan(path)
    first, second = (chosen_plan(options.label_plan, kept, "bundle", at) for at in (options.data, options.external))
    return first, second


def _checked_data(
    options: ValidateOptions, path: Path, bundle: Bundle, plans: tuple[ChosenPlan, ChosenPlan], progress: TextIO | None
) -> tuple[Labelled, Labelled | None]:
    """Open the data and the other source, if any, and refuse those that could not be trusted."""
    heads, other = heads_of(bundle), None
    chosen, theirs = plans
    data = open_labelled(
        options.data, options.split, one_recording_a_patient=options.one_recording_a_patient, limit=options.limit,
        options=options.recordings,
    )  # fmt: skip
    if options.external is not None:
        source = Source(options.external, options.external_split, options.recordings, options.external_recordings)
        other = open_external(data, source, heads, theirs.plan, progress)
        other = replace(other, remarks=(*other.remarks, *_known(path, other)))
    said = [*_known(path, data), *check_labelled(data, heads, chosen.plan, progress)]
    return replace(data, remarks=(*data.remarks, *said)), other


def _known(bundle: Path, data: Labelled) -> list[str]:
    return known_patients(bundle.name, read_patients(bundle), aliases(data.recordings))


def judged_of(
    bundle: Bundle, data: Labelled, seen: Observed, options: ValidateOptions, chosen: ChosenPlan | None = None
) -> Judged:
    """Add the labels to the results.

    Raises:
        InputError: There is no label.
    """
    plan = None if chosen is None else chosen.plan
    # Windows and estimates in one call, because the table of results may have millions of rows.
    recording = np.concatenate((seen.recording, seen.est_recording))
    start_s = np.concatenate((seen.start_s, seen.est_start_s))
    truth = labels_for(data, heads_of(bundle), recording, start_s, plan)
    n = len(seen.recording)
    # An output that abstains by rhythm is judged where it answers, and by window in windows of its rhythms.
    truth[n:][np.isnan(seen.est_value)] = np.nan
    for i, head in enumerate(bundle.manifest.outputs):
        named = [fits(name, head.rhythms) for name in RHYTHM_NAMES]
        truth[:n, i][~np.array(named)[seen.rhythm]] = np.nan
    return Judged(bundle, data, seen, truth[:n], truth[n:], options.seed, options.resamples)


def header(j: Judged, options: ValidateOptions, limits: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return the header of the report: bundle and data with hashes, versions and counts."""
    m = j.bundle.manifest
    probability = np.array([h.kind == "probability" for h in m.outputs])
    judged = np.unique(j.seen.est_recording).tolist()
    return {
        "bundle": {
            "name": m.name,
            "version": m.version,
            "tier": m.tier,
            "manifest_sha256": j.bundle.sha256,
            "model_sha256": hashlib.sha256(j.bundle.model).hexdigest(),
        },
        "data": {
            "name": options.data.name,
            "split": j.data.split,
            "sha256": j.data.sha256,
            "simulated": j.data.simulated,
            "remarks": list(j.data.remarks),
        },
        "counts": {
            "patients": len(np.unique(j.data.patient[j.seen.est_recording])),
            "visits": len({j.data.recordings[i].visit for i in judged} - {None}),
            "recordings": len(judged),
            "recordings_in_data": len(j.data.recordings),
            "estimates": len(j.seen.est_recording),
            "windows": len(j.seen.recording),
            "events": int(np.nansum(j.est_truth[:, probability] > 0.5)),
        },
        "seed": options.seed,
        "resamples": options.resamples,
        "hop_s": options.hop_s,
        "margins": dict(limits["noninferiority"]),
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in PACKAGES}},
        "command": options.command,
    }


def abstention(bundle: Bundle, seen: Observed) -> AbstentionRecord:
    """Count the outcomes of the hops, and those in which an output abstains by rhythm."""
    totals = seen.outcomes.sum(axis=0)
    hops = int(totals.sum())
    silent = int((seen.outcomes[:, 0] == 0).sum())
    return {
        "hops": hops,
        "accepted": int(totals[0]),
        "share_accepted": round(float(totals[0]) / hops, 4) if hops else None,
        "reasons": {name: int(n) for name, n in zip(OUTCOMES[1:], totals[1:], strict=True) if n},
        "by_rhythm": {
            head.key: int(n)
            for head, n in zip(bundle.manifest.outputs, seen.silent.sum(axis=0), strict=True)
            if head.rhythms is not None
        },
        "recordings_without_estimate": silent,
        "broken": sorted({str(why) for why in seen.broken_why})[:20],
    }


def _why_nothing(seen: Observed) -> str:
    totals = seen.outcomes.sum(axis=0)
    named = [f"{name} {n}" for name, n in zip(OUTCOMES, totals, strict=True) if n]
    if not named and len(seen.broken_why):
        return f"no recording was readable: {seen.broken_why[0]}"
    return "outcomes of its hops: " + (", ".join(named) or "none")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
