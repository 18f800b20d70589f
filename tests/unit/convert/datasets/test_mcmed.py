"""The reader of the MC-MED layout, with simulated data and with damaged files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.datasets.csvrows import parse_time
from convert.datasets.mcmed import McMedDataset, parse_value
from convert.datasets.wfdb16 import read_header, read_samples, write_record
from convert.simulate.patient import simulate_patient
from convert.simulate.write import CohortPlan, csn_of, write_cohort
from firmware_bridge.errors import InputError

PATIENTS = 24
SEED = 5
SECONDS = 12.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mcmed") / "set"
    write_cohort(CohortPlan(PATIENTS, SEED, SECONDS), out)
    return out


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Write a minimal data set by hand."""
    (tmp_path / "waveforms").mkdir()
    (tmp_path / "visits.csv").write_text(
        "CSN,Extra,MRN,Gender,Age,Arrival_time\n98874959,x,99940664,F,90,2262-01-09T03:16:07Z\n", encoding="utf-8"
    )
    columns = (
        "CSN,Order_time,Result_time,Display_name,Abnormal,Component_name,Component_result,Component_value,"
        "Component_units,Component_abnormal,Component_nml_low,Component_nml_high"
    )
    rows = [
        "98874959,2262-01-09T03:20:00Z,2262-01-09T04:00:00Z,BMP,Normal,POTASSIUM,4.1,4.1,mmol/L,Normal,3.5,5.5",
        "98874959,,2262-01-09T04:00:00Z,BMP,Abnormal,POTASSIUM,>10.0,>10.0,mmol/L,High,,",
        '98874959,,not a time,"A, B",Normal,POTASSIUM,HEMOLYZED,HEMOLYZED,mmol/L,,3.5,5.5',
        "98874959,,2262-01-09T04:00:00Z,X,Normal,SOMETHING ELSE,1,1,u,,,",
    ]
    (tmp_path / "labs.csv").write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return tmp_path


def test_round_trip_of_visits_and_splits(root: Path) -> None:
    data = McMedDataset(root)
    visits = list(data.visits())
    patients = data.patients()
    assert data.simulated
    assert len(patients) == PATIENTS
    assert len({v.csn for v in visits}) == len(visits) > PATIENTS
    owner = {v.csn: v.mrn for v in visits}
    for kind in ("random", "chrono"):
        parts = {p: data.split(p, kind) for p in ("train", "val", "test")}
        assert sorted(csn for part in parts.values() for csn in part) == sorted(owner)
        groups = [{owner[csn] for csn in part} for part in parts.values()]
        assert not groups[0] & groups[1]
        assert not groups[0] & groups[2]
        assert not groups[1] & groups[2]
    first = {mrn: min(v.arrival for v in visits if v.mrn == mrn and v.arrival) for mrn in patients}
    train, test = ({owner[c] for c in data.split(p, "chrono")} for p in ("train", "test"))
    assert max(first[m] for m in train) <= min(first[m] for m in test)


def test_round_trip_of_labs(root: Path) -> None:
    data = McMedDataset(root)
    rows = list(data.labs())
    assert all(row.lab is not None for row in rows)
    only = list(data.labs({"potassium"}, {csn_of(0, 0)}))
    assert [row for row in rows if row.lab and row.lab.key == "potassium" and row.csn == csn_of(0, 0)] == only
    truth = {csn_of(i, 0): simulate_patient(SEED, i, 1.0).labs for i in range(PATIENTS)}
    checked = 0
    for row in data.labs({"potassium", "calcium", "free_t4"}, truth.keys()):
        if row.value is not None and not row.value.censored and row.lab is not None:
            assert row.value.number == pytest.approx(truth[row.csn][row.lab.key], rel=0.08, abs=0.06)
            assert row.low == row.lab.ref_low
            checked += 1
    assert checked > PATIENTS


