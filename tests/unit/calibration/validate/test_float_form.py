"""The float form in a bundle, compared with its int8 model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")
pytest.importorskip("tflite_micro", reason="the micro extra is not installed")

from calibration.report.page_html import html_page
from calibration.report.text import text_report
from calibration.validate.float_form import read_float_form
from calibration.validate.run import ValidateOptions, validate
from convert.bundle.files import FLOAT_FILE
from convert.compute.litert import export_float
from convert.compute.qat import float_forward, fold, initial_weights
from convert.compute.students import PRESETS
from convert.distil.run import distil
from convert.distil.train import DistilPlan
from edge.bundle.reader import demo_bundle_path, load_bundle
from firmware_bridge.errors import BundleError, InputError
from helpers.broken_models import doubled_weights, rehashed, with_model
from helpers.moments_teacher import MomentsTeacher, write_folder
from helpers.tiny_student import TINY, config

NAME = "float student and int8"
PLAN = DistilPlan(seed=3, float_epochs=60, quant_epochs=6)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    folder = write_folder(tmp_path_factory.mktemp("records") / "data", 24)
    rows = [f"p{i:02d},{i},{i % 2},{4.0 + i / 10}" for i in range(24)]
    (folder / "labels.csv").write_text("\n".join(["record,patient,potassium_high,potassium", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, records) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "pupil"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        distil(out, out.parent / "work", MomentsTeacher(), replace(config(records), plan=PLAN), None)
    # The test judges the bundle on its own patients, because it compares two forms of one model.
    (out / "validation" / "patients.json").unlink()
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["files"]["validation/patients.json"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    return out


def judged(bundle: Path, records: Path, out: Path, **more) -> dict:
    options = ValidateOptions(str(bundle), records, out, split="all", hop_s=2.0, resamples=200, robustness=0, **more)
    return validate(options, None)


def link(report: dict) -> dict:
    return next(found for found in report["links"] if found["name"] == NAME)


def test_the_exported_form_is_the_float_network():
    weights = fold(TINY, 2, initial_weights(TINY, 2, 3))
    x = np.random.default_rng(1).standard_normal((5, 1, 1250, 1)).astype(np.float32)
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(model_content=export_float(TINY, 2, weights))
    model.allocate_tensors()
    for window, wanted in zip(x, float_forward(TINY, 2, weights, x), strict=True):
        model.set_tensor(model.get_input_details()[0]["index"], window[None])
        model.invoke()
        got = model.get_tensor(model.get_output_details()[0]["index"]).reshape(-1)
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.slow
def test_a_bundle_is_compared_with_its_float_form(bundle, records, tmp_path):
    report = judged(bundle, records, tmp_path, reference="float")
    assert link(report)["status"] == "ok", link(report)
    assert link(report)["windows"] == 24
    assert report["reference"]["kind"] == "float"
    assert report["reference"]["correlation_median"] > 0.9
    keys = [h.key for h in load_bundle(bundle).manifest.outputs]
    auroc = {c["key"]: c for c in report["comparisons"] if c["measure"] == "auroc"}
    assert set(auroc) <= set(keys)
    assert abs(auroc["potassium_high"]["difference"]["value"]) < 0.1
    assert "in float" in html_page(report)
    assert NAME in html_page(report)
    assert NAME in text_report(report)
    again = judged(bundle, records, tmp_path, reference="float")
    assert json.dumps(again) == json.dumps(report)


@pytest.mark.slow
def test_an_int8_model_of_another_network_fails_without_reference(bundle, records, tmp_path):
    bad = with_model(bundle, doubled_weights(load_bundle(bundle).model, which=2), tmp_path / "bad")
    report = judged(bad, records, tmp_path / "out")
    assert link(report)["status"] == "FAILED", link(report)
    assert not report["gate"]["ok"]


@pytest.mark.parametrize("what", ["garbage", "empty", "other", "int8"])
def test_a_file_that_is_not_the_float_form_is_refused(tmp_path, what):
    other = shutil.copytree(demo_bundle_path(), tmp_path / "other")
    weights = fold(TINY, 5, initial_weights(TINY, 5, 3))
    data = {
        "garbage": b"TFL3" * 100,
        "empty": b"",
        "other": export_float(TINY, 5, weights),
        "int8": load_bundle(other).model,
    }[what]
    (other / FLOAT_FILE).write_bytes(data)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["files"][FLOAT_FILE] = {}
    (other / "manifest.json").write_text(json.dumps(manifest))
    loaded = load_bundle(rehashed(other))
    with pytest.raises(BundleError, match=r"float\.tflite") as refused:
        read_float_form(other, loaded)
    assert "\n" not in str(refused.value)


def test_a_bundle_without_float_form_is_refused(tmp_path):
    folder = write_folder(tmp_path / "data", 2)
    (folder / "labels.csv").write_text("record,patient,potassium_high\np00,0,0\np01,1,1\n")
    bare = shutil.copytree(demo_bundle_path(), tmp_path / "bare")
    manifest = json.loads((bare / "manifest.json").read_text())
    del manifest["files"][FLOAT_FILE]
    (bare / FLOAT_FILE).unlink()
    (bare / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="contains no float form"):
        judged(rehashed(bare), folder, tmp_path / "out", reference="float")
    assert not (tmp_path / "out").exists(), "the error comes before any run"
