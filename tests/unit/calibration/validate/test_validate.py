"""End-to-end tests of validation on simulated patients: engine of the device, resuming, and a gate that can fail."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from calibration.cli.validate import main
from calibration.report.page_html import html_page
from calibration.validate.disturb import Disturbance
from calibration.validate.gate import load_limits
from calibration.validate.judge import judge_heads, summary_line
from calibration.validate.labelled import open_labelled
from calibration.validate.observe import observe, run_engine
from calibration.validate.run import ValidateOptions, judged_of, validate
from calibration.validate.shards import RunPlan, open_bundle, run_all
from convert.datasets.pairs import windows_of
from convert.simulate.write import CohortPlan, write_cohort
from convert.teacher.patients import hashes, patients_file
from edge.bundle.reader import demo_bundle_path, load_bundle
from firmware_bridge.errors import AnyEcgError, BundleError, CheckFailedError, InputError, UsageError
from firmware_bridge.samples import SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from helpers.broken_models import clipped_range, doubled_weights, rehashed, with_model
from helpers.pages import faults

HOP_S = 2.0


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort") / "patients"
    write_cohort(CohortPlan(64, 20_261, 24.0), out)
    return out


@pytest.fixture(scope="module")
def plain(cohort, tmp_path_factory):
    """A complete report of the demonstration bundle, without robustness."""
    out = tmp_path_factory.mktemp("plain")
    options = options_for(cohort, out)
    return options, validate(options, None)


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Limits for a verdict on a few patients, because the cohort is small."""
    path = tmp_path_factory.mktemp("limits") / "few.toml"
    path.write_text("[patients]\npositives_min = 3\nnegatives_min = 3\n")
    return path


def options_for(cohort: Path, out: Path, **more) -> ValidateOptions:
    given = {"split": "all", "hop_s": HOP_S, "resamples": 200, "robustness": 0, **more}
    return ValidateOptions("demo", cohort, out, **given)


def test_judged_outputs_equal_those_of_the_engine_for_any_block_size(cohort):
    bundle, model = open_bundle(demo_bundle_path())
    data = open_labelled(cohort, "all", limit=3)
    seen = observe(bundle, model, ((i, r.name, r.items()) for i, r in enumerate(data.recordings)), HOP_S)

    def cut(items):
        for block in items:
            for i in range(0, len(block), 37):
                yield replace(block, samples=block.samples[i : i + 37])

    for i, recording in enumerate(data.recordings):
        estimates, recorder = run_engine(bundle, model, "other", cut(recording.items()), HOP_S)
        mine = seen.recording == i
        assert np.array_equal(seen.outputs[mine], np.array(recorder.outputs).reshape(-1, seen.outputs.shape[1]))
        accepted = [e for e in estimates if e.abstained is None]
        assert seen.start_s[mine].tolist() == [e.window.start_s for e in accepted]
        if accepted:
            shown = seen.est_value[seen.est_recording == i]
            assert shown[-1].tolist() == [lab.value for lab in accepted[-1].labs]
        assert seen.outcomes[i].sum() == len(estimates)
    assert len(seen.recording) > 0


def test_values_of_single_windows_equal_estimates_of_one_window(plain, cohort):
    options, _ = plain
    bundle, model = open_bundle(demo_bundle_path())
    data = open_labelled(cohort, "all", limit=12)
    # With such a long hop, each estimate has only one window.
    seen = observe(bundle, model, ((i, r.name, r.items()) for i, r in enumerate(data.recordings)), 13.0)
    judged = judged_of(bundle, data, seen, options)
    assert (seen.est_windows == 1).all()
    for j in range(len(bundle.manifest.outputs)):
        assert judged.window_values(j) == pytest.approx(seen.est_value[:, j], abs=1e-12)