def test_round_trip_of_waveforms(root: Path) -> None:
    data = McMedDataset(root)
    summary = data.waveform_summary()
    several = 0
    for index in range(PATIENTS):
        csn = csn_of(index, 0)
        segments = list(data.segments(csn))
        assert len(segments) == summary.get(csn, (0, 0.0))[0]
        if not segments:
            continue
        several += len(segments) > 1
        truth = simulate_patient(SEED, index, SECONDS).ecg_mv
        got = np.concatenate([segment.read() for segment in segments])
        assert got.dtype == np.float32
        assert np.abs(got - truth).max() <= 0.00051
        assert segments[0].read(100, 350).tobytes() == segments[0].read()[100:350].tobytes()
        times = [segment.start for segment in segments]
        assert all(time is not None for time in times)
        assert times == sorted(times, key=lambda t: t or datetime.max.replace(tzinfo=UTC))
    assert several > 0


def test_wfdb_reads_the_same(root: Path) -> None:
    import wfdb

    data = McMedDataset(root)
    csn = next(iter(data.waveform_summary()))
    segment = next(iter(data.segments(csn)))
    name = str(segment.header.path.with_suffix(""))
    record = wfdb.rdrecord(name)
    assert (record.fs, record.units, record.sig_name) == (500, ["mV"], ["II"])
    assert segment.start == record.base_datetime.replace(tzinfo=UTC)
    assert np.abs(record.p_signal[:, 0] - segment.read()).max() < 1e-6
    stored, computed = record.checksum[0], wfdb.rdrecord(name, physical=False).calc_checksum()[0]
    assert (stored - computed) % 65536 == 0


def test_every_row_is_yielded(small: Path) -> None:
    data = McMedDataset(small)
    rows = list(data.labs())
    assert [row.value and (row.value.number, row.value.censored) for row in rows] == [
        (4.1, ""), (10.0, ">"), None, (1.0, "")
    ]  # fmt: skip
    assert [(row.low, row.high) for row in rows] == [(3.5, 5.5), (None, None), (3.5, 5.5), (None, None)]
    assert rows[2].result_time is None
    assert rows[2].text == "HEMOLYZED"
    assert rows[3].lab is None
    assert len(list(data.labs({"potassium"}))) == 3
    assert list(data.labs(csns={1})) == []
    assert list(data.segments(98874959)) == []
    assert next(data.visits()).arrival == datetime(2262, 1, 9, 3, 16, 7, tzinfo=UTC)


def test_the_parent_folder_is_accepted(small: Path, tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    (above / "data").symlink_to(small)
    assert McMedDataset(above).root == above / "data"


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        McMedDataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no visits\.csv, no labs\.csv, no waveforms.*expected"):
        McMedDataset(tmp_path)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="is a file"):
        McMedDataset(tmp_path / "file")


def test_damaged_tables_are_refused(small: Path) -> None:
    data = McMedDataset(small)
    with pytest.raises(InputError, match=r"split_random_train\.csv"):
        data.split("train")
    (small / "split_random_train.csv").write_text("98874959\nCSN\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2"):
        data.split("train")
    (small / "visits.csv").write_text("CSN,Age\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="lacks the column MRN, Gender"):
        list(data.visits())
    (small / "visits.csv").write_text("CSN,MRN,Age,Gender,Arrival_time\n1,two,3,F,\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2: MRN is 'two'"):
        list(data.visits())
    (small / "visits.csv").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="is empty"):
        list(data.visits())


@pytest.mark.parametrize(
    ("text", "number", "censored"),
    [
        ("4.1", 4.1, ""), (" >10.0 ", 10.0, ">"), ("< 0.5", 0.5, "<"), (">=90", 90.0, ">"), ("≤3", 3.0, "<"),
        ("1,200", 1200.0, ""), ("-2", -2.0, ""), (".5", 0.5, ""),
    ],
)  # fmt: skip
def test_values(text: str, number: float, censored: str) -> None:
    value = parse_value(text)
    assert value is not None
    assert (value.number, value.censored) == (number, censored)


@pytest.mark.parametrize("text", ["", "HEMOLYZED", "nan", "inf", "1-2", "1+", "4.1 mmol", ">", "1e5", "0x10"])
def test_other_texts_have_no_value(text: str) -> None:
    assert parse_value(text) is None


