"""Results by sex, age, renal codes, device, rhythm, heart rate and signal quality; small groups are suppressed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from calibration.validate.judge import Judged, rounded
from calibration.validate.records import SubgroupRecord, SubgroupsRecord
from convert.stats.bounds import p_value
from convert.stats.discrimination import ranking
from convert.stats.evidence import CHANCE
from convert.stats.metrics import auroc
from convert.stats.multiplicity import ALPHA, adjusted

Bools = NDArray[np.bool_]

AGES = ((0, 45), (45, 65), (65, 80), (80, 200))
"""Age bands, years; the upper end is exclusive."""

RATES_BPM = ((0, 60), (60, 100), (100, 400))
"""Bands of slow, normal and fast heart rates, beats per minute; the upper end is exclusive."""

QUALITIES = ((0.0, 0.8), (0.8, 0.95), (0.95, 1.01))
"""Bands of the mean quality score of the windows of an estimate; the quality gate accepts 0.5 and more."""


def groups(j: Judged) -> Iterator[tuple[str, str, Bools]]:
    """Yield every group of estimates: the property, the name of the group and its rows."""
    of = j.seen.est_recording
    sex = np.array([j.data.persons[i].sex for i in of])
    device = np.array([j.data.device[i] for i in of])
    renal = np.array([j.data.persons[i].renal for i in of])
    named = (("sex", sex), ("renal codes", renal), ("device", device), ("rhythm", j.seen.est_rhythm))
    for by, values in named:
        for name in sorted(set(values.tolist()) - {""}):
            yield by, str(name), values == name
    ages = [j.data.persons[i].age for i in of]
    age = np.array([np.nan if a is None else a for a in ages], dtype=np.float64)
    bands: tuple[tuple[str, NDArray[np.floating], tuple[tuple[float, float], ...], str], ...] = (
        ("age", age, AGES, "years"),
        ("heart rate", j.seen.est_rate_bpm, RATES_BPM, "bpm"),
        ("signal quality", j.seen.est_score, QUALITIES, ""),
    )
    for by, numbers, edges, unit in bands:
        for k, (low, high) in enumerate(edges):
            with np.errstate(invalid="ignore"):
                rows = (numbers >= low) & (numbers < high)
            if k == 0:
                name = f"below {high:g} {unit}"
            else:
                name = f"{low:g} {unit} and more" if k == len(edges) - 1 else f"{low:g} to {high:g} {unit}"
            yield by, " ".join(name.split()), rows


def subgroups(j: Judged, limits: Mapping[str, float]) -> SubgroupsRecord:
    """Compute AUROC and shift of the probabilities of every head in every group, worst first.

    A group is clearly worse if its AUROC differs from that of all patients with a false discovery rate of 5 % over the
    whole table.

    Args:
        j: Results and labels.
        limits: Table ``subgroups`` of the limits; smaller groups are suppressed and counted.
    """
    rows: list[SubgroupRecord] = []
    suppressed = 0
    for by, name, members in groups(j):
        if not members.any() or members.all():
            continue  # an empty group, or all estimates
        for i, head in enumerate(j.bundle.manifest.outputs):
            known = np.isfinite(j.est_truth[:, i])
            if head.kind != "probability" or not (known & members).any():
                continue
            found = _one(j, i, (by, name), members & known, known, limits)
            if found is None:
                suppressed += 1
            else:
                rows.append(found)
    for row, p in zip(rows, adjusted([r["p_worse"] for r in rows], "fdr"), strict=True):
        row["p_adjusted"] = p
        row["clearly_worse"] = p is not None and p <= ALPHA and row["difference"] < 0.0
    rows.sort(key=lambda r: (r["difference"], r["key"], r["by"], r["group"]))
    return {
        "rows": rows,
        "suppressed": suppressed,
        "patients_min": limits["patients_min"],
        "events_min": limits["events_min"],
    }


def _one(
    j: Judged, i: int, group: tuple[str, str], members: Bools, known: Bools, limits: Mapping[str, float]
) -> SubgroupRecord | None:
    y, p = j.est_truth[members, i] > 0.5, j.seen.est_value[members, i]
    resampler = j.resampler(members, windows=False)
    if resampler.patients < limits["patients_min"] or min(int(y.sum()), int((~y).sum())) < limits["events_min"]:
        return None
    whole = auroc(j.seen.est_value[known, i], j.est_truth[known, i] > 0.5)
    ranked = ranking(p, y, resampler)
    found = ranked.auroc
    if found.value is None or whole is None:
        return None
    return {
        "by": group[0],
        "group": group[1],
        "key": j.bundle.manifest.outputs[i].key,
        "n": len(y),
        "patients": resampler.patients,
        "positives": int(y.sum()),
        "auroc": rounded(found.value),
        "auroc_ci": None if found.low is None or found.high is None else [rounded(found.low), rounded(found.high)],
        "difference": round(found.value - whole, 4),
        "probability_shift": rounded(float(p.mean() - y.mean())),
        "p_worse": p_value(found, whole, ranked.df, "logit") if CHANCE < whole < 1.0 else None,
        "p_adjusted": None,
        "clearly_worse": False,
    }
