"""Calibration of a converted teacher on laboratory results of its recordings.

Half of the patients fit the calibration, the other half judge it. If the patients that the teacher has seen are known,
its training patients do neither, the patients used to select its weights fit, and the others judge. Without that
list the kit cannot check this: give recordings that the teacher has not seen.
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
from convert.bundle.records import HeadFigures
from convert.bundle.scaling import Scaling
from convert.bundle.writer import BundleContents, to_json
from convert.datasets.described import RecordingOptions
from convert.datasets.heads import TeacherHead
from convert.datasets.pairs import Recording, find_recordings
from convert.foundation.standard import HeadScaling, in_units
from convert.labels.plan import LabelPlan
from convert.teacher.hard_labels import check_some_label, labels_at
from convert.teacher.open import BundleTeacher, ModelEnds
from convert.teacher.patients import FILE as PATIENTS_FILE
from convert.teacher.patients import hashes, patients_file
from convert.teacher.soft_labels import Labels, WindowPlan, label
from convert.teacher.split import GIVE_OTHERS, SeenPatients, seen_patients, split_by_seen
from edge.bundle.tensors import parse_tensor
from edge.bundle.typed_json import Reader
from firmware_bridge.errors import InputError

MAX_PATIENTS = 2000
"""Maximum number of patients, spread over the data; more would take hours and hardly change the fit."""

MIN_PATIENTS = 2
SEED = 1
DATA = "held-out half of the patients with laboratory results given at the conversion"
BY_LAB = "laboratory results"


@dataclass(frozen=True, slots=True)
class Results:
    """Source of laboratory results.

    Attributes:
        data: Folder of recordings.
        labels: Folder of results, as ``anyecg convert micro`` takes it.
        plan: Rule that makes labels from results; ``None`` for the default.
        patients: Hashes of the patients that the teacher has seen, by part.
        recordings: Options about recordings that do not state their rate, scale or lead.
    """

    data: Path
    labels: Path
    plan: LabelPlan | None = None
    patients: Mapping[str, frozenset[bytes]] = field(default_factory=dict)
    recordings: RecordingOptions = field(default_factory=RecordingOptions)


def calibrated(
    contents: BundleContents,
    heads: Sequence[TeacherHead],
    scaling: HeadScaling,
    results: Results,
    stream: TextIO | None,
) -> BundleContents:
    """Calibrate every head of a bundle that has enough results.

    Args:
        contents: Contents of a foundation bundle with uncalibrated heads.
        heads: Outputs of the bundle.
        scaling: Scaling of the heads in the model.
        results: Source of laboratory results.
        stream: Stream for progress lines, or ``None``.

    Returns:
        The contents with a fitted ``calibration.json``, evidence and ``validation/calibration.json``. Heads with too
        few results (:data:`convert.bundle.fit.MIN_CASES`) are unchanged.

    Raises:
        InputError: There are no results, or results of one patient only.
    """
    heads = in_units(heads, scaling)
    teacher = _teacher(contents, heads)
    every = find_recordings(results.data, results.recordings)
    seen = seen_patients(every, results.patients)
    kept = _spread(every, [i for i, r in enumerate(every) if r.patient not in seen.trained])
    if not kept:
        raise InputError(f"the teacher was trained on every patient of {results.data}", GIVE_OTHERS)
    recordings = [every[i] for i in kept]
    check_some_label(results.labels, heads, every, results.plan)
    with tempfile.TemporaryDirectory(prefix="anyecg-") as work:
        labels = label(Path(work), recordings, teacher, WindowPlan(), stream)
    # A table of labels may also have rows of patients that are left out.
    place = np.array(kept, dtype=np.int32)[labels.recording]
    hard = labels_at(results.labels, heads, every, place, labels.start_s, results.plan)
    first, second = _halves(recordings, labels, hard, seen)
    fit, held_out = _part(recordings, labels, hard, first), _part(recordings, labels, hard, second)
    n = len(heads)
    one, none = np.ones(n, np.float32), np.empty(0, np.float32)
    same = Scaling(np.zeros(n, np.float32), one, one, none, none)
    entries = calibrate(heads, same, fit, SEED)
    fitted = {key: entry for key, entry in entries.items() if entry["basis"] == BY_LAB}
    found = {key: value for key, value in judge(heads, held_out, entries, SEED).items() if key in fitted}
    outputs = [{**o, "evidence": found[o["key"]]["evidence"]} if o["key"] in found else o for o in _outputs(contents)]
    return replace(
        contents,
        manifest={**contents.manifest, "outputs": outputs},
        heads={**contents.heads, **fitted},
        extra={
            **contents.extra,
            "validation/calibration.json": _report(heads, fit, held_out, found),
            PATIENTS_FILE: patients_file(
                {
                    **results.patients,
                    "calibration": _hashes(recordings, labels, first),
                    "test": _hashes(recordings, labels, second),
                }
            ),
        },
    )


def _teacher(contents: BundleContents, heads: Sequence[TeacherHead]) -> BundleTeacher:
    source, sink = (parse_tensor(Reader(contents.manifest[n], n), any_form=True) for n in ("input", "output"))
    sha256 = hashlib.sha256(contents.model).hexdigest()
    ends = ModelEnds(source, sink, float(contents.manifest["front_end"]["clamp"]))
    return BundleTeacher(contents.model, str(contents.manifest["name"]), sha256, heads, "not stated", ends)


def _report(heads: Sequence[TeacherHead], fit: Part, held_out: Part, found: Mapping[str, HeadFigures]) -> bytes:
    """Return ``validation/calibration.json``; ``found`` has the fitted heads."""
    shown = {
        key: {k: v for k, v in value.items() if "_float" not in k and "_ptq" not in k} for key, value in found.items()
    }
    return to_json(
        {
            "schema": "anyecg.calibration-report/1",
            "patients": {"fit": len(np.unique(fit.patient)), "judge": len(np.unique(held_out.patient))},
            "uncalibrated": [h.key for h in heads if h.key not in found],
            "heads": shown,
        }
    )


def _outputs(contents: BundleContents) -> list[dict[str, Any]]:
    return [dict(o) for o in contents.manifest["outputs"]]


def _spread(recordings: Sequence[Recording], kept: list[int]) -> list[int]:
    patients = sorted({recordings[i].patient for i in kept})
    if len(patients) > MAX_PATIENTS:
        chosen = {patients[i] for i in np.linspace(0, len(patients) - 1, MAX_PATIENTS).astype(int)}
        kept = [i for i in kept if recordings[i].patient in chosen]
    return kept


def _halves(
    recordings: Sequence[Recording], labels: Labels, hard: NDArray[np.float32], seen: SeenPatients
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the windows that fit and the windows that judge.

    They belong to the patients used to select the teacher's weights and to unseen patients, or, if one of these groups
    is empty, to random halves of the patients.
    """
    of = np.array([recordings[i].patient for i in labels.recording])
    known = np.unique(of[~np.all(np.isnan(hard), axis=1)])
    if len(known) < MIN_PATIENTS:
        raise InputError("laboratory results of one patient are not enough for a calibration", "add more patients")
    order = known[np.random.default_rng([SEED, 3]).permutation(len(known))]
    _, chose, new = split_by_seen(order, seen)
    if not (len(chose) and len(new)):
        chose, new = np.split(order, [len(order) // 2])
    first, second = (np.flatnonzero(np.isin(of, some)) for some in (chose, new))
    return first, second


def _hashes(recordings: Sequence[Recording], labels: Labels, rows: NDArray[np.int64]) -> frozenset[bytes]:
    return hashes(recordings[i] for i in np.unique(labels.recording[rows]))


def _part(recordings: Sequence[Recording], labels: Labels, hard: NDArray[np.float32], rows: NDArray[np.int64]) -> Part:
    logits = labels.logits[rows].astype(np.float64)
    records = [recordings[i] for i in labels.recording[rows]]
    cases, case = np.unique([f"{r.patient}\n{r.visit or r.name}" for r in records], return_inverse=True)
    _, patient = np.unique([c.split("\n")[0] for c in cases], return_inverse=True)
    outputs = dict.fromkeys(FORMS, logits)
    return Part(outputs, logits, hard[rows].astype(np.float64), case.astype(np.int64), patient.astype(np.int64), DATA)