@given(st.text(max_size=40))
def test_any_text_is_accepted(text: str) -> None:
    value = parse_value(text)
    assert value is None or np.isfinite(value.number)
    parse_time(text)


HEADER = "x 1 500 100 03:16:07.250 09/01/2262\nx.dat 16 200(5)/mV 16 0 0 0 0 II\n"


def broken(tmp_path: Path, header: str, samples: int = 100) -> np.ndarray:
    (tmp_path / "x.hea").write_text(header, encoding="utf-8")
    (tmp_path / "x.dat").write_bytes(np.arange(samples, dtype="<i2").tobytes())
    return read_samples(read_header(tmp_path / "x.hea"), "II")


def test_header_fields(tmp_path: Path) -> None:
    mv = broken(tmp_path, HEADER)
    assert mv[105 - 100] == pytest.approx(0.0)
    assert mv[25] == pytest.approx(0.1)
    assert read_header(tmp_path / "x.hea").start == datetime(2262, 1, 9, 3, 16, 7, 250000, tzinfo=UTC)
    assert broken(tmp_path, HEADER.replace("200(5)/mV", "0.2/uV"))[20] == pytest.approx(0.1)
    assert broken(tmp_path, "x 1 500\nx.dat 16\n".replace("16\n", "16 200 16 0 0 0 0 II\n"))[99] == pytest.approx(
        99 / 200
    )


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("", "no WFDB header"),
        ("# only a comment\n", "no WFDB header"),
        ("x\n", "not a usable"),
        ("x 1 0 100\nx.dat 16 200\n", "not a usable"),
        ("x 1 abc 100\nx.dat 16 200\n", "not a usable"),
        ("x 2 500 100\nx.dat 16 200 16 0 0 0 0 II\n", "announces 2 signals"),
        ("x/3 1 500 100\n", "multi-segment"),
        (HEADER.replace("x.dat", "../../etc/passwd"), "plain name"),
        (HEADER.replace("200(5)/mV", "1e300/mV"), "gain"),
        (HEADER.replace("09/01/2262", "39/01/2262"), "not a usable"),
        (HEADER.replace("09/01/2262", "9"), "not a usable"),
        (HEADER.replace("/mV", "/mmHg"), "not in volts"),
        (HEADER.replace(" II", " Pleth"), "it has: Pleth"),
        (HEADER.replace(" 100 ", " 101 "), "truncated: 100 of 101"),
        ("x" * 70000, "larger"),
    ],
)
def test_damaged_records_are_refused(tmp_path: Path, header: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        broken(tmp_path, header)


def test_missing_record_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_header(tmp_path / "x.hea")
    (tmp_path / "x.hea").write_text(HEADER, encoding="utf-8")
    with pytest.raises(InputError, match="No such file"):
        read_samples(read_header(tmp_path / "x.hea"), "II")


def test_other_formats_are_read_by_wfdb(tmp_path: Path) -> None:
    import wfdb

    signal = np.round(np.sin(np.arange(1000) / 20.0)[:, None], 3)
    wfdb.wrsamp("y", fs=500, units=["mV"], sig_name=["II"], p_signal=signal, fmt=["24"], write_dir=str(tmp_path))
    header = read_header(tmp_path / "y.hea")
    assert not header.plain
    assert np.abs(read_samples(header, "ii", 10, 500) - signal[10:500, 0]).max() < 1e-5
    (tmp_path / "y.dat").write_bytes(b"")
    with pytest.raises(InputError, match="cannot read"):
        read_samples(header, "II")


def test_missing_and_clipped_samples(tmp_path: Path) -> None:
    signal = np.array([0.0, np.nan, 1e6, -1e6, 0.001], dtype=np.float32)
    write_record(tmp_path, "z", "II", signal, 500.0, 1000.0, datetime(2230, 1, 2, tzinfo=UTC))
    got = read_samples(read_header(tmp_path / "z.hea"), "II")
    assert np.isnan(got[1])
    assert got[[0, 2, 3, 4]] == pytest.approx([0.0, 32.767, -32.767, 0.001], abs=1e-5)
