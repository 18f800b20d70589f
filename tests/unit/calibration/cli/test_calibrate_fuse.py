"""``anyecg calibrate fuse`` on simulated patients whose sodium follows the rate, which the network does not know."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from convert.bundle.writer import write_folder
from edge.bundle.reader import load_bundle
from edge.cli.main import main
from edge.records import from_json
from firmware_bridge.errors import OutputError
from helpers.failing_calls import FAULTS, one_fault
from helpers.pages import faults

PATIENTS = 160


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "cohort"
    words = ["simulate", "--patients", str(PATIENTS), "--seed", "616", "--seconds", "12", "--out", str(out)]
    assert main([*words, "--quiet"]) == 0
    rate = {row["CSN"]: float(row["Triage_HR"] or 80.0) for row in csv.DictReader((out / "visits.csv").open())}
    with (out / "labs.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (out / "labs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row in rows:
            low = row["Component_name"] == "SODIUM" and rate[row["CSN"]] > 88.0
            if row["Component_name"] in {"SODIUM", "POTASSIUM"}:
                value = {"Component_result": "126", "Component_value": "126"} if low else {}
                writer.writerow({**row, **value})
    return out


@pytest.fixture(scope="module")
def fused(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fused") / "bundle"
    words = ["calibrate", "fuse", "demo", "--data", str(cohort), "--split", "all", "--quiet", "--jobs", "1"]
    assert main([*words, "--out", str(out)]) == 0
    return out


def test_the_planted_cause_is_fused_and_the_other_outputs_stay_as_they_were(fused: Path) -> None:
    made, demo = load_bundle(fused), load_bundle("demo")
    assert [key for key, one in made.calibration.items() if one.fusion is not None] == ["sodium_low"]
    assert "rr_ms" in {term.feature for term in made.calibration["sodium_low"].fusion.terms}
    others = {key: one for key, one in made.calibration.items() if key != "sodium_low"}
    assert others == {key: one for key, one in demo.calibration.items() if key != "sodium_low"}
    report = json.loads((fused / "validation/fusion.json").read_text())
    heads = report["heads"]
    assert heads["sodium_low"]["difference_ci"][0] > 0.0
    assert heads["potassium_high"]["left"]
    assert heads["potassium"]["left"].startswith("a value")
    assert report["heads"]["free_t4_high"]["left"].startswith("0 positive")
    assert "## Fusion with the waves of the ECG" in (fused / "MODEL_CARD.md").read_text()
    assert "Curves: `validation/fusion.html`." in (fused / "MODEL_CARD.md").read_text()
    page = (fused / "validation/fusion.html").read_text()
    assert page.count("<svg") == len(made.calibration["sodium_low"].fusion.terms)
    assert "RR interval" in page
    assert not faults(page)
    assert main(["bundle", "verify", str(fused)]) == 0


def test_a_run_shows_both_answers(fused: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.jsonl"
    source = "sim:?seed=3&speed=max"
    words = ["run", "--bundle", str(fused), "--source", source, "--seconds", "20", "--view", "none"]
    assert main([*words, "--out", str(out), "--session-dir", str(tmp_path / "s")]) == 0
    assert main(["report", str(tmp_path / "s"), "--out", str(tmp_path / "s.html")]) == 0
    assert (tmp_path / "s.html").read_text().count("network alone") == 1
    estimates = [from_json(line) for line in out.read_text().splitlines()]
    labs = [lab for e in estimates for lab in e.labs]
    assert labs
    assert {lab.key for lab in labs if lab.network is not None} == {"sodium_low"}
    assert any(lab.network.value != lab.value for lab in labs if lab.network is not None)


@pytest.mark.slow
def test_a_fused_head_is_judged_at_its_own_threshold(fused: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    words = ["simulate", "--patients", "60", "--seed", "617", "--seconds", "12", "--out", str(fresh), "--quiet"]
    assert main(words) == 0
    words = ["validate", str(fused), "--data", str(fresh), "--split", "all", "--quiet", "--jobs", "1"]
    assert main([*words, "--out", str(tmp_path / "report"), "--resamples", "100"]) in {0, 1}
    report = json.loads((tmp_path / "report" / "validation.json").read_text())
    head = next(one for one in report["heads"] if one["key"] == "sodium_low")
    shown = load_bundle(fused).calibration["sodium_low"]
    assert head["decision"]["threshold"] == pytest.approx(shown.fusion.threshold)
    assert shown.fusion.threshold != pytest.approx(shown.threshold)


def test_a_new_calibration_of_the_network_drops_the_fusion(fused: Path, cohort: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    words = ["calibrate", "probability", str(fused), "--data", str(cohort), "--split", "all", "--quiet", "--jobs", "1"]
    assert main([*words, "--out", str(out), "--methods", "platt"]) == 0
    assert all(one.fusion is None for one in load_bundle(out).calibration.values())
    assert "fused" not in json.loads((out / "manifest.json").read_text())
    assert not (out / "validation/fusion.json").exists()
    assert not (out / "validation/fusion.html").exists()
    assert "## Fusion" not in (out / "MODEL_CARD.md").read_text()


def test_nothing_clearly_better_writes_nothing(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["calibrate", "fuse", "demo", "--data", str(cohort), "--split", "all", "--limit", "30", "--quiet"]
    assert main([*words, "--jobs", "1", "--out", str(tmp_path / "b")]) == 3
    shown = capsys.readouterr()
    assert "unchanged" in shown.out
    assert "no output of demo is clearly better" in shown.err
    assert not (tmp_path / "b").exists()


def test_the_c_package_says_that_it_does_not_fuse(
    fused: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tflite_micro")
    assert main(["micro-package", str(fused), "--out", str(tmp_path / "c")]) == 0
    assert "not fused   sodium_low" in capsys.readouterr().out
    assert "`sodium_low`" in (tmp_path / "c" / "README.md").read_text()
    assert main(["micro-package", "demo", "--out", str(tmp_path / "d")]) == 0
    assert "not fused" not in capsys.readouterr().out
    assert "fusion" not in (tmp_path / "d" / "README.md").read_text()


@pytest.mark.parametrize(("fault", "code", "words"), FAULTS)
def test_an_interrupted_fusion_leaves_no_bundle(
    fused: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    fault: BaseException, code: int, words: str,
) -> None:  # fmt: skip
    """While recordings are read, and while the bundle is written; the long work between is that of the fixture."""
    out = tmp_path / "bundle"
    command = ["calibrate", "fuse", "demo", "--data", str(cohort), "--split", "all", "--quiet", "--jobs", "1"]

    def failing(*_args: object) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr("calibration.validate.shards.run_all", failing)
        assert main([*command, "--out", str(out)]) == code
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())
    files = {str(p.relative_to(fused)): p.read_bytes() for p in fused.rglob("*") if p.is_file()}
    for at in (0, 3, len(files)):  # two files, and the name of the folder
        with pytest.raises((OutputError, KeyboardInterrupt)):
            one_fault(monkeypatch, fault, at, lambda: write_folder(out, files, "the bundle") or 0)
        assert not list(tmp_path.iterdir())
