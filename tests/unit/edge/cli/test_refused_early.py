"""What a command cannot use or write is refused before its work, not after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cli.main import main
from helpers.small_session import write_session


class WorkedError(Exception):
    """The work has begun."""


def work(*_arguments: object, **_more: object) -> None:
    raise WorkedError


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--picture", "absent/x.svg"], 7, "absent is not a folder"),
        (["--picture", "x.png"], 2, "SVG"),
        (["--session-dir", "s", "--keep", "much"], 2, "500MB"),
        (["--keep", "1GB"], 2, "--session-dir"),
        (["--mqtt", "http://x"], 2, "mqtt"),
    ],
)
def test_a_run(
    options: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edge.cli.run.one.load", work)
    monkeypatch.setattr("edge.cli.run.one.open_source", work)
    assert main(["run", "--source", "sim:", *options]) == code
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_session(tmp_path / "s", seconds=3.0)
    monkeypatch.setattr("edge.sessions.report.view_ecg", work)
    monkeypatch.setattr("edge.sessions.report.Trends", work)
    assert main(["report", str(tmp_path / "s"), "--out", str(tmp_path / "absent" / "x.html")]) == 7
    assert "absent is not a folder" in capsys.readouterr().err


def test_a_comparison_of_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parity = pytest.importorskip("convert.cli.parity", reason="the convert extra is not installed")
    monkeypatch.setattr(parity, "run_parity", work)
    (tmp_path / "file").touch()
    assert main(["convert", "parity", "demo", "--report", str(tmp_path / "file")]) == 7
    assert "file" in capsys.readouterr().err
