"""WFDB records: every format and field of the header, and what a header may not make the reader do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edge.sources.replay.base import ReadOptions
from edge.sources.replay.binary import wfdb_signal
from edge.sources.replay.binary.wfdb_record import WfdbReader
from firmware_bridge.errors import InputError
from helpers.binary_recordings import checksum, play, stored, wfdb_files

N = 2500
COUNTS = np.round(200 * np.sin(2 * np.pi * np.arange(N) / 250)).astype(int)
RAW = stored(16, COUNTS)
LIMITS = {8: 127, 16: 32767, 24: (1 << 23) - 1, 32: (1 << 31) - 1, 61: 32767, 80: 127, 160: 32767, 212: 2047, 310: 511,
          311: 511}  # fmt: skip


def record(
    folder: Path, line: str = "r.dat 16 200/mV 16 0 0 0 0 II", first: str = f"r 1 250 {N}", raw: bytes = RAW
) -> Path:
    return wfdb_files(folder, "r", f"{first}\n{line}\n", r=raw)


@pytest.mark.parametrize("n", [2500, 2501, 2502, 7])
@pytest.mark.parametrize("fmt", sorted(LIMITS))
def test_every_format(tmp_path: Path, fmt: int, n: int) -> None:
    rng = np.random.default_rng(fmt)
    counts = rng.integers(-LIMITS[fmt], LIMITS[fmt], n, endpoint=True)
    first = int(counts[0])
    if fmt == 8:
        counts = np.cumsum(rng.integers(-128, 127, n, endpoint=True)) + first
    raw = stored(fmt, np.diff(counts, prepend=first) if fmt == 8 else counts)
    base = record(tmp_path, f"r.dat {fmt} 200(0)/mV 16 0 {first} {checksum(counts)} 0 II", f"r 1 250 {n}", raw)
    got = play(base)
    assert got.values.tolist() == counts.tolist()
    assert got.notes == ""


@pytest.mark.parametrize("fmt", [508, 516, 524])
@pytest.mark.parametrize("leads", [1, 3])
def test_compressed_formats(tmp_path: Path, fmt: int, leads: int) -> None:
    wfdb = pytest.importorskip("wfdb")
    pytest.importorskip("soundfile")
    limit = 1 << (fmt - 501)
    counts = np.random.default_rng(fmt).integers(-limit + 1, limit - 1, (70_000, leads))
    names = ["V1", "V5", "II"][-leads:]
    wfdb.wrsamp("r", 250, ["mV"] * leads, names, d_signal=counts, fmt=[str(fmt)] * leads, adc_gain=[200.0] * leads,
                baseline=[0] * leads, write_dir=str(tmp_path))  # fmt: skip
    got = play(tmp_path / "r", "block_s=10")
    assert got.info.lead == "II"
    assert got.values.tolist() == counts[:, -1].tolist()
    assert got.notes == ""
    data = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="broken"):
        play(tmp_path / "r")
    (tmp_path / "r.hea").write_text((tmp_path / "r.hea").read_text().replace(f" {fmt} ", " 508 "))
    if fmt != 508:
        with pytest.raises(InputError, match="in format 508"):
            play(tmp_path / "r")


def test_no_sample_is_a_lost_sample(tmp_path: Path) -> None:
    for fmt, value in {16: -32768, 212: -2048, 310: -512, 311: -512, 80: -128, 24: -(1 << 23), 32: -(1 << 31)}.items():
        counts = np.where(np.arange(300) % 100 < 3, value, 5)
        got = play(record(tmp_path, f"r.dat {fmt} 200/mV", "r 1 250 300", stored(fmt, counts)))
        assert (got.lost, set(got.values.tolist())) == (9, {5}), fmt


@pytest.mark.parametrize("first", ["r 1", "r 1 250", "r 1 250 0", "r 1 250/360(7) 0", "r 1 250/250"])
def test_a_record_without_length_has_that_of_its_file(tmp_path: Path, first: str) -> None:
    got = play(record(tmp_path, first=first))
    assert got.values.tolist() == COUNTS.tolist()
    assert ("250 Hz assumed" in got.notes) == (first == "r 1")


@pytest.mark.parametrize(
    "first", ["r 1 250/1(0) 2500", "r 1 250/360.5(-5) 2500", "r 1 2.5e2 2500", "  r\t1  250   2500"]
)
def test_counter_frequencies_and_numbers(tmp_path: Path, first: str) -> None:
    got = play(record(tmp_path, first=first))
    assert (got.info.fs_hz, len(got.values)) == (250.0, N)


@pytest.mark.parametrize("rate", ["0", "-250", "-500", "nan", "inf", "1e12", "19.9", "20001", "abc", "250Hz", "1_000"])
def test_rates_that_cannot_be(tmp_path: Path, rate: str) -> None:
    base = record(tmp_path, first=f"r 1 {rate} {N}")
    with pytest.raises(InputError, match="sampling rate of"):
        play(base)
    assert play(base, "fs=250").info.fs_hz == 250.0


@pytest.mark.parametrize(
    ("gain", "lsb_mv", "note"),
    [
        ("200/mV", 0.005, ""), ("200(0)/mV", 0.005, ""), ("2.0e+02(0)/mV", 0.005, ""), ("200", 0.005, ""),
        ("0", 0.005, "no gain of II: 200 per mV"), ("0/uV", 5e-6, "no gain of II: 200 per uV"),
        ("nan/mV", None, "its gain is nan"), ("1e400/mV", None, "its gain is inf"), ("x/mV", None, "its gain is nan"),
        ("1e-300/mV", None, "1e-300 counts are 1 mV"), ("1e300/mV", None, "counts are 1 mV"),
        ("200/NU", None, "200 counts are 1 NU"), ("1/µV", 1e-3, ""), ("1/uV", 1e-3, ""), ("1/V", 1e3, ""),
        ("0.001/nV", 1e-3, ""), ("1/MV", 1.0, ""), ("200000/Volts", 0.005, ""),
    ],
)  # fmt: skip
def test_gains_and_units(tmp_path: Path, gain: str, lsb_mv: float | None, note: str) -> None:
    got = play(record(tmp_path, f"r.dat 16 {gain} 16 0 0 0 0 II"))
    assert got.lsb_mv == (None if lsb_mv is None else pytest.approx(lsb_mv))
    assert (note in got.notes) if note else got.notes == ""


@pytest.mark.parametrize("micro", [b"\xb5", b"\xc2\xb5", b"\xce\xbc", b"\xe6"])
def test_a_micro_sign_in_any_encoding(tmp_path: Path, micro: bytes) -> None:
    base = wfdb_files(tmp_path, "r", b"r 1 250 2500\nr.dat 16 1/" + micro + b"V 16 0 0 0 0 II\n", r=RAW)
    assert play(base).lsb_mv == pytest.approx(1e-3)


def test_no_gain_at_all(tmp_path: Path) -> None:
    got = play(record(tmp_path, "r.dat 16"))
    assert got.info.lead == "signal 1"
    assert got.lsb_mv == 0.005
    assert "not calibrated" in got.notes


def test_negative_gain_baseline_and_adc_zero(tmp_path: Path) -> None:
    raw = stored(16, COUNTS + 10)
    assert play(record(tmp_path, "r.dat 16 -200(10)/mV", raw=raw)).millivolts == pytest.approx(-COUNTS / 200)
    assert play(record(tmp_path, "r.dat 16 200/mV 16 10", raw=raw)).millivolts == pytest.approx(COUNTS / 200)
    assert play(record(tmp_path, "r.dat 16 200(10)/mV 16 99", raw=raw)).millivolts == pytest.approx(COUNTS / 200)


@pytest.mark.parametrize("line", ["200(99999999999999)/mV", "200(x)/mV", "200/mV 16 9999999999999999999999999"])
def test_impossible_baselines(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match="baseline"):
        play(record(tmp_path, f"r.dat 16 {line}"))


def test_text_in_any_encoding(tmp_path: Path) -> None:
    header = "r 1 250 2500\r\n#Prénom: Renée\r\nr.dat 16 200/mV 16 0 0 0 0 Dérivation II\r\n"
    for encoding in ("utf-8", "latin-1"):
        got = play(wfdb_files(tmp_path, "r", header.encode(encoding), r=RAW))
        assert got.info.lead == "Dérivation II"


@pytest.mark.parametrize(
    ("stated", "noted"), [(checksum(COUNTS + 3), False), (12345, True), (-12345, True), (0, False)]
)
def test_checksums(tmp_path: Path, stated: int, noted: bool) -> None:
    got = play(record(tmp_path, f"r.dat 16 200/mV 16 0 3 {stated} 0 II", raw=stored(16, COUNTS + 3)))
    assert ("the checksum is wrong in r.dat" in got.notes) == noted
    assert len(got.values) == N


def test_checksums_are_unsigned_too_and_of_the_signal_alone(tmp_path: Path) -> None:
    both = np.stack([COUNTS - 1, COUNTS + 7], 1).ravel()
    lines = "\n".join(
        f"r.dat 16 200/mV 16 0 0 {checksum(COUNTS + k) % 65536} 0 {n}" for k, n in ((-1, "V1"), (7, "II"))
    )
    got = play(record(tmp_path, lines, f"r 2 250 {N}", stored(16, both)))
    assert (got.values.tolist(), got.notes) == ((COUNTS + 7).tolist(), "")


def test_a_truncated_file_has_no_checksum(tmp_path: Path) -> None:
    got = play(record(tmp_path, "r.dat 16 200/mV 16 0 0 12345 0 II", raw=RAW[:1001]))
    assert got.notes == "r.dat is truncated: 500 of 2500 frames exist and will be replayed"
    assert len(got.values) == 500


def test_several_samples_in_a_frame(tmp_path: Path) -> None:
    frames = np.concatenate([COUNTS.reshape(-1, 2), np.full((N // 2, 1), 9)], 1)
    lines = "r.dat 16x2 200/mV 16 0 0 0 0 II\nr.dat 16x1 100/mmHg 16 0 0 0 0 ABP"
    base = record(tmp_path, lines, f"r 2 125 {N // 2}", stored(16, frames.ravel()))
    got = play(base)
    assert (got.info.fs_hz, got.values.tolist()) == (250.0, COUNTS.tolist())
    got = play(base, "lead=ABP")
    assert (got.info.fs_hz, set(got.values.tolist())) == (125.0, {9})


@pytest.mark.parametrize("fmt", [16, 212, 8])
def test_skew(tmp_path: Path, fmt: int) -> None:
    late = COUNTS // 4
    raw = stored(fmt, np.diff(late, prepend=0) if fmt == 8 else late)
    got = play(record(tmp_path, f"r.dat {fmt}:10 200/mV 16 0 0 0 0 II", raw=raw))
    assert got.values.tolist() == late[10:].tolist()
    assert got.lost == 10


def test_byte_offset(tmp_path: Path) -> None:
    for fmt in (16, 212, 311):
        raw = b"header!" + stored(fmt, COUNTS)
        assert play(record(tmp_path, f"r.dat {fmt}+7 200/mV", raw=raw)).values.tolist() == COUNTS.tolist()


def test_two_signal_files(tmp_path: Path) -> None:
    header = f"r 2 250 {N}\na.dat 212 200/mV 12 0 0 0 0 V1\nb.dat 16 200/mV 16 0 0 0 0 II\n"
    assert play(wfdb_files(tmp_path, "r", header, a=b"x", b=RAW)).values.tolist() == COUNTS.tolist()


NOT_IN_FOLDER = ("../x.dat", "/etc/passwd", "a/b.dat", "..", ".", "a\\b.dat", "http://h/x.dat", "r.dat\0")


@pytest.mark.parametrize("name", NOT_IN_FOLDER)
def test_no_file_outside_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.dat").write_bytes(RAW)
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="outside its folder"):
        play(record(tmp_path / "in", f"{name} 16 200/mV 16 0 0 0 0 II"))
    with pytest.raises(InputError, match="outside its folder"):
        play(wfdb_files(tmp_path / "in", "m", f"m/1 1 250 {N}\n{name} {N}\n"))


@pytest.mark.parametrize("name", ["~", "-"])
def test_a_signal_without_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="names no signal file"):
        play(record(tmp_path, f"{name} 16 200/mV 16 0 0 0 0 II"))


def test_a_missing_signal_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such recording: .*gone\.dat"):
        play(record(tmp_path, "gone.dat 16 200/mV"))


@pytest.mark.parametrize(
    ("first", "line", "message"),
    [
        ("r", "r.dat 16", "first line"), ("r x", "r.dat 16", "number of signals"), ("r 0 250", "", "0 signals"),
        ("r 99999 250", "", "99999 signals"), ("r -1 250", "", "-1 signals"), ("r 2 250", "r.dat 16", "describes 1"),
        ("r 1 250 -5", "r.dat 16", "number of samples is -5"), ("r 1 250 x", "r.dat 16", "number of samples"),
        ("r 1", "r.dat", "does not describe"), ("r 1", "r.dat abc", "format 'abc'"), ("r 1", "r.dat 999", "format 999"),
        ("r 1", "r.dat 16x0", "no samples in a frame"), ("r 1", "r.dat 16x9999999", "65536 samples"),
        ("r 1", "r.dat 16+9999999999", "no samples"), ("r 1", "r.dat 16:9999999", "no samples"),
        ("r 1", "r.dat 0", "holds no sample"), ("r/x 1", "", "number of segments"),
        ("r 1 250 2.5", "r.dat 16", "'2.5'"),
        ("r 1", "r.dat 16 200 x x x x", "ADC zero"), ("r 1", "r.dat 16 200 16 0 0 x", "checksum"),
        ("r 1", "r.dat 516", "not a FLAC file"), ("r 2", "r.dat 16\nr.dat 212", "two formats"),
    ],
)  # fmt: skip
def test_headers_that_cannot_be_read(tmp_path: Path, first: str, line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        play(record(tmp_path, line, first))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "r 1 250 5000\n" + "a" * 1_000_000 + " 16 200\n",
        "r 1 250 5000\n" + "a" * 100_000 + " 16 200" + "(" * 500_000 + "\n",
        "r 1 250 5000\nr.dat 16 " + "1" * 900_000 + "\n",
        "r/" + "9" * 900_000 + " 1 250\n",
        "r 1 250 " + "9" * 900_000 + "\n",
        "r " + " " * 900_000 + "\n",
        "\n" * 1_000_000,
        "#" + "x" * (2 << 20),
    ],
)
def test_long_lines_are_refused_at_once(tmp_path: Path, text: str) -> None:
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        play(wfdb_files(tmp_path, "r", text, r=RAW))
    assert time.process_time() - began < 1.0
    assert len(str(caught.value)) < 1000


def test_a_long_description_is_cut(tmp_path: Path) -> None:
    got = play(record(tmp_path, "r.dat 16 200/mV 16 0 0 0 0 \x1b[2J" + "x" * 900_000))
    assert len(got.info.lead) <= 80
    assert got.info.lead.isprintable()


@pytest.mark.parametrize(
    ("when", "start_ns"),
    [("12:00:00 01/02/2003", 1_044_100_800_000_000_000), ("12:00:00.250 01/02/2003", 1_044_100_800_250_000_000),
     ("1:30 01/02/2003", 1_044_057_690_000_000_000), ("99:99:99 99/99/9999", None), ("12:00:00", None), ("x y", None),
     ("00:00:00 01/01/0001", None), ("nan:0:0 1/1/2000", None)],
)  # fmt: skip
def test_the_date(tmp_path: Path, when: str, start_ns: int | None) -> None:
    assert play(record(tmp_path, first=f"r 1 250 {N} {when}")).info.start_unix_ns == start_ns


def segmented(folder: Path, gains: tuple[str, str], layout: str = "200/mV") -> Path:
    wfdb_files(folder, "lay", f"lay 2 250 0\n~ 0 {layout} 16 0 0 0 0 II\n~ 0 100/mmHg 16 0 0 0 0 ABP\n")
    for name, gain in zip("ab", gains, strict=True):
        wfdb_files(folder, name, f"{name} 1 250 {N}\n{name}.dat 16 {gain} 16 0 0 0 0 II\n", **{name: RAW})
    return wfdb_files(folder, "m", f"m/4 2 250 {2 * N + 500}\nlay 0\na {N}\n~ 500\nb {N}\n")


def test_a_layout_does_not_give_the_gain(tmp_path: Path) -> None:
    got = play(segmented(tmp_path, ("400/mV", "400/mV")))
    assert (got.lsb_mv, got.lost, len(got.values), got.notes) == (0.0025, 500, 2 * N, "")
    assert got.info.leads == ("II", "ABP")


def test_a_gain_that_changes_between_segments(tmp_path: Path) -> None:
    got = play(segmented(tmp_path, ("400/mV", "200(5)/mV")))
    assert {b.unit for b in got.blocks} == {"mV"}
    assert got.millivolts == pytest.approx(np.concatenate([COUNTS / 400, (COUNTS - 5) / 200]), abs=1e-6)
    assert "the gain of II changes between segments" in got.notes
    got = play(segmented(tmp_path, ("400/mV", "-0.4/uV")))
    assert got.millivolts == pytest.approx(np.concatenate([COUNTS / 400, -COUNTS / 400]), abs=1e-6)
    with pytest.raises(InputError, match="known in some segments only"):
        play(segmented(tmp_path, ("400/mV", "400/NU")))
    assert play(tmp_path / "m", "lsb_mv=0.001").lsb_mv == 0.001


def test_a_layout_gives_no_gain_either(tmp_path: Path) -> None:
    assert play(segmented(tmp_path, ("400/mV", "400/mV"), "0/mV")).lsb_mv == 0.0025


def test_a_fixed_layout_and_a_segment_without_the_lead(tmp_path: Path) -> None:
    for name, lead in (("a", "II"), ("b", "V1"), ("c", "II")):
        wfdb_files(tmp_path, name, f"{name} 1 250 {N}\n{name}.dat 16 200/mV 16 0 0 0 0 {lead}\n", **{name: RAW})
    base = wfdb_files(tmp_path, "m", f"m/3 1 250 {3 * N}\na {N}\nb {N}\nc {N}\n")
    got = play(base)
    assert (len(got.values), got.lost) == (2 * N, N)


def test_two_signals_of_the_same_name_keep_their_place(tmp_path: Path) -> None:
    both = stored(16, np.stack([COUNTS, COUNTS + 9], 1).ravel())
    lines = "\n".join(["a.dat 16 200/mV 16 0 0 0 0 ECG"] * 2)
    wfdb_files(tmp_path, "a", f"a 2 250 {N}\n{lines}\n", a=both)
    base = wfdb_files(tmp_path, "m", f"m/2 2 250 {2 * N}\na {N}\na {N}\n")
    assert play(base, "column=2").values.tolist() == 2 * (COUNTS + 9).tolist()


def test_segments_that_are_shorter_than_stated(tmp_path: Path) -> None:
    base = segmented(tmp_path, ("200/mV", "200/mV"))
    (tmp_path / "a.dat").write_bytes(RAW[:1000])
    got = play(base)
    assert "a.dat is truncated: 500 of 2500" in got.notes
    assert (len(got.values), got.lost) == (500 + N, 2000 + 500)


def test_a_list_of_segments_that_ends_early(tmp_path: Path) -> None:
    base = segmented(tmp_path, ("200/mV", "200/mV"))
    base.with_suffix(".hea").write_text(f"m/4 2 250 {2 * N + 500}\nlay 0\na {N}\n~ 500\n")
    got = play(base)
    assert "announces 4 segments and lists 3" in got.notes
    assert (len(got.values), got.lost) == (N, N + 500)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("m/2 1 250 100\nm 50\nm 50\n", "consists of segments itself"),
        ("m/1 1 250 100\n~ 100\n", "no segment with samples"),
        ("m/1 1 250 100\na -100\n", "-100 samples"),
        ("m/1 1 250 100\na 99999999999999999999\n", "99999999999999999999 samples"),
        ("m/1 1 250 100\na\n", "a segment is"),
        ("m/1 1 360 100\na 100\n", "the rate of II is another one in segment a"),
        ("m/1 1 250 100\ngone 100\n", "no such recording"),
    ],
)
def test_segments_that_cannot_be_read(tmp_path: Path, header: str, message: str) -> None:
    segmented(tmp_path, ("200/mV", "200/mV"))
    with pytest.raises(InputError, match=message):
        play(wfdb_files(tmp_path, "m", header))


def test_a_long_record_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fmt in (212, 310, 24, 8):
        raw = stored(fmt, np.diff(COUNTS, prepend=0) if fmt == 8 else COUNTS)
        base = record(tmp_path, f"r.dat {fmt} 200/mV", raw=raw)
        monkeypatch.setattr(wfdb_signal, "CHUNK_SAMPLES", 101)
        chunks = list(WfdbReader(base, ReadOptions()).chunks())
        assert max(len(c.values) for c in chunks) == 101
        assert np.concatenate([c.values for c in chunks]).tolist() == COUNTS.tolist()


@pytest.mark.parametrize("variable", [False, True])
def test_segments_equal_to_wfdb(tmp_path: Path, variable: bool) -> None:
    wfdb = pytest.importorskip("wfdb")
    rng = np.random.default_rng(variable)
    for name, leads in (("a", ["V1", "II"]), ("b", ["II"] if variable else ["V1", "II"]), ("c", ["V1", "II"])):
        counts = rng.integers(-2047, 2047, (700, len(leads)))
        lines = "".join(f"{name}.dat 212 {rng.integers(50, 400)}({rng.integers(9)})/mV 12 0 0 0 0 {x}\n" for x in leads)
        wfdb_files(tmp_path, name, f"{name} {len(leads)} 250 700\n{lines}", **{name: stored(212, counts.ravel())})
    wfdb_files(tmp_path, "l", "l 2 250 0\n~ 0 200/mV 12 0 0 0 0 V1\n~ 0 200/mV 12 0 0 0 0 II\n")
    # The library knows null segments only after a layout.
    segments = "l 0\na 700\n~ 100\nb 700\nc 700\n" if variable else "a 700\nb 700\nc 700\n"
    head = f"m/{segments.count(chr(10))} 2 250 {2200 if variable else 2100}\n"
    base = wfdb_files(tmp_path, "m", head + segments)
    theirs = wfdb.rdrecord(str(base))
    for i, name in enumerate(theirs.sig_name):
        expected = theirs.p_signal[:, i]
        got = play(base, f"lead={name}")
        assert got.millivolts == pytest.approx(expected[np.isfinite(expected)], rel=1e-6)
        assert got.lost == np.isnan(expected).sum()


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_wfdb(tmp_path: Path, seed: int) -> None:
    """Random records of several files, formats, samples in a frame and offsets against the library of PhysioNet."""
    wfdb = pytest.importorskip("wfdb")
    rng = np.random.default_rng(seed)
    frames, lines, files = int(rng.integers(50, 400)), [], {}
    for name in "abc"[: rng.integers(1, 4)]:
        fmt = int(rng.choice([16, 24, 32, 80, 160, 212, 310, 311]))
        spf = rng.integers(1, 4, rng.integers(1, 4))
        # The library reads two of ten bits wrongly if the unused bits of format 311 are set; here they are not.
        counts = rng.integers(-LIMITS[fmt], LIMITS[fmt], frames * spf.sum())
        offset = int(rng.choice([0, 0, 12]))
        files[name] = bytes(offset) + stored(fmt, counts)
        suffix = f"+{offset}" if offset else ""
        for i, samples in enumerate(spf):
            gain = f"{rng.choice([100, 200.5, -50])}({rng.integers(-20, 20)})/mV"
            lines.append(f"{name}.dat {fmt}x{samples}{suffix} {gain} 12 0 0 0 0 {name}{i}")
    base = wfdb_files(tmp_path, "r", f"r {len(lines)} 100 {frames}\n" + "\n".join(lines) + "\n", **files)
    theirs = wfdb.rdrecord(str(base), smooth_frames=False)
    for i, name in enumerate(theirs.sig_name):
        got = play(base, f"lead={name}")
        assert got.millivolts == pytest.approx(theirs.e_p_signal[i], rel=1e-12, abs=1e-9)
        assert got.info.fs_hz == 100 * theirs.samps_per_frame[i]
