"""A test on a machine without git or a C compiler skips and names the package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from helpers import needs


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with no tool on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "cc -std=c99 main.c -o main",
        'anyecg virtual-patch --c --link ttyPATCH --speed 4 --seconds 90 --faults "unplug@12:3" > patch.log 2>&1 &',
    ],
)
def test_a_command_that_compiles_skips_without_a_compiler(bare: Path, line: str) -> None:
    with pytest.raises(pytest.skip.Exception, match="Debian: gcc"):
        needs.tools_for(line)


@pytest.mark.parametrize("line", ["anyecg run --source sim:", "anyecg virtual-patch --seconds 9 --view c", "./check"])
def test_other_commands_run_on_every_machine(bare: Path, line: str) -> None:
    needs.tools_for(line)


def test_a_checkout_without_git_and_git_without_a_checkout_skip(bare: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="not a git checkout"):
        needs.git_checkout(bare)
    (bare / ".git").mkdir()
    with pytest.raises(pytest.skip.Exception, match="Debian: git"):
        needs.git_checkout(bare)


def test_a_tool_that_is_there_is_found(bare: Path) -> None:
    program = bare / "gcc"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert needs.tool("gcc") == str(program)
    assert needs.c_compiler() == "gcc"


def test_a_command_that_publishes_skips_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(pytest.skip.Exception, match="mqtt extra"):
        needs.tools_for("anyecg run --source sim: --mqtt mqtt://localhost")
