"""``anyecg export``: the ECG of a killed and continued session with gaps, read back by the readers of others."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.cli.main import main
from edge.records import LabEstimate
from edge.sessions import SessionFolder
from edge.sessions.ecg import Missing, Segment, mean_hz, read_ecg
from edge.sessions.formats.digits import digits_for
from helpers.fleet_hops import NETWORK
from helpers.quiet_hours import AT_REST, estimates, write_records
from helpers.small_session import BETWEEN_S, OFF_THEN_GAP, START_UNIX_S, write_session

URL = f"sim:?potassium=6.5&seed=1&faults={OFF_THEN_GAP}"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """45 s with two seconds without contact at 14 and a gap from 30 to 33 s; killed; then 20 s more."""
    folder = tmp_path_factory.mktemp("sessions") / "night"
    write_session(folder, URL, finish=False)
    return write_session(folder, URL, 20.0)


@pytest.fixture(scope="module")
def parts(session: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Segment | Missing]:
    return list(read_ecg(SessionFolder(session), tmp_path_factory.mktemp("spool")))


@pytest.fixture(scope="module")
def exports(session: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The session in every format that needs no library."""
    folder = tmp_path_factory.mktemp("exports")
    for to in ("csv", "wfdb", "edf"):
        assert main(["export", str(session), "--to", to, "--out", str(folder / to)]) == 0
    return {path.name: path for path in folder.iterdir()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def segments(parts: list[Segment | Missing], run: int) -> list[Segment]:
    return [part for part in parts if isinstance(part, Segment) and part.run == run]


def test_gaps_end_segments_and_are_kept(parts: list[Segment | Missing]) -> None:
    assert [len(segments(parts, run)) for run in (1, 2)] == [3, 2]
    gaps = [part for part in parts if isinstance(part, Missing)]
    assert [(gap.run, gap.reason) for gap in gaps] == [(1, "lead_off"), (1, "gap"), (2, "lead_off")]
    assert [round(gap.end_s - gap.start_s, 1) for gap in gaps] == pytest.approx([2.0, 3.1, 2.0], abs=0.15)
    assert [s.number for s in parts if isinstance(s, Segment)] == [1, 2, 3, 4, 5]


def test_csv_holds_every_sample_and_every_record(exports: dict[str, Path], parts: list[Segment | Missing]) -> None:
    ecg = rows(exports["csv"] / "ecg.csv")
    truth = [part for part in parts if isinstance(part, Segment)]
    assert np.array([float(r["ecg_mv"]) for r in ecg]) == pytest.approx(np.concatenate([s.samples for s in truth]))
    times = np.array([float(r["time_s"]) for r in ecg if r["run"] == "1"])
    assert np.all(np.diff(times) > 0)
    assert np.sum(np.diff(times) > 0.01) == 2
    estimates = rows(exports["csv"] / "estimates.csv")
    assert len(estimates) > 50
    flagged = [r for r in estimates if r["potassium_high.flag"] == "true"]
    assert flagged
    assert all(float(r["potassium.low"]) < float(r["potassium"]) < float(r["potassium.high"]) for r in flagged)
    starts = [r["start"] for r in rows(exports["csv"] / "runs.csv")]
    assert starts[0].startswith("2026-11-18T11:06:4")
    assert starts[1].startswith("2026-11-18T12:06:4")
    spans = rows(exports["csv"] / "abstentions.csv")
    assert {"warming_up", "lead_off", "gap"} == {r["reason"] for r in spans}
    assert len(rows(exports["csv"] / "gaps.csv")) == 3
    beats = rows(exports["csv"] / "beats.csv")
    waves = rows(exports["csv"] / "waves.csv")
    assert len(beats) > 45
    peaks = np.array([float(r["peak_s"]) for r in waves if r["wave"] == "QRS" and r["run"] == "1"])
    near = np.abs(peaks[:, None] - np.array([float(r["time_s"]) for r in beats if r["run"] == "1"])).min(axis=1)
    assert len(peaks) > 10
    assert near.max() < 0.04
    assert all(float(r["onset_s"]) < float(r["peak_s"]) < float(r["end_s"]) for r in waves)


def test_wfdb_reads_the_records(exports: dict[str, Path], parts: list[Segment | Missing]) -> None:
    wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (the extra convert brings it)")
    for run in (1, 2):
        record = wfdb.rdrecord(str(exports["wfdb"] / f"run{run}"))
        truth = segments(parts, run)
        read = record.p_signal[:, 0]
        whole = ~np.isnan(read)
        assert read[whole] == pytest.approx(np.concatenate([s.samples for s in truth]), abs=1e-9)
        edges = np.flatnonzero(np.diff(whole.astype(int)))
        assert len(edges) == 2 * (len(truth) - 1)
        assert record.fs == pytest.approx(250.0, abs=0.01)
        assert record.units == ["mV"]
        begins = record.base_datetime.timestamp() if record.base_datetime.tzinfo else None
        assert begins is None or abs(begins - START_UNIX_S - (run - 1) * BETWEEN_S) < 2
        marks = wfdb.rdann(str(exports["wfdb"] / f"run{run}"), "atr")
        beats = marks.sample[np.array(marks.symbol) == "N"]
        # An R peak is a maximum of the simulated lead.
        assert all(read[b] > np.nanmean(read[max(0, b - 100) : b + 100]) + 0.3 for b in beats[1:-1])
        assert len(beats) > 10
        assert "no estimate: lead_off" in marks.aux_note
        if run == 1:
            assert {"p", "t", "(", ")"} <= set(marks.symbol)
            beats_s = [float(r["time_s"]) for r in rows(exports["csv"] / "beats.csv") if r["run"] == "1"]
            assert beats / record.fs == pytest.approx(beats_s, abs=0.005)


def test_the_kit_reads_its_own_wfdb_and_edf(exports: dict[str, Path], parts: list[Segment | Missing]) -> None:
    from helpers.binary_recordings import play

    played = play(exports["wfdb"] / "run1.hea")
    truth = segments(parts, 1)
    assert played.millivolts == pytest.approx(np.concatenate([s.samples for s in truth]), abs=1e-6)
    assert played.lost / 250 == pytest.approx(5.1, abs=0.3)
    for segment in truth:
        one = play(exports["edf"] / f"run1_{segment.number:04d}.edf")
        assert one.millivolts[: len(segment.samples)] == pytest.approx(segment.samples, abs=1e-5)


def test_edfio_reads_the_files(exports: dict[str, Path], parts: list[Segment | Missing]) -> None:
    edfio = pytest.importorskip("edfio", reason="edfio is not installed (the extra test brings it)")
    about = {one["file"]: one for one in json.loads((exports["edf"] / "export.json").read_text())["ecg"]}
    texts: set[str] = set()
    for segment in (part for part in parts if isinstance(part, Segment)):
        name = f"run{segment.run}_{segment.number:04d}.edf"
        edf = edfio.read_edf(exports["edf"] / name)
        (signal,) = edf.signals
        assert signal.label == "ECG"
        assert signal.physical_dimension == "uV"
        assert signal.sampling_frequency == pytest.approx(250.0, abs=1e-3)
        n = len(segment.samples)
        assert signal.data[:n] / 1000 == pytest.approx(segment.samples, abs=1e-5)
        assert about[name]["exact"]
        assert len(signal.data) - n == about[name]["filled_samples"] < 5
        begin = f"{edf.startdate}T{edf.starttime.isoformat(timespec='milliseconds')}Z"
        assert begin == about[name]["start"]
        for mark in edf.annotations:
            texts.add(mark.text)
            assert 0 <= mark.onset < n / 250 + 0.001
            if mark.text == "R peak":
                at = round(mark.onset * 250)
                assert signal.data[at] > np.mean(signal.data[max(0, at - 100) : at + 100]) + 300
    assert {"R peak", "P wave", "QRS", "T wave", "no estimate: warming_up", "no estimate: lead_off"} <= texts


def test_mne_reads_the_files(exports: dict[str, Path]) -> None:
    mne = pytest.importorskip("mne", reason="MNE is not installed")
    raw = mne.io.read_raw_edf(exports["edf"] / "run1_0001.edf", preload=True, verbose="error")
    assert raw.info["sfreq"] == pytest.approx(250.0)
    assert "R peak" in set(raw.annotations.description)
    assert 1e-4 < np.ptp(raw.get_data()) < 1e-2  # volts


def test_pandas_reads_the_tables(exports: dict[str, Path]) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    estimates = pandas.read_csv(exports["csv"] / "estimates.csv", parse_dates=["time"])
    assert str(estimates["time"].dt.tz) == "UTC"
    assert estimates["potassium"].notna().sum() == estimates["abstained"].isna().sum() > 0
    ecg = pandas.read_csv(exports["csv"] / "ecg.csv")
    assert ecg["ecg_mv"].dtype == float


def test_parquet_is_what_csv_is(session: Path, exports: dict[str, Path], tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra parquet brings it)")
    assert main(["export", str(session), "--to", "parquet", "--out", str(tmp_path / "p")]) == 0
    names = {path.stem for path in (tmp_path / "p").glob("*.parquet")}
    assert names == {path.stem for path in exports["csv"].glob("*.csv")}
    for name in names:
        one = pandas.read_parquet(tmp_path / "p" / f"{name}.parquet")
        other = pandas.read_csv(exports["csv"] / f"{name}.csv")
        assert list(one.columns) == list(other.columns)
        assert len(one) == len(other)
    assert pandas.read_parquet(tmp_path / "p" / "estimates.parquet")["potassium_high.flag"].dropna().any()


def test_a_session_without_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_session(tmp_path / "s", seconds=20.0, raw=False)
    for to in ("edf", "wfdb"):
        assert main(["export", str(tmp_path / "s"), "--to", to, "--out", str(tmp_path / to)]) == 3
        assert "--record" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "s"), "--to", "csv", "--out", str(tmp_path / "csv")]) == 0
    assert "no ECG" in capsys.readouterr().err
    assert not (tmp_path / "csv" / "ecg.csv").exists()
    assert len(rows(tmp_path / "csv" / "estimates.csv")) > 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csv", "s"]


