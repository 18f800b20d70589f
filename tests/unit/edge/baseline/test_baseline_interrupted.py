"""``anyecg baseline`` and ``anyecg mark`` on a full disk and after Ctrl-C: one line, the exit code, no half file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.baseline.file import load_baseline
from edge.baseline.marks import FILE, HEADER
from edge.cli.main import main
from helpers.failing_calls import FAULTS, each_fault, leftovers
from helpers.quiet_hours import AT_REST, estimates, write_records


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("sessions") / "night", estimates(lambda _t: AT_REST, 3900.0))


def said(capsys: pytest.CaptureFixture[str], words: str) -> None:
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert words in err


@pytest.mark.parametrize(("fault", "code", "words"), FAULTS)
@pytest.mark.parametrize("before", [False, True])
def test_a_baseline_is_whole_or_not_there(night, tmp_path, monkeypatch, capsys, fault, code, words, before) -> None:
    out = tmp_path / "b.json"
    command = ["baseline", str(night), "--out", str(out), "--force"]
    if before:
        assert main(command) == 0
        capsys.readouterr()
    for found in each_fault(monkeypatch, fault, lambda: main(command)):
        assert found == code
        said(capsys, words)
        assert not leftovers(tmp_path)
        if before or out.exists():
            assert load_baseline(out).windows > 100
            assert out.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("fault", "code", "words"), FAULTS)
def test_a_mark_is_added_or_not(night, monkeypatch, capsys, fault, code, words) -> None:
    file = night / FILE
    file.unlink(missing_ok=True)
    assert main(["mark", str(night), "lying", "--at", "2026-11-18T11:00:00Z"]) == 0
    first = file.read_text()
    capsys.readouterr()
    for found in each_fault(
        monkeypatch, fault, lambda: main(["mark", str(night), "sitting", "--at", "2026-11-18T12:00:00Z"])
    ):
        assert found == code
        said(capsys, words)
        lines = file.read_text().splitlines()
        assert file.read_text().startswith(first)
        assert set(lines[2:]) <= {"2026-11-18T12:00:00.000Z,sitting"}
        assert lines[0] == HEADER
        assert not leftovers(night)
