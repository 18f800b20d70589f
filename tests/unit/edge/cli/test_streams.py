"""Standard streams that are closed, full or limited to ASCII end no command with an internal error."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_bridge.errors import EXIT_OK

ANYECG = f"{sys.executable} -m edge.cli"
FULL = Path("/dev/full")

REDIRECTIONS = {
    "stdout closed": ">&-",
    "stdout full": ">/dev/full",
    "stdout read for one line": "| head -n 1",
    "stderr closed": "2>&-",
    "stderr full": "2>/dev/full",
    "stdin closed": "<&-",
    "everything closed": "<&- >&- 2>&-",
}

COMMANDS = {
    "--version": 0,
    "no-such-command": 2,
    "devices": 0,
    "bundle show demo": 0,
    "bundle diff demo demo": 0,
    "bundle verify demo": 0,
    "convert --help": 0,
    "lint demo": 0,
    "run --source 'sim:?speed=max' --seconds 14 --view plain": 0,
    "run --source 'sim:?speed=max' --seconds 14 --view none --out -": 0,
    "run --source 'replay:lead.csv?speed=max' --view plain": 0,
    "run --source replay:lead.csv replay:lead.csv": 0,
    "run --source replay:missing.csv": 3,
}
"""Command and exit code when nothing is wrong with the streams."""

QUICK = ("--version", "no-such-command")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording whose names are not ASCII."""
    rows = "".join(f"{i / 250:.3f},{math.sin(i / 20):.4f}\n" for i in range(250 * 13))
    (tmp_path / "lead.csv").write_text(f"time_s,ECG \u00b5 \u2161 (mV)\n{rows}", encoding="utf-8")
    return tmp_path


def code_of(command: str, redirection: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Run a command in a shell; returns its exit code and what it said on standard error."""
    redirected = redirection if redirection.startswith("|") else f"{redirection} "
    script = f"exec 9>code; {{ {ANYECG} {command}; echo $? >&9; }} 2>said {redirected}"
    if "2>" in redirection or redirection == REDIRECTIONS["everything closed"]:
        script = f"exec 9>code; {{ {ANYECG} {command}; echo $? >&9; }} {redirected}"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, timeout=120)
    said = (folder / "said").read_text(errors="replace") if (folder / "said").exists() else ""
    return int((folder / "code").read_text()), said


def expected(command: str, redirection: str) -> set[int]:
    ordinary = COMMANDS[command]
    if ordinary != EXIT_OK:
        return {ordinary}
    if "/dev/full" in redirection and not redirection.startswith("2"):
        return {7}
    if "--out -" in command and " >&-" in f" {redirection}":
        return {7}
    return {ordinary}


def check(command: str, redirection: str, folder: Path) -> None:
    if "/dev/full" in redirection and not FULL.exists():
        pytest.skip("no /dev/full on this system")
    code, said = code_of(command, redirection, folder)
    assert code in expected(command, redirection), said
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.parametrize("command", QUICK)
@pytest.mark.parametrize("state", REDIRECTIONS)
def test_a_short_command(command: str, state: str, recording: Path) -> None:
    check(command, REDIRECTIONS[state], recording)


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in QUICK])
@pytest.mark.parametrize("state", REDIRECTIONS)
def test_any_command(command: str, state: str, recording: Path) -> None:
    check(command, REDIRECTIONS[state], recording)


@pytest.mark.parametrize("command", ["run --source 'replay:lead.csv?speed=max' --view plain"])
def test_an_ascii_terminal_gets_escapes(command: str, recording: Path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, said = code_of(command, ">out", recording, **ascii_only)
    assert code == 0, said
    assert (recording / "out").read_bytes().isascii()
    assert "\\xb5" in said


def test_estimates_are_not_dropped_silently(recording: Path) -> None:
    code, said = code_of("run --source 'sim:?speed=max' --seconds 14 --out -", ">&-", recording)
    assert code == 7
    assert "standard output is closed" in said


def test_a_closed_descriptor_is_not_given_to_a_file(recording: Path) -> None:
    command = "run --source 'sim:?speed=max' --seconds 14 --view plain --out estimates.jsonl"
    assert code_of(command, "<&- >&- 2>&-", recording)[0] == 0
    lines = (recording / "estimates.jsonl").read_text().splitlines()
    assert len(lines) > 10
    assert all(line.startswith("{") for line in lines)
