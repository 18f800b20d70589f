"""Contents of the bundle of a converted teacher: manifest, golden vectors, report and card."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from convert.bundle.records import ManifestTensor
from convert.bundle.writer import AGGREGATION, BundleContents
from convert.checkpoint.spec import Net1DSpec
from convert.checkpoint.tensors import Checkpoint
from convert.datasets.outputs_file import OutputEntry
from convert.datasets.windows import WindowSet
from convert.foundation.card import model_card
from convert.foundation.config import FoundationConfig
from convert.foundation.records import ConversionFacts, FoundationManifest, IntegerSteps, ShownOutputs, network_entry
from convert.foundation.standard import WHAT, HeadScaling, described, uncalibrated
from convert.foundation.windows import Split, Windows
from convert.parity.forms import ParityReport
from edge.bundle.tensors import TensorSpec
from edge.frontend.ecgfounder import FS_HZ, WINDOW_SAMPLES

if TYPE_CHECKING:
    from convert.foundation.noise import Golden
    from convert.foundation.quantize import Judged

ADDED_SHARE = 0.10
RSS_MIB = 190
"""Budgets of the tier, see docs/architecture.md: the time around the model as a share of the time of the model, and the
peak RSS in MiB."""

FEW = 50
"""Number of recordings that the report names."""


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """A conversion before its bundle is written.

    Attributes:
        config: Options of the conversion.
        checkpoint: The teacher.
        spec: Options of its network.
        heads: Description of its outputs.
        found: Windows of the recordings.
        prepared: The windows after the front end.
        split: Windows for calibration and for evaluation.
        scaling: Scaling of the heads.
        judged: All forms that were made.
        taken: The form for the bundle.
        golden: Its golden vectors.
    """

    config: FoundationConfig
    checkpoint: Checkpoint
    spec: Net1DSpec
    heads: Sequence[OutputEntry]
    found: WindowSet
    prepared: Windows
    split: Split
    scaling: HeadScaling
    judged: Sequence[Judged]
    taken: Judged
    golden: Golden


def facts_of(c: Converted) -> ConversionFacts:
    """Return the facts of the parity report."""
    verdict, made = c.taken.verdict, c.taken.made
    what: ShownOutputs = {"outputs": WHAT} if c.scaling.any else {}
    float_ms = next(j.ms for j in c.judged if j.made.form == "float32")
    steps: IntegerSteps = {"int8 steps": rows} if (rows := [r for j in c.judged for r in j.made.steps]) else {}
    return {
        "form": made.form,
        "gate": "open" if verdict.ok else "SHUT, accepted by --accept-loss",
        "gate faults": list(verdict.faults[:10]),
        "forms": [j.row(float_ms) for j in c.judged],
        "self-test limits, steps": {name: asdict(limit) for name, limit in c.golden.limits.items()},
        "flat heads (judged by odds)": verdict.flat,
        "checkpoint": c.checkpoint.path.name,
        "checkpoint sha256": c.checkpoint.sha256,
        "parameters": c.spec.count_parameters(),
        "multiply-accumulates": c.spec.count_macs(WINDOW_SAMPLES),
        "model bytes": len(made.model),
        "output step": made.sink.scale,
        **what,
        **steps,
        "input clamp": made.clamp,
        "share of z-scores beyond the clamp": c.prepared.beyond(made.clamp),
        "calibration windows": len(c.split.calibration),
        "calibration windows chosen by": c.config.choice,
        "range of the recordings that they cover": c.split.coverage,
        "evaluation windows": len(c.split.evaluation),
        "recordings used": [p.name for p in c.found.used[:FEW]],
        "recordings skipped": {p.name: why for p, why in list(c.found.skipped.items())[:FEW]},
    }


def contents_of(c: Converted, report: ParityReport) -> BundleContents:
    """Return the contents of the bundle."""
    from convert.parity.report import report_files

    manifest = _manifest(c)
    heads = {h["key"]: uncalibrated(h["kind"], s) for h, s in zip(c.heads, c.scaling.lines, strict=True)}
    return BundleContents(
        manifest=manifest,
        model=c.taken.made.model,
        heads=heads,
        golden_inputs=c.golden.inputs,
        golden_outputs=c.golden.outputs,
        model_card=model_card(manifest, report, heads),
        extra={f"validation/{name}": data for name, data in report_files(report).items()},
        golden_by_interpreter=c.golden.by_interpreter,
        limits=c.golden.limits,
    )


def tensor_entry(spec: TensorSpec) -> ManifestTensor:
    """Return the entry ``input`` or ``output`` of a manifest."""
    entry: ManifestTensor = {
        "dtype": spec.dtype, "shape": list(spec.shape), "scale": spec.scale, "zero_point": spec.zero_point
    }  # fmt: skip
    if spec.coarse is not None:
        entry["coarse"] = {"first": spec.coarse.first, "ratio": spec.coarse.ratio}
    return entry


def _manifest(c: Converted) -> FoundationManifest:
    config, checkpoint, made = c.config, c.checkpoint, c.taken.made
    return {
        "name": config.name,
        "version": config.version,
        "tier": "foundation",
        "form": made.form,
        "licence": config.licence,
        "created": dt.datetime.now(dt.UTC).date().isoformat(),
        "teacher": {"name": checkpoint.path.name, "sha256": checkpoint.sha256, "facts": dict(checkpoint.facts)},
        "front_end": {
            "name": "ecgfounder/1",
            "grid_hz": int(FS_HZ),
            "fs_hz": int(FS_HZ),
            "window_s": WINDOW_SAMPLES / FS_HZ,
            "group_delay_s": 0.0,
            "clamp": made.clamp,
        },
        "input": tensor_entry(made.source),
        "output": tensor_entry(made.sink),
        "outputs": list(c.heads),
        "aggregation": AGGREGATION.copy(),
        "budgets": {"model_bytes": len(made.model), "added_share": ADDED_SHARE, "rss_mib": RSS_MIB},
        "network": network_entry(c.spec, c.config.key),
        "conversion": {
            "form": made.form,
            "gate_open": c.taken.verdict.ok,
            **described(c.heads, c.scaling),
        },
    }
