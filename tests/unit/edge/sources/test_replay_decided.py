"""What the readers of binary recordings decided stands in one line and in session.json."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from edge.cli.main import main
from helpers.binary_recordings import Edf, play, sine, stored, wfdb_files

COUNTS = np.round(200 * np.sin(np.arange(4000) / 40)).astype(int)


def told(path: Path, query: str = "") -> str:
    return play(path, query).info.decided.line()


def test_edf(tmp_path: Path) -> None:
    signals = [{"label": "EEG", "data": sine()}, {"label": "EKG R", "data": sine()}]
    path = Edf(signals, reserved="EDF+D").write(tmp_path / "a.edf")
    scale = "scale 0.001 mV per count (header), clock start times of the data records"
    assert told(path) == f"EDF+D, lead EKG R (named as an ECG), 250 Hz (header), {scale}"
    assert "lead EEG (lead=), 500 Hz (fs=), scale 0.001 mV per count (unit=)" in told(path, "lead=EEG&fs=500&unit=uV")
    assert "lead EEG (column=)" in told(path, "column=1")
    path = Edf([{"label": "A", "data": sine()}] * 2, bdf=True).write(tmp_path / "b.edf")
    assert told(path).startswith("BDF, lead A (a guess), 250 Hz (header)")


def test_wfdb(tmp_path: Path) -> None:
    base = wfdb_files(tmp_path, "r", "r 1\na.dat 212 0\n", a=stored(212, COUNTS))
    expected = "WFDB, lead signal 1 (the only signal), 250 Hz (the default of WFDB), scale 0.005 mV per count "
    assert told(base) == expected + "(the default of WFDB), clock none, formats 212"
    wfdb_files(tmp_path, "b", "b 1 250 4000\na.dat 212 100/mV\n")
    base = wfdb_files(tmp_path, "m", "m/2 1 250 8000\nr 4000\nb 4000\n")
    assert told(base).endswith("scale mV (header, by segment), clock none, formats 212, segments 2")


def test_mat(tmp_path: Path) -> None:
    head = struct.pack("<5i", 0, 1, 1, 0, 3) + b"fs\0" + struct.pack("<d", 300.0)
    array = struct.pack("<5i", 30, 1, 4000, 0, 4) + b"ecg\0" + COUNTS.astype("<i2").tobytes()
    (tmp_path / "a.mat").write_bytes(head + array)
    assert (
        told(tmp_path / "a.mat")
        == "MATLAB, lead ecg (the only signal), 300 Hz (fs in the file), scale unknown, clock none"
    )
    assert "scale 0.5 mV per count (lsb_mv=)" in told(tmp_path / "a.mat", "lsb_mv=0.5")


def test_the_line_and_the_file_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Edf([{"label": "ECG\x1b[2J", "data": sine()}]).write(tmp_path / "a.edf")
    folder = tmp_path / "session"
    assert main(["run", "--source", f"replay:{path}?speed=max", "--session-dir", str(folder), "--view", "none"]) == 0
    said = capsys.readouterr().err
    assert "reading a.edf: EDF, lead ECG?[2J (the only signal), 250 Hz (header)" in said
    assert "\x1b" not in said
    decided = json.loads((folder / "session.json").read_text())["decided"]
    assert decided["format"] == "EDF"
    assert decided["rate_hz"] == 250.0
    assert decided["scale"] == "0.001 mV per count"
