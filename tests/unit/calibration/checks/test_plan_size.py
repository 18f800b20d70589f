"""`anyecg validate --plan-size`: sizes for the claims of a bundle, without any data."""

from __future__ import annotations

import json

import pytest

from calibration.checks.plan_size import plan_sizes, prevalences
from calibration.cli.validate import main
from convert.stats.evidence import LeastPatients
from edge.bundle.reader import demo_bundle_path, load_bundle
from firmware_bridge.errors import UsageError


def test_sizes_of_the_demonstration_bundle(capsys):
    assert main(["demo", "--plan-size", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    rows = {row["key"]: row for row in said["outputs"]}
    assert list(rows) == [head.key for head in load_bundle("demo").manifest.outputs]
    for row in rows.values():
        low, high = row["interval"]
        limit = 0.1 if row["kind"] == "probability" else 0.1 * row["claim"]
        assert high - low <= limit + 2e-3
        if row["kind"] == "probability":
            assert row["positives"] / row["patients"] == pytest.approx(row["prevalence"], abs=0.01)
    assert rows["sodium_low"]["level"] in {None, "limited"}
    assert rows["potassium_high"]["power_strong"] > 0.99
    assert main(["demo", "--plan-size", "0.05", "--prevalence", "0.02"]) == 0
    text = capsys.readouterr().out
    assert "a width of at most 0.05 (AUROC)" in text
    assert "P(strong) is the chance that the lower end exceeds 0.65" in text
    assert "fewer than 20 patients with and 20 without" in text


def test_narrower_intervals_and_rarer_results_need_more_patients():
    heads = load_bundle("demo").manifest.outputs
    shares = prevalences(load_bundle("demo"))
    head = json.loads((demo_bundle_path() / "validation" / "report.json").read_text())["heads"]["potassium_low"]
    assert shares["potassium_low"] == pytest.approx(head["prevalence"], abs=1e-4)
    base = plan_sizes(heads, 0.1, shares, LeastPatients())
    narrow = plan_sizes(heads, 0.05, shares, LeastPatients())
    rare = plan_sizes(heads, 0.1, dict.fromkeys(shares, 0.01), LeastPatients())
    for a, b, c in zip(base, narrow, rare, strict=True):
        assert b["patients"] > 3 * a["patients"]
        assert c["kind"] == "value" or c["patients"] > a["patients"]
    unknown = plan_sizes(heads, 0.1, {}, LeastPatients())
    assert unknown[0]["patients"] is None
    assert "--prevalence" in unknown[0]["why"]


def test_a_size_that_nobody_can_collect_is_no_number(capsys):
    assert main(["demo", "--plan-size", "--prevalence", "1e-12"]) == 0
    text = capsys.readouterr().out
    assert "1e-10%" in text
    assert "needs more than 100,000,000 patients" in text
    assert "for 1 of 12 outputs" in text  # the value needs no prevalence
    assert main(["demo", "--plan-size", "--prevalence", "1e-300", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["outputs"]
    assert {r["patients"] is None for r in rows if r["kind"] == "probability"} == {True}
    assert all(r["patients"] for r in rows if r["kind"] == "value")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--plan-size", "0"], "--plan-size 0 is out of range"),
        (["--plan-size", "--prevalence", "1"], "--prevalence 1 is out of range"),
        ([], "no --data"),
        (["--data", "x"], "no --out"),
    ],
)
def test_wrong_options_are_refused(argv, words):
    with pytest.raises(UsageError, match=words):
        main(["demo", *argv])
