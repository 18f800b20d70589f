"""How many patients a data set needs before the claims of a bundle can be checked: ``anyecg validate --plan-size``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

from calibration.report.text import aligned, number
from convert.stats.evidence import STRONG_ABOVE, EvidenceLevel, LeastPatients, evidence_level
from convert.stats.planning import MAX_PATIENTS, plan_auroc, plan_mae, power_of_tier
from edge.bundle.files import MANIFEST
from edge.bundle.reader import MAX_MANIFEST_BYTES, Bundle, read_extra
from edge.bundle.schema import OutputHead

TOO_MANY = f"needs more than {MAX_PATIENTS:,} patients"


class SizeRecord(TypedDict):
    """Planned size for one output; ``power_strong`` is the chance that the lower end shows strong evidence."""

    key: str
    claim: float | None
    kind: str
    prevalence: float | None
    patients: int | None
    positives: int | None
    negatives: int | None
    interval: list[float] | None
    level: EvidenceLevel | None
    power_strong: float | None
    why: str


def prevalences(bundle: Bundle) -> dict[str, float]:
    """Return the share of abnormal results in the evidence of each output, where the manifest states it.

    Raises:
        BundleError: The manifest cannot be read.
    """
    raw = json.loads(read_extra(bundle.path, MANIFEST, MAX_MANIFEST_BYTES) or b"{}")
    found: dict[str, float] = {}
    for output in raw.get("outputs", ()):
        evidence = output.get("evidence") or {}
        positives, n = evidence.get("positives"), evidence.get("n")
        if isinstance(positives, int) and isinstance(n, int) and 0 < positives < n:
            found[output["key"]] = positives / n
    return found


def plan_sizes(
    heads: Sequence[OutputHead], width: float, prevalence: Mapping[str, float], least: LeastPatients
) -> list[SizeRecord]:
    """Plan the size of a data set for each output.

    Args:
        heads: Outputs of the bundle with their evidence.
        width: Width of the interval: of the AUROC, or as a share of a claimed mean absolute error.
        prevalence: Share of patients with the abnormal result, by the key of the output.
        least: Minimum number of patients of each class.
    """
    return [_one(head, width, prevalence, least) for head in heads]


def _one(head: OutputHead, width: float, prevalence: Mapping[str, float], least: LeastPatients) -> SizeRecord:
    e = head.evidence
    out: SizeRecord = {
        "key": head.key, "claim": e.auroc if head.kind == "probability" else e.mae, "kind": head.kind,
        "prevalence": None, "patients": None, "positives": None, "negatives": None, "interval": None, "level": None,
        "power_strong": None, "why": "",
    }  # fmt: skip
    if out["claim"] is None or out["claim"] <= 0.0:
        return {**out, "why": "the bundle claims nothing for this output"}
    if head.kind == "value":
        planned = plan_mae(out["claim"], width, least)
        if planned is None:
            return {**out, "why": TOO_MANY}
        return {**out, "patients": planned.patients, "interval": [planned.low, planned.high]}
    share = prevalence.get(head.key)
    if share is None:
        return {**out, "why": "the evidence does not state the prevalence; give --prevalence"}
    # An output at chance has an interval, too; the formula needs an area inside 0 to 1.
    area = min(max(out["claim"], 0.5), 0.999)
    planned = plan_auroc(area, share, width, least)
    if planned is None:
        return {**out, "prevalence": share, "why": TOO_MANY}
    assert planned.positives is not None
    assert planned.negatives is not None
    return {
        **out, "prevalence": share, "patients": planned.patients, "positives": planned.positives,
        "negatives": planned.negatives, "interval": [planned.low, planned.high],
        "level": evidence_level(planned.low) if planned.low > 0.5 else None,
        "power_strong": power_of_tier(area, planned.positives, planned.negatives, STRONG_ABOVE),
    }  # fmt: skip


def plan_text(rows: Sequence[SizeRecord], width: float, least: LeastPatients) -> str:
    """Return the plan as a table for a terminal."""
    headings = ("output", "claim", "abnormal", "patients", "with", "without", "expected interval", "P(strong)")
    table: list[Sequence[str]] = [headings]
    for r in rows:
        name = ("MAE " if r["kind"] == "value" else "AUROC ") + number(r["claim"])
        share = "-" if r["prevalence"] is None else f"{100.0 * r['prevalence']:.3g}%"
        if r["patients"] is None or r["interval"] is None:
            table.append([r["key"], name, share, "-", "-", "-", r["why"], ""])
            continue
        low, high = r["interval"]
        counts = ["-" if n is None else str(n) for n in (r["patients"], r["positives"], r["negatives"])]
        power = "" if r["power_strong"] is None else f"{r['power_strong']:.0%}"
        table.append([r["key"], name, share, *counts, f"{low:.3f} to {high:.3f}", power])
    known = [r["patients"] for r in rows if r["patients"] is not None]
    lines = aligned(table)
    if known:
        widths = f"{width:g} (AUROC) or {width:.0%} of the claim (MAE)"
        most = f"{max(known)} patients, each with one estimate"
        floor = f"{least.positives} patients with and {least.negatives} without the abnormal result"
        which = "all outputs" if len(known) == len(rows) else f"{len(known)} of {len(rows)} outputs"
        lines += [
            "",
            f"95 % intervals with a width of at most {widths} for {which}: {most}.",
            f"With fewer than {floor} there is no verdict.",
            f"P(strong) is the chance that the lower end exceeds {STRONG_ABOVE:g} if the claim is true.",
        ]
    return "\n".join(lines) + "\n"
