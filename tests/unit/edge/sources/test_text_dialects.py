"""Dialects of text tables: clocks, units, encodings, decimal signs, packing."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import pytest

from firmware_bridge.errors import InputError
from helpers.text_files import COUNTS, ECG_MV, MV, SECONDS, T_S, UV, N, comma, is_whole, play, stamp, table


def at(text: str) -> list[str]:
    """The clock of every sample in a format of ``strftime``; %L is milliseconds."""
    return [stamp(t).strftime(text.replace("%L", "@")).replace("@", f"{stamp(t).microsecond // 1000:03d}") for t in T_S]


EPOCH = 1_700_000_000


@pytest.mark.parametrize(
    ("clock", "name"),
    [
        (at("%Y-%m-%dT%H:%M:%S.%f"), "ISO 8601"),
        (at("%Y-%m-%d %H:%M:%S.%f"), "ISO 8601"),
        (at("%Y-%m-%dT%H:%M:%S.%LZ"), "ISO 8601"),
        (at("%Y-%m-%dT%H:%M:%S.%f+02:00"), "ISO 8601"),
        (at("%Y-%m-%d %H:%M:%S.%f -0530"), "ISO 8601"),
        (at("%Y/%m/%d %H:%M:%S.%L"), "ISO 8601"),
        (at("%Y%m%dT%H%M%S.%L"), "ISO 8601"),
        (at("'%Y-%m-%dT%H:%M:%S.%f'"), "ISO 8601"),
        (at('"%H:%M:%S.%L"'), "hh:mm:ss"),
        (at("%H:%M:%S.%L"), "hh:mm:ss"),
        (at("%H:%M:%S:%L"), "hh:mm:ss"),
        ([f"{int(3599 + t) // 60 % 60:02d}:{(3599 + t) % 60:06.3f}" for t in T_S], "mm:ss"),
        ([f"{int(t // 60)}:{t % 60:06.3f}" for t in T_S], "mm:ss"),
        (at("%d/%m/%Y %H:%M:%S.%f"), "dd/mm/yyyy"),
        (at("%d.%m.%Y %H:%M:%S.%L"), "dd/mm/yyyy"),
        (at("%m/%d/%Y %I:%M:%S.%L %p"), "mm/dd/yyyy"),
        (at("[%H:%M:%S.%L %d/%m/%Y]"), "dd/mm/yyyy"),
        ([f"{EPOCH + t:.6f}" for t in T_S], "timestamp"),
        ([f"{EPOCH * 1000 + 1000 * t:.0f}" for t in T_S], "timestamp"),
        ([f"{EPOCH * 1_000_000 + 1e6 * t:.0f}" for t in T_S], "timestamp"),
        ([str(EPOCH * 10**9 + round(1e9 * t)) for t in T_S], "timestamp"),
        ([f"{1.7 + t / 1e9:.15f}E9" for t in T_S], "timestamp"),
        ([f"{t:.6e}" for t in T_S], "timestamp"),
        ([str((65_000 + round(1000 * t)) % 65_536) for t in T_S], "timestamp"),
        ([str((2**32 - 500_000 + round(1e6 * t)) % 2**32) for t in T_S], "timestamp"),
    ],
)  # fmt: skip
def test_clocks(tmp_path, clock, name):
    played = play(tmp_path, table("timestamp,ecg_mv", clock, MV))
    assert is_whole(played)
    assert not [e for e in played.events if e.kind == "restarted"]
    assert name in played.decided["clock"]


def test_a_clock_with_a_comma_before_the_milliseconds(tmp_path):
    assert is_whole(play(tmp_path, table("time;ecg_mv", at("%Y-%m-%d %H:%M:%S,%L"), comma(MV), sep=";")))


def test_a_clock_with_a_date_gives_the_wall_clock(tmp_path):
    with_zone = play(tmp_path, table("time,ecg_mv", at("%Y-%m-%dT%H:%M:%S.%f+02:00"), MV)).info.start_unix_ns
    unix = play(tmp_path, table("time,ecg_mv", [f"{EPOCH + t:.6f}" for t in T_S], MV)).info.start_unix_ns
    assert with_zone == 1_683_064_799_000_000_000
    assert unix == pytest.approx(EPOCH * 10**9, abs=1e3)
    assert play(tmp_path, table("time,ecg_mv", at("%H:%M:%S.%f"), MV)).info.start_unix_ns is None


def test_a_clock_of_whole_seconds_gives_the_rate(tmp_path):
    times = np.arange(2000) / 250
    played = play(tmp_path, table("time,ecg_mv", [stamp(t).strftime("%H:%M:%S") for t in times], MV * 5))
    assert played.blocks[0].fs_hz == pytest.approx(250)
    assert played.lost == 0
    assert "shared by blocks" in played.decided["clock"]


def test_a_clock_that_stamps_bursts_gives_the_rate(tmp_path):
    burst = [f"{EPOCH + i // 10 * 0.04 + i % 10 * 1e-5:.6f}" for i in range(N)]
    played = play(tmp_path, table("timestamp,ecg_mv", burst, MV))
    assert played.blocks[0].fs_hz == pytest.approx(250, rel=0.005)
    assert played.lost == 0


def test_the_clock_of_the_sensor_comes_before_that_of_the_phone(tmp_path):
    phone = [str(EPOCH * 1000 + i * 1000 // 130) for i in range(N)]
    played = play(
        tmp_path, table("Phone timestamp,sensor timestamp [ms],ecg [mV]", phone, [str(4 * i) for i in range(N)], MV)
    )
    assert is_whole(played)
    assert played.info.leads == ("ecg [mV]",)


@pytest.mark.parametrize(
    ("header", "cells", "scale"),
    [
        ("time_s,ecg [uV]", UV, "name of the column"),
        ("time_s,ECG (mV)", MV, "name of the column"),
        ("time_s,ECG mV", MV, "name of the column"),
        ("time_s,ecgMV", MV, "name of the column"),
        ("time (s),Lead II [µV]", UV, "name of the column"),
        ("time,II\n(seconds),(mV)", MV, "row of units"),
        ("time;II\n[s];[µV]".replace(";", ","), UV, "row of units"),
        ("'Elapsed time','II'\n'hh:mm:ss.mmm','uV'", UV, "row of units"),
        ("# unit: uV\ntime_s,ecg", UV, "header"),
        ("Unit,mV\ntime_s,ecg", MV, "header"),
        ("# gain: 200 adu/mV\ntime_s,ecg", [f"{200 * v:.3f}" for v in ECG_MV], "header"),
        ("# 2.5 uV/LSB\ntime_s,ecg", [f"{400 * v:.3f}" for v in ECG_MV], "header"),
    ],
)
def test_units(tmp_path, header, cells, scale):
    played = play(tmp_path, table(header, SECONDS, cells))
    assert is_whole(played)
    assert played.decided["scale_from"] == scale


@pytest.mark.parametrize(
    "micro", ["µ".encode(), "μ".encode(), b"\xb5", b"\xe6", "Âµ".encode(), b"?", "\ufffd".encode(), b"u"]
)
def test_micro_signs(tmp_path, micro):
    assert is_whole(play(tmp_path, b"time_s,ECG (" + micro + b"V)\n" + table("", SECONDS, UV).encode()))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_encodings(tmp_path, encoding):
    played = play(tmp_path, table("time_s\tECG (µV)", SECONDS, UV, sep="\t").encode(encoding))
    assert is_whole(played)
    assert played.decided["encoding"].startswith(encoding.removesuffix("-sig"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("piece", [7, 64, 1 << 16])
def test_line_ends(tmp_path, end, piece, monkeypatch):
    monkeypatch.setattr("edge.sources.replay.text.lines.PIECE_BYTES", piece)
    assert is_whole(play(tmp_path, table("ecg_mv", MV, end=end), "fs=250"))


@pytest.mark.parametrize(
    "text",
    [
        table("Zeit (s);EKG (mV)", comma(SECONDS), comma(MV), sep=";"),
        table("Zeit (s)\tEKG (mV)", comma(SECONDS), comma(MV), sep="\t"),
        table("time_s ecg_mv", comma(SECONDS), comma(MV), sep=" "),
        table("time_s,ecg_mv", comma(SECONDS), comma(MV)),
        table("time_s,ecg_mv", [f'"{v}"' for v in comma(SECONDS)], [f'"{v}"' for v in comma(MV)]),
        table("sep=;\ntime_s;ecg_mv", comma(SECONDS), comma(MV), sep=";"),
        table("time_s|ecg_mv", SECONDS, MV, sep="|"),
        table("sep=\t\ntime_s\tecg_mv", SECONDS, MV, sep="\t"),
        table('"time_s","ecg_mv"', [f'"{i}"' for i in range(N)], SECONDS, MV),
        table("# time_s ecg_mv", SECONDS, MV, sep=" "),
        table("time_s;ecg_mv;", SECONDS, [v + ";" for v in MV], sep=";"),
        table("time_s,ecg_mv,label", SECONDS, MV, ["N"] * N),
        table("time_s,ecg_mv", SECONDS, [v + (",beat" if i % 50 == 0 else "") for i, v in enumerate(MV)]),
        table("time_s,ecg_mv", SECONDS, [v.replace("-", "\u2212") for v in MV]),
    ],
)
def test_separators_and_decimal_signs(tmp_path, text):
    assert is_whole(play(tmp_path, text))


def test_a_single_column_with_decimal_commas(tmp_path):
    assert is_whole(play(tmp_path, table("ecg_mv", comma(MV)), "fs=250"))
    assert is_whole(play(tmp_path, table("", comma(MV)), "fs=250&unit=mV"))


def test_decimal_commas_after_a_long_flat_beginning(tmp_path):
    text = "t (ms);EKG II (mV)\n" + "".join(f"{4 * i};0\n" for i in range(60))
    played = play(tmp_path, text + "".join(f"{4 * (i + 60)};{v}\n" for i, v in enumerate(comma(MV))))
    assert np.allclose(played.samples[60:], ECG_MV)
    assert played.lost == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            table("time_s,ecg_mv", [f"{t:g}".replace(".", ",") for t in T_S], comma(MV)),
            "separate columns and mark decimals",
        ),
        (table("time_s;ecg", SECONDS, ["1,234"] * N, sep=";"), "decimal sign or group thousands"),
        (table("ecg;hr", ["1,234"] * N, ["70"] * N, sep=";"), "decimal sign or group thousands"),
    ],
)
def test_a_comma_that_cannot_be_decided_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        play(tmp_path, text, "fs=250")


def test_grouped_digits_beside_a_decimal_sign_are_numbers(tmp_path):
    cells = [f"{1500 + 1000 * v:,.1f}" for v in ECG_MV]
    played = play(tmp_path, table("time_s;ecg_uv", SECONDS, cells, sep=";"))
    assert np.allclose(played.samples, 1.5 + ECG_MV, atol=1e-3)


def zipped(**members: str) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


CSV = table("time_s,ecg_mv", SECONDS, MV)


@pytest.mark.parametrize(
    ("data", "packing"),
    [
        (gzip.compress(CSV.encode()), "gzip"),
        (gzip.compress(CSV[:1000].encode()) + gzip.compress(CSV[1000:].encode()), "gzip"),
        (zipped(**{"../../../etc/passwd": CSV}), "zip"),
        (zipped(**{"a/b.csv": CSV, "__MACOSX/a/._b.csv": "x"}), "zip"),
        (gzip.compress(CSV.encode("utf-16")), "gzip"),
    ],
)
def test_packed_recordings(tmp_path, data, packing):
    played = play(tmp_path, data)
    assert is_whole(played)
    assert played.decided["compression"] == packing
    assert [p.name for p in tmp_path.iterdir()] == ["ecg.csv"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(CSV.encode())[:1000], "damaged gzip"),
        (zipped(a=CSV)[:1000], "truncated zip"),
        (zipped(a=CSV).replace(b"\x08\x00", b"\x63\x00", 2), "damaged|method"),
        (zipped(a=CSV, b=CSV), "holds 2 files"),
        (zipped(), "holds 0 files"),
        (zipped(**{f"{i}.csv": "1" for i in range(2000)}), "too many files"),
        (zipped(**{"[Content_Types].xml": "x", "b": "y"}), "Office"),
        (gzip.compress(b"0.1\n" * (1 << 18)), "implausible size"),
        (gzip.compress(bytes(range(256)) * 100), "not text"),
        (gzip.compress(gzip.compress(CSV.encode())), "not text"),
        (b"BZh91AY&SY" + bytes(100), "bzip2"),
        (b"ALIVE\0\0\0" + bytes(100), "AliveCor"),
        (b"%PDF-1.7\n" + CSV.encode(), "PDF"),
        (b"<?xml version='1.0'?><a>1</a>\n", "XML"),
    ],
)  # fmt: skip
def test_packed_or_other_files_that_are_refused(tmp_path, data, message, monkeypatch):
    monkeypatch.setattr("edge.sources.replay.text.unpack.FREE_BYTES", 1 << 16)
    with pytest.raises(InputError, match=message) as caught:
        play(tmp_path, data, "fs=250")
    assert "\n" not in str(caught.value)


def test_counts_stay_counts_with_a_note(tmp_path):
    played = play(tmp_path, table("time_s,ecg", SECONDS, COUNTS))
    assert played.blocks[0].unit == "counts"
    assert "the unit of the samples is unknown" in " ".join(played.info.notes)
    assert played.decided["scale"] == "unknown"
