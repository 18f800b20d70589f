"""From the folder of a training to a judged student, on data with dirt: outputs, plan and patients are passed on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")
pytest.importorskip("tflite_micro", reason="the micro extra is not installed")

from calibration.cli.validate import main as validate_main
from calibration.report.page_html import html_page
from calibration.report.text import text_report
from calibration.validate.labelled import open_labelled
from calibration.validate.recalibrate import check_overlap
from calibration.validate.run import ValidateOptions, validate
from convert.checkpoint.net1d import Net1D, to_tensors
from convert.checkpoint.writer import write_checkpoint
from convert.cli.convert import inspect
from convert.cli.distil import main as micro_main
from convert.compute.students import PRESETS
from convert.datasets.mcmed import McMedDataset
from convert.datasets.pairs import find_recordings
from convert.labels.plan import parse_plan
from convert.labels.travelling_plan import plan_file, read_bundle_plan
from convert.simulate.dirt import plant_dirt
from convert.simulate.write import CohortPlan, write_cohort
from convert.teacher.patients import hashes, patients_file, read_patients
from convert.teacher.place import provenance_of
from edge.bundle.reader import load_bundle
from firmware_bridge.errors import InputError
from helpers.tiny_student import TINY

OUTPUTS = [
    {"key": "potassium_high", "lab": "potassium", "loinc": "2823-3", "direction": "high"},
    {"key": "potassium_low_60min", "lab": "potassium", "loinc": "2823-3", "direction": "low", "horizon_min": 60},
    {"key": "hemoglobin_value", "lab": "hemoglobin", "loinc": "718-7", "kind": "value", "unit": "g/dL"},
]
PLAN = parse_plan("[labs.potassium]\n[labs.hemoglobin]\n", "labels.toml")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Return a cohort with all dirt of the simulator, and with a damaged header, signal and file."""
    root = tmp_path_factory.mktemp("story") / "cohort"
    write_cohort(CohortPlan(40, 8, 24.0), root)
    plant_dirt(root, 8)
    train = sorted(set(McMedDataset(root).split("train")))
    headers = [path for csn in train for _, path in McMedDataset(root).headers(csn)]
    headers[0].write_text("garbage\n")
    headers[1].with_suffix(".dat").write_bytes(b"12345")
    headers[2].with_suffix(".dat").unlink()
    return root


def teacher_folder(folder: Path, cohort: Path) -> Path:
    """Return the output folder of a training, for a network with random weights."""
    folder.mkdir()
    net = Net1D(1, 8, 1.0, (8, 16), (1, 1), 16, 4, 8, len(OUTPUTS))
    write_checkpoint(folder / "teacher.pth", to_tensors(net), facts={"epoch": 1, "stride": 4, "use_bn": 1})
    (folder / "outputs.json").write_text(json.dumps({"outputs": OUTPUTS}))
    (folder / "labels.json").write_bytes(plan_file(PLAN))
    data, recordings = McMedDataset(cohort), find_recordings(cohort)
    split = {part: set(data.split(part)) for part in ("train", "val")}
    seen = {part: hashes(r for r in recordings if r.visit in some) for part, some in split.items()}
    (folder / "patients.json").write_bytes(patients_file(seen))
    return folder


@pytest.fixture(scope="module")
def teacher(cohort, tmp_path_factory) -> Path:
    return teacher_folder(tmp_path_factory.mktemp("teacher") / "trained", cohort)


