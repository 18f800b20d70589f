"""``--json``: every command that prints a table has it, in one form."""

from __future__ import annotations

import argparse
import json
import runpy
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.cli.parser import JSON_HELP, write_json
from edge.records import BudgetLine
from helpers.small_session import write_session

ROOT = Path(__file__).resolve().parents[4]
TABLES = {
    "baseline", "bench", "bundle", "bundle diff", "bundle make", "calibrate fuse", "calibrate probability", "collect",
    "convert foundation", "convert parity", "devices", "doctor", "evaluate", "explain", "lint", "prepare", "scan",
    "service", "sessions", "validate", "version",
}  # fmt: skip
OTHERS = {
    # Write files, and a line or a few that name them.
    "bundle install", "bundle keygen", "bundle pack", "bundle sign", "calibrate device", "calibrate person",
    "calibrate rhythm", "export", "firmware", "mark", "micro-package", "report", "simulate", "convert micro",
    "finetune", "train-demo",
    # Write estimates as JSON Lines themselves: --out -.
    "run", "demo", "estimates",
    # Write a text.
    "completion", "convert inspect", "virtual-patch",
}  # fmt: skip


@pytest.fixture(scope="module")
def parsers() -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = runpy.run_path(str(ROOT / "packaging" / "completion.py"))["commands"]()
    return found


def test_every_command_that_prints_a_table_has_the_option(parsers: dict[str, argparse.ArgumentParser]) -> None:
    assert set(parsers) == TABLES | OTHERS, "say whether the new command prints a table"
    assert not TABLES & OTHERS
    for name, parser in parsers.items():
        helps = [one.help for one in parser._actions if "--json" in one.option_strings]
        assert helps == ([JSON_HELP] if name in TABLES else []), name


def test_the_answer_is_json_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_session(tmp_path / "night", seconds=3.0)
    answers = {
        "version": ["version"],
        "devices": ["devices"],
        "device": ["devices", "polar_h10"],
        "sessions": ["sessions", str(tmp_path)],
        "bundle": ["bundle", "show", "demo"],
        "verify": ["bundle", "verify", "demo"],
        "labs": ["prepare", "--list-labs"],
    }
    found = {}
    for name, command in answers.items():
        assert main([*command, "--json"]) == 0
        found[name] = json.loads(capsys.readouterr().out)
    assert found["version"]["version"]
    assert len(found["devices"]["devices"]) > 5
    assert found["device"]["devices"][0]["name"] == "polar_h10"
    assert found["sessions"][0]["state"] == "finished"
    assert found["bundle"]["outputs"][0]["evidence"]["tier"]
    assert found["bundle"]["front_end"]["fs_hz"] == 125
    assert found["verify"]["self_test"]["windows"] > 0
    assert found["labs"][0]["loinc"]


def test_budgets_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        "edge.cli.bench.measure", lambda bundle, hours, **options: [BudgetLine("memory, MiB", 61.0, 60.0, ok=False)]
    )
    assert main(["bench", "--json"]) == 1
    line = {"name": "memory, MiB", "value": 61.0, "limit": 60.0, "ok": False}
    assert json.loads(capsys.readouterr().out) == {"ok": False, "budgets": [line]}


def test_errors_are_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "show", str(tmp_path), "--json"]) != 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("anyecg: ")
    assert main(["service", "remove", "x", "--json"]) == 2
    assert main(["version", "now"]) == 2


def test_numbers_that_json_lacks_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"a": float("nan"), "b": [float("inf"), 1.5], 3: (None, True)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "3": [None, True]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["doctor"],
        ["scan", "--seconds", "1"],
        ["lint", "demo"],
        ["bundle", "diff", "demo", "demo"],
        ["convert", "parity", "demo"],
    ],
)
def test_slower_commands_answer_in_json(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*command, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found
    assert isinstance(found, dict)
