"""The command ``anyecg convert``: output, one-line errors, exit codes, and no partly written bundle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.writer import write_checkpoint
from edge.cli.main import main as anyecg

GOLDEN = Path(__file__).parents[3] / "golden" / "data"
TEACHER = GOLDEN / "net1d_1lead.pth"


def error_of(capsys: pytest.CaptureFixture[str], code: int, *argv: object) -> str:
    assert anyecg([str(a) for a in argv]) == code
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("anyecg: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    return lines[0]


def test_inspect(capsys: pytest.CaptureFixture[str]) -> None:
    assert anyecg(["convert", "inspect", str(TEACHER)]) == 0
    out = capsys.readouterr().out
    for part in ("Net1D, 1 lead(s), 3 stages, 5 blocks", "16 16 32 48", "7 outputs of 48 features",
                 read_checkpoint(TEACHER).sha256, "val_auroc 0.71", "--bn on"):  # fmt: skip
        assert part in out


def test_inspect_needs_no_tensorflow() -> None:
    code = f"""
import sys
from edge.cli.main import main
assert main(["convert", "inspect", {str(TEACHER)!r}]) == 0
assert "tensorflow" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert anyecg(["convert", "--help"]) == 0
    out = capsys.readouterr().out
    assert "inspect" in out
    assert "foundation" in out
    assert "unknown action 'x'" in error_of(capsys, 2, "convert", "x")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git-LFS pointer"),
        (b"hello, this is no checkpoint at all", "not a PyTorch checkpoint"),
        (TEACHER.read_bytes()[:9000], "truncated"),
    ],
)
@pytest.mark.parametrize("action", ["inspect", "foundation"])
def test_files_that_are_not_checkpoints(
    action: str, content: bytes, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.pth").write_bytes(content)
    (tmp_path / "o.json").write_text(json.dumps({"outputs": [{"key": "a", "lab": "x"}]}))
    rest = (
        [] if action == "inspect" else ["--outputs", tmp_path / "o.json", "--data", tmp_path, "--out", tmp_path / "b"]
    )
    assert what in error_of(capsys, 3, "convert", action, tmp_path / "c.pth", *rest)
    assert not (tmp_path / "b").exists()


def test_another_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path / "r.pth", {"conv1.weight": np.zeros((8, 1, 7), np.float32)})
    assert "another network" in error_of(capsys, 3, "convert", "inspect", tmp_path / "r.pth")


def test_outputs_that_do_not_match_dense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "o.json").write_text(json.dumps({"outputs": [{"key": f"k{i}", "lab": "x"} for i in range(5)]}))
    argv = ["convert", "foundation", TEACHER, "--outputs", tmp_path / "o.json", "--data", tmp_path]
    line = error_of(capsys, 3, *argv, "--out", tmp_path / "b")
    assert "names 5 outputs, dense of" in line
    assert "has 7" in line
    (tmp_path / "o.json").write_text(json.dumps({"outputs": [{"key": f"k{i}", "lab": "x"} for i in range(7)]}))
    assert "holds no recording" in error_of(capsys, 3, *argv, "--out", tmp_path / "b")
    assert "is not a folder" in error_of(capsys, 7, *argv, "--out", tmp_path / "no" / "b")
    assert not (tmp_path / "b").exists()


def test_parity_of_the_demonstration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ai_edge_litert")
    assert anyecg(["convert", "parity", "demo", "--report", str(tmp_path / "r")]) == 0
    out = capsys.readouterr().out
    assert "reference kernels - TFLite Micro" in out
    assert "no checkpoint was given" in out
    assert json.loads((tmp_path / "r" / "parity.json").read_text())["ok"]
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["parity.html", "parity.json"]


def test_parity_refuses_files_that_do_not_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a bundle of the tier micro" in error_of(capsys, 2, "convert", "parity", "demo", "--checkpoint", TEACHER)
    assert "needs --checkpoint" in error_of(capsys, 2, "convert", "parity", "demo", "--original", TEACHER)
    assert "no bundle at" in error_of(capsys, 4, "convert", "parity", tmp_path / "none")


def test_parity_with_the_original_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorflow")
    from helpers.small_teacher import small_bundle

    bundle = small_bundle(tmp_path)
    original = GOLDEN / "net1d_1lead.npz"
    base = ["convert", "parity", str(bundle), "--checkpoint", str(TEACHER)]
    assert anyecg([*base, "--original", str(original)]) == 0
    assert "original - Keras" in capsys.readouterr().out
    other = GOLDEN / "net1d_1lead_bn.pth"
    assert "was not made from the checkpoint" in error_of(capsys, 3, "convert", "parity", bundle, "--checkpoint", other)
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 1, 5000), np.float32))
    assert "has no x_5000" in error_of(capsys, 3, *base, "--original", tmp_path / "x.npz")
    with np.load(original) as z:
        np.savez(tmp_path / "y.npz", x_5000=z["x_5000"], logits_5000=z["logits_5000"] + 0.01)
    assert "original and Keras differ" in error_of(capsys, 1, *base, "--original", tmp_path / "y.npz")