def test_the_report_names_bundle_and_data(plain):
    report = plain[1]
    header = report["header"]
    assert header["bundle"]["manifest_sha256"] == load_bundle("demo").sha256
    assert header["data"]["simulated"]
    assert header["counts"]["windows"] > 100
    assert header["counts"]["patients"] <= 64
    assert report["abstention"]["hops"] == report["abstention"]["accepted"] + sum(
        report["abstention"]["reasons"].values()
    )
    assert [h["key"] for h in report["heads"]] == [h.key for h in load_bundle("demo").manifest.outputs]
    for head in report["heads"]:
        assert {"key", "auroc", "auroc_ci", "tier", "n", "positives"} <= set(head)
    assert all(link["status"] == "ok" or link["name"].startswith("float") for link in report["links"]), report["links"]


def test_the_page_is_self_contained_and_well_formed(plain):
    import xml.etree.ElementTree as ET

    page = html_page(plain[1])
    assert faults(page) == []
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) >= 20
    for picture in pictures:
        assert "nan" not in picture.replace("nano", "")
        ET.fromstring(picture)
    assert plain[1]["notice"] in page
    assert len(page) < 400_000


@pytest.mark.parametrize("fs_hz", [250.0, 500.0])
def test_ten_second_recordings_are_judged(fs_hz):
    bundle, model = open_bundle(demo_bundle_path())
    x = EcgSynth(EcgParams(), 3).generate(round(10 * fs_hz), fs_hz).astype(np.float32)
    items = [SampleBlock(x, "mV", None, fs_hz, None, 10_000_000_000)]
    seen = observe(bundle, model, [(0, "ten", items)], 1.0)
    assert len(seen.recording) == len(seen.est_recording) == len(seen.sample_window) == 1
    assert len(list(windows_of(iter(items), 1.0))) == 1
    assert np.isfinite(seen.rate_bpm[0])


def test_a_stopped_run_computes_only_missing_shards(plain, cohort, tmp_path):
    options, report = plain
    shutil.copytree(options.out / "work", tmp_path / "work")
    first, *kept = sorted((tmp_path / "work").rglob("*.npz"))
    before = {p: p.stat().st_mtime_ns for p in kept}
    with first.open("r+b") as file:
        file.seek(100)
        file.write(bytes(8))  # damage as after a power cut
    lines = []

    class Log:
        write = lines.append

        def isatty(self):
            return True

        def flush(self):
            pass

    assert json.dumps(validate(replace(options, out=tmp_path), Log())) == json.dumps(report)
    assert {p: p.stat().st_mtime_ns for p in kept} == before
    assert re.search(r"\d+/\d+ recordings, .*/s, .* left", "".join(lines))


