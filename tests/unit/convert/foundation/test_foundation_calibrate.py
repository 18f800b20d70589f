"""Calibration of a teacher's heads on laboratory results, with a stand-in model that knows the answer."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")

from convert.bundle.fit import MIN_CASES
from convert.bundle.writer import BundleContents
from convert.datasets.pairs import find_recordings
from convert.foundation import calibrate as foundation_calibrate
from convert.foundation.calibrate import Results, calibrated
from convert.foundation.standard import unscaled
from convert.teacher.patients import FILE, hashes, read_patients
from convert.teacher.soft_labels import WindowPlan, label
from firmware_bridge.errors import InputError
from helpers.moments_teacher import HEADS, MomentsTeacher, write_folder

P, V = HEADS


@pytest.fixture
def contents(monkeypatch):
    monkeypatch.setattr(foundation_calibrate, "_teacher", lambda *_: MomentsTeacher())
    outputs = [{"key": h.key, "evidence": {"auroc": None, "tier": "limited"}} for h in HEADS]
    manifest = {"name": "x", "input": {"scale": 0.125, "zero_point": 0}, "outputs": outputs}
    heads = {h.key: {"method": "none"} for h in HEADS}
    return BundleContents(manifest, b"model", heads, np.empty(0), np.empty(0), "card", {})


def test_heads_with_enough_results_are_fitted_on_one_half_and_judged_on_the_other(contents, tmp_path):
    data = write_folder(tmp_path / "data", 6 * MIN_CASES)
    labels = label(tmp_path / "w", find_recordings(data), MomentsTeacher(), WindowPlan(), None)
    usable = np.unique(labels.recording)
    n = len(usable)
    rank = np.argsort(np.argsort([labels.logits[labels.recording == i, 0].mean() for i in usable]))
    # The label follows the teacher except for every fifth patient, so that no head is certain.
    high = (rank >= n // 2) ^ (np.arange(n) % 5 == 0)
    rows = [f"p{i:02d},{int(h)}" for i, h in zip(usable, high, strict=True)]
    (data / "labels.csv").write_text("\n".join([f"record,{P.key}", *rows]) + "\n")
    found = calibrated(contents, HEADS, unscaled(len(HEADS)), Results(data, data), None)
    entry = found.heads[P.key]
    assert (entry["method"], entry["basis"]) == ("platt", "laboratory results")
    assert entry["a"] > 0
    assert 0.0 < entry["threshold"] < 1.0
    assert found.heads[V.key] == {"method": "none"}
    evidence = found.manifest["outputs"][0]["evidence"]
    assert evidence["n"] == n - n // 2
    assert evidence["auroc"] > 0.6
    assert found.manifest["outputs"][1] == contents.manifest["outputs"][1]
    (tmp_path / "validation").mkdir()
    (tmp_path / FILE).write_bytes(found.extra[FILE])
    parts = read_patients(tmp_path)
    assert sorted(map(len, parts.values())) == sorted([n // 2, n - n // 2])
    assert not parts["calibration"] & parts["test"]
    report = json.loads(found.extra["validation/calibration.json"])
    assert report["patients"] == {"fit": n // 2, "judge": n - n // 2}
    assert report["uncalibrated"] == [V.key]


def test_patients_that_the_teacher_has_seen_are_kept_apart(contents, tmp_path):
    data = write_folder(tmp_path / "data", 12)
    (data / "labels.csv").write_text("\n".join([f"record,{P.key}", *(f"p{i:02d},{i % 2}" for i in range(12))]) + "\n")
    recordings = find_recordings(data)
    seen = {"teacher_train": hashes(recordings[:6]), "teacher_val": hashes(recordings[6:9])}
    found = calibrated(contents, HEADS, unscaled(len(HEADS)), Results(data, data, patients=seen), None)
    (tmp_path / "validation").mkdir()
    (tmp_path / FILE).write_bytes(found.extra[FILE])
    parts = read_patients(tmp_path)
    assert {name: parts[name] for name in seen} == seen
    assert parts["calibration"]
    assert parts["calibration"] <= seen["teacher_val"]
    assert parts["test"]
    assert parts["test"] <= hashes(recordings[9:])
    with pytest.raises(InputError, match=r"trained on every patient of"):
        calibrated(
            contents,
            HEADS,
            unscaled(len(HEADS)),
            Results(data, data, patients={"teacher_train": hashes(recordings)}),
            None,
        )


def test_one_patient_is_not_enough_for_a_calibration(contents, tmp_path):
    data = write_folder(tmp_path / "data", 2)
    (data / "labels.csv").write_text(f"record,{P.key}\np00,1\n")
    with pytest.raises(InputError, match="results of one patient"):
        calibrated(contents, HEADS, unscaled(len(HEADS)), Results(data, data), None)
