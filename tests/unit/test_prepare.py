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
                if at >= 0 and at + 10 <= record.header.n / 500 + 1e-6:
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
        else:
            values = [
                s.values()[:, [h.key for h in prepared.heads if h.kind == "value"].index(head.key)]
                for s in prepared.shards("train")
            ]
            np.testing.assert_allclose(y * head.iqr + head.median, np.concatenate(values), rtol=1e-5)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory) -> tuple[dict, dict, dict]:
    """What a dirty cohort has more than the same one clean, and what was planted."""
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
def test_every_planted_dirt_is_counted_exactly(dirty, where, place):
    clean, soiled, planted = dirty
    grown = {k: place(soiled).get(k, 0) - place(clean).get(k, 0) for k in {*place(clean), *place(soiled)}}
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
