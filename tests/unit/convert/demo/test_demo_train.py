"""`anyecg train-demo`: its stages, interrupted runs and reproducible bytes. Imports TensorFlow (slow)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")
pytest.importorskip("tflite_micro", reason="the micro extra is not installed")

from convert.checkpoint.reader import read_checkpoint
from convert.demo import run as demo
from convert.demo import teacher as demo_teacher
from convert.demo.data import DataConfig, probe, split
from convert.demo.heads import demo_heads
from convert.demo.imitated import Imitated
from convert.demo.run import IMITATED_SHA256, VERSION, DemoConfig, Identity, identity_of, train_demo
from convert.distil import train as distil_train
from convert.simulate.recordings import simulated_patients, varied_recordings
from convert.simulate.varied import varied_ecg
from convert.teacher import soft_labels as teacher_labels
from edge.bundle.reader import load_bundle
from edge.model import load_model
from edge.self_test import self_test
from firmware_bridge.errors import UsageError
from helpers.two_lead_records import write_record

TINY = DemoConfig(100, 2, 17.0, "tiny", 2, 6, "nano", 1, 1)


class Stopped(BaseException):
    """Stands for Ctrl-C."""


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def stop_at(monkeypatch, owner, name, call):
    """Patch ``name`` so that its ``call``-th call raises `Stopped`."""
    real, count = getattr(owner, name), [0]

    def replacement(*args, **options):
        count[0] += 1
        if count[0] == call:
            raise Stopped
        return real(*args, **options)

    monkeypatch.setattr(owner, name, replacement)


@pytest.mark.slow
def test_a_stopped_recipe_resumes_with_the_same_bytes(tmp_path, monkeypatch):
    write_record(tmp_path / "leads", "a")
    write_record(tmp_path / "leads", "short", seconds=5.0)
    config = replace(TINY, imitate=(tmp_path / "leads",), imitate_copies=1, imitate_source="own")
    report = train_demo(tmp_path / "whole", tmp_path / "w1", config, None)
    bundle = load_bundle(tmp_path / "whole")
    assert self_test(bundle, load_model(bundle, "litert-reference")).worst == 0
    assert [h.key for h in bundle.manifest.outputs] == [h.key for h in demo_heads()]
    files = files_of(tmp_path / "whole")
    assert {
        "validation/parity.html",
        "validation/parity.json",
        "validation/report.json",
        "micro/anyecg_network.c",
    } <= set(files)
    parity = json.loads(files["validation/parity.json"])
    assert parity["ok"]
    assert parity["title"] == f"anyecg-demo {VERSION}: parity"
    assert [link["before"] for link in parity["links"]] == ["teacher", "student", "quantized", "int8", "reference"]
    assert parity["links"][-1]["max"] == 0
    assert report["split"]["imitation"] == 6 + 2 * 2 * 2
    assert report["imitated"]["leads"] == 4
    assert report["skipped"] == [
        [f"leads/short {lead}", "shorter than ten seconds (9.5 s are enough)"] for lead in ("ii", "v1")
    ]
    assert "on 6 simulated ECGs" in files["MODEL_CARD.md"].decode()
    assert "leads/a" in files["MODEL_CARD.md"].decode()
    assert report["split"]["patients"] <= 100
    assert str(tmp_path) not in files["validation/report.json"].decode() + files["MODEL_CARD.md"].decode()

    checkpoint = tmp_path / "w1" / "teacher-tiny-2.pth"
    assert read_checkpoint(checkpoint).tensors["dense.weight"].shape[0] == len(demo_heads())
    stops = [(demo_teacher, "save_state", 2), (distil_train, "save_state", 2)]
    # The first run labelled in several processes. This one labels in one process; the bytes must be the same.
    monkeypatch.setattr(teacher_labels, "WORTHWHILE", 1000)
    for owner, name, call in stops:
        with monkeypatch.context() as patch:
            stop_at(patch, owner, name, call)
            with pytest.raises(Stopped):
                train_demo(tmp_path / "again", tmp_path / "w2", config, None)
        assert not (tmp_path / "again").exists()
    with monkeypatch.context() as patch:
        for owner, name in ((demo, "train_teacher"), (teacher_labels, "_make")):
            stop_at(patch, owner, name, 1)
        train_demo(tmp_path / "again", tmp_path / "w2", config, None)
    assert (tmp_path / "w2" / checkpoint.name).read_bytes() == checkpoint.read_bytes()
    assert files_of(tmp_path / "again") == files
    with monkeypatch.context() as patch:
        for owner, name in ((demo, "train_teacher"), (teacher_labels, "_make")):
            stop_at(patch, owner, name, 1)
        train_demo(tmp_path / "renamed", tmp_path / "w2", config, None, identity=Identity("ward 7", "2.1"))
    renamed = files_of(tmp_path / "renamed")
    assert renamed["model.tflite"] == files["model.tflite"]
    assert json.loads(renamed["validation/parity.json"])["title"] == "ward 7 2.1: parity"
    assert renamed["MODEL_CARD.md"].startswith(b"# ward 7 2.1\n")
    assert json.loads(renamed["validation/report.json"])["command"].endswith(" --name 'ward 7' --version 2.1")
    # One teacher serves students of other data; their labels are in another folder.
    with monkeypatch.context() as patch:
        stop_at(patch, demo, "train_teacher", 1)
        train_demo(tmp_path / "without", tmp_path / "w2", TINY, None)
    assert b"No real recording was used" in (tmp_path / "without" / "MODEL_CARD.md").read_bytes()
    with pytest.raises(UsageError, match="another run"):
        train_demo(tmp_path / "other", tmp_path / "w2", DemoConfig(101, 2, 17.0, "tiny", 2, 6, "nano", 1, 1), None)


def test_only_the_recipe_of_the_package_has_its_name():
    out = Path("look")
    entry = {"source": "", "sha256": IMITATED_SHA256, "leads": 1200, "copies": 4, "recordings": []}
    real, others = Imitated(entry=entry), Imitated(entry={**entry, "sha256": "0" * 64})
    config = DemoConfig(imitate=(Path("ludb"),), imitate_source="LUDB")
    assert identity_of(out, config, None, None, real) == Identity("anyecg-demo", VERSION)
    assert identity_of(out, replace(config, imitate_copies=2), None, None, real) == Identity("look", "0.1.0")
    assert identity_of(out, config, None, None, others) == Identity("look", "0.1.0")
    assert identity_of(out, DemoConfig(), None, None, Imitated()) == Identity("look", "0.1.0")
    assert identity_of(out, TINY, None, None) == Identity("look", "0.1.0")
    assert identity_of(out, TINY, "x", None) == Identity("x", "0.1.0")
    assert identity_of(out, DemoConfig(), "x", "9") == Identity("x", "9")
    assert Identity().options() == ""


def test_a_work_folder_is_bound_to_the_simulator_and_the_patients():
    found = probe(DataConfig(100, 2, 16.0))
    assert found == probe(DataConfig(100, 2, 16.0))
    assert found["first_patient"] != probe(DataConfig(100, 3, 16.0))["first_patient"]


def test_varied_ecgs_follow_the_seed_and_are_for_training_only():
    one = varied_ecg(1, 3, 12.0)
    assert one.shape == (6000,)
    np.testing.assert_array_equal(one, varied_ecg(1, 3, 12.0))
    assert not np.array_equal(one, varied_ecg(1, 4, 12.0))
    assert all(np.all(np.isfinite(varied_ecg(5, i, 12.0))) for i in range(40))
    assert all(r.training_only for r in varied_recordings(1, 2, 12.0))
    patients = simulated_patients(1, [4, 9], 12.0)
    assert not any(r.training_only for r in patients)
    first = next(iter(patients[1].items()))
    assert (first.fs_hz, first.unit, len(first.samples)) == (500.0, "mV", 6000)
    assert {r.size for r in patients} != {r.size for r in simulated_patients(2, [4, 9], 12.0)}


def test_most_patients_are_in_the_training_part():
    parts = split(1000, 1)
    assert len(parts["train"]) > 500
    assert min(map(len, parts.values())) == 40


@pytest.mark.slow
def test_a_killed_process_resumes(tmp_path):
    """A run that is killed with SIGKILL several times gives the same bytes as an uninterrupted run."""

    def command(out: str, work: str) -> list[str]:
        code = "import sys; from convert.cli.train_demo import main\n"
        code += "if __name__ == '__main__': sys.exit(main(sys.argv[1:]))"
        flags = [*TINY.command().split()[4:], "--name", "tiny"]
        return [sys.executable, "-c", code, "--out", str(tmp_path / out), "--work", str(tmp_path / work), *flags]

    subprocess.run(command("whole", "w1"), capture_output=True, timeout=600, check=True)
    for seconds in (4.0, 8.0, 12.0):
        process = subprocess.Popen(
            command("killed", "w2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command("killed", "w2"), capture_output=True, timeout=600, check=True)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