def test_an_empty_session_gives_empty_tables(tmp_path: Path) -> None:
    write_session(tmp_path / "s", seconds=0.1, finish=False)
    for to in ("csv", "edf", "wfdb"):
        assert main(["export", str(tmp_path / "s"), "--to", to, "--out", str(tmp_path / to)]) == 0
    assert rows(tmp_path / "csv" / "estimates.csv") == []


def test_nothing_is_replaced_and_nothing_is_left_behind(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "night-csv").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(session), "--to", "csv"]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["export", str(session), "--to", "csv", "--out", str(tmp_path / "absent" / "x")]) == 7
    assert main(["export", str(tmp_path), "--to", "csv", "--out", "x"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["night-csv"]


@pytest.fixture
def damaged(session: Path, tmp_path: Path) -> Iterator[Path]:
    """A session with holes in every file."""
    folder = tmp_path / "damaged"
    shutil.copytree(session, folder)
    for name in ("raw.aer", "estimates.aee", "beats.csv", "events.jsonl"):
        data = bytearray((folder / name).read_bytes())
        middle = len(data) // 2
        data[middle : middle + 40] = b"\xff" * 40
        (folder / name).write_bytes(data[:-7])
    return folder


@pytest.mark.parametrize("to", ["csv", "wfdb", "edf"])
def test_a_damaged_session_gives_what_is_left(
    damaged: Path, tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(damaged), "--to", to, "--out", str(tmp_path / to), "--no-waves"]) == 0
    about = json.loads((tmp_path / to / "export.json").read_text())
    assert sum(one["samples"] for one in about["ecg"]) > 5000
    said = capsys.readouterr().err
    assert "raw.aer" in said
    assert "of an unfinished estimate" in said
    assert [f"note: {note}" for note in about["notes"]] == said.splitlines()


def test_the_page_of_a_damaged_session_says_so(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(damaged), "--out", str(tmp_path / "x.html")]) == 0
    assert "of an unfinished estimate" in capsys.readouterr().err
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "of an unfinished estimate" in page
    assert "samples are lost by this" in page


