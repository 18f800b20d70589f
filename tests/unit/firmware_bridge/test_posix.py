"""Windows and macOS, simulated: what is not supported says so, and the rest runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.cli.main import COMMANDS, NEED_POSIX, main
from firmware_bridge import posix
from helpers.import_graph import sources
from helpers.small_session import write_session

SCRIPT = Path(__file__).resolve().parents[2] / "helpers" / "other_system.py"
READING = ("version", "devices", "bundle", "sessions", "estimates", "report", "csv", "fhir", "firmware")


def on(system: str, folder: Path) -> dict[str, Any]:
    write_session(folder / "night", seconds=15.0)
    done = subprocess.run(
        [sys.executable, "-m", f"helpers.{SCRIPT.stem}", system, str(folder / "night"), str(folder)],
        cwd=SCRIPT.parents[1], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": f"{SCRIPT.parents[2]}:{SCRIPT.parents[1]}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_windows_is_refused_in_one_line_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(posix, "WINDOWS", True)
    assert set(NEED_POSIX) <= set(COMMANDS)
    for command in NEED_POSIX:
        assert main([command, "--help"]) == 2
        said = capsys.readouterr().err
        assert f"'anyecg {command}' is not supported on Windows" in said
        assert said.count("\n") == 1
    assert main(["version"]) == 0


def test_flags_that_windows_lacks_come_from_one_module() -> None:
    flag = re.compile(r"\bos\.O_(CLOEXEC|NOFOLLOW|NONBLOCK|DIRECTORY)\b")
    found = {name for name, path in sources().items() if flag.search(path.read_text(encoding="utf-8"))}
    assert found == set()


@pytest.mark.slow
def test_a_simulated_windows_reads_sessions_and_refuses_to_run(tmp_path: Path) -> None:
    found = on("win32", tmp_path)
    assert found["imported"] > 200
    for name in READING:
        assert found[name]["code"] == 0, (name, found[name])
    for name in ("run", "scan", "service", "demo"):
        assert found[name]["code"] == 2
        assert "not supported on Windows" in found[name]["err"]


@pytest.mark.slow
def test_a_simulated_mac_runs(tmp_path: Path) -> None:
    found = on("darwin", tmp_path)
    for name in (*READING, "run"):
        assert found[name]["code"] == 0, (name, found[name])
    assert "answer" in found["run"]["out"]
    # There is no systemd.
    assert found["service"]["code"] != 0
    assert "Traceback" not in found["service"]["err"]
