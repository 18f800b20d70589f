"""WFDB, EDF and MATLAB recordings, real and synthetic; every kind of damage ends in one clear line."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import random
import struct
import sys

import numpy as np
import pytest

from edge.sources import open_source
from edge.sources.replay.base import choose_lead, looks_like_ecg
from firmware_bridge.errors import InputError, MissingExtraError, UsageError
from firmware_bridge.samples import SampleBlock

RECORDS = {
    "mitdb_100": ("100", "", "MLII", 360.0),
    "cinc2015_a103l": ("a103l.mat", "", "II", 250.0),
    "ptbdb_s0010_re": ("s0010_re.hea", "", "ii", 1000.0),
    "macecgdb_test01_00s": ("test01_00s", "", "ECG 1", 500.0),
    "wfdb_mixedsignals": ("mixedsignals", "", "II", 249.89),
    "cinc2017_A00022": ("A00022.mat", "fs=300&lsb_mv=0.001", "1", 300.0),
    "cinc2017_A00027": ("A00027.mat", "fs=300&lsb_mv=0.001", "1", 300.0),
    "cpsc2021_data_84_1": ("data_84_1.dat", "", "II", 200.0),
    "nstdb_118e06": ("118e06.csv", "fs=360&unit=mV", "ecg", 360.0),
    "nstdb_118e24": ("118e24.csv", "fs=360&unit=mV", "ecg", 360.0),
    "edb_e0103": ("e0103.csv", "fs=250&unit=mV", "ecg", 250.0),
    "detectpvc_polar_h10": ("polar_h10.csv", "", "ecg_mv", 130.1608),
}
"""Maps a folder to file, query, expected lead and rate."""


def replay(path, query=""):
    async def collect():
        source = open_source(f"replay:{path}?speed=max{'&' if query else ''}{query}")
        return source.info, [item async for item in source.items()]

    return asyncio.run(collect())


def millivolts(items):
    parts = [b.samples * (b.lsb_mv or 1.0) for b in items if isinstance(b, SampleBlock)]
    return np.concatenate(parts)


@pytest.mark.parametrize("folder", RECORDS)
def test_every_real_record_replays_with_its_true_amplitude_and_length(folder, data_dir):
    name, query, lead, fs_hz = RECORDS[folder]
    info, items = replay(data_dir / folder / name, query)
    found = [item for item in items if isinstance(item, SampleBlock)]
    names = {lead, "I"} if lead == "1" else {lead, lead.removesuffix("_mv")}
    with (data_dir / "reference.csv").open() as file:
        row = next(r for r in csv.DictReader(file) if r["id"] == folder and r["lead"] in names)
    assert info.lead == lead
    assert info.fs_hz == pytest.approx(fs_hz, rel=1e-3)
    assert sum(len(b) + b.lost for b in found) == int(row["n"])
    assert sum(b.lost for b in found) == int(row["nan_samples"])
    mv = millivolts(items)
    assert mv.min() == pytest.approx(float(row["min"]), abs=1e-3)
    assert mv.max() == pytest.approx(float(row["max"]), abs=1e-3)
    assert np.median(mv) == pytest.approx(float(row["median"]), abs=1e-3)
    assert all(b.samples.dtype in (np.int32, np.float32) for b in found)


def test_an_invalid_beginning_of_a_record_counts_as_lost_samples(data_dir):
    _, items = replay(data_dir / "wfdb_mixedsignals" / "mixedsignals")
    first = next(item for item in items if isinstance(item, SampleBlock))
    assert first.lost == 1024
    assert len(first) > 0


def test_start_and_seconds(data_dir):
    _, whole = replay(data_dir / "mitdb_100" / "100", "seconds=20")
    _, part = replay(data_dir / "mitdb_100" / "100", "start=5&seconds=10&block_s=0.5")
    assert np.array_equal(millivolts(part), millivolts(whole)[5 * 360 : 15 * 360])


def wfdb_record(folder, name="r", fmt="16", n=2000, gain=100.0):
    wfdb = pytest.importorskip("wfdb")
    t = np.arange(n) / 250.0
    signals = np.column_stack([np.sin(t), np.cos(t)])
    wfdb.wrsamp(name, fs=250, units=["mV", "mV"], sig_name=["V1", "II"], fmt=[fmt, fmt], write_dir=str(folder),
                p_signal=signals, adc_gain=[gain, gain], baseline=[0, 0])  # fmt: skip
    return folder / name


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212"])
def test_a_truncated_signal_file_is_read_to_its_end(tmp_path, fmt):
    base = wfdb_record(tmp_path, fmt=fmt)
    _, whole = replay(base)
    dat = base.with_suffix(".dat")
    dat.write_bytes(dat.read_bytes()[: dat.stat().st_size // 2 + 1])
    info, items = replay(base)
    assert "is truncated" in info.notes[0]
    assert len(millivolts(items)) == pytest.approx(1000, abs=1)
    assert np.array_equal(millivolts(items), millivolts(whole)[: len(millivolts(items))])


def test_the_date_of_a_recording(tmp_path):
    wfdb_record(tmp_path)
    assert replay(tmp_path / "r")[0].start_unix_ns is None
    text = (tmp_path / "r.hea").read_text().splitlines()
    (tmp_path / "r.hea").write_text("\n".join([text[0] + " 12:00:00 01/02/2003", *text[1:]]))
    assert replay(tmp_path / "r", "start=2")[0].start_unix_ns == 1_044_100_802_000_000_000


def test_segments_and_the_gap_between_them(tmp_path):
    wfdb_record(tmp_path, "a", n=500)
    wfdb_record(tmp_path, "b", n=750)
    (tmp_path / "m.hea").write_text("m/3 2 250 1500\na 500\n~ 250\nb 750\n")
    _, items = replay(tmp_path / "m")
    found = [item for item in items if isinstance(item, SampleBlock)]
    assert [b.lost for b in found if b.lost] == [250]
    assert sum(len(b) for b in found) == 1250


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "not a readable WFDB header"),
        ("r\n", "not a readable WFDB header"),
        ("r 1 250 100\n../secret.dat 16 200/mV 16 0 0 0 0 II\n", "outside its folder"),
        ("r 1 250 100\nhttp://host/x.dat 16 200/mV 16 0 0 0 0 II\n", "outside its folder"),
        ("r 1 0 100\nr.dat 16 200/mV 16 0 0 0 0 II\n", "sampling rate"),
        ("r 1 250 100\nnone.dat 16 200/mV 16 0 0 0 0 II\n", "no such recording"),
        ("r 99999 250 100\n", "99999 signals"),
        ("r 1 250 100\nr.dat 516 200/mV 16 0 0 0 0 II\n", "not a FLAC file"),
    ],
)
def test_broken_headers(tmp_path, header, message):
    (tmp_path / "r.hea").write_text(header)
    (tmp_path / "r.dat").write_bytes(bytes(200))
    with pytest.raises(InputError) as caught:
        replay(tmp_path / "r")
    assert message in str(caught.value).replace("is empty", "not a readable WFDB header")
    assert "\n" not in str(caught.value)


def test_unknown_lead_lists_the_leads(data_dir):
    with pytest.raises(InputError, match=r"no lead 'aVX'.*it has: MLII, V5"):
        replay(data_dir / "mitdb_100" / "100", "lead=aVX")


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "r.hea").write_text("r 1 250 100\nr.dat 516 200/mV 16 0 0 0 0 II\n")
    (tmp_path / "r.dat").write_bytes(b"fLaC" + bytes(300))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match=r"anyecg-edge\[replay\]"):
        replay(tmp_path / "r.hea")


def edf_file(folder, name="e.edf", seconds=20):
    edfio = pytest.importorskip("edfio")
    t = np.arange(250 * seconds) / 250.0
    signals = [
        edfio.EdfSignal(t % 1.0, 250, label="Resp", physical_dimension="L", physical_range=(-1, 1)),
        edfio.EdfSignal(np.sin(t) * 900, 250, label="ECG II", physical_dimension="uV", physical_range=(-1000, 1000)),
    ]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(1, None, "x")], data_record_duration=1).write(folder / name)
    return folder / name


def test_edf(tmp_path):
    path = edf_file(tmp_path)
    info, items = replay(path)
    assert info.lead == "ECG II"
    assert info.fs_hz == 250.0
    mv = millivolts(items)
    assert mv == pytest.approx(0.9 * np.sin(np.arange(5000) / 250.0), abs=1e-4)


def test_edf_with_gaps_keeps_the_gaps(tmp_path):
    path = edf_file(tmp_path)
    data = bytearray(path.read_bytes())
    data[192:197] = b"EDF+D"
    per_record = [int(data[256 + 216 * 3 + 8 * i : 264 + 216 * 3 + 8 * i]) for i in range(3)]
    width = 2 * sum(per_record)
    labels = [bytes(data[256 + 16 * i : 272 + 16 * i]) for i in range(3)]
    at = 2 * sum(per_record[: labels.index(b"EDF Annotations ")])
    for record in range(10, 20):
        where = 256 * 4 + record * width + at
        data[where : where + 8] = b"+%d\x14\x14\x00\x00\x00" % (record + 7)
    path.write_bytes(data)
    found = [item for item in replay(path)[1] if isinstance(item, SampleBlock)]
    assert [b.lost for b in found if b.lost] == [7 * 250]
    assert sum(len(b) for b in found) == 5000


@pytest.mark.parametrize("kind", ["e.edf", "r.hea", "m.hea"])
def test_damaged_headers_are_refused_or_read_but_never_crash(tmp_path, kind):
    wfdb_record(tmp_path, n=500)
    (tmp_path / "m.hea").write_text("m/3 2 250 750\nr 500\n~ 250\nr 0\n")
    path = edf_file(tmp_path, seconds=3) if kind == "e.edf" else tmp_path / kind
    whole = path.read_bytes()
    rnd = random.Random(7)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rnd.choice([1, 3])):
            at = rnd.randrange(min(1024, len(data)))
            data[at : at + rnd.choice([0, 1, 4])] = rnd.choice([b"", b"9", b"-1", b"e9", b" ", b"\xff", b"\n", b"/"])
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            replay(path)


def test_broken_edf(tmp_path):
    path = edf_file(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    info, items = replay(path)
    assert "truncated" in info.notes[0]
    assert 2000 < len(millivolts(items)) <= 2500
    for bad in (whole[:100], whole[:1024], b"0       " + b"x" * 1000, whole[:256] + bytes(800)):
        path.write_bytes(bad)
        with pytest.raises(InputError):
            replay(path)


def mat(rows, columns, kind=30, data=None):
    body = np.zeros(rows * columns, "<i2").tobytes() if data is None else data
    return struct.pack("<5i", kind, rows, columns, 0, 4) + b"val\0" + body


@pytest.mark.parametrize(
    ("content", "query", "error"),
    [
        (mat(1, 100), "", InputError),
        (mat(1, 100)[:-50], "fs=300", InputError),
        (mat(1, 2**30, data=bytes(8)), "fs=300", InputError),
        (mat(-1, 100, data=bytes(8)), "fs=300", InputError),
        (mat(1000, 1000, data=bytes(2_000_000)), "fs=300", InputError),
        (b"MATLAB 5.0 MAT-file, Platform" + bytes(200), "fs=300", InputError),
        (b"short", "fs=300", InputError),
        (mat(1, 100), "fs=abc", UsageError),
        (mat(1, 100), "fs=300&lead=II", InputError),
    ],
)
def test_bad_mat_files(tmp_path, content, query, error):
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    with pytest.raises(error):
        replay(path, query)


def test_mat_rows_are_leads(tmp_path):
    path = tmp_path / "x.mat"
    path.write_bytes(mat(2, 3, data=np.array([[1, 2, 3], [10, 20, 30]], "<i2").tobytes("F")))
    _, items = replay(path, "fs=250&column=2")
    assert millivolts(items).tolist() == [10, 20, 30]


def test_no_such_file_folder_and_unreadable(tmp_path):
    (tmp_path / "a.csv").write_text("1\n")
    (tmp_path / "lone.dat").write_bytes(b"123")
    cases = {
        tmp_path / "no.csv": "no such recording",
        tmp_path: "is a folder (name a recording in it: a.csv)",
        tmp_path / "lone.dat": "lone.hea",
        "/dev/zero": "not a file",
        "a\0b": "a file name",
    }
    for path, message in cases.items():
        with pytest.raises(InputError) as caught:
            replay(path, "fs=250")
        assert message in str(caught.value)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    path = tmp_path / "a.csv"
    path.write_text("1\n")
    monkeypatch.setattr("firmware_bridge.reading.os.open", refuse)
    with pytest.raises(InputError, match=r"cannot read .*a.csv: Permission denied"):
        replay(path, "fs=250")


def test_lead_names():
    for name in ("II", "MLII", "ECG II", "Lead I", "aVR", "ECG 1", "V5", "ecg_mv", "MCL1", "EKG", "mV2", "ECG lead II"):
        assert looks_like_ecg(name), name
    for name in ("Resp", "PLETH", "ABP", "hr", "rr", "1", "CO2", "", "time"):
        assert not looks_like_ecg(name), name
    from edge.sources.replay.base import ReadOptions

    names = ["ABP", "V5", "ECG lead II"]
    assert choose_lead(names, ReadOptions(), [False] * 3, "x") == 2
    assert choose_lead(names, ReadOptions(lead="v5"), [False] * 3, "x") == 1
    assert choose_lead(["a", "b"], ReadOptions(), [False, True], "x") == 1
