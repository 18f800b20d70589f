"""The commands of the page on AnyECG-Lab, on 300 simulated patients with dirt, from recordings to a judged student."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convert.cli import prepare as cli_prepare

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reproduce-anyecg-lab.md"

SOURCED = ("calcium_low", "calcium_high", "glucose_low", "hemoglobin_low", "potassium_low", "potassium_high")
"""Heads with a published coupling (docs/simulator.md)."""


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_has_every_step():
    text = "\n".join(blocks())
    steps = ("simulate", "prepare", "finetune", "evaluate", "convert micro", "validate")
    assert [text.index(f"anyecg {step}") for step in steps] == sorted(text.index(f"anyecg {step}") for step in steps)


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reproduce")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks():
        done = subprocess.run(["bash", "-e", "-c", block], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr
    return folder


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_all_planted_dirt_is_counted(chain):
    planted, found = read(chain / "mcmed" / "DIRT.json"), read(chain / "prepared" / "summary.json")
    assert set(planted["segments"]) >= {"flat", "clipped", "gap", "short", "no_lead", "no_record", "no_start_time"}
    for reason, count in planted["segments"].items():
        assert count >= found["excluded_segments"][reason] >= 0.8 * count, reason
    # Segments without a label of these five labs are not read, so the counts are exact only with keep_unlabelled.
    plan = f"{(chain / 'labels.toml').read_text()}[segments]\nkeep_unlabelled = true\n"
    (chain / "all.toml").write_text(plan)
    out = chain / "all"
    assert (
        cli_prepare.main(["--mcmed", str(chain / "mcmed"), "--labels", str(chain / "all.toml"), "--out", str(out)]) == 0
    )
    everything = read(out / "summary.json")["excluded_segments"]
    assert {reason: everything[reason] for reason in planted["segments"]} == planted["segments"]
    for reason in planted["visits"]:
        assert found["excluded_visits"][reason] > 0
    for reason in planted["rows"]:
        assert found["lab_rows"]["excluded"][reason] > 0, reason
    for note in planted["notes"]:
        assert found["lab_rows"]["notes"][note] > 0, note


def area(head: dict) -> float:
    return head["auroc"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_only_the_coupled_heads_are_found_at_every_horizon(chain):
    heads = {head["key"]: head for head in read(chain / "evaluated" / "report.json")["heads"]}
    for horizon in ("", "_30min", "_60min", "_120min"):
        found = {key: area(heads[f"{key}{horizon}"]) for key in SOURCED}
        assert np.mean(list(found.values())) > 0.68, (horizon, found)
        low, high = heads[f"sodium_low{horizon}"]["auroc_ci"]
        assert low < 0.5 < high, horizon
        assert heads[f"sodium_low{horizon}"]["conclusion"] == "INCONCLUSIVE"
    now = {key: area(heads[key]) for key in SOURCED}
    # All six heads pass here. Another processor gives other numbers, like another seed (six of six, lowest 0.67), and
    # one head has only thirty positive patients.
    assert sum(a > 0.65 for a in now.values()) >= 5, now
    assert min(now.values()) > 0.6, now


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_report_has_the_baselines_the_horizons_and_the_aggregate(chain):
    report = read(chain / "evaluated" / "report.json")
    page = (chain / "evaluated" / "report.html").read_text(encoding="utf-8")
    assert set(report["baselines"]["summary"]) == {"demographics", "intervals", "intervals+demographics"}
    assert report["monitoring"]
    assert report["aggregate"]
    for text in ("no medical device", "imulated"):
        assert text in page


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_student_keeps_heads_and_horizons_and_is_judged_on_unseen_patients(chain):
    outputs = read(chain / "teacher" / "outputs.json")["outputs"]
    manifest, report = read(chain / "student" / "manifest.json"), read(chain / "validated" / "validation.json")
    assert [h["key"] for h in manifest["outputs"]] == [h["key"] for h in outputs]
    assert {h["horizon_min"] for h in manifest["outputs"]} >= {None, 30, 60, 120}
    heads = {head["key"]: head for head in report["heads"]}
    assert np.mean([area(heads[key]) for key in SOURCED]) > 0.62
    assert report["header"]["labels"]["said_by"] == "bundle"
    assert report["header"]["data"]["simulated"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_quantization_is_not_inferior_for_most_heads(chain):
    report = read(chain / "validated" / "validation.json")
    assert report["reference"]["kind"] == "float"
    link = next(found for found in report["links"] if found["name"] == "float student and int8")
    assert link["status"] == "ok", link
    auroc = [c for c in report["comparisons"] if c["measure"] == "auroc"]
    assert {c["verdict"] for c in auroc} <= {"PASS", "INCONCLUSIVE"}
    assert sum(c["verdict"] == "PASS" for c in auroc) > len(auroc) / 2
    assert max(abs(c["difference"]["value"]) for c in auroc) < 0.03