@pytest.mark.slow
def test_a_killed_run_resumes_and_gives_the_same_report(plain, cohort, tmp_path):
    options, report = plain
    code = (
        "import sys; from pathlib import Path; from calibration.validate.run import *;"
        f"validate(ValidateOptions('demo', Path({str(cohort)!r}), Path({str(tmp_path)!r}), split='all',"
        f"hop_s={HOP_S}, resamples=200, robustness=0), None)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[4])
    deadline = time.monotonic() + 120
    while not any((tmp_path / "work").rglob("*.npz")) and time.monotonic() < deadline:
        assert child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert json.dumps(validate(replace(options, out=tmp_path), None)) == json.dumps(report)


@pytest.mark.slow
def test_several_processes_give_the_same_heads(plain, cohort, tmp_path, monkeypatch):
    options, report = plain
    monkeypatch.setattr("calibration.validate.shards.WORTHWHILE", 2)
    found = validate(replace(options, out=tmp_path, jobs=2), None)
    assert found["heads"] == report["heads"]


@pytest.mark.parametrize("broken", [doubled_weights, clipped_range])
def test_a_broken_int8_model_fails_the_gate_and_the_sound_one_passes(broken, plain, cohort, tmp_path):
    options, _ = plain
    sound = demo_bundle_path()
    bad = with_model(sound, broken(load_bundle(sound).model), tmp_path / "bad")
    report = validate(replace(options, bundle=str(bad), reference="demo"), None)
    links = {link["name"]: link["status"] for link in report["links"]}
    # Every interpreter runs the same wrong model; only the float form of the bundle is another one.
    assert [name for name, status in links.items() if status == "FAILED"] == ["float student and int8"]
    assert not report["gate"]["ok"]
    failed = [c["name"] for c in report["gate"]["checks"] if not c["ok"]]
    assert any("non-inferior" in name for name in failed), failed


def test_a_model_is_non_inferior_to_itself(plain, few):
    options, _ = plain
    again = validate(replace(options, reference="demo", gate=few), None)
    assert again["gate"]["ok"]
    assert {c["verdict"] for c in again["comparisons"]} <= {"PASS", "INCONCLUSIVE"}
    assert {c["verdict"] for c in again["comparisons"] if c["measure"] == "auroc" and c["n"] > 60} >= {"PASS"}
    assert again["reference"]["correlation_median"] == 1.0
    assert {h["flips"] for h in again["reference"]["heads"]} == {0, None}


def test_the_command_its_files_and_its_exit_code(cohort, tmp_path, capsys, few):
    bundle = tmp_path / "bundle"
    shutil.copytree(demo_bundle_path(), bundle)
    given = ["--data", str(cohort), "--split", "all", "--hop", "4", "--resamples", "100", "--limit", "48", "--quiet"]
    with pytest.raises(CheckFailedError, match="no output has enough patients") as raised:
        main([str(bundle), *given, "--out", str(tmp_path / "a"), "--robustness", "0", "--write-evidence"])
    assert raised.value.exit_code == 1
    assert load_bundle(bundle).sha256 == load_bundle("demo").sha256
    capsys.readouterr()
    more = ["--robustness", "2", "--write-evidence", "--gate", str(few)]
    assert main([str(bundle), *given, "--out", str(tmp_path / "a"), *more]) == 0
    said = capsys.readouterr().out
    assert "the gate holds" in said
    assert "AUROC > 0.65" in said
    report = json.loads((tmp_path / "a" / "validation.json").read_text())
    tried = {row["disturbance"]: row for row in report["robustness"]}
    assert tried["gain 2 ×"]["logit_shift_median"] == 0.0
    assert tried["loss 10 %"]["share_answered"] < tried["as recorded"]["share_answered"]
    before = load_bundle("demo").manifest.outputs[0].evidence
    now = load_bundle(bundle)  # checks its hashes
    claimed = {h.key: h.evidence for h in now.manifest.outputs}
    for head in report["heads"]:
        if head["kind"] == "probability" and head["enough_patients"]:
            assert claimed[head["key"]].auroc == head["auroc"]
            assert claimed[head["key"]].n == head["n"]
            assert claimed[head["key"]].tier == (head["tier"] or "limited")
        if not head["enough_patients"]:
            assert claimed[head["key"]].n == before.n  # the evidence of the demonstration bundle
    card = (bundle / "MODEL_CARD.md").read_text()
    assert card.count("## Validation after conversion") == 1
    # The second run uses the logits of the first as reference, and its evidence as claims.
    logits = str(tmp_path / "a" / "logits.npz")
    more = ["--robustness", "0", "--reference", logits, "--out", str(tmp_path / "b"), "--write-evidence"]
    more += ["--gate", str(few)]
    assert main([str(bundle), *given, *more]) == 0
    assert (bundle / "MODEL_CARD.md").read_text().count("## Validation after conversion") == 1
    second = json.loads((tmp_path / "b" / "validation.json").read_text())
    assert {c["verdict"] for c in second["comparisons"] if c["measure"] == "auroc"} <= {"PASS", "INCONCLUSIVE"}
    strict = tmp_path / "strict.toml"
    strict.write_text(f"{few.read_text()}[links]\nlitert_reference_lsb = 0\nlitert_reference_few = 0.0\n")
    was = load_bundle(bundle).sha256
    with pytest.raises(CheckFailedError, match="gate fails") as raised:
        main([str(bundle), *given, *more, "--gate", str(strict)])
    assert raised.value.exit_code == 1
    assert load_bundle(bundle).sha256 == was


def altered(cohort: Path, to: Path, name: str, change) -> Path:
    """Return a copy of the cohort with one changed file; the other files are links."""
    to.mkdir()
    for path in cohort.iterdir():
        (to / path.name).symlink_to(path)
    text = (cohort / name).read_text()
    (to / name).unlink()
    (to / name).write_text(change(text))
    return to


def test_a_head_without_positives_has_a_note(cohort, tmp_path):
    def normal(text):
        rows = list(csv.DictReader(io.StringIO(text)))
        for row in rows:
            row["Component_value"] = {"SODIUM": "140", "CALCIUM": "HEMOLYZED"}.get(
                row["Component_name"], row["Component_value"]
            )
        out = io.StringIO()
        writer = csv.DictWriter(out, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue()

    data = altered(cohort, tmp_path / "data", "labs.csv", normal)
    report = validate(options_for(data, tmp_path / "out", limit=16, hop_s=5.0), None)
    heads = {h["key"]: h for h in report["heads"]}
    assert heads["sodium_low"]["note"].startswith("no positive label in these data")
    assert (heads["sodium_low"]["auroc"], heads["sodium_low"]["tier"]) == (None, None)
    assert heads["sodium_low"]["calibration"]["slope"] is None
    assert heads["calcium_low"]["note"] == "no label in these data"
    assert "could not be judged" in report["summary"]
    taken = f"only the first 16 of {_count(data)} recordings were used"
    assert report["header"]["data"]["remarks"][0] == taken
    html_page(report)


def _count(data: Path) -> int:
    return len(open_labelled(data, "all").recordings)


def test_a_constant_head_is_judged_as_chance(plain, cohort):
    options, _ = plain
    bundle, _model = open_bundle(demo_bundle_path())
    data = open_labelled(cohort, "all")
    seen = run_all(RunPlan(demo_bundle_path(), HOP_S, 1), list(enumerate(data.recordings)), options.out / "work",
                   next((options.out / "work").iterdir()).name, None)  # fmt: skip
    constant = replace(seen, est_value=np.full_like(seen.est_value, 0.2), outputs=np.zeros_like(seen.outputs))
    heads = judge_heads(judged_of(bundle, data, constant, options))
    for head in heads:
        if head["kind"] == "probability":
            assert (head["auroc"], head["note"]) == (0.5, "its output is constant")
            assert (head["conclusion"], head["tier"]) == ("INCONCLUSIVE", None)
            assert head["calibration"]["slope"] is None
    assert "not distinguishable from chance" in summary_line(heads)


def fails(argv) -> AnyEcgError:
    with pytest.raises(AnyEcgError) as raised:
        main([str(a) for a in argv])
    assert "\n" not in str(raised.value)
    return raised.value


def test_bad_input_is_one_line_with_its_exit_code(cohort, tmp_path):
    out = ["--out", tmp_path / "out", "--quiet", "--robustness", 0]
    train = (cohort / "split_random_train.csv").read_text().split()
    mixed = altered(cohort, tmp_path / "mixed", "split_random_test.csv", lambda text: text + train[0] + "\n")
    error = fails(["demo", "--data", mixed, *out])
    assert isinstance(error, InputError)
    assert "both 'test' and 'train'" in str(error)

    nobody = altered(cohort, tmp_path / "nobody", "visits.csv", lambda text: text.replace("MRN", "Nothing", 1))
    assert "MRN" in str(fails(["demo", "--data", nobody, "--split", "all", *out]))

    folder = tmp_path / "folder"
    folder.mkdir()
    rows = "\n".join(f"{v:.4f}" for v in np.sin(np.arange(3000) / 40))
    for name in ("a", "b"):
        (folder / f"{name}.csv").write_text(f"# fs_hz=250\necg_mv\n{rows}\n")
    given = ["demo", "--data", folder, "--split", "all", *out]
    assert "labels.csv" in str(fails(given))
    (folder / "labels.csv").write_text("record,potassium_high\na,1\nb,0\n")
    assert "no column 'patient'" in str(fails(given))
    (folder / "labels.csv").write_text("record,patient,potassium_high\na,1,1\nb,,0\n")
    assert "no patient for recording 'b'" in str(fails(given))
    assert "--split all" in str(fails([*given[:3], *out]))

    strange = tmp_path / "strange.npz"
    np.savez(strange, keys=np.array(["x", "y"]), record=np.array(["a"]), start_s=np.zeros(1), logits=np.zeros((1, 2)))
    few = ["demo", "--data", cohort, "--split", "all", "--limit", 4, "--hop", 5, *out]
    error = fails([*few, "--reference", strange])
    assert isinstance(error, InputError)
    assert "no common head, but x, y" in str(error)
    strange.write_bytes(b"nothing")
    assert "is not a file of logits" in str(fails([*few, "--reference", strange]))
    assert "no reference at" in str(fails([*few, "--reference", tmp_path / "none"]))
    for wrong in (["--margin", "-1"], ["--hop", "0"], ["--jobs", "0"], ["--resamples", "3"], ["--hop", "nan"]):
        assert isinstance(fails([*few, *wrong]), UsageError)
    (tmp_path / "gate.toml").write_text("[links]\nunknown = 1\n")
    assert "links.unknown is not a valid limit" in str(fails([*few, "--gate", tmp_path / "gate.toml"]))


def test_training_patients_and_a_replaced_bundle_are_refused(cohort, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(demo_bundle_path(), bundle)
    recordings = open_labelled(cohort, "all").recordings
    met = {"train": hashes(recordings[:5]), "test": hashes(recordings[5:9])}
    (bundle / "validation" / "patients.json").write_bytes(patients_file(met))
    rehashed(bundle)
    options = replace(options_for(cohort, tmp_path / "out", limit=8, hop_s=5.0), bundle=str(bundle))
    with pytest.raises(InputError, match=r"\d of \d patients are in the part 'train'"):
        validate(options, None)
    (bundle / "validation" / "patients.json").write_bytes(patients_file({"test": hashes(recordings[5:9])}))
    rehashed(bundle)
    remarks = validate(options, None)["header"]["data"]["remarks"]
    assert any("were already test patients" in r for r in remarks)
    with pytest.raises(BundleError, match="was replaced"):
        run_all(RunPlan(bundle, 5.0, 1, sha256="0" * 64), [(0, recordings[0])], tmp_path / "work", "key", None)


def test_invalid_labels_are_refused_and_missing_ones_are_not_counted(tmp_path):
    from convert.simulate.patient import simulate_patient

    for i, name in enumerate(("a", "b", "c")):
        ecg = simulate_patient(3, i, 20.0, fs_hz=250.0, noise=False).ecg_mv
        rows = "\n".join(f"{k / 250:.3f},{v:.4f}" for k, v in enumerate(ecg))
        (tmp_path / f"{name}.csv").write_text(f"time_s,ecg_mv\n{rows}\n")
    labels = tmp_path / "labels.csv"
    labels.write_text("record,patient,potassium_high,potassium\na,1,1,6.1\nb,2,0,\nc,2,nan,4.0\n")
    options = replace(options_for(tmp_path, tmp_path / "out"), data=tmp_path)
    with pytest.raises(InputError, match="'nan', expected 0 or 1"):
        validate(options, None)
    labels.write_text("record,patient,potassium_high,potassium\na,1,1,6.1\nb,2,0,\nc,2,,4.0\n")
    report = validate(options, None)
    heads = {h["key"]: h for h in report["heads"]}
    assert (heads["potassium_high"]["n"], heads["potassium_high"]["positives"]) == (2, 1)
    assert (heads["potassium"]["n"], heads["potassium"]["patients"]) == (2, 2)
    assert heads["potassium"]["note"].startswith("too few patients")
    assert (heads["potassium"]["conclusion"], heads["potassium"]["tier"]) == ("INCONCLUSIVE", None)


def test_disturbances_change_packets_and_clocks():
    blocks = [SampleBlock(np.arange(i, i + 1000, dtype=np.float32), "mV", None, 500.0, None, 0) for i in (0, 1000)]
    lost = list(Disturbance("loss", 0.5, "%")(blocks))
    assert sum(len(b) + b.lost for b in lost) <= 2000
    assert any(b.lost for b in lost)
    assert [len(b) for b in lost] == [250] * len(lost)
    faster = list(Disturbance("rate", 0.01, "%")(blocks))
    assert faster[0].fs_hz == pytest.approx(500 / 1.01)
    assert faster[-1].device_time_ns == round(1999 / 500 * 1e9)
    assert np.array_equal(np.concatenate([b.samples for b in faster]), np.arange(2000, dtype=np.float32))
    assert next(Disturbance("rate without clock", 0.01, "%")(blocks)).device_time_ns is None
    assert any(b.lead_off for b in Disturbance("lead-off", 0.95, "%")(blocks))


def test_limits_of_the_kit_are_complete():
    limits = load_limits()
    assert set(limits) == {"noninferiority", "patients", "claims", "calibration", "links", "subgroups"}
    assert len(fields(ValidateOptions)) > 10


def test_the_report_in_the_docs_is_that_of_the_demonstration_bundle():
    folder = Path(__file__).parents[4] / "docs" / "validation"
    report = json.loads((folder / "demo.json").read_text())
    model = hashlib.sha256(load_bundle("demo").model).hexdigest()
    assert report["header"]["bundle"]["model_sha256"] == model, "run sh docs/validation/make.sh"
    assert (folder / "demo.html").stat().st_size < 300_000
    assert report["gate"]["ok"]
    heads = {h["key"]: h for h in report["heads"]}
    for key in ("sodium_low", "sodium_high"):
        assert heads[key]["conclusion"] in ("INCONCLUSIVE", "limited")
        assert heads[key]["tier"] != "strong"
    assert heads["potassium_high"]["conclusion"] == "strong"
    assert html.escape(report["summary"]) in (folder / "demo.html").read_text()


def test_a_checkpoint_is_a_reference_on_the_windows_of_the_device(cohort, tmp_path):
    from convert.checkpoint.net1d import Net1D, to_tensors
    from convert.checkpoint.writer import write_checkpoint

    write_checkpoint(tmp_path / "teacher.pth", to_tensors(Net1D(1, 8, 1.0, (8, 16), (1, 1), 16, 2, 8, 2)))
    options = options_for(cohort, tmp_path / "out", limit=18, hop_s=5.0, reference=str(tmp_path / "teacher.pth"))
    with pytest.raises(UsageError, match="describe them with --outputs"):
        validate(options, None)
    rows = [{"key": key, "lab": "potassium", "direction": "high"} for key in ("potassium_high", "another")]
    (tmp_path / "outputs.json").write_text(json.dumps({"outputs": rows}))
    report = validate(options, None)
    reference = report["reference"]
    assert (reference["kind"], [h["key"] for h in reference["heads"]]) == ("checkpoint", ["potassium_high"])
    assert "sodium_low" in reference["missing_heads"]
    # The quality gate also judges the 500 Hz grid of the teacher, so a few windows differ.
    assert reference["heads"][0]["windows"] > 0.9 * report["header"]["counts"]["windows"]
    assert [c["measure"] for c in report["comparisons"]] == ["auroc"]  # a checkpoint has no thresholds
    assert json.dumps(validate(options, None)) == json.dumps(report)
    html_page(report)
