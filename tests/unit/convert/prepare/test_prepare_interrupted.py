"""``anyecg prepare`` on a full disk and after Ctrl-C: one line, no half-written file, and a later run completes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from convert.datasets.prepared import PreparedDataset
from convert.simulate.mimic import MimicPlan, write_mimic
from edge.cli.main import main
from firmware_bridge.errors import EXIT_SIGINT
from helpers.failing_calls import FAULTS, FULL, calls_of, leftovers, one_fault

LABELS = """
[pairing]
mode = "nearest"
minutes = 60
[heads]
min_values = 1
min_positives = 1
unknown_units = "exclude"
[segments]
keep_unlabelled = true
max_mv = 1000.0
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mimic")
    write_mimic(MimicPlan(4, 4, 8), folder / "data")
    (folder / "labels.toml").write_text(LABELS)
    return folder


def command(root: Path, out: Path) -> list[str]:
    source = ["--mimic-iv-ecg", str(root / "data/ecg"), "--mimic-iv", str(root / "data/clinical")]
    return ["prepare", *source, "--labels", str(root / "labels.toml"), "--out", str(out), "--quiet", "--scheduler=none"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("fault", "code", "words"), FAULTS)
def test_a_data_set_of_mimic_is_completed_later(root, tmp_path, monkeypatch, capsys, fault, code, words) -> None:
    """The claim, a shard, the last shard and the manifest fail, each once."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    calls = calls_of(monkeypatch, lambda: main(command(root, whole)))
    assert calls > 12
    wanted = files(whole)
    capsys.readouterr()
    for at in (0, 4, calls // 2, calls - 5, calls - 1):
        shutil.rmtree(out, ignore_errors=True)
        assert one_fault(monkeypatch, fault, at, lambda: main(command(root, out))) == code
        err = capsys.readouterr().err
        assert err.count("\n") == 1, err
        assert words in err
        assert ("the same command resumes" in err) == (code == EXIT_SIGINT)
        assert not leftovers(out)
        finished = {name: data for name, data in files(out).items() if not name.startswith(".")}
        assert {name: wanted[name] for name in finished if not name.endswith((".svg", ".html"))}.items() <= (
            finished.items()
        )
    assert main(command(root, out)) == 0
    assert files(out) == wanted
    assert PreparedDataset(out).manifest["shards"]


def test_a_disk_that_is_full_for_the_laboratory_rows(root, tmp_path, monkeypatch, capsys) -> None:
    """Rows are sorted into files before the first signal is read."""

    def full(_self: object) -> None:
        raise FULL

    with monkeypatch.context() as patched:
        patched.setattr("convert.labels.labs.LabSorter._flush", full)
        assert main(command(root, tmp_path / "out")) == 7
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "No space left on device" in err
    assert main(command(root, tmp_path / "out")) == 0
