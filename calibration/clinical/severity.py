"""The same probability at stricter cut-offs: potassium above 5.5 and 6.0 mmol/L, below 3.5 and 3.0.

A head is trained at one limit. A clinician asks whether the worst patients get the highest probabilities, so the
cut-offs of one lab are ordered: the share that is found should grow with each step.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from calibration.validate.judge import Judged, ends, rounded, score_json
from calibration.validate.labelled import labels_for
from calibration.validate.records import Interval, MeasureRecord
from convert.datasets.heads import TeacherHead
from convert.datasets.labcatalogue import catalogue
from convert.labels.plan import LabelPlan
from convert.stats.bounds import share_interval
from convert.stats.discrimination import ranking
from convert.teacher.hard_labels import by_table
from firmware_bridge.errors import InputError

F64 = NDArray[np.float64]


class SeverityRecord(TypedDict):
    """A head at another cut-off; ``found`` is the share of these patients' estimates above the deployed threshold."""

    key: str
    lab: str
    cut_off: float
    unit: str
    direction: str
    n: int
    positives: int
    positive_patients: int
    enough_patients: bool
    auroc: float | None
    auroc_ci: Interval
    found: MeasureRecord


@lru_cache(maxsize=1)
def cut_offs() -> Mapping[str, Any]:
    """Return the cut-offs by lab."""
    text = (resources.files("calibration") / "data" / "clinical.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def measured(j: Judged, labs: Sequence[str], plan: LabelPlan | None) -> dict[str, F64]:
    """Return the measured value of each estimate for labs with cut-offs, ``(estimates,)``; NaN where unknown."""
    own = {h.lab: i for i, h in enumerate(j.bundle.manifest.outputs) if h.kind == "value"}
    out: dict[str, F64] = {}
    for lab in labs:
        entry = catalogue().get(lab)
        if lab in own:
            out[lab] = j.est_truth[:, own[lab]]
        elif entry is not None and not by_table(j.data.folder):
            head = TeacherHead(lab, lab, entry.loinc, entry.unit, "value", None)
            try:
                found = labels_for(j.data, [head], j.seen.est_recording, j.seen.est_start_s, plan)
            except InputError:  # no result of this lab near any estimate
                continue
            out[lab] = found[:, 0]
    return out


def severity(j: Judged, plan: LabelPlan | None) -> list[SeverityRecord]:
    """Judge heads at the cut-offs of their lab.

    Args:
        j: Results and labels.
        plan: Rules from results to labels.
    """
    heads = [
        (i, h) for i, h in enumerate(j.bundle.manifest.outputs)
        if h.kind == "probability" and h.lab in cut_offs() and h.horizon_min is None and h.direction in ("low", "high")
    ]  # fmt: skip
    values = measured(j, sorted({h.lab for _, h in heads}), plan)
    out: list[SeverityRecord] = []
    for i, head in heads:
        truth = values.get(head.lab)
        known = None if truth is None else np.isfinite(truth) & np.isfinite(j.seen.est_value[:, i])
        if truth is None or known is None or not known.any():
            continue
        threshold = j.bundle.calibration[head.key].shown_threshold
        p, resampler = j.seen.est_value[known, i], j.resampler(known, windows=False)
        for limit in cut_offs()[head.lab][head.direction]:
            y = truth[known] > limit if head.direction == "high" else truth[known] < limit
            ranked = ranking(p, y, resampler)
            hit = np.zeros(len(p), dtype=np.bool_) if threshold is None else p >= threshold
            out.append(
                {
                    "key": head.key,
                    "lab": head.lab,
                    "cut_off": limit,
                    "unit": cut_offs()[head.lab]["unit"],
                    "direction": str(head.direction),
                    "n": len(y),
                    "positives": int(y.sum()),
                    "positive_patients": ranked.positives,
                    "enough_patients": j.least.reached(ranked.positives, ranked.negatives),
                    "auroc": rounded(ranked.auroc.value),
                    "auroc_ci": ends(ranked.auroc),
                    "found": score_json(share_interval(hit, y, resampler)),
                }
            )
    return out
