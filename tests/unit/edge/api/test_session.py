"""`edge.read_session`: what a run wrote comes back as arrays, whole, damaged and across runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import edge
from edge.cli.main import main
from edge.records import from_json
from edge.store.reader import EstimateReader

SECONDS = 30
SIM = "sim:?seed={}&speed=max&faults=drop=0.01"


def write(folder: Path, seed: int = 1) -> Path:
    where = ["--session-dir", str(folder), "--record"]
    code = main(["run", "--source", SIM.format(seed), "--seconds", str(SECONDS), "--view", "none", *where])
    assert code == 0
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sessions") / "one")


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


@pytest.fixture
def text(folder: Path) -> Path:
    """The same session with its estimates as JSON Lines, as earlier versions of the kit wrote them."""
    lines = list(EstimateReader(folder).lines())
    (folder / "estimates.aee").unlink()
    (folder / "estimates.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_estimates_and_beats_are_those_that_were_written(written: Path) -> None:
    session = edge.read_session(written)
    lines = [from_json(line) for line in EstimateReader(written).lines()]
    assert list(session.estimates) == lines
    assert session.estimates.to_numpy()["end_s"].tolist() == [e.window.end_s for e in lines]
    rows = [row.split(",") for row in (written / "beats.csv").read_text().splitlines()[1:]]
    assert session.beats["time_s"].tolist() == [float(row[1]) for row in rows]
    assert np.isnan(session.beats["rr_s"]).tolist() == [not row[2] for row in rows]
    assert session.summary is not None
    assert session.summary["hops"] == len(session.estimates)
    assert session.events[0]["kind"] == "connected"
    assert [run.source for run in session.runs] == [SIM.format(1)]
    assert session.start == session.runs[0].start
    assert "anyecg_patch" in repr(session)


def test_the_ecg_is_that_of_the_patch_with_its_gaps(written: Path) -> None:
    session = edge.read_session(written)
    told = [i for i in edge.open(SIM.format(1), seconds=SECONDS) if isinstance(i, edge.Samples | edge.Gap)]
    samples = np.concatenate([s.ecg_mv for s in told if isinstance(s, edge.Samples)])
    count = min(len(samples), len(session.ecg_mv))
    assert count > 0.95 * SECONDS * 250
    np.testing.assert_array_equal(session.ecg_mv[:count], samples[:count].astype(np.float32))
    assert session.time.shape == session.ecg_mv.shape
    assert session.fs_hz == 250
    gaps = [g for g in told if isinstance(g, edge.Gap)]
    assert len(gaps) > 0
    assert session.gaps["start_s"][: len(gaps)].tolist() == [g.start_s for g in gaps]
    steps = np.diff(session.time)
    assert (steps > 0).all()
    # Every step of more than a sample is one of the gaps.
    jumps = np.flatnonzero(steps > 1.5 / 250)
    np.testing.assert_allclose(session.time[jumps] + 1 / 250, session.gaps["start_s"], atol=2e-3)
    np.testing.assert_allclose(session.time[jumps + 1], session.gaps["end_s"], atol=2e-3)


def test_beats_lie_on_r_peaks_of_the_ecg(written: Path) -> None:
    session = edge.read_session(written)
    for beat_s in session.beats["time_s"]:
        near = session.ecg_mv[np.abs(session.time - beat_s) < 0.04]
        assert near.max() > 0.5 * np.percentile(session.ecg_mv, 99.5)


def test_two_runs_share_one_time_axis(written: Path, text: Path, tmp_path: Path) -> None:
    folder = text
    later = write(tmp_path / "later", seed=2)
    about = json.loads((folder / "session.json").read_text())
    about["runs"] += json.loads((later / "session.json").read_text())["runs"]
    (folder / "session.json").write_text(json.dumps(about))
    shutil.copy(later / "raw.aer", folder / "raw.2.aer")
    estimates = [re.sub(r'"time":"\d{4}', '"time":"2096', line) for line in EstimateReader(later).lines()]
    with (folder / "estimates.jsonl").open("a") as file:
        file.writelines(f"{line}\n" for line in estimates)
    rows = [f"2,{row.partition(',')[2]}\n" for row in (later / "beats.csv").read_text().splitlines()[1:]]
    with (folder / "beats.csv").open("a") as file:
        file.writelines(rows)

    both, first, second = edge.read_session(folder), edge.read_session(written), edge.read_session(later)
    offset_s = both.runs[1].offset_s
    assert offset_s > 30 * 365 * 86400
    assert both.runs[0].offset_s == 0.0
    n = len(first.ecg_mv)
    np.testing.assert_array_equal(both.ecg_mv, np.concatenate([first.ecg_mv, second.ecg_mv]))
    np.testing.assert_allclose(both.time[n:], second.time + offset_s)
    np.testing.assert_allclose(both.beats["time_s"][len(first.beats) :], second.beats["time_s"] + offset_s)
    restart = both.gaps[both.gaps["reason"] == "restart"]
    assert restart["start_s"].tolist() == [pytest.approx(first.time[-1], abs=0.01)]
    assert restart["end_s"].tolist() == [offset_s]
    assert len(both.gaps) == len(first.gaps) + len(second.gaps) + 1


def test_a_session_after_a_power_failure_is_read(folder: Path) -> None:
    (folder / "summary.json").unlink()
    whole = len(list(EstimateReader(folder).lines()))
    for name in ("estimates.aee", "beats.csv", "events.jsonl", "raw.aer"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-7] + bytes(3))
    session = edge.read_session(folder)
    assert session.summary is None
    assert len(session.estimates) == whole - 1
    assert len(session.beats) > 10
    assert len(session.ecg_mv) > 0.9 * SECONDS * 250


def test_damaged_lines_are_skipped(text: Path) -> None:
    folder = text
    path = folder / "estimates.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], b"\xff\0garbage", *lines[1:], b""]))
    (folder / "beats.csv").write_bytes((folder / "beats.csv").read_bytes() + b"x,y\n1\n")
    session = edge.read_session(folder)
    assert len(session.estimates) == len(lines)
    assert len(session.beats) > 10


def test_parts_are_read_in_order(folder: Path) -> None:
    rows = (folder / "beats.csv").read_text().splitlines()
    (folder / "beats.csv").write_text("\n".join([*rows[:5], ""]))
    (folder / "beats.10.csv").write_text("\n".join([rows[0], *rows[10:], ""]))
    (folder / "beats.2.csv").write_text("\n".join([rows[0], *rows[5:10], ""]))
    (folder / "beats.0.csv").write_text("1,1.0,\n")
    assert edge.read_session(folder).beats["time_s"].tolist() == [float(row.split(",")[1]) for row in rows[1:]]


def test_data_frames(written: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    session = edge.read_session(written)
    assert list(session.to_pandas("beats").columns) == ["run", "time_s", "rr_s"]
    assert list(session.to_pandas("ecg").columns) == ["time_s", "ecg_mv"]
    assert len(session.to_pandas("gaps")) == len(session.gaps)
    assert len(session.to_pandas()) == len(session.estimates)
    with pytest.raises(edge.UsageError, match="waves"):
        session.to_pandas("waves")  # type: ignore[arg-type]


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    (folder / "raw.aer").unlink()
    session = edge.read_session(folder)
    for read in (lambda: session.ecg_mv, lambda: session.time, lambda: session.gaps):
        with pytest.raises(edge.InputError, match="--record"):
            read()
    with pytest.raises(edge.InputError, match="nowhere"):
        edge.read_session(tmp_path / "nowhere")
    with pytest.raises(edge.InputError, match="session-dir"):
        edge.read_session(tmp_path)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[]", "does not describe"),
        ("{", "not valid JSON"),
        ("{}", "schema"),
        ('{"schema": "anyecg.session/2"}', "update"),
        ("[" * 5000, "not valid JSON"),
        ('"' + "x" * (1 << 20) + '"', "does not describe"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "session.json").write_text(text)
    with pytest.raises(edge.InputError, match=word):
        edge.read_session(tmp_path)


@pytest.mark.parametrize("runs", [None, 3, [], [{}], [{"session": 1, "source": 2, "started": "x"}]])
def test_damaged_runs_are_refused(folder: Path, runs: object) -> None:
    about = json.loads((folder / "session.json").read_text()) | {"runs": runs}
    (folder / "session.json").write_text(json.dumps(about))
    with pytest.raises(edge.InputError, match="lists no run"):
        edge.read_session(folder).runs  # noqa: B018
