"""A board of unknown scale behind a real pseudo-terminal: calibrated live, then read in millivolts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.device_profile import load_profile
from firmware_bridge.virtual.process import VirtualProcess

SPEED = ("--speed", "20", "--nv", "0")


@pytest.mark.parametrize(
    ("fs", "gain", "offset_mv", "noise_mv", "highpass_hz"),
    [(250, 0.83, 5.0, 0.01, 0.05), (500, -2.7, -11.0, 0.02, 0.5), (125, -0.11, 0.0, 0.0, 0.0)],
)
def test_the_scale_of_a_board_is_found_through_its_port(
    tmp_path: Path, fs: int, gain: float, offset_mv: float, noise_mv: float, highpass_hz: float
) -> None:
    port, profile = tmp_path / "patch", tmp_path / "board.toml"
    board = ["--fs", str(fs), "--board-gain", str(gain), "--board-offset-mv", str(offset_mv)]
    board += ["--board-noise-mv", str(noise_mv), "--board-highpass-hz", str(highpass_hz)]
    with VirtualProcess(port, *SPEED, *board, "--signal", "pulse"):
        words = ["calibrate", "device", "--source", f"serial:{port}", "--seconds", "10", "--out", str(profile)]
        assert main(words) == 0
    found = load_profile(profile)
    assert abs(found.lsb_mv / (0.001 / abs(gain)) - 1.0) <= found.lsb_relative_uncertainty
    assert found.polarity == (1 if gain > 0 else -1)
    assert (found.device, found.device_id) == ("anyecg_patch", "virtual-0001")
    if fs != 500:
        return
    out = tmp_path / "e.jsonl"
    with VirtualProcess(port, *SPEED, "--seed", "2"):
        run = ["run", "--source", f"serial:{port}", "--seconds", "14", "--view", "none", "--out", str(out)]
        assert main([*run, "--device-profile", str(profile)]) == 0
    assert json.loads(out.read_text().splitlines()[-1])["applied"]["device_profile"]["file"] == "board.toml"


def test_a_recording_of_the_pulse_gives_the_same_profile(tmp_path: Path) -> None:
    port, raw = tmp_path / "patch", tmp_path / "pulse.aer"
    with VirtualProcess(port, *SPEED, "--signal", "pulse", "--board-gain", "0.4"):
        words = ["calibrate", "device", "--source", f"record:{raw},serial:{port}", "--seconds", "12"]
        assert main([*words, "--out", str(tmp_path / "live.toml")]) == 0
    assert (
        main(["calibrate", "device", "--source", str(raw), "--seconds", "12", "--out", str(tmp_path / "b.toml")]) == 0
    )
    live, again = load_profile(tmp_path / "live.toml"), load_profile(tmp_path / "b.toml")
    assert (live.lsb_mv, live.offset, live.device_id) == (again.lsb_mv, again.offset, again.device_id)
