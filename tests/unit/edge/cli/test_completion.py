"""``anyecg completion``: the scripts are current, and real shells complete with them."""

from __future__ import annotations

import os
import pty
import re
import runpy
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from edge.cli.completion import SHELLS
from edge.cli.main import main

ROOT = Path(__file__).resolve().parents[4]


def saved(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Write the script of a shell into a file, as the documentation says."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed (.ci/install-slow)")
    assert main(["completion", shell]) == 0
    path = folder / f"_anyecg.{shell}"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


def typed(shell: list[str], lines: list[str], last: str, folder: Path) -> str:
    """Type into an interactive shell and return what follows the last line, without control sequences."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.update(PS1="ready> ", TERM="dumb", HOME=str(folder))
        os.execvp(shell[0], shell)
    try:
        for line in lines:
            os.write(terminal, line.encode() + b"\n")
            read(terminal, 0.5)
        os.write(terminal, last.encode())
        return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\x07", "", read(terminal, 2.0))
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def read(terminal: int, quiet_s: float) -> str:
    """Return what a terminal shows until it is quiet."""
    out, until_s = b"", time.monotonic() + 30.0
    while time.monotonic() < until_s and select.select([terminal], [], [], quiet_s)[0]:
        try:
            out += os.read(terminal, 65536)
        except OSError:
            break
    return out.decode("utf-8", "replace")


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err
    assert main(["completion", "bash"]) == 0
    assert "complete -o bashdefault -F _anyecg anyecg" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_are_current(shell: str) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed (extra test)")
    made = runpy.run_path(str(ROOT / "packaging" / "completion.py"))["script"](shell)
    kept = (ROOT / "edge" / "cli" / "data" / f"anyecg.{shell}").read_text(encoding="utf-8")
    assert kept == made, "run python packaging/completion.py"


CASES = [
    ("anyecg sess", "sessions"),
    ("anyecg export --to ", "fhir"),
    ("anyecg export x --sub", "--subject"),
    ("anyecg bundle ve", "verify"),
    ("anyecg bundle diff --js", "--json"),
    ("anyecg calibrate pers", "person"),
    ("anyecg run --source ble:pol", "polar_h10"),
    ("anyecg run --device-profile rec", "recording.csv"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("line", "expected"), [*CASES, ("anyecg run --source replay:rec", "recording.csv")])
def test_bash_completes(line: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved("bash", tmp_path, capsys)
    (tmp_path / "recording.csv").touch()
    shell = ["bash", "--norc", "--noprofile", "-i"]
    assert expected in typed(shell, [f"source {path}"], f"{line}\t\t", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("line", "expected"), [*CASES, ("anyecg run --source replay:rec", "recording.csv")])
def test_zsh_completes(line: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved("zsh", tmp_path, capsys)
    (tmp_path / "recording.csv").touch()
    functions = tmp_path / "functions"
    functions.mkdir()
    path.rename(functions / "_anyecg")
    lines = [f"fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -D; unsetopt zle_bracketed_paste"]
    assert expected in typed(["zsh", "-f", "-i"], lines, f"{line}\t\t", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("line", "expected"), CASES)
def test_fish_completes(line: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved("fish", tmp_path, capsys)
    (tmp_path / "recording.csv").touch()
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"],
        cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert expected in done.stdout, done.stderr
