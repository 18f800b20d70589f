"""`anyecg prepare` on a folder of WFDB or EDF recordings with a CSV of results."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from convert.datasets.patient_split import part_of
from convert.datasets.prepared import PreparedDataset
from convert.datasets.wfdb16 import write_record
from edge.cli.main import main
from edge.frontend.ecgfounder import EcgFounderFrontEnd
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LABELS = "[heads]\nmin_values = 1\nmin_positives = 0\n[labs.potassium]\n"


def ecg(seconds: float, seed: int, fs_hz: float = 500.0) -> np.ndarray:
    return EcgSynth(EcgParams(), seed).generate(round(seconds * fs_hz), fs_hz).astype(np.float32)


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "records"
    (root / "a").mkdir(parents=True)
    for i in range(3):
        write_record(root / "a", f"r{i}", "II", ecg(35, i), 500.0, 1000.0, START)
    broken = ecg(35, 9)
    broken[6000:6010] = np.nan
    write_record(root / "a", "gap", "II", broken, 500.0, 1000.0, START)
    write_record(root / "a", "brief", "II", ecg(6, 4), 500.0, 1000.0, START)
    write_record(root / "a", "slow", "II", ecg(35, 5, 250.0), 250.0, 1000.0, START)
    (tmp_path / "l.toml").write_text(LABELS)
    return root


def run(folder: Path, table: str, out: str = "out") -> int:
    path = folder.parent / "labs.csv"
    path.write_text(table)
    where = folder.parent / out
    labels = str(folder.parent / "l.toml")
    return main(
        ["prepare", "--records", str(folder), "--labs", str(path), "--out", str(where), "--labels", labels, "--quiet"]
    )


HEAD = "record,patient,name,value,unit,low,high,order_time,result_time,part\n"
TIMES = "2026-03-01T12:00:05Z,2026-03-01T12:00:22Z"


def test_wfdb_with_times_and_without(folder, capsys):
    table = HEAD + "".join(
        f"a/{name},p-{name},Potassium,{value},mmol/L,3.5,5.0,{times},train\n"
        for name, value, times in (
            ("r0", "3.0", TIMES), ("r1", ">6", TIMES), ("r2", "4.0", ","), ("gap", "4.4", ","), ("brief", "4.4", ","),
            ("slow", "5.5", ","),
        )
    )  # fmt: skip
    assert run(folder, table) == 0
    data = PreparedDataset(folder.parent / "out")
    (shard,) = data.shards("train")
    of = {name: np.flatnonzero(shard.patient == f"p-{name}") for name in ("r0", "r1", "r2", "gap", "brief", "slow")}
    # The middles of the segments are at 5, 15 and 25 s; the result was reported at 22 s.
    assert {name: len(found) for name, found in of.items()} == {
        "r0": 2,
        "r1": 2,
        "r2": 3,
        "gap": 3,
        "brief": 0,
        "slow": 3,
    }
    keys = [head.key for head in data.heads]
    y = shard.targets()
    assert y[of["r0"], keys.index("potassium_low")].tolist() == [1.0, 1.0]
    assert y[of["r1"], keys.index("potassium_high")].tolist() == [1.0, 1.0]
    assert np.isnan(y[of["r1"], keys.index("potassium_value")]).all()
    assert shard.start_s[of["r0"]].tolist() == [START.timestamp(), START.timestamp() + 10]
    excluded = data.manifest["excluded_segments"]
    assert excluded == {"gap": 1, "no_label": 2, "short": 1}
    front_end = EcgFounderFrontEnd()
    want = front_end(np.rint(1000.0 * ecg(35, 2)[:5000].astype(np.float64)) / 1000.0)
    assert np.abs(shard.segments(of["r2"][:1])[0] - want).max() < 2e-3


@pytest.mark.parametrize("fs_hz", [125.0, 250.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize(("seconds", "segments"), [(9.4, 0), (9.6, 1), (10.0, 1), (12.0, 1)])
def test_ten_seconds_are_one_segment_at_every_rate(folder, fs_hz, seconds, segments):
    write_record(folder / "a", "ten", "II", ecg(seconds, 5, fs_hz), fs_hz, 1000.0, START)
    table = HEAD + "a/ten,p,Potassium,5.5,mmol/L,3.5,5.0,,,train\n" + "a/r0,q,Potassium,4.0,mmol/L,3.5,5.0,,,train\n"
    assert run(folder, table) == 0
    data = PreparedDataset(folder.parent / "out")
    (shard,) = data.shards("train")
    rows = np.flatnonzero(shard.patient == "p")
    assert len(rows) == segments
    assert data.manifest["excluded_segments"].get("short", 0) == 1 - segments
    if segments:
        assert shard.start_s[rows[0]] == pytest.approx(START.timestamp(), abs=0.2)


def test_edf(folder, tmp_path):
    edfio = pytest.importorskip("edfio")
    signal = edfio.EdfSignal(ecg(40, 3).astype(np.float64), 500.0, label="ECG II", physical_dimension="mV")
    (folder / "e").mkdir()
    edfio.Edf([signal]).write(folder / "e" / "x.edf")
    assert run(folder, HEAD + "e/x,someone,POTASSIUM,5.5,mmol/L,3.5,5.0,,,train\n") == 0
    data = PreparedDataset(folder.parent / "out")
    assert data.size("train") == 4
    assert data.manifest["excluded_visits"] == {"recording_without_results": 6}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("", "empty"),
        ("record,patient\n", "lacks the column name, value, unit"),
        (HEAD, "names no recording"),
        (HEAD + "a/r0,,K,1,mmol/L,,,,,\n", "no patient"),
        (HEAD + "a/r0,p,K,1,mmol/L,,,,,learn\n", "train, val, test"),
        (HEAD + "a/r0,p,K,1,mmol/L,,,,,train\na/r1,p,K,1,mmol/L,,,,,test\n", "patient p is in both"),
        (HEAD + "a/r0,p,K,1,mmol/L,,,,,\na/r0,q,K,1,mmol/L,,,,,\n", "two patients"),
    ],
)
def test_bad_tables_are_refused(folder, capsys, table, expected):
    assert run(folder, table) == 3
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1


def test_without_a_part_column_patients_are_split_by_a_hash_of_their_identifier():
    parts = [part_of(f"patient {i}") for i in range(2000)]
    assert [round(parts.count(p) / 2000, 1) for p in ("train", "val", "test")] == [0.8, 0.1, 0.1]
    assert parts == [part_of(f"patient {i}") for i in range(2000)]
