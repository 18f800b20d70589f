"""Refusals of `anyecg evaluate`, each in one line."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from convert.checkpoint.net1d import Net1D, to_tensors
from convert.checkpoint.writer import write_checkpoint
from convert.datasets.prepared import PreparedDataset
from convert.teacher.patients import patients_file
from convert.teacher.prepared_patients import prepared_hashes
from edge.cli.main import main
from helpers.small_evaluation import SMALL, argv_of, scores_of, small_root


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return small_root(tmp_path_factory)


@pytest.fixture(scope="module")
def done(root, tmp_path_factory) -> Path:
    """The folder of a finished evaluation."""
    out = tmp_path_factory.mktemp("out") / "e"
    assert main(argv_of(root, out)) == 0
    return out


def refused(argv: list[str], capsys, code: int, *said: str) -> None:
    assert main(argv) == code
    error = capsys.readouterr().err
    assert error.startswith("anyecg: ")
    assert error.count("\n") == 1
    for words in said:
        assert words in error


def test_a_missing_teacher_is_one_line(root, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for name, said in (("nowhere", "no teacher at"), ("empty", "neither teacher.pth nor teacher.keras")):
        argv = argv_of(root, tmp_path / "e")
        argv[1] = str(tmp_path / name)
        refused(argv, capsys, 3, said)


def test_outputs_must_be_described_and_match_the_last_layer(root, tmp_path, capsys):
    folder = tmp_path / "teacher"
    shutil.copytree(root / "teacher", folder)
    argv = argv_of(root, tmp_path / "e")
    argv[1] = str(folder)
    (folder / "outputs.json").unlink()
    refused(argv, capsys, 2, "are not described", "--outputs FILE")
    outputs = json.loads((root / "teacher" / "outputs.json").read_text())["outputs"]
    (tmp_path / "fewer.json").write_text(json.dumps({"outputs": outputs[1:]}))
    refused([*argv, "--outputs", str(tmp_path / "fewer.json")], capsys, 3, f"{len(outputs) - 1} outputs", "last layer")
    for entry in outputs:
        entry["key"] = "x_" + entry["key"]
    (tmp_path / "others.json").write_text(json.dumps({"outputs": outputs}))
    refused([*argv, "--outputs", str(tmp_path / "others.json")], capsys, 3, "no common head", "x_potassium_low")
    assert not (tmp_path / "e").exists()


def test_heads_of_only_one_side_are_listed(root, tmp_path, capsys):
    folder = tmp_path / "teacher"
    shutil.copytree(root / "teacher", folder)
    outputs = json.loads((folder / "outputs.json").read_text())["outputs"]
    missing, outputs[0]["key"] = outputs[0]["key"], "lithium_high"
    (folder / "outputs.json").write_text(json.dumps({"outputs": outputs}))
    argv = argv_of(root, tmp_path / "e")
    argv[1] = str(folder)
    assert main(argv) == 0
    text = capsys.readouterr().out
    assert "only in the teacher: lithium_high" in text
    assert f"only in the data: {missing}" in text
    assert missing not in {h["key"] for h in json.loads((tmp_path / "e" / "report.json").read_text())["heads"]}


def test_a_teacher_is_not_judged_on_its_own_patients(root, tmp_path, capsys):
    refused(argv_of(root, tmp_path / "e", "--split", "val"), capsys, 3, "patients are in the part 'val'", "teacher")
    data = PreparedDataset(root / "data")
    folder = tmp_path / "teacher"
    shutil.copytree(root / "teacher", folder)
    one = frozenset(sorted(prepared_hashes(data, "test"))[:1])
    (folder / "patients.json").write_bytes(patients_file({"train": one}))
    argv = argv_of(root, tmp_path / "e")
    argv[1] = str(folder)
    refused(argv, capsys, 3, f"1 of {len(prepared_hashes(data, 'test'))} patients are in the part 'train'")
    refused(argv_of(root, tmp_path / "e", "--reference", str(folder)), capsys, 3, "are in the part 'train'")
    assert not (tmp_path / "e").exists()
    (folder / "patients.json").unlink()
    assert main(argv) == 0
    assert "does not list its patients" in capsys.readouterr().out


def test_unfinished_data_and_an_empty_part_are_one_line(root, tmp_path, capsys):
    shutil.copytree(root / "data", tmp_path / "data")
    argv = argv_of(tmp_path, tmp_path / "e")
    argv[1] = str(root / "teacher")
    manifest = tmp_path / "data" / "manifest.json"
    content = json.loads(manifest.read_text())
    for shard in content["shards"]:
        shard["segments"] = 0 if shard["part"] == "test" else shard["segments"]
    manifest.write_text(json.dumps(content))
    refused(argv, capsys, 3, "the part 'test'", "has no segment", "with segments: train")
    manifest.unlink()
    refused(argv, capsys, 3, "is not a prepared data set", "anyecg prepare")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_damaged_shard_is_named(root, tmp_path, capsys, suffix):
    shutil.copytree(root / "data", tmp_path / "data")
    path = max((tmp_path / "data" / "shards").glob(f"test-*{suffix}"))
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(bytes(content))
    argv = argv_of(tmp_path, tmp_path / "e")
    argv[1] = str(root / "teacher")
    refused(argv, capsys, 3, f"the shard {path.stem} of", "is damaged", "anyecg prepare")


def test_an_intact_shard_that_differs_from_the_manifest_is_named(root, tmp_path, capsys):
    shutil.copytree(root / "data", tmp_path / "data")
    shards = tmp_path / "data" / "shards"
    first, second = sorted(p.stem for p in shards.glob("test-*.json"))[:2]
    for suffix in (".npy", ".npz", ".json"):
        shutil.copy(shards / f"{second}{suffix}", shards / f"{first}{suffix}")
    argv = argv_of(tmp_path, tmp_path / "e")
    argv[1] = str(root / "teacher")
    refused(argv, capsys, 3, f"the shard {first} of", "is damaged")


def test_a_folder_that_cannot_be_written_is_one_line(root, done, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("x")
    refused(argv_of(root, tmp_path / "file" / "e"), capsys, 7, "cannot write")
    out = tmp_path / "e"
    shutil.copytree(done, out)
    next(out.rglob("*.scores")).unlink()
    replace = Path.replace

    def full(self, target):
        if str(target).endswith(".scores"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    refused(argv_of(root, out), capsys, 7, "No space left on device", "finished work is kept")
    assert len(scores_of(out)) == len(scores_of(done)) - 1
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--margin", "0.1"], "--margin needs --reference"),
        (["--baseline-segments", "10"], "contradict"),
        (["--resamples", "3"], "give 100 or more"),
        (["--scheduler", "slurm"], "--scheduler 'slurm'"),
        (["--split", "train"], "invalid choice"),
    ],
)
def test_invalid_options_are_one_line(root, tmp_path, capsys, more, said):
    refused(argv_of(root, tmp_path / "e", *more), capsys, 2, said)


def test_a_network_without_finite_outputs_is_one_line(root, tmp_path, capsys):
    data = PreparedDataset(root / "data")
    folder = tmp_path / "teacher"
    shutil.copytree(root / "teacher", folder)
    net = Net1D(n_classes=len(data.heads), **SMALL)
    tensors = {k: v if "first_conv" not in k else 1e30 * np.sign(v) for k, v in to_tensors(net).items()}
    write_checkpoint(folder / "teacher.pth", tensors)
    argv = argv_of(root, tmp_path / "e")
    argv[1] = str(folder)
    refused(argv, capsys, 3, "values that are not finite")
