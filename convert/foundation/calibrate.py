"""Probabilities and intervals of a converted teacher, where laboratory results of its recordings are at hand.

Half of the patients fit, the other half judge: nobody does both. Where a list of the teacher's patients stands beside
it, those who trained it do neither, those who chose its weights fit, and the rest judge. Without such a list nobody can
check it: give recordings that the teacher never saw.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from convert.bundle.fit import FORMS, Part, calibrate, judge
from convert.bundle.scaling import Scaling
from convert.bundle.writer import BundleContents, to_json
from convert.datasets.heads import TeacherHead
from convert.datasets.pairs import Recording, find_recordings
from convert.foundation.values import in_units
from convert.labels.plan import LabelPlan as ResultPlan
from convert.teacher.hard_labels import labels_at
from convert.teacher.open import InputSteps, LiteRtTeacher
from convert.teacher.patients import FILE as PATIENTS_FILE
from convert.teacher.patients import hashes, patients_file
from convert.teacher.soft_labels import LabelPlan, Labels, label
from convert.teacher.split import GIVE_OTHERS, Met, by_meeting, met_among
from edge.frontend.ecgfounder import CLAMP
from firmware_bridge.errors import InputError

MOST_PATIENTS = 2000
"""Patients that are looked at, spread over the data: more would take hours and move a Platt line very little."""

LEAST_PATIENTS = 2
SEED = 1
DATA = "held-out half of the patients with laboratory results given at the conversion"
BY_LAB = "laboratory results"


@dataclass(frozen=True, slots=True)
class Results:
    """Where laboratory results are found.

    Attributes:
        data: Folder of recordings.
        labels: Folder of results, as ``anyecg convert micro`` takes it.
        plan: How labels are made of them.
        patients: Whom the teacher has met, by part.
    """

    data: Path
    labels: Path
    plan: ResultPlan | None = None
    patients: Mapping[str, frozenset[bytes]] = field(default_factory=dict)


def calibrated(
    contents: BundleContents, heads: Sequence[TeacherHead], results: Results, stream: TextIO | None
) -> BundleContents:
    """The bundle with every head calibrated that has enough results.

    Args:
        contents: A foundation bundle that is not yet written; its heads are uncalibrated.
        heads: Its outputs.
        results: Recordings and laboratory.
        stream: Where progress goes.

    Returns:
        The same with ``calibration.json``, evidence and ``validation/calibration.json``. Heads with too few results
        (:data:`convert.bundle.fit.MIN_CASES`) stay as they were.

    Raises:
        InputError: There are no such results, or no two patients.
    """
    heads = in_units(heads, contents.heads)
    step = contents.manifest["input"]
    steps = InputSteps(step["scale"], step["zero_point"], CLAMP)
    sha256 = hashlib.sha256(contents.model).hexdigest()
    teacher = LiteRtTeacher(contents.model, str(contents.manifest["name"]), sha256, heads, quantized=steps)
    every = find_recordings(results.data)
    met = met_among(every, results.patients)
    kept = _spread(every, [i for i, r in enumerate(every) if r.patient not in met.trained])
    if not kept:
        raise InputError(f"every patient of {results.data} trained the teacher", GIVE_OTHERS)
    recordings = [every[i] for i in kept]
    with tempfile.TemporaryDirectory(prefix="anyecg-") as work:
        labels = label(Path(work), recordings, teacher, LabelPlan(), stream)
    # A table of labels may be about those who are left out, too.
    place = np.array(kept, dtype=np.int32)[labels.recording]
    hard = labels_at(results.labels, heads, every, place, labels.start_s, results.plan)
    first, second = _halves(recordings, labels, hard, met)
    fit, held_out = _part(recordings, labels, hard, first), _part(recordings, labels, hard, second)
    n = len(heads)
    one, none = np.ones(n, np.float32), np.empty(0, np.float32)
    same = Scaling(np.zeros(n, np.float32), one, one, none, none)
    entries = calibrate(heads, same, fit, SEED)
    fitted = {key: entry for key, entry in entries.items() if entry["basis"] == BY_LAB}
    found = {key: value for key, value in judge(heads, held_out, entries, SEED).items() if key in fitted}
    outputs = [{**o, "evidence": found[o["key"]]["evidence"]} if o["key"] in found else o for o in _outputs(contents)]
    shown = {
        key: {k: v for k, v in value.items() if "_float" not in k and "_ptq" not in k} for key, value in found.items()
    }
    report = {
        "schema": "anyecg.calibration-report/1",
        "patients": {"fit": len(np.unique(fit.patient)), "judge": len(np.unique(held_out.patient))},
        "uncalibrated": [h.key for h in heads if h.key not in fitted],
        "heads": shown,
    }
    return replace(
        contents,
        manifest={**contents.manifest, "outputs": outputs},
        heads={**contents.heads, **fitted},
        extra={
            **contents.extra,
            "validation/calibration.json": to_json(report),
            PATIENTS_FILE: patients_file(
                {
                    **results.patients,
                    "calibration": _whose(recordings, labels, first),
                    "test": _whose(recordings, labels, second),
                }
            ),
        },
    )


def _outputs(contents: BundleContents) -> list[dict[str, Any]]:
    return [dict(o) for o in contents.manifest["outputs"]]


def _spread(recordings: Sequence[Recording], kept: list[int]) -> list[int]:
    patients = sorted({recordings[i].patient for i in kept})
    if len(patients) > MOST_PATIENTS:
        chosen = {patients[i] for i in np.linspace(0, len(patients) - 1, MOST_PATIENTS).astype(int)}
        kept = [i for i in kept if recordings[i].patient in chosen]
    return kept


def _halves(
    recordings: Sequence[Recording], labels: Labels, hard: NDArray[np.float32], met: Met
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Windows that fit and windows that judge.

    Of those who chose the teacher's weights and of those new to it, or of one half each where one of these is empty.
    """
    of = np.array([recordings[i].patient for i in labels.recording])
    known = np.unique(of[~np.all(np.isnan(hard), axis=1)])
    if len(known) < LEAST_PATIENTS:
        raise InputError("laboratory results of a single patient calibrate nothing", "give recordings of more")
    order = known[np.random.default_rng([SEED, 3]).permutation(len(known))]
    _, chose, new = by_meeting(order, met)
    if not (len(chose) and len(new)):
        chose, new = np.split(order, [len(order) // 2])
    first, second = (np.flatnonzero(np.isin(of, some)) for some in (chose, new))
    return first, second


def _whose(recordings: Sequence[Recording], labels: Labels, rows: NDArray[np.int64]) -> frozenset[bytes]:
    return hashes(recordings[i] for i in np.unique(labels.recording[rows]))


def _part(recordings: Sequence[Recording], labels: Labels, hard: NDArray[np.float32], rows: NDArray[np.int64]) -> Part:
    logits = labels.logits[rows].astype(np.float64)
    records = [recordings[i] for i in labels.recording[rows]]
    cases, case = np.unique([f"{r.patient}\n{r.visit or r.name}" for r in records], return_inverse=True)
    _, patient = np.unique([c.split("\n")[0] for c in cases], return_inverse=True)
    outputs = dict.fromkeys(FORMS, logits)
    return Part(outputs, logits, hard[rows].astype(np.float64), case.astype(np.int64), patient.astype(np.int64), DATA)
