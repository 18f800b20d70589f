"""`anyecg prepare`: from the MC-MED layout to labelled segments."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from convert.datasets.mcmed import McMedDataset
from convert.datasets.prepared import PreparedDataset
from convert.labels.plan import HeadPlan, Pairing, SegmentPlan
from convert.simulate.write import CohortPlan, write_cohort
from edge.cli.main import main
from edge.frontend.ecgfounder import EcgFounderFrontEnd
from firmware_bridge.errors import InputError

LABELS = """
[heads]
min_values = 4
min_positives = 1
[labs.potassium]
[labs.sodium]
[labs.hemoglobin]
"""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("cohort") / "c"
    write_cohort(CohortPlan(patients=20, seed=5, seconds=30.0), root)
    return root


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.toml"
    path.write_text(LABELS)
    return path


@pytest.fixture(scope="module")
def prepared(cohort, labels, tmp_path_factory) -> PreparedDataset:
    out = tmp_path_factory.mktemp("out") / "p"
    assert main(["prepare", "--mcmed", str(cohort), "--labels", str(labels), "--out", str(out), "--quiet"]) == 0
    return PreparedDataset(out)


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_segments_are_those_of_the_front_end(cohort, prepared):
    data, front_end = McMedDataset(cohort), EcgFounderFrontEnd()
    seen = 0
    for shard in prepared.shards("train"):
        x = shard.segments(slice(0, 5))
        for i in range(len(x)):
            for record in data.segments(int(shard.visit[i])):
                at = shard.start_s[i] - record.start.timestamp()
                if at >= 0 and at + 10 <= record.header.n / 500 + 1e-6:
                    raw = record.read(round(at * 500), round(at * 500) + 5000).astype(np.float64)
                    want = front_end(raw)
                    assert np.abs(x[i] - want).max() <= np.abs(want).max() / 32767
                    assert shard.sd_mv[i] == pytest.approx(front_end.filter(raw).std(), rel=1e-6)
                    seen += 1
    assert seen > 5


def test_manifest_matches_the_shards(prepared):
    prepared.verify()
    m = prepared.manifest
    total = sum(m["segments"].values())
    assert total > 20
    assert sum(prepared.size(p) for p in ("train", "val", "test")) == total
    assert json.loads((prepared.folder / "summary.json").read_text())["segments"] == m["segments"]
    patients = [{p for s in prepared.shards(part) for p in s.patient} for part in ("train", "val", "test")]
    assert len(set.union(*patients)) == sum(map(len, patients))
    for j, head in enumerate(prepared.heads):
        y = np.concatenate([s.targets()[:, j] for s in prepared.shards("train")])
        counts = next(h for h in m["heads"] if h["key"] == head.key)["counts"]["train"]
        assert np.count_nonzero(~np.isnan(y)) == counts["segments"]
        if head.kind == "probability":
            assert np.nansum(y) == counts["positive_segments"]
        else:
            column = [h.key for h in prepared.heads if h.kind == "value"].index(head.key)
            values = [s.values()[:, column] for s in prepared.shards("train")]
            np.testing.assert_allclose(y * head.iqr + head.median, np.concatenate(values), rtol=1e-5)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory) -> tuple[dict, dict, dict]:
    """Return the summaries of a clean and of a dirty cohort with the same patients, and the planted dirt."""
    root = tmp_path_factory.mktemp("dirt")
    (root / "labels.toml").write_text(
        "[heads]\nmin_values = 1\nmin_positives = 1\n[segments]\nkeep_unlabelled = true\n"
    )
    found = []
    for name in ("clean", "dirty"):
        write_cohort(CohortPlan(patients=24, seed=3, seconds=30.0, dirt=name == "dirty"), root / name)
        argv = ["--mcmed", str(root / name), "--out", str(root / f"{name}.out"), "--labels", str(root / "labels.toml")]
        assert main(["prepare", *argv, "--quiet"]) == 0
        found.append(json.loads((root / f"{name}.out" / "summary.json").read_text()))
    return *found, json.loads((root / "dirty" / "DIRT.json").read_text())


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("segments", lambda s: s["excluded_segments"]),
        ("visits", lambda s: s["excluded_visits"]),
        ("rows", lambda s: s["lab_rows"]["excluded"]),
        ("notes", lambda s: s["lab_rows"]["notes"]),
    ],
)
def test_all_planted_dirt_is_counted_exactly(dirty, where, place):
    clean, with_dirt, planted = dirty
    grown = {k: place(with_dirt).get(k, 0) - place(clean).get(k, 0) for k in {*place(clean), *place(with_dirt)}}
    assert {k: n for k, n in grown.items() if n} == {k: n for k, n in planted[where].items() if n}


def test_dirt_of_every_kind_is_planted(dirty):
    planted = dirty[2]
    assert set(planted["segments"]) == {"flat", "clipped", "gap", "short", "no_lead", "no_start_time", "no_record"}
    assert set(planted["rows"]) == {
        "not_a_number", "no_unit", "no_time", "result_before_order", "unknown_component", "repeated",
        "visit_without_waveform",
    }  # fmt: skip
    assert set(planted["notes"]) == {"censored", "no_range", "converted"}
    assert min(n for part in planted.values() for n in part.values()) > 0


def test_an_interrupted_run_ends_with_the_same_bytes(cohort, labels, prepared, tmp_path, monkeypatch):
    """Stop a run before one of its renames, and resume it, until it completes."""
    out = tmp_path / "again"
    argv = ["prepare", "--mcmed", str(cohort), "--labels", str(labels), "--out", str(out), "--quiet"]
    replace = Path.replace
    countdown = 0

    class PowerCutError(BaseException):
        pass

    def fail_at_countdown(self, target):
        nonlocal countdown
        countdown -= 1
        if countdown == 0:
            raise PowerCutError
        return replace(self, target)

    steps, finished = 0, False
    monkeypatch.setattr(Path, "replace", fail_at_countdown)
    while not finished:
        # Stop before each of the three renames of a shard, and later ones, so that every round completes some shards.
        countdown, steps = steps % 5 + 1, steps + 1
        assert steps < 60
        try:
            assert main(argv) == 0
            finished = True
        except PowerCutError:
            if (out / "shards").exists():
                (out / "shards" / ".train-00000.dead.part").write_bytes(b"left by an interrupted run")
    assert steps > 5
    assert files_of(out) == files_of(prepared.folder)


def test_a_damaged_shard_is_made_again(cohort, labels, prepared, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(prepared.folder, out)
    for suffix in (".npy", ".npz", ".json"):
        path = next((out / "shards").glob(f"*{suffix}"))
        path.write_bytes(path.read_bytes()[:-7] + b"damaged")
    with pytest.raises(InputError, match="damaged"):
        PreparedDataset(out).verify()
    assert main(["prepare", "--mcmed", str(cohort), "--labels", str(labels), "--out", str(out), "--quiet"]) == 0
    assert files_of(out) == files_of(prepared.folder)


def test_threads_give_the_same_bytes_and_dask_is_not_needed(cohort, labels, prepared, tmp_path, monkeypatch, capsys):
    argv = ["prepare", "--mcmed", str(cohort), "--labels", str(labels), "--quiet", "--out"]
    assert main([*argv, str(tmp_path / "t"), "--scheduler", "threads:2"]) == 0
    assert files_of(tmp_path / "t") == files_of(prepared.folder)
    for name in ("dask", "distributed"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main([*argv, str(tmp_path / "n")]) == 0
    assert files_of(tmp_path / "n") == files_of(prepared.folder)
    capsys.readouterr()
    for scheduler in ("threads", "tcp://127.0.0.1:9"):
        assert main([*argv, str(tmp_path / "x"), "--scheduler", scheduler]) == 6
        assert "anyecg-edge[cluster]" in capsys.readouterr().err


def test_a_missing_cluster_gives_a_one_line_error(cohort, labels, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("convert.compute.schedule.CONNECT_S", 0.3)
    argv = ["prepare", "--mcmed", str(cohort), "--labels", str(labels), "--out", str(tmp_path / "x"), "--quiet"]
    assert main([*argv, "--scheduler", "tcp://127.0.0.1:9"]) == 5
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err
    assert main([*argv, "--scheduler", "slurm"]) == 2


def test_the_page_matches_the_code(tmp_path):
    """The commands of docs/prepare.md work, and the page lists every reason and every setting."""
    page = (Path(__file__).resolve().parents[4] / "docs" / "prepare.md").read_text()
    script = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert script is not None
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    argv = ["sh", "-e", "-c", script[1]]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    data = PreparedDataset(tmp_path / "prepared")
    assert {head.lab for head in data.heads} == {"potassium", "calcium", "hemoglobin", "sodium"}
    counted = json.loads((tmp_path / "prepared" / "summary.json").read_text())
    rows = counted["lab_rows"]
    tables = (counted["excluded_segments"], counted["excluded_visits"], rows["excluded"], rows["notes"])
    for reason in {name for table in tables for name in table}:
        assert f"`{reason}`" in page, reason
    for kind in (Pairing, HeadPlan, SegmentPlan):
        for setting in fields(kind):
            assert setting.name in page, setting.name
    for plot in ("prevalence-1.svg", "left-out.svg"):
        assert (tmp_path / "prepared" / "plots" / plot).read_text().startswith("<?xml")
