"""Comparison with a reference: non-inferiority of each head, agreement of outputs, kappa and flips of decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from calibration.validate.judge import Judged, rounded, score_json
from calibration.validate.records import AgreementRecord, ComparisonRecord, HeadAgreementRecord
from calibration.validate.reference import Reference
from convert.stats.noninferiority import Comparison, compare_auroc, compare_rate
from convert.stats.reliability import kappa
from edge.stats import correlation, sigmoid

Bools = NDArray[np.bool_]


def comparisons(j: Judged, reference: Reference, margins: Mapping[str, float]) -> list[ComparisonRecord]:
    """Test every common head for non-inferiority by AUROC, sensitivity and specificity.

    Args:
        j: Results of the bundle under test, with labels.
        reference: Results of the reference.
        margins: Table ``noninferiority`` of the limits.
    """
    out: list[ComparisonRecord] = []
    for i, head in enumerate(j.bundle.manifest.outputs):
        rows = np.isfinite(reference.shown[:, i]) & np.isfinite(j.est_truth[:, i])
        if head.kind != "probability" or not rows.any():
            continue
        y = j.est_truth[rows, i] > 0.5
        ours, theirs = j.seen.est_value[rows, i], reference.shown[rows, i]
        resampler = j.resampler(rows, windows=False)
        found = [compare_auroc(ours, theirs, y, resampler, margins["auroc_margin"], j.least)]
        mine, other = j.bundle.calibration[head.key].shown_threshold, reference.thresholds[i]
        if mine is not None and other is not None:
            a, b, margin = ours >= mine, theirs >= other, margins["decision_margin"]
            found.append(compare_rate("sensitivity", a, b, y, resampler, margin, j.least))
            found.append(compare_rate("specificity", ~a, ~b, ~y, resampler, margin, j.least))
        out += [_json(head.key, len(y), c) for c in found]
    return out


def _json(key: str, n: int, c: Comparison) -> ComparisonRecord:
    return {
        "key": key, "measure": c.measure, "ours": rounded(c.ours), "theirs": rounded(c.theirs),
        "difference": score_json(c.difference), "margin": c.margin, "verdict": c.verdict, "method": c.method, "n": n,
    }  # fmt: skip


def agreement(j: Judged, reference: Reference) -> AgreementRecord:
    """Measure the agreement with the reference without the labels: outputs of windows, decisions of estimates."""
    rows = []
    for i, head in enumerate(j.bundle.manifest.outputs):
        both = np.isfinite(reference.logits[:, i])
        if not both.any():
            continue
        ours, theirs = j.window_logits(i)[both], reference.logits[both, i]
        row: HeadAgreementRecord = {
            "key": head.key,
            "windows": int(both.sum()),
            "correlation": rounded(correlation(ours, theirs), 5),
            "mean_difference": rounded(float(np.mean(np.abs(ours - theirs)))),
            "probability_mean": None,
            **_decided(j, reference, i),
        }
        if head.kind == "probability":
            row["probability_mean"] = rounded(float(np.mean(np.abs(sigmoid(ours) - sigmoid(theirs)))))
        rows.append(row)
    known = [r["correlation"] for r in rows if r["correlation"] is not None]
    return {
        "name": reference.name,
        "kind": reference.kind,
        "sha256": reference.sha256,
        "missing_heads": list(reference.missing),
        "correlation_median": rounded(float(np.median(known)), 5) if known else None,
        "heads": rows,
    }


class _Decided(TypedDict):
    estimates: int
    kappa: float | None
    flips: int | None


def _decided(j: Judged, reference: Reference, i: int) -> _Decided:
    head = j.bundle.manifest.outputs[i]
    mine, other = j.bundle.calibration[head.key].shown_threshold, reference.thresholds[i]
    rows = np.isfinite(reference.shown[:, i]) & np.isfinite(j.seen.est_value[:, i])
    if mine is None or other is None or head.kind != "probability":
        return {"estimates": int(rows.sum()), "kappa": None, "flips": None}
    a, b = j.seen.est_value[rows, i] >= mine, reference.shown[rows, i] >= other
    return {"estimates": len(a), "kappa": rounded(kappa(a, b)), "flips": int((a != b).sum())}
