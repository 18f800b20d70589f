"""Known weaknesses of the dependencies (pip-audit) and of the code (bandit), and the bill of materials' schema.

The tools have an environment of their own, `make .venv/.audit`; .ci/install-slow makes it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unit.install.test_locked import ROOT

TOOLS = Path(sys.prefix) / "audit" / "bin"
CODE = ("edge", "convert", "firmware_bridge", "calibration", "packaging")

KNOWN_WEAKNESSES: dict[str, str] = {}
"""Identifier of an advisory: why the kit is not affected, or what it waits for."""

KNOWN_FINDINGS = {
    ("B101", ""): "assert only narrows types; no input check uses it",
    ("B404", ""): "the kit starts its own children; each call is B603",
    ("B603", ""): "a list without a shell; the program is the kit's own, the interpreter or a fixed name",
    ("B403", "convert/checkpoint/pickles/unpickle.py"): "uses the opcode table; it never loads a pickle",
    ("B110", "edge/frontend/scipy_routines.py"): "another version of scipy leads to the public function",
    ("B108", "edge/service/unit.py"): "folders that a service must not see; nothing is written there",
    ("B311", "edge/sinks/mqtt/sender.py"): "spreads the attempts to connect over time",
    ("B105", "edge/sinks/mqtt/address.py"): "the name of a variable of the environment, no password",
    ("B105", "edge/http/token.py"): "the name of a variable of the environment, no token",
    ("B311", "edge/collect/collector.py"): "spreads the attempts to connect over time",
    ("B704", "convert/pages/render.py"): "a picture of convert.pages.svg, which escapes every text",
    ("B604", "packaging/completion.py"): "shell= is a parameter of str.format, not of a process",
    ("B406", "edge/sinks/live/svg.py"): "writes XML and escapes it; it parses none",
}
"""Check of bandit and file (all files where empty): why it stays."""


def _tool(name: str) -> Path:
    if not (TOOLS / name).exists():
        pytest.skip(f"{name} is not installed: run `make {TOOLS.parent.parent.name}/.audit`")
    return TOOLS / name


def weaknesses(report: dict[str, Any]) -> tuple[set[str], set[str], set[str]]:
    """Returns the advisories that are not known, the known ones that were found, and the packages without an answer."""
    parts = report["dependencies"]
    found = {v["id"]: f"{p['name']} {p['version']}: {v['id']}" for p in parts for v in p.get("vulns", [])}
    new = {text for name, text in found.items() if name not in KNOWN_WEAKNESSES}
    return new, found.keys() & KNOWN_WEAKNESSES.keys(), {p["name"] for p in parts if "skip_reason" in p}


def findings(report: dict[str, Any]) -> tuple[set[str], set[tuple[str, str]]]:
    """Returns what bandit found and nobody explained, and the explanations that apply."""
    new, used = set(), set()
    for result in report["results"]:
        key = result["test_id"], result["filename"].removeprefix("./")
        known = [k for k in (key, (key[0], "")) if k in KNOWN_FINDINGS]
        used.update(known)
        if not known:
            new.add(f"{key[1]}:{result['line_number']}: {key[0]} {result['issue_text']}")
    return new, used


def test_an_unknown_weakness_or_finding_is_reported() -> None:
    parts = [
        {"name": "numpy", "version": "1", "vulns": [{"id": "PYSEC-1"}]},
        {"name": "bleak", "version": "2", "vulns": []},
        {"name": "tqdm", "skip_reason": "Dependency not found on PyPI"},
    ]
    assert weaknesses({"dependencies": parts}) == ({"numpy 1: PYSEC-1"}, set(), {"tqdm"})
    result = {"line_number": 3, "issue_text": "eval"}
    there = [
        {**result, "test_id": "B307", "filename": "edge/a.py"},
        {**result, "test_id": "B110", "filename": "edge/a.py"},
        {**result, "test_id": "B110", "filename": "./edge/frontend/scipy_routines.py"},
    ]
    new, used = findings({"results": there})
    assert new == {"edge/a.py:3: B307 eval", "edge/a.py:3: B110 eval"}
    assert used == {("B110", "edge/frontend/scipy_routines.py")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["device.txt", "build.txt", "locked.txt"])
def test_no_locked_version_has_an_unexplained_weakness(name: str) -> None:
    command = [_tool("pip-audit"), "--requirement", f"constraints/{name}", "--disable-pip", "--format=json"]
    command += ["--progress-spinner=off", "--timeout=20", "--no-deps" if name == "locked.txt" else "--require-hashes"]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    except subprocess.TimeoutExpired:
        pytest.skip("pip-audit had no answer within 900 s")
    if not run.stdout.strip():
        lines = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
        offline = ("ServiceError", "ConnectionError", "ConnectTimeout", "ReadTimeout", "HTTPError", "Max retries")
        if not any(word in run.stderr for word in offline):
            pytest.fail(f"pip-audit failed: {lines[-1]}")
        pytest.skip(f"pip-audit had no answer from the network: {lines[-1][:200]}")
    new, _, unanswered = weaknesses(json.loads(run.stdout))
    assert not new, f"known weaknesses in constraints/{name}: update with `make lock`, or explain them: {new}"
    # pip-audit calls these "not found" and ends with success: an index without advisories must not look like a pass.
    if unanswered:
        pytest.skip(f"the index has no advisories for {len(unanswered)} packages, such as {min(unanswered)}")


@pytest.mark.slow
def test_bandit_finds_only_what_is_explained() -> None:
    command = [_tool("bandit"), "--quiet", "--recursive", *CODE, "--format=json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    report = json.loads(run.stdout)
    assert report["errors"] == []
    assert report["metrics"]["_totals"]["loc"] > 10_000
    new, used = findings(report)
    assert new == set()
    assert set(KNOWN_FINDINGS) - used == set(), "an explanation without a finding: delete it"


@pytest.mark.slow
def test_the_bill_of_materials_is_valid_cyclonedx() -> None:
    _tool("pip-audit")
    code = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open("packaging/anyecg-edge.cdx.json").read()
validator = JsonStrictValidator(SchemaVersion.V1_6)
print(validator.validate_str(text), validator.validate_str(text.replace('"library"', '"thing"')) is not None)
"""
    command = [TOOLS / "python", "-W", "error::UserWarning", "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.split() == ["None", "True"], run.stdout + run.stderr
