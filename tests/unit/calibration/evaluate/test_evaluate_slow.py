"""Slow tests of `anyecg evaluate`: an int8 bundle and its teacher, real baselines, a cluster, random kills."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convert.datasets.prepared import PreparedDataset
from convert.simulate.write import CohortPlan, write_cohort
from edge.cli.main import main
from helpers.local_cluster import cluster
from helpers.small_evaluation import argv_of, scores_of, small_root, write_teacher

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return small_root(tmp_path_factory)


@pytest.fixture(scope="module")
def done(root, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "e"
    assert main(argv_of(root, out)) == 0
    return out


def command(argv: list[str]) -> list[str]:
    return [sys.executable, "-m", "edge.cli", *argv]


def test_an_int8_bundle_agrees_with_its_teacher(tmp_path, capsys):
    write_cohort(CohortPlan(patients=60, seed=5, seconds=40.0), tmp_path / "cohort")
    labels = "[heads]\nmin_values = 4\nmin_positives = 1\nhorizons_min = []\n[labs.potassium]\n[labs.glucose]\n"
    (tmp_path / "labels.toml").write_text(labels)
    where = ["--mcmed", str(tmp_path / "cohort"), "--labels", str(tmp_path / "labels.toml")]
    assert main(["prepare", *where, "--out", str(tmp_path / "data"), "--quiet"]) == 0
    write_teacher(tmp_path / "teacher", PreparedDataset(tmp_path / "data"), 1)
    convert = ["convert", "foundation", str(tmp_path / "teacher"), "--data", str(tmp_path / "cohort"), "--accept-loss"]
    assert main([*convert, "--out", str(tmp_path / "bundle")]) == 0
    argv = argv_of(tmp_path, tmp_path / "e", "--reference", str(tmp_path / "teacher"))
    argv[1] = str(tmp_path / "bundle")
    assert main(argv) == 0
    report = json.loads((tmp_path / "e" / "report.json").read_text())
    assert report["header"]["teacher"]["kind"] == "bundle"
    for h in report["reference"]["heads"]:
        assert h["correlation"] > 0.95
        assert h["largest_difference"] > 0
        if h["kind"] == "value":
            assert abs(h["network"] / h["other"] - 1.0) < 0.01
    assert sum(h["kind"] == "value" for h in report["reference"]["heads"]) == 2
    shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "bundle")
    for bundle in ("bundle", "zipped.zip"):
        argv[1] = str(tmp_path / bundle)
        capsys.readouterr()
        assert main([*argv, "--split", "val"]) == 3
        assert "patients are in the part 'teacher_val'" in capsys.readouterr().err


def test_the_baselines_find_a_simulated_coupling_and_are_kept(tmp_path, capsys):
    """With random weights, the teacher loses to the intervals, because hemoglobin changes the simulated heart rate."""
    write_cohort(CohortPlan(patients=520, seed=11, seconds=40.0), tmp_path / "cohort")
    labels = "[heads]\nmin_values = 20\nmin_positives = 5\nhorizons_min = []\n[labs.hemoglobin]\n"
    (tmp_path / "labels.toml").write_text(labels)
    where = ["--mcmed", str(tmp_path / "cohort"), "--labels", str(tmp_path / "labels.toml")]
    assert main(["prepare", *where, "--out", str(tmp_path / "data"), "--quiet"]) == 0
    write_teacher(tmp_path / "teacher", PreparedDataset(tmp_path / "data"), 1)
    argv = [a for a in argv_of(tmp_path, tmp_path / "e") if a != "--no-baselines"]
    assert main(argv) == 0
    page = (tmp_path / "e" / "report.html").read_bytes()
    report = json.loads((tmp_path / "e" / "report.json").read_text())
    rows = {h["key"]: h["against"] for h in report["baselines"]["heads"]}
    assert {name: f["why"] for name, f in rows["hemoglobin_low"].items()} == dict.fromkeys(rows["hemoglobin_low"], "")
    value = rows["hemoglobin_value"]["intervals"]
    assert value["other"] < value["network"]
    assert value["verdict"] == "worse"
    capsys.readouterr()
    assert main(argv) == 0
    assert (tmp_path / "e" / "report.html").read_bytes() == page


def test_random_kills_change_no_byte(root, done, tmp_path):
    out, rng, kills = tmp_path / "e", random.Random(3), 0
    argv = command(argv_of(root, out))
    shutil.copytree(done / "work", out / "work")
    for path in out.rglob("*.scores"):
        path.unlink()
    for _ in range(8):
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 2.5))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    subprocess.run(argv, check=True, timeout=300, capture_output=True)
    assert kills >= 2
    assert scores_of(out) == scores_of(done)


def test_a_cluster_gives_the_same_bytes(root, done, tmp_path):
    """``test_prepare_slow.py`` covers the death of a worker, which is handled by the same code."""
    out = tmp_path / "e"
    with cluster(tmp_path, 2) as (address, _, _):
        argv = command(argv_of(root, out, "--scheduler", address))
        subprocess.run(argv, check=True, timeout=300, capture_output=True)
    assert scores_of(out) == scores_of(done)
