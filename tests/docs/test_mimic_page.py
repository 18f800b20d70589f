"""The commands of the page on MIMIC-IV, and the road on simulated data of the size of the open demo."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge.cli.main import main
from helpers.doc_blocks import run_blocks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mimic-iv.md"


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_commands_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks(PAGE.read_text(encoding="utf-8"))
    planted, summary = read(tmp_path / "mimic/PLANTED.json"), read(tmp_path / "prepared/summary.json")
    assert summary["lab_rows"]["excluded"] == planted["rows"]
    report = read(tmp_path / "report/validation.json")
    assert report["header"]["labels"]["said_by"] == "mimic"
    # Ten patients are not enough for a verdict on anything.
    assert {h["conclusion"] for h in report["heads"]} <= {"INCONCLUSIVE", "NOT JUDGED"}
    assert {h["tier"] for h in report["heads"]} == {None}


def test_the_commands_of_the_page_on_unlabelled_recordings_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks((PAGE.parent / "open-ecg.md").read_text(encoding="utf-8"))
    assert (tmp_path / "parity" / "parity.html").is_file()


def test_the_options_of_the_download_exist(capsys):
    """The commands for the real demo differ from those for the simulated one in folders and numbers only."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    for command in re.findall(r"^ {4}anyecg (.*)$", text, re.MULTILINE):
        words = command.split()
        with pytest.raises(SystemExit):
            main([words[0], "--help"])
        known = capsys.readouterr().out
        for option in re.findall(r"--[a-z-]+", command):
            assert option in known, option


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """A simulated MIMIC-IV of the size of the open demo, prepared."""
    folder = tmp_path_factory.mktemp("mimic")
    simulate = ["simulate", "--layout", "mimic-iv", "--patients", "100", "--seed", "0", "--dirt"]
    assert main([*simulate, "--out", str(folder / "mimic")]) == 0
    argv = ["prepare", "--mimic-iv-ecg", str(folder / "mimic"), "--min-values", "30", "--min-positives", "5", "--quiet"]
    assert main([*argv, "--out", str(folder / "prepared")]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_planted_signal_is_found_and_sodium_is_not(demo):
    out = demo / "report"
    argv = ["validate", "demo", "--data", str(demo / "mimic"), "--split", "all", "--lead", "II", "--out", str(out)]
    assert main([*argv, "--robustness", "0", "--jobs", "1", "--quiet", "--resamples", "400"]) == 0
    report = read(out / "validation.json")
    heads = {h["key"]: h for h in report["heads"]}
    assert report["header"]["counts"]["patients"] == 92
    assert report["header"]["counts"]["recordings_in_data"] == 659
    for key in ("potassium_low", "potassium_high", "hemoglobin_low"):
        assert heads[key]["tier"] == "strong", heads[key]
        assert heads[key]["p_adjusted"] < 0.01
    for key in ("sodium_low", "sodium_high"):
        assert (heads[key]["conclusion"], heads[key]["tier"]) == ("INCONCLUSIVE", None)
    assert heads["potassium"]["conclusion"] in {"strong", "moderate"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_training_evaluation_conversion_and_validation_run_as_for_mcmed(demo):
    """A tiny teacher for two epochs: it proves that the road is open, not that the network learns."""
    teacher, prepared, mimic = str(demo / "teacher"), str(demo / "prepared"), str(demo / "mimic")
    argv = ["finetune", "--init", "scratch", "--shape", "tiny", "--data", prepared, "--out", teacher]
    assert main([*argv, "--epochs", "2", "--quiet"]) == 0
    out = demo / "evaluated"
    argv = ["evaluate", teacher, "--data", prepared, "--out", str(out), "--no-baselines", "--quiet"]
    assert main([*argv, "--jobs", "1", "--resamples", "200"]) == 0
    report, summary = read(out / "report.json"), read(demo / "prepared/summary.json")
    for what in ("patients", "visits", "recordings", "segments"):
        assert report["header"]["counts"][what] == summary[what]["test"]
    assert {h["conclusion"] for h in report["heads"]} <= {"INCONCLUSIVE", "NOT JUDGED"}  # nine test patients
    bundle = str(demo / "bundle")
    argv = ["convert", "foundation", teacher, "--data", mimic, "--labels", mimic, "--form", "dynamic", "--out", bundle]
    assert main(argv) == 0
    argv = ["validate", bundle, "--data", mimic, "--out", str(demo / "validated"), "--robustness", "0", "--quiet"]
    assert main([*argv, "--jobs", "1", "--resamples", "200"]) in {0, 1}
    validated = read(demo / "validated/validation.json")
    assert validated["header"]["labels"]["said_by"] == "bundle"
    assert validated["header"]["counts"]["patients"] == report["header"]["counts"]["patients"]
    assert {h["conclusion"] for h in validated["heads"]} <= {"INCONCLUSIVE", "NOT JUDGED"}
