"""Patients have the same hash in a prepared data set and in bundles."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from convert.datasets.mcmed import McMedDataset
from convert.datasets.pairs import find_recordings
from convert.datasets.prepared import PreparedDataset
from convert.simulate.write import CohortPlan, write_cohort
from convert.teacher.patients import aliases, hashes, listed
from convert.teacher.prepared_patients import prepared_hashes
from edge.cli.main import main
from firmware_bridge.errors import InputError

LABELS = "[heads]\nmin_values = 1\nmin_positives = 1\n[segments]\nkeep_unlabelled = true\n[labs.potassium]\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("patients")
    write_cohort(CohortPlan(patients=12, seed=5, seconds=20.0), folder / "cohort")
    (folder / "labels.toml").write_text(LABELS)
    return folder


@pytest.fixture(scope="module")
def prepared(root) -> PreparedDataset:
    argv = ["--mcmed", str(root / "cohort"), "--labels", str(root / "labels.toml"), "--out", str(root / "p")]
    assert main(["prepare", *argv, "--quiet"]) == 0
    return PreparedDataset(root / "p")


def of_recordings(folder: Path, dataset: PreparedDataset, part: str) -> frozenset[bytes]:
    """Return the hashes of a bundle that was distilled from, or validated on, the same patients."""
    visits = {int(v) for shard in dataset.shards(part) for v in shard.visit}
    return hashes(r for r in find_recordings(folder) if r.visit in visits)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_simulated_patients_have_the_hashes_of_their_recordings(root, prepared, part):
    found = prepared_hashes(prepared, part)
    assert found == of_recordings(root / "cohort", prepared, part)
    assert len(found) == len({p for s in prepared.shards(part) for p in s.patient.tolist()})


def test_real_patients_are_identified_by_their_number(root, prepared, tmp_path):
    """Without the simulator's note, the same tables count as real."""
    shutil.copytree(root / "cohort", tmp_path / "real")
    (tmp_path / "real" / "NOTICE").unlink()
    argv = ["--mcmed", str(tmp_path / "real"), "--labels", str(root / "labels.toml"), "--out", str(tmp_path / "p")]
    assert main(["prepare", *argv, "--quiet"]) == 0
    real = PreparedDataset(tmp_path / "p")
    assert real.manifest["origin"] == {"kind": "mcmed"}
    assert prepared_hashes(real, "train") == of_recordings(tmp_path / "real", real, "train")
    assert not prepared_hashes(real, "train") & prepared_hashes(prepared, "train")


def test_recordings_of_a_folder_are_identified_by_their_content(root, tmp_path):
    folder, table = tmp_path / "records", tmp_path / "labs.csv"
    folder.mkdir()
    rows = [["record", "patient", "name", "value", "unit", "low", "high", "part"]]
    records = [s for csn in sorted(McMedDataset(root / "cohort").waveform_summary()) for s in
               McMedDataset(root / "cohort").segments(csn)][:4]  # fmt: skip
    for i, record in enumerate(records):
        for suffix in (".hea", ".dat"):
            shutil.copy(record.header.path.with_suffix(suffix), folder)
        low_and_high = ["3.5", "5.1"]
        name = record.header.path.stem
        rows.append([name, str(i), "POTASSIUM", "6.0" if i % 2 else "4.0", "mmol/L", *low_and_high, "train"])
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    argv = ["--records", str(folder), "--labs", str(table), "--labels", str(root / "labels.toml")]
    assert main(["prepare", *argv, "--out", str(tmp_path / "p"), "--quiet"]) == 0
    found = prepared_hashes(PreparedDataset(tmp_path / "p"), "train")
    assert len(found) == 4
    assert found == hashes(find_recordings(folder))
    # A data set of an earlier version has sizes only, as lists of that version have.
    manifest = tmp_path / "p" / "manifest.json"
    raw = json.loads(manifest.read_text())
    del raw["origin"]["contents"]
    manifest.write_text(json.dumps(raw))
    old = prepared_hashes(PreparedDataset(tmp_path / "p"), "train")
    assert listed(aliases(find_recordings(folder)), old) == found


def test_data_of_an_older_version_are_refused(prepared, tmp_path):
    manifest = {k: v for k, v in prepared.manifest.items() if k != "origin"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="does not say where the recordings"):
        prepared_hashes(PreparedDataset(tmp_path), "train")
