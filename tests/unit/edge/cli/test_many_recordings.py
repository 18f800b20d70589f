"""``anyecg run --source replay:DIR``: one estimate of each recording."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.cli import main as cli
from edge.sources.replay.folder import many_recordings
from firmware_bridge.errors import InputError, UsageError
from helpers.ecg_shapes import ecg


def write(path: Path, seconds: float = 10.0, rr_s: float = 0.8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    x = ecg(np.full(40, rr_s), fs=250.0, noise=0.01)[0][: round(seconds * 250)]
    path.write_text("".join(f"{v:.4f}\n" for v in x))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "ecgs/b.csv")
    write(tmp_path / "ecgs/sub/a.csv", 20.0, 0.6)
    write(tmp_path / "ecgs/short.csv", 5.0)
    (tmp_path / "ecgs/notes.txt").write_text("no recording\n")
    return tmp_path / "ecgs"


def run(folder: Path, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, list[dict], str]:
    """Return exit code, estimates and everything that was printed."""
    path = folder.parent / "estimates.jsonl"
    path.unlink(missing_ok=True)
    code = cli.main(["run", "--out", str(path), *args])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in path.read_text().splitlines()], err + out


def test_a_folder_gives_one_line_per_recording(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, said = run(folder, capsys, "--source", f"replay:{folder}?fs=250&unit=mV")
    assert code == 0
    assert [e["device"] for e in found] == ["b.csv", "short.csv", "sub/a.csv"]
    assert [e["abstained"] for e in found] == [None, {"reason": "warming_up"}, None]
    assert [e["heart_rate_bpm"] for e in found] == [pytest.approx(75, abs=1), None, pytest.approx(100, abs=1)]
    assert len({e["session"] for e in found}) == 3
    assert "[3/3] sub/a.csv" in said
    assert "recordings  3 of 3" in said
    assert "estimates   2; abstentions: warming_up 1" in said


def test_a_bad_file_costs_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "aa.edf").write_bytes(b"0       rubbish")
    (folder / "z.csv").write_text("a,b\nx,y\n")
    code, found, said = run(folder, capsys, "--source", f"replay:{folder}?fs=250&unit=mV", "--view", "none")
    assert code == 3
    assert [e["device"] for e in found] == ["b.csv", "short.csv", "sub/a.csv"]
    lines = [line for line in said.splitlines() if line.startswith("anyecg:")]
    assert [line.split(":")[1].strip() for line in lines] == ["aa.edf", "z.csv"]
    assert "unreadable  2" in said
    assert "Traceback" not in said


def test_a_pattern_and_a_list_are_taken_once_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = [f"replay:{folder}/*.csv?fs=250&unit=mV", f"replay:{folder}/b.csv?fs=250", f"replay:{folder}/sub?fs=250"]
    code, found, _ = run(folder, capsys, "--source", *source, "--view", "none")
    assert code == 0
    assert [e["device"] for e in found] == ["b.csv", "short.csv", "a.csv"]


def test_the_estimate_is_that_of_the_recording_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b.csv", "sub/a.csv"):
        one_source = f"replay:{folder}/{name}?fs=250&unit=mV&speed=max"
        _, alone, _ = run(folder, capsys, "--source", one_source, "--view", "none")
        _, many, _ = run(folder, capsys, "--source", f"replay:{folder}?fs=250&unit=mV", "--view", "none")
        (one,) = [e for e in many if e["device"] == name]
        newest = [e for e in alone if e["labs"]][-1]
        assert (one["labs"], one["quality"], one["window"]) == (newest["labs"], newest["quality"], newest["window"])


@pytest.mark.parametrize(
    "option", [["--session-dir", "s"], ["--record", "r"], ["--picture", "p.svg"], ["--speed", "2"]]
)
def test_options_of_one_recording_are_refused(folder: Path, option: list[str], capsys) -> None:
    assert cli.main(["run", "--source", f"replay:{folder}?fs=250", *option]) == 2
    assert f"{option[0]} takes one recording" in capsys.readouterr().err


def test_what_cannot_be_many_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sim: is not a recording"):
        many_recordings([f"replay:{folder}", "sim:"])
    with pytest.raises(UsageError, match="as fast as possible"):
        many_recordings([f"replay:{folder}?speed=2"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no recording"):
        many_recordings([f"replay:{tmp_path}/empty"])
    with pytest.raises(InputError, match="no file matches"):
        many_recordings([f"replay:{folder}/*.dat"])
    assert many_recordings([f"replay:{folder}/b.csv"]) is None
    assert many_recordings(["sim:?hr=70"]) is None


def test_a_name_with_a_bracket_is_one_recording(tmp_path: Path) -> None:
    write(tmp_path / "a[1].csv")
    assert many_recordings([f"replay:{tmp_path}/a[1].csv"]) is None
