"""``anyecg calibrate rhythm`` on a full disk and after Ctrl-C: the new bundle, or what was there before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.bundle.reader import load_bundle, resolve
from edge.cli.main import main
from helpers.failing_calls import FAULTS, each_fault, leftovers


@pytest.mark.parametrize(("fault", "code", "words"), FAULTS)
@pytest.mark.parametrize("before", [False, True])
def test_a_bundle_is_whole_or_as_before(tmp_path, monkeypatch, capsys, fault, code, words, before) -> None:
    """Each file is synced, and two folders are renamed: each of these steps fails once."""
    out = tmp_path / "b"
    command = ["calibrate", "rhythm", "demo", "--rhythms", "sinus", "--out", str(out)]
    for found in each_fault(monkeypatch, fault, lambda: main(command)):
        assert found == code
        err = capsys.readouterr().err
        assert err.count("\n") == 1, err
        assert words in err
        assert not leftovers(tmp_path)
        if before or out.exists():
            limits = {head.rhythms for head in load_bundle(out).manifest.outputs}
            assert limits in ({None}, {("sinus",)})
        _prepared(out, before)
    assert not leftovers(tmp_path)
    assert {head.rhythms for head in load_bundle(out).manifest.outputs} == {("sinus",)}


@pytest.fixture(autouse=True)
def _start(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    _prepared(tmp_path / "b", request.node.callspec.params["before"])


def _prepared(out: Path, before: bool) -> None:
    shutil.rmtree(out, ignore_errors=True)
    if before:
        shutil.copytree(resolve("demo"), out)