def test_impossible_numbers_in_estimates_are_refused_in_one_line(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = next(iter(SessionFolder(damaged).lines()))
    for path in damaged.glob("estimates*"):
        path.unlink()
    wrong = [{**line, "window": {"start_s": s, "end_s": e}} for s, e in ((0, 1e300), (float("nan"), float("inf")))]
    text = "".join(json.dumps({**one, "session": "run1"}) + "\n" for one in wrong)
    (damaged / "estimates.jsonl").write_text(text)
    for to in ("csv", "wfdb", "edf"):
        assert main(["export", str(damaged), "--to", to, "--out", str(tmp_path / to), "--no-waves"]) == 3
        where = f"{damaged / 'estimates.jsonl'}, line 1"
        assert capsys.readouterr().err == (
            f"anyecg: {where}: an estimate has a value of the wrong kind: a number (remove the line)\n"
        )


def fused_session(folder: Path) -> Path:
    """A session in which one output is fused: first silent by rhythm, then made by the patch, then by the host."""
    plain, fused = (
        LabEstimate(key, None, "1", 0.3, (0.2, 0.4), 0.12, True, 3, "strong") for key in ("first", "second")
    )
    silent, host = (
        fused._replace(value=None, interval=None, flag=None, abstained="rhythm"),
        fused._replace(network=NETWORK),
    )
    answers = iter([(silent, None), (fused, "patch"), (host, "host"), (silent, "host")])
    made = (
        replace(e, labs=(lab, plain), estimated_by=by)
        for e, (lab, by) in zip(estimates(lambda _t: AT_REST, 40.0), answers, strict=True)
    )
    return write_records(folder, made)


def test_the_answer_of_the_network_has_columns_after_all_others(tmp_path: Path) -> None:
    folder = fused_session(tmp_path / "night")
    assert main(["export", str(folder), "--to", "csv", "--out", str(tmp_path / "csv")]) == 0
    found = rows(tmp_path / "csv" / "estimates.csv")
    names = ["second.network" + suffix for suffix in ("", ".low", ".high", ".threshold", ".flag")]
    assert list(found[0])[-5:] == names
    assert not [name for name in found[0] if name.startswith("first.network")]
    assert [[row[name] for name in names] for row in found] == [
        [""] * 5, [""] * 5, ["0.02", "0.01", "0.03", "0.1", "false"], [""] * 5,
    ]  # fmt: skip
    assert found[2]["second"] == "0.3"


def test_a_session_without_fused_outputs_has_no_columns_for_them(exports: dict[str, Path]) -> None:
    assert not [name for name in rows(exports["csv"] / "estimates.csv")[0] if ".network" in name]


def test_the_nominal_rate_stands_unless_the_clock_disagrees() -> None:
    assert mean_hz(2500, 10.0000004, 250.0) == 250.0
    assert mean_hz(130_000, 1000.5, 130.0) == pytest.approx(129.935, abs=1e-3)


def test_digits_keep_the_steps_of_the_device_where_they_fit() -> None:
    samples = np.array([-5, 0, 7, 30_000]) * 0.001
    small = digits_for(samples, 0.001, 16)
    assert small.exact
    assert small.of(samples).tolist() == [-5, 0, 7, 30_000]
    shifted = digits_for(samples + 40.0, 0.001, 16)
    assert shifted.exact
    assert shifted.baseline < 0
    assert np.diff(shifted.of(samples + 40.0)).tolist() == [5, 7, 29_993]
    large = digits_for(samples * 100, 0.001, 16)
    assert not large.exact
    assert (large.of(samples * 100) - large.baseline) * large.step == pytest.approx(samples * 100, abs=large.step)
    assert digits_for(np.zeros(3), 0.0, 24).of(np.zeros(3)).tolist() == [0, 0, 0]
