"""A prepared cohort and a teacher of random weights, made once for all tests that evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convert.checkpoint.net1d import Net1D, to_tensors
from convert.checkpoint.writer import write_checkpoint
from convert.datasets.prepared import PreparedDataset
from convert.simulate.write import CohortPlan, write_cohort
from convert.teacher.patients import patients_file
from convert.teacher.prepared_patients import prepared_hashes
from edge.cli.main import main

LABELS = """
[heads]
min_values = 4
min_positives = 1
horizons_min = [60]
[labs.potassium]
[labs.hemoglobin]
"""
SMALL = {"base_filters": 8, "filter_list": [8, 16], "m_blocks_list": [1, 1], "ratio": 1.0, "groups_width": 8}


_made: list[Path] = []


def small_root(factory: pytest.TempPathFactory) -> Path:
    """Create a folder with ``cohort``, its prepared segments in ``data``, and ``teacher``."""
    if _made:
        return _made[0]
    folder = factory.mktemp("evaluate")
    write_cohort(CohortPlan(patients=60, seed=5, seconds=30.0, dirt=True), folder / "cohort")
    (folder / "labels.toml").write_text(LABELS)
    argv = ["--mcmed", str(folder / "cohort"), "--labels", str(folder / "labels.toml"), "--out", str(folder / "data")]
    assert main(["prepare", *argv, "--patients-per-shard", "2", "--quiet"]) == 0
    write_teacher(folder / "teacher", PreparedDataset(folder / "data"), 1)
    _made.append(folder)
    return folder


def write_teacher(folder: Path, data: PreparedDataset, seed: int, *, stride: int = 2) -> Path:
    """Write a teacher like that of `anyecg finetune`, with random weights."""
    import keras

    keras.utils.set_random_seed(seed)
    folder.mkdir()
    net = Net1D(n_classes=len(data.heads), stride=stride, **SMALL)
    write_checkpoint(folder / "teacher.pth", to_tensors(net), facts={"epoch": 1, "stride": stride, "use_bn": 0})
    write_outputs(folder / "outputs.json", data)
    parts = {part: prepared_hashes(data, part) for part in ("train", "val")}
    (folder / "patients.json").write_bytes(patients_file(parts))
    return folder


def write_outputs(path: Path, data: PreparedDataset) -> None:
    names = ("key", "lab", "loinc", "unit", "direction", "kind", "horizon_min")
    path.write_text(json.dumps({"outputs": [{name: getattr(h, name) for name in names} for h in data.heads]}))


def argv_of(root: Path, out: Path, *more: str) -> list[str]:
    where = ["--data", str(root / "data"), "--out", str(out)]
    return ["evaluate", str(root / "teacher"), *where, "--no-baselines", "--quiet", "--jobs", "1", *more]


def bytes_of(out: Path) -> dict[str, bytes]:
    """Contents of the files in a folder, by name."""
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def scores_of(out: Path) -> dict[str, bytes]:
    """The score shards of an evaluation."""
    return {name: data for name, data in bytes_of(out).items() if name.endswith(".scores")}
