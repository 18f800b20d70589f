"""`anyecg prepare`: from the MC-MED layout to labelled segments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from convert.mcmed import McMedDataset
from convert.prepared import PreparedDataset
from convert.simulate_write import CohortPlan, write_cohort
from edge.cli import main
from edge.frontend_ecgfounder import EcgFounderFrontEnd

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
                if 0 <= at and at + 10 <= record.header.n / 500 + 1e-6:
                    raw = record.read(round(at * 500), round(at * 500) + 5000).astype(np.float64)
                    want = front_end(raw)
                    assert np.abs(x[i] - want).max() <= np.abs(want).max() / 32767
                    assert shard.sd_mv[i] == pytest.approx(front_end.filter(raw).std(), rel=1e-6)
                    seen += 1
    assert seen > 5


def test_manifest_says_what_is_there(prepared):
    prepared.verify()
    m = prepared.manifest
    assert sum(prepared.size(p) for p in ("train", "val", "test")) == sum(m["segments"].values()) > 20
    assert json.loads((prepared.folder / "summary.json").read_text())["segments"] == m["segments"]
    patients = [set(p for s in prepared.shards(part) for p in s.patient) for part in ("train", "val", "test")]
    assert not patients[0] & patients[1] and not patients[0] & patients[2] and not patients[1] & patients[2]
    for j, head in enumerate(prepared.heads):
        y = np.concatenate([s.targets()[:, j] for s in prepared.shards("train")])
        counts = next(h for h in m["heads"] if h["key"] == head.key)["counts"]["train"]
        assert np.count_nonzero(~np.isnan(y)) == counts["segments"]
        if head.kind == "probability":
            assert np.nansum(y) == counts["positive_segments"]