@pytest.fixture(scope="module")
def student(cohort, teacher, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("student") / "bundle"
    words = [teacher, "--data", cohort, "--labels", cohort, "--out", out, "--preset", "tiny", "--windows", 3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        assert micro_main([str(w) for w in [*words, "--float-epochs", 1, "--quant-epochs", 1]]) == 0
    return out


def judged(bundle: Path, cohort: Path, out: Path, **more) -> dict:
    given = {"hop_s": 4.0, "resamples": 100, "robustness": 0, **more}
    return validate(ValidateOptions(str(bundle), cohort, out, **given), None)


def test_the_student_keeps_plan_outputs_and_patients_of_its_teacher(student, teacher):
    bundle = load_bundle(student)
    assert [(h.key, h.horizon_min) for h in bundle.manifest.outputs] == [
        (o["key"], o.get("horizon_min")) for o in OUTPUTS
    ]
    assert read_bundle_plan(student) == PLAN
    parts, seen = read_patients(student), provenance_of(teacher).patients
    assert parts["teacher_train"] == seen["teacher_train"]
    assert parts["teacher_val"] == seen["teacher_val"]
    assert all(parts[name] for name in ("train", "validation", "calibration", "test"))
    assert not parts["test"] & (seen["teacher_train"] | seen["teacher_val"])
    assert not parts["calibration"] & seen["teacher_train"]
    assert parts["train"] <= seen["teacher_train"]
    skipped = dict(json.loads((student / "validation" / "report.json").read_text())["skipped"])
    assert sum("not a usable WFDB header" in why for why in skipped.values()) == 1
    assert sum("truncated" in why or "cannot read" in why for why in skipped.values()) == 2


def test_it_is_judged_with_its_own_plan_on_unseen_patients(student, cohort, tmp_path):
    report = judged(student, cohort, tmp_path)
    header = report["header"]
    assert header["labels"]["said_by"] == "bundle"
    assert "60 minutes before the order to the result" in header["labels"]["rule"]
    assert [h["horizon_min"] for h in report["heads"]] == [None, 60, None]
    assert any("were already test patients" in r for r in header["data"]["remarks"])
    narrow = _written(tmp_path / "l.json", parse_plan("[labs.potassium]\n", "l.toml"))
    other = judged(student, cohort, tmp_path / "other", label_plan=narrow)
    assert other["header"]["labels"]["said_by"] == "l.json"
    assert other["header"]["labels"]["sha256"] != header["labels"]["sha256"]
    assert [h["n"] for h in other["heads"]] == [*(h["n"] for h in report["heads"][:2]), 0]
    assert report["heads"][2]["n"] > 0
    assert "(plan: bundle)" in text_report(report)
    assert "(plan: l.json)" in html_page(other)


def _written(path: Path, plan) -> Path:
    path.write_bytes(plan_file(plan))
    return path


@pytest.mark.parametrize("split", ["val", "all"])
def test_patients_that_the_teacher_has_seen_do_not_judge_the_student(student, cohort, tmp_path, split):
    with pytest.raises(InputError, match="are in the part 'teacher_"):
        judged(student, cohort, tmp_path, split=split)
    with pytest.raises(InputError, match=r"trained the teacher of|'teacher_val' of"):
        check_overlap(student, open_labelled(cohort, split))
    assert not tmp_path.joinpath("logits.npz").exists()
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", student)
    with pytest.raises(InputError, match="are in the part 'teacher_"):
        judged(Path(zipped), cohort, tmp_path, split=split)
    assert provenance_of(Path(zipped)) == provenance_of(student)


def test_without_unseen_patients_there_is_no_student(cohort, tmp_path, monkeypatch):
    folder = teacher_folder(tmp_path / "t", cohort)
    all_patients = hashes(find_recordings(cohort))
    (folder / "patients.json").write_bytes(patients_file({"train": all_patients, "val": frozenset()}))
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    words = [folder, "--data", cohort, "--out", tmp_path / "b", "--preset", "tiny", "--windows", 1]
    with pytest.raises(InputError, match="the teacher has seen every patient of the data"):
        micro_main([str(w) for w in words])
    assert not (tmp_path / "b").exists()


def test_facts_of_a_checkpoint_are_used_and_flags_override_them(teacher, capsys):
    assert inspect([str(teacher)]) == 0
    out = capsys.readouterr().out
    assert "stride 4 (as the file says)" in out
    assert "normalised  yes" in out
    assert inspect([str(teacher / "teacher.pth"), "--stride", "2", "--bn", "off"]) == 0
    out = capsys.readouterr().out
    assert "stride 2" in out
    assert "unused" in out


@pytest.mark.slow
def test_a_converted_teacher_keeps_them_and_passes_them_on(cohort, teacher, tmp_path):
    from convert.cli.convert import foundation

    words = [teacher, "--data", cohort, "--labels", cohort, "--out", tmp_path / "f", "--accept-loss"]
    assert foundation([str(w) for w in [*words, "--calibration-windows", 12, "--evaluation-windows", 16]]) == 0
    seen, parts = provenance_of(teacher).patients, read_patients(tmp_path / "f")
    assert read_bundle_plan(tmp_path / "f") == PLAN
    assert parts["teacher_train"] == seen["teacher_train"]
    assert parts["calibration"]
    assert parts["calibration"] <= seen["teacher_val"]
    assert not parts["test"] & (seen["teacher_train"] | seen["teacher_val"])
    assert json.loads((tmp_path / "f" / "manifest.json").read_text())["network"] == {"stride": 4, "use_bn": True}
    words = [tmp_path / "f", "--data", cohort, "--out", tmp_path / "out", "--hop", 5, "--robustness", 0]
    assert validate_main([str(w) for w in [*words, "--resamples", 100, "--quiet"]]) == 0
    with pytest.raises(InputError, match="teacher_val"):
        validate_main([str(w) for w in [*words, "--split", "val", "--quiet"]])
    found = provenance_of(tmp_path / "f")
    assert found.plan == PLAN
    assert set(found.patients) == {"teacher_train", "teacher_val", "teacher_calibration"}
