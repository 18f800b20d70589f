"""Ctrl-C ends a command with one line, which says so where the same command resumes."""

from __future__ import annotations

import pytest

from edge.cli import main as cli
from firmware_bridge.errors import EXIT_SIGINT

pytest.importorskip("scipy", reason="the convert extra is not installed")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["run", "--source", "sim:"], "anyecg: interrupted\n"),
        (["convert", "net.pth", "--out", "bundle"], "anyecg: interrupted\n"),
        (["convert", "micro", "net.pth", "--out", "bundle"], "anyecg: interrupted; the same command resumes\n"),
        (["validate", "demo"], "anyecg: interrupted; the same command resumes\n"),
    ],
)
def test_the_line_says_whether_the_same_command_resumes(args, line, monkeypatch, capsys):
    def interrupted(args: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupted)
    assert cli.main(args) == EXIT_SIGINT
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("names", cli.RESUMED, ids=" ".join)
def test_the_help_of_a_command_that_resumes_says_so(names, capsys):
    with pytest.raises(SystemExit):
        cli.main([*names, "--help"])
    assert "Rerun the command to resume" in " ".join(capsys.readouterr().out.split())
