"""EDF and BDF: the format is decided by the content, times are kept, and a header that lies is bounded and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.cli.main import main
from edge.sources.replay.binary import edf as edf_module
from firmware_bridge.errors import InputError
from helpers.binary_recordings import Edf, play, sine

PLAIN = {"label": "ECG", "data": sine()}
WIDE = {"label": "ECG", "pmin": -262144, "pmax": 262143, "dmin": -8388608, "dmax": 8388607, "data": sine() * 32}
EXPECTED_MV = sine().ravel() / 1000.0


def test_plain_edf(tmp_path: Path) -> None:
    got = play(Edf([PLAIN]).write(tmp_path / "a.edf"))
    assert (got.info.lead, got.info.fs_hz, got.lsb_mv, got.lost, got.notes) == ("ECG", 250.0, 0.001, 0, "")
    assert got.millivolts == pytest.approx(EXPECTED_MV)
    assert got.info.start_unix_ns == 1_577_872_800_000_000_000


@pytest.mark.parametrize(
    ("name", "bdf"),
    [("a.edf", False), ("a.bdf", False), ("a.rec", False), ("a.edf", True), ("a.bdf", True), ("a", True)],
)
def test_the_content_decides_and_not_the_suffix(tmp_path: Path, name: str, bdf: bool) -> None:
    got = play(Edf([WIDE if bdf else PLAIN], bdf=bdf, reserved="24BIT" if bdf else "").write(tmp_path / name))
    assert len(got.values) == 5000
    assert got.millivolts == pytest.approx(EXPECTED_MV, abs=1e-3)
    assert got.notes == ""


def test_a_text_that_begins_like_edf_is_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("0       1\n" * 3000)
    assert play(path, "fs=250&column=2").values.tolist() == [1.0] * 3000


def test_a_version_that_is_none_is_said(tmp_path: Path) -> None:
    got = play(Edf([PLAIN], version=b"1       ").write(tmp_path / "a.edf"))
    assert "does not say that it is EDF" in got.notes
    assert len(got.values) == 5000


@pytest.mark.parametrize(
    ("labels", "taken", "guessed"),
    [
        (["EEG Fp1", "EKG1", "ECG II-ref"], "ECG II-ref", False),
        (["EEG Fp1-REF", "EEG C3-REF", "ECG EKG-REF"], "ECG EKG-REF", False),
        (["EEG FP1-REF", "EEG EKG1-REF"], "EEG EKG1-REF", False),
        (["C3-M2", "ECG1-ECG2", "SpO2"], "ECG1-ECG2", False),
        (["E1-M2", "ECGL", "EKG R"], "ECGL", False),
        (["EEG A", "ECG V2-V1"], "ECG V2-V1", False),
        (["EEG Fp1", "Spectrogram"], "EEG Fp1", True),
        (["Flow"], "Flow", True),
    ],
)
def test_the_lead(tmp_path: Path, labels: list[str], taken: str, guessed: bool) -> None:
    got = play(Edf([{"label": label, "data": sine()} for label in labels]).write(tmp_path / "a.edf"))
    assert got.info.lead == taken
    assert ("not the name" in got.notes or "has the name" in got.notes) == guessed


def test_a_trend_with_the_word_is_not_the_signal(tmp_path: Path) -> None:
    signals = [{"label": "ECG", "data": sine(samples=1)}, {"label": "EKG 2", "data": sine()}]
    assert play(Edf(signals).write(tmp_path / "a.edf")).info.lead == "EKG 2"


@pytest.mark.parametrize("which", ["lead=EDF Annotations", "column=3"])
def test_annotations_are_never_taken(tmp_path: Path, which: str) -> None:
    path = Edf([PLAIN, PLAIN | {"label": "V5"}], reserved="EDF+C").write(tmp_path / "a.edf")
    assert play(path).info.leads == ("ECG", "V5")
    with pytest.raises(InputError, match="it has: ECG, V5"):
        play(path, which.replace(" ", "%20"))


@pytest.mark.parametrize("version", [b"0BIOSEMI", b"\xc3\xbfBIOSEMI", b"\xff       "])
def test_damaged_first_bytes(tmp_path: Path, version: bytes) -> None:
    with pytest.raises(InputError, match="first bytes are damaged"):
        play(Edf([WIDE], bdf=True, version=version).write(tmp_path / "a.bdf"))


def test_only_annotations(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="annotations and no signal"):
        play(Edf([], reserved="EDF+C").write(tmp_path / "a.edf"))


@pytest.mark.parametrize(
    ("dim", "lsb_mv"),
    [
        (b"\xb5V", 1e-3), ("µV".encode(), 1e-3), ("μV".encode(), 1e-3), (b"\xe6V", 1e-3), (b"uV", 1e-3), (b"UV", 1e-3),
        (b"uV\0\0\0\0\0\0", 1e-3), (b"mV", 1.0), (b"V", 1e3), (b"nV", 1e-6), (b"microV", 1e-3),
    ],
)  # fmt: skip
def test_dimensions(tmp_path: Path, dim: bytes, lsb_mv: float) -> None:
    got = play(Edf([PLAIN | {"dim": dim}]).write(tmp_path / "a.edf"))
    assert got.lsb_mv == pytest.approx(lsb_mv)
    assert got.notes == ""


@pytest.mark.parametrize("dim", ["", "mmHg", "%", "Ohm"])
def test_a_dimension_that_is_no_voltage_leaves_counts(tmp_path: Path, dim: str) -> None:
    got = play(Edf([PLAIN | {"dim": dim}]).write(tmp_path / "a.edf"))
    assert got.lsb_mv is None
    assert "scale of ECG is unknown" in got.notes
    assert play(tmp_path / "a.edf", "unit=uV").lsb_mv == pytest.approx(1e-3)
    assert play(tmp_path / "a.edf", "lsb_mv=0.5").lsb_mv == 0.5


def test_text_in_any_encoding(tmp_path: Path) -> None:
    signals = [PLAIN | {"label": "D\xe9riv ECG".encode("latin-1")}, PLAIN | {"label": "Dériv II".encode()}]
    got = play(Edf(signals, patient="Ren\xe8e \x1b[2J").write(tmp_path / "a.edf"))
    assert got.info.leads == ("Dériv ECG", "Dériv II")


def test_signals_of_several_rates_and_none(tmp_path: Path) -> None:
    signals = [
        {"label": "Resp", "dim": "L", "data": sine(samples=25)},
        {"label": "Empty", "data": np.zeros((20, 0), int)},
        {"label": "ECG II", "data": sine(samples=500)},
    ]
    path = Edf(signals, record_s=0.5).write(tmp_path / "a.edf")
    got = play(path)
    assert (got.info.lead, got.info.fs_hz, len(got.values)) == ("ECG II", 1000.0, 10_000)
    assert got.values.tolist() == sine(samples=500).ravel().tolist()
    with pytest.raises(InputError, match=r"50 Hz .*60 to 4000 Hz"):
        play(path, "lead=Resp")
    with pytest.raises(InputError, match="no sample of Empty"):
        play(path, "lead=Empty")


def onsets_after(step: int, shift_s: float) -> list[float]:
    return [i if i < step else round(i + shift_s, 4) for i in range(20)]


@pytest.mark.parametrize("bdf", [False, True])
def test_a_gap(tmp_path: Path, bdf: bool) -> None:
    kind = "BDF+D" if bdf else "EDF+D"
    got = play(
        Edf([WIDE if bdf else PLAIN], bdf=bdf, reserved=kind, onsets=onsets_after(10, 5.5)).write(tmp_path / "a")
    )
    assert [(i, b.lost) for i, b in enumerate(got.blocks) if b.lost] == [(50, 1375)]
    assert len(got.values) == 5000


@pytest.mark.parametrize(
    ("late_s", "records"), [(0.001, 3600), (0.0005, 3600), (0.0041, 900), (0.002, 20), (0.00399, 100)]
)
def test_many_small_delays_count_in_full(tmp_path: Path, late_s: float, records: int) -> None:
    onsets = [round(i * (1 + late_s), 5) for i in range(records)]
    edf = Edf([{"data": sine(records, 64)}], records=records, reserved="EDF+D", onsets=onsets)
    got = play(edf.write(tmp_path / "a.edf"), "block_s=10")
    assert abs(got.lost - (records - 1) * late_s * 64) <= 0.5 + 1e-6
    assert len(got.values) == records * 64


def test_onsets_rounded_to_a_tick_lose_nothing(tmp_path: Path) -> None:
    onsets = [round(i * 0.333333, 2) for i in range(300)]
    edf = Edf([{"data": sine(300, 100)}], records=300, record_s="0.333333", reserved="EDF+D", onsets=onsets)
    got = play(edf.write(tmp_path / "a.edf"))
    assert got.lost <= 2
    assert len(got.values) == 30_000


def test_a_clock_that_goes_back_begins_a_segment(tmp_path: Path) -> None:
    got = play(Edf([PLAIN], reserved="EDF+D", onsets=onsets_after(10, -3)).write(tmp_path / "a.edf"))
    assert got.kinds == ["RESTARTED"]
    assert "go back 1 times, first by 2 s before record 11" in got.notes
    assert (len(got.values), got.lost) == (5000, 0)


def test_an_overlap_is_named_and_hides_no_later_gap(tmp_path: Path) -> None:
    onsets = [i if i < 10 else i - 0.2 if i < 15 else i - 0.2 + 0.1 for i in range(20)]
    got = play(Edf([PLAIN], reserved="EDF+D", onsets=onsets).write(tmp_path / "a.edf"))
    assert "overlap the one before, first record 11 by 0.2 s" in got.notes
    assert (len(got.values), got.lost) == (5000, 25)


def test_gaps_of_a_file_that_calls_itself_continuous(tmp_path: Path) -> None:
    got = play(Edf([PLAIN], reserved="EDF+C", onsets=onsets_after(10, 5)).write(tmp_path / "a.edf"))
    assert got.lost == 1250
    assert "marked as continuous (EDF+C) has gaps: 5 s" in got.notes
    got = play(Edf([PLAIN], reserved="EDF+C", onsets=[0] * 20).write(tmp_path / "b.edf"))
    assert got.lost == 0
    assert "ignored" in got.notes
    assert got.kinds == []


def test_the_first_onset_belongs_to_the_date(tmp_path: Path) -> None:
    got = play(Edf([PLAIN], reserved="EDF+C", onsets=[i + 0.25 for i in range(20)]).write(tmp_path / "a.edf"))
    assert got.info.start_unix_ns == 1_577_872_800_250_000_000


def test_edf_d_without_onsets(tmp_path: Path) -> None:
    path = Edf([PLAIN]).write(tmp_path / "a.edf")
    data = bytearray(path.read_bytes())
    data[192:197] = b"EDF+D"
    path.write_bytes(data)
    with pytest.raises(InputError, match="data record 1 has no start time"):
        play(path)


@pytest.mark.parametrize("record_s", ["0", "-1", "nan", "inf", "", "abc"])
def test_a_length_of_no_time(tmp_path: Path, record_s: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Edf([PLAIN], record_s=record_s).write(tmp_path / "a.edf")
    with pytest.raises(InputError, match="data records of"):
        play(path)
    if record_s == "0":
        assert main(["run", "--source", f"replay:{path}", "--out", str(tmp_path / "o.jsonl"), "--view", "none"]) == 3
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("record_s", ["1e-300", "1e300", "0.001"])
def test_rates_out_of_range(tmp_path: Path, record_s: str) -> None:
    with pytest.raises(InputError, match="sampling rate"):
        play(Edf([PLAIN], record_s=record_s).write(tmp_path / "a.edf"))


@pytest.mark.parametrize(
    ("announced", "records", "note"),
    [
        (-1, 20, "was never closed"),
        (0, 20, "does not state"),
        ("x", 20, "does not state"),
        (-7, 20, "does not state"),
        (99_999_999, 20, "truncated: 20 of 99999999"),
        (12, 12, "states 12 data records; the 8 after them are not read"),
    ],
)
def test_the_number_of_records(tmp_path: Path, announced: int | str, records: int, note: str) -> None:
    got = play(Edf([PLAIN], announced=announced).write(tmp_path / "a.edf"))
    assert len(got.values) == 250 * records
    assert note in got.notes


def test_truncated_in_the_middle_of_a_record(tmp_path: Path) -> None:
    path = Edf([PLAIN]).write(tmp_path / "a.edf")
    path.write_bytes(path.read_bytes()[:-777])
    got = play(path)
    assert "truncated: 18 of 20" in got.notes
    assert got.millivolts == pytest.approx(EXPECTED_MV[: 18 * 250])


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("pmin", "nan", "physical range"), ("pmax", "1e400", "physical range"), ("pmax", "-inf", "physical range"),
        ("pmin", "", "physical range"), ("dmin", "x", "digital range"), ("dmax", "-32768", "are equal"),
        ("pmax", "-32768", "are equal"), ("dmax", "99999999", "does not fit 16 bits"),
    ],
)  # fmt: skip
def test_a_scale_that_cannot_be_is_unknown_and_named(tmp_path: Path, field: str, value: str, fault: str) -> None:
    got = play(Edf([PLAIN | {field: value}]).write(tmp_path / "a.edf"))
    assert got.lsb_mv is None
    assert fault in got.notes
    assert got.values.tolist() == sine().ravel().tolist()


@pytest.mark.parametrize("value", ["1e300", "1e-30"])
def test_absurd_physical_ranges(tmp_path: Path, value: str) -> None:
    got = play(Edf([PLAIN | {"pmin": "-" + value, "pmax": value}]).write(tmp_path / "a.edf"))
    assert got.lsb_mv is None
    assert "one count is" in got.notes


def test_an_impossible_offset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="impossible scale"):
        play(Edf([PLAIN | {"pmin": "1000000", "pmax": "1000001"}]).write(tmp_path / "a.edf"))


def test_inverted_ranges_and_decimal_commas(tmp_path: Path) -> None:
    got = play(Edf([PLAIN | {"pmin": 32767, "pmax": -32768}]).write(tmp_path / "a.edf"))
    assert got.millivolts == pytest.approx(-EXPECTED_MV, abs=2e-3)
    got = play(Edf([PLAIN | {"pmin": "-32,768", "pmax": "32,767", "dim": "mV"}]).write(tmp_path / "b.edf"))
    assert got.millivolts == pytest.approx(EXPECTED_MV)


def test_the_faults_of_other_signals_do_not_matter(tmp_path: Path) -> None:
    flat = {"label": "-", "pmin": 0, "pmax": 0, "dmin": 0, "dmax": 0, "data": np.zeros((20, 7), int)}
    got = play(Edf([flat, PLAIN | {"label": "ECG II"}]).write(tmp_path / "a.edf"))
    assert got.millivolts == pytest.approx(EXPECTED_MV)
    assert got.notes == ""


@pytest.mark.parametrize("samples", ["-250", "x", "1e400", "2.5", ""])
def test_samples_in_a_record_that_are_no_count(tmp_path: Path, samples: str) -> None:
    with pytest.raises(InputError, match=r"signal 1 \(ECG\) has"):
        play(Edf([PLAIN | {"spr": samples}]).write(tmp_path / "a.edf"))


@pytest.mark.parametrize(("samples", "message"), [("0", "holds no samples"), ("99999999", "holds no samples")])
def test_absurd_sizes(tmp_path: Path, samples: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        play(Edf([PLAIN | {"spr": samples}]).write(tmp_path / "a.edf"))


@pytest.mark.parametrize("count", ["-1", "0", "9999", "x", "1e3"])
def test_absurd_numbers_of_signals(tmp_path: Path, count: str) -> None:
    with pytest.raises(InputError, match="not a readable EDF file"):
        play(Edf([PLAIN], count=count).write(tmp_path / "a.edf"))


def test_a_wrong_size_of_the_header_is_said(tmp_path: Path) -> None:
    got = play(Edf([PLAIN], header_bytes=99999999).write(tmp_path / "a.edf"))
    assert "states a header of '99999999' bytes" in got.notes
    assert got.millivolts == pytest.approx(EXPECTED_MV)


@pytest.mark.parametrize(
    ("date", "recording", "year"),
    [("01.01.85", "X", 1985), ("31.12.84", "X", 2084), ("00.00.00", "X", None), ("99.99.99", "X", None),
     ("xx.xx.xx", "X", None), ("01/01/20", "X", 2020)],
)  # fmt: skip
def test_dates(tmp_path: Path, date: str, recording: str, year: int | None) -> None:
    start_ns = play(Edf([PLAIN], date=date, recording=recording).write(tmp_path / "a.edf")).info.start_unix_ns
    assert (None if start_ns is None else np.datetime64(start_ns, "ns").astype("datetime64[Y]").item().year) == year


def test_a_hidden_date_stays_hidden(tmp_path: Path) -> None:
    got = play(Edf([PLAIN], reserved="EDF+C", recording="Startdate X X X X").write(tmp_path / "a.edf"))
    assert got.info.start_unix_ns is None


def test_records_larger_than_a_piece_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"label": "EEG", "data": sine(3, 7000)}
    path = Edf([other, {"label": "ECG", "data": sine(3, 5000)}, other], records=3, record_s=20).write(
        tmp_path / "a.edf"
    )
    whole = play(path).values
    assert whole.tolist() == sine(3, 5000).ravel().tolist()
    monkeypatch.setattr(edf_module, "_READ_BYTES", 64)
    monkeypatch.setattr(edf_module, "CHUNK_SAMPLES", 999)
    assert play(path).values.tolist() == whole.tolist()
    assert max(len(c.values) for c in edf_module.EdfReader(path, edf_module.ReadOptions()).chunks()) == 999


@pytest.mark.parametrize("seed", range(12))
def test_equal_to_edfio(tmp_path: Path, seed: int) -> None:
    edfio = pytest.importorskip("edfio")
    rng = np.random.default_rng(seed)
    signals = []
    for i in range(rng.integers(1, 5)):
        low, high = sorted(rng.uniform(-5000, 5000, 2).round())
        fs_hz = int(rng.choice([64, 100, 128, 250, 500, 1000]))
        data = rng.uniform(low, high, fs_hz * 10)
        signals.append(
            edfio.EdfSignal(data, fs_hz, label=f"S{i}", physical_dimension="uV", physical_range=(low, high + 1))
        )
    annotations = [edfio.EdfAnnotation(1, None, "x")] if seed % 2 else ()
    path = tmp_path / "a.edf"
    edfio.Edf(signals, annotations=annotations, data_record_duration=float(rng.choice([0.5, 1, 2, 5]))).write(path)
    for i, signal in enumerate(edfio.read_edf(str(path)).signals):
        got = play(path, f"lead=S{i}")
        assert got.info.fs_hz == signal.sampling_frequency
        assert got.lsb_mv is not None
        # Counts are whole, so that the count of 0 mV is rounded.
        assert got.millivolts == pytest.approx(signal.data / 1000.0, abs=0.51 * got.lsb_mv)
