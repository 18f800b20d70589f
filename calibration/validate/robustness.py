"""Robustness to disturbances: the share of answered hops and the shift of the estimates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from calibration.validate.disturb import DISTURBANCES, Disturbance
from calibration.validate.judge import Judged, rounded
from calibration.validate.observe import Observed
from calibration.validate.records import RobustnessRecord
from calibration.validate.shards import RunPlan, key_of, run_each
from convert.stats.logistic import logits
from convert.stats.metrics import auroc

HOP_S = 5.0
"""Seconds between windows in these runs: half of each window is new."""


def robustness(
    j: Judged, bundle: Path, recordings: int, jobs: int, work: Path, progress: TextIO | None
) -> list[RobustnessRecord]:
    """Apply every disturbance to recordings spread over the data set.

    Args:
        j: Results and labels of the bundle.
        bundle: Path of the bundle.
        recordings: Maximum number of recordings.
        jobs: Number of processes.
        work: Folder of intermediate files.
        progress: Stream for the progress lines, or ``None``.
    """
    total = len(j.data.recordings)
    chosen = np.unique(np.linspace(0, total - 1, min(recordings, total)).astype(int)).tolist()
    some = [(i, j.data.recordings[i]) for i in chosen]
    plans = []
    for disturbance in DISTURBANCES:
        key = key_of(j.bundle.sha256, j.data.sha256, chosen, repr(disturbance), HOP_S)
        plan = RunPlan(bundle, HOP_S, jobs, disturbance, j.bundle.sha256, rates=False)
        plans.append((plan, f"robust-{key}"))
    # A disturbance has few shards, so that only all of them together keep several processes busy.
    runs = run_each(plans, some, work, progress)
    return [_row(replace(j, seen=seen), runs[0], d, j) for d, seen in zip(DISTURBANCES, runs, strict=True)]


def _row(j: Judged, clean: Observed, disturbance: Disturbance, whole: Judged) -> RobustnessRecord:
    hops = int(clean.outcomes.sum())
    probability = [i for i, h in enumerate(j.bundle.manifest.outputs) if h.kind == "probability"]
    moved, flips, decided = _against(j, clean, probability)
    return {
        "disturbance": disturbance.label,
        "kind": disturbance.kind,
        "size": disturbance.size,
        "recordings": len(clean.outcomes),
        "share_answered": rounded(float(j.seen.outcomes[:, 0].sum()) / hops) if hops else None,
        "share_answered_clean": rounded(float(clean.outcomes[:, 0].sum()) / hops) if hops else None,
        "estimates": len(j.seen.est_recording),
        "logit_shift_median": rounded(float(np.median(moved))) if len(moved) else None,
        "logit_shift_p95": rounded(float(np.quantile(moved, 0.95))) if len(moved) else None,
        "flips": flips,
        "decisions": decided,
        "macro_auroc": _macro(j.seen, whole, probability),
    }


def _keys(seen: Observed) -> dict[tuple[int, int], int]:
    first: dict[int, int] = {}
    return {
        (int(r), first.setdefault(int(r), 0) + int(np.count_nonzero(seen.est_recording[:i] == r))): i
        for i, r in enumerate(seen.est_recording)
    }


def _against(j: Judged, clean: Observed, heads: list[int]) -> tuple[np.ndarray[Any, Any], int, int]:
    ours, theirs = _keys(j.seen), _keys(clean)
    both = [(ours[k], theirs[k]) for k in ours if k in theirs]
    if not both or not heads:
        return np.empty(0), 0, 0
    a, b = (np.array(rows) for rows in zip(*both, strict=True))
    p, q = (np.clip(seen.est_value[rows][:, heads], 1e-6, 1 - 1e-6) for seen, rows in ((j.seen, a), (clean, b)))
    both_answer = np.isfinite(p) & np.isfinite(q)
    moved = np.abs(logits(p) - logits(q))[both_answer]
    flips = decided = 0
    for column, i in enumerate(heads):
        limit = j.bundle.calibration[j.bundle.manifest.outputs[i].key].shown_threshold
        if limit is not None:
            answered = both_answer[:, column]
            flips += int(((p[answered, column] >= limit) != (q[answered, column] >= limit)).sum())
            decided += int(answered.sum())
    return moved, flips, decided


def _macro(seen: Observed, whole: Judged, heads: list[int]) -> float | None:
    """Return the mean AUROC over the heads with both classes; the labels are those of the undisturbed run."""
    truth = {int(r): whole.est_truth[i] for i, r in enumerate(whole.seen.est_recording)}
    rows = [i for i, r in enumerate(seen.est_recording) if int(r) in truth]
    if not rows:
        return None
    y = np.array([truth[int(seen.est_recording[i])] for i in rows])
    areas = []
    for i in heads:
        known = np.isfinite(y[:, i]) & np.isfinite(seen.est_value[rows, i])
        area = auroc(seen.est_value[rows, i][known], y[known, i] > 0.5)
        if area is not None:
            areas.append(area)
    return rounded(float(np.mean(areas))) if areas else None
