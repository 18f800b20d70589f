"""Counts to millivolts from pulses and sines, with a realistic uncertainty, and refusals of other signals."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calibration.device.pulse import fit_pulses
from calibration.device.sine import fit_response, fit_sine, noise_floor, outside_response
from edge.cli.main import main
from edge.device_profile import MeasuredProfile, ProfiledSource, load_profile, to_toml
from edge.sources import open_source
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.samples import SampleBlock
from firmware_bridge.virtual.calibrator import Board, Calibrator, CalibratorSignal
from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal

PROFILE = MeasuredProfile(
    device="anyecg_patch", device_id="virtual-0001", unit="counts", lsb_mv=0.0025, lsb_relative_uncertainty=0.003,
    polarity=-1, polarity_known=True, offset=12.4, fs_nominal_hz=250.0, fs_hz=249.5, fs_from="sine", noise_mv=0.01,
    low_cut_hz=0.05, response={0.67: 0.9, 5.0: 1.0}, made="2026-01-01T00:00:00.000Z", how='by "hand"', source="sim:",
    converter_low=-2048.0, converter_high=2047.0,
)  # fmt: skip


def counts(kind: str, board: Board, fs_hz: float, seconds: float, seed: int, hz: float = 10.0) -> np.ndarray:
    signal = CalibratorSignal(Calibrator(kind, 1.0, hz), board, seed)  # type: ignore[arg-type]
    return np.rint(signal.generate(round(seconds * fs_hz), fs_hz))


def boards(n: int) -> list[tuple[int, float, float, Board]]:
    rng = np.random.default_rng(3)
    out = []
    for seed in range(n):
        fs_hz, lsb_mv = float(rng.choice([125, 130, 200, 250, 360, 500])), 10 ** rng.uniform(-4, -1.8)
        board = Board(
            gain=float(rng.choice([-1, 1])) / lsb_mv, offset_mv=float(rng.uniform(-2000, 2000)),
            high_pass_hz=float(rng.choice([0.0, 0.05, 0.3, 0.5])), low_pass_hz=float(rng.choice([0.0, 40.0])),
            noise_mv=float(rng.choice([0.0, 0.005, 0.03])),
        )  # fmt: skip
        out.append((seed, fs_hz, lsb_mv, board))
    return out


def test_pulses_give_the_scale_within_the_stated_uncertainty_on_any_board() -> None:
    outside = 0
    for seed, fs_hz, lsb_mv, board in boards(40):
        fit = fit_pulses([counts("pulse", board, fs_hz, 15.0, seed)], fs_hz)
        error = abs(1.0 / fit.height / lsb_mv - 1.0)
        outside += error > fit.relative_uncertainty
        assert error <= 2.0 * fit.relative_uncertainty
        assert fit.relative_uncertainty < 0.05
        assert fit.polarity_known
        assert fit.polarity == np.sign(board.gain)
        assert fit.low_cut_hz == pytest.approx(board.high_pass_hz, abs=0.03)
    assert outside <= 4, "95 % of the intervals contain the true scale"


def test_wander_and_mains_hardly_change_the_scale() -> None:
    fs_hz, lsb_mv = 250.0, 0.002
    t_s = np.arange(round(20 * fs_hz)) / fs_hz
    wander_mv = 0.3 * np.sin(2 * np.pi * 0.31 * t_s) + 0.05 * np.sin(2 * np.pi * 50.02 * t_s)
    x = counts("pulse", Board(1 / lsb_mv, noise_mv=0.02), fs_hz, 20.0, 1) + np.rint(wander_mv / lsb_mv)
    fit = fit_pulses([x], fs_hz)
    assert 1.0 / fit.height == pytest.approx(lsb_mv, rel=0.02)


def test_a_gap_costs_only_the_pulses_next_to_it() -> None:
    x = counts("pulse", Board(500.0, noise_mv=0.01), 250.0, 20.0, 1)
    assert fit_pulses([x[:2050], x[2090:]], 250.0).height == pytest.approx(500.0, rel=0.01)


@pytest.mark.parametrize(
    "options", [PatientOptions(), PatientOptions(hr_bpm=150), PatientOptions(potassium=8.8), PatientOptions(noise=0)]
)
@pytest.mark.parametrize("fs_hz", [125.0, 500.0])
def test_an_ecg_is_not_taken_for_pulses(options: PatientOptions, fs_hz: float) -> None:
    with pytest.raises(InputError, match="no calibration pulse"):
        fit_pulses([PatientSignal(options, 1).generate(round(20 * fs_hz), fs_hz) * 1000], fs_hz)


@pytest.mark.parametrize("kind", ["shorted", "sine"])
def test_other_signals_are_not_taken_for_pulses(kind: str) -> None:
    with pytest.raises(InputError, match="no calibration pulse"):
        fit_pulses([counts(kind, Board(500.0, noise_mv=0.02), 250.0, 20.0, 1)], 250.0)


def test_a_clipped_pulse_is_refused() -> None:
    x = counts("pulse", Board(1000.0, offset_mv=32200.0, noise_mv=0.01), 250.0, 20.0, 1)
    with pytest.raises(InputError, match="clipped at 32767"):
        fit_pulses([np.clip(x, -32768, 32767)], 250.0)
    with pytest.raises(InputError, match="clipped"):
        fit_pulses([np.minimum(x, 32900)], 250.0)


def test_a_sine_gives_scale_offset_noise_and_rate() -> None:
    for seed, hz in enumerate((1.0, 5.0, 10.0, 20.0)):
        board = Board(400.0, offset_mv=-77.0, noise_mv=0.02, clock_ppm=-3000.0)
        fit = fit_sine([counts("sine", board, 250.0, 20.0, seed, hz)], 250.0, hz)
        assert abs(fit.peak_to_peak / 400.0 - 1.0) <= 1.5 * fit.relative_uncertainty
        assert fit.relative_uncertainty < 0.005
        assert hz / fit.cycles_per_sample == pytest.approx(250.0 * 0.997, rel=3e-5)
        assert fit.offset == pytest.approx(-77.0, abs=1.0)
        assert fit.noise / 400.0 == pytest.approx(0.02, rel=0.1)


def test_a_missing_or_clipped_sine_is_refused() -> None:
    x = counts("sine", Board(400.0, noise_mv=0.01), 250.0, 20.0, 1)
    with pytest.raises(InputError, match="no sine of 20 Hz"):
        fit_sine([x], 250.0, 20.0)
    with pytest.raises(InputError, match="clipped"):
        fit_sine([np.minimum(x, 120.0)], 250.0, 10.0)
    with pytest.raises(UsageError, match="less than 45 %"):
        fit_sine([x], 250.0, 120.0)


def test_the_measured_response_is_that_of_the_board() -> None:
    board = Board(333.0, noise_mv=0.01, high_pass_hz=0.5, low_pass_hz=40.0)
    found = fit_response([counts("sweep", board, 500.0, 60.0, 1)], 500.0)
    assert sorted(found) == [0.67, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0]
    reference = 1 / np.hypot(1, 0.5 / 5.0) / np.hypot(1, 5.0 / 40.0)
    for hz, ratio in found.items():
        assert ratio == pytest.approx(1 / np.hypot(1, 0.5 / hz) / np.hypot(1, hz / 40.0) / reference, rel=0.03)
    assert outside_response(found) == []
    narrow = counts("sweep", dataclasses.replace(board, low_pass_hz=15.0), 500.0, 60.0, 1)
    assert outside_response(fit_response([narrow], 500.0)) == [20.0, 30.0, 40.0]
    with pytest.raises(InputError, match="no sweep"):
        fit_response([counts("pulse", board, 500.0, 20.0, 1)], 500.0)


def test_the_noise_floor() -> None:
    rms, swing = noise_floor([counts("shorted", Board(1000.0, noise_mv=0.02), 250.0, 30.0, 1)], 250.0)
    assert rms == pytest.approx(20.0, rel=0.05)
    assert 5 * rms < swing < 12 * rms


def test_a_profile_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(to_toml(PROFILE))
    assert load_profile(path) == PROFILE


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lsb_mv = 0.0025", "lsb_mv = -1", "'lsb_mv' must be a number from 1e-09"),
        ("lsb_mv = 0.0025", "lsb_mv = nan", "'lsb_mv' must be a number"),
        ("lsb_mv = 0.0025\n", "", "'lsb_mv' must be a number"),
        ("polarity = -1", "polarity = 2", "'polarity' must be 1 or -1"),
        ("polarity_known = true", "polarity_known = 1", "'polarity_known' must be True or False"),
        ('unit = "counts"', 'unit = "V"', "'unit' must be 'counts' or 'mV'"),
        ("hz = 0.67", 'hz = "x"', "'hz' must be a number"),
        ("anyecg.device-profile/1", "anyecg.device-profile/2", "is not a device profile"),
        ("schema =", "schema", "is not valid TOML"),
    ],
)
def test_an_invalid_profile_is_refused_and_its_key_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "p.toml"
    text = to_toml(PROFILE)
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        load_profile(path)


def block(samples: np.ndarray, **changes: object) -> SampleBlock:
    return dataclasses.replace(SampleBlock(samples, "counts", None, 250.0, None, 0), **changes)  # type: ignore[arg-type]


def test_blocks_come_out_in_millivolts() -> None:
    out = PROFILE.apply(block(np.array([12, 412, -(2**31)], np.int32)))
    assert out.samples.tolist() == [0, 400, -(2**31)]
    assert (out.lsb_mv, out.fs_hz, out.unit) == (-0.0025, 249.5, "counts")
    assert out.limits == pytest.approx((-2048.0 - 12.4, 2047.0 - 12.4))
    plain = dataclasses.replace(PROFILE, converter_high=None)
    assert plain.apply(block(np.array([1], np.int32))).limits is None
    floats = PROFILE.apply(block(np.array([12.4, 13.4], np.float32), device_time_ns=1))
    assert floats.samples.tolist() == pytest.approx([0.0, 1.0], abs=1e-5)
    assert floats.fs_hz == 250.0, "with a device clock, the rate is measured during the run"
    with pytest.raises(InputError, match="calibrate again"):
        PROFILE.apply(block(np.array([1.0], np.float32), unit="mV"))


def test_block_borders_have_no_effect() -> None:
    samples = np.random.default_rng(0).integers(-(2**23), 2**23, 1000).astype(np.int32)
    whole = PROFILE.apply(block(samples)).samples
    for cuts in ([1, 2, 999], [500], list(range(7, 1000, 7))):
        parts = [PROFILE.apply(block(part)).samples for part in np.split(samples, cuts)]
        assert np.array_equal(np.concatenate(parts), whole)


def test_measuring_a_board_needs_only_the_device_install(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom edge.cli.main import main\n"
        "rc = main(['calibrate','device','--source','sim:?signal=pulse&speed=max&seconds=12','--out','p.toml'])\n"
        "import calibration.cli.person\n"
        "heavy = {'scipy','tensorflow','keras','matplotlib','wfdb','sklearn','bleak','serial','convert'}\n"
        "print(rc, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.stdout.strip().splitlines()[-1] == "0 []", done.stderr


def test_a_profile_of_another_device_is_refused() -> None:
    source = open_source("sim:?seconds=1&speed=max")
    with pytest.raises(UsageError, match="belongs to a polar_h10, but the source is a anyecg_patch"):
        ProfiledSource(source, dataclasses.replace(PROFILE, device="polar_h10"))
    notes = ProfiledSource(source, dataclasses.replace(PROFILE, device="my board")).info.notes
    assert any("check that this is the same board" in note for note in notes)

    async def read() -> None:
        other = ProfiledSource(source, dataclasses.replace(PROFILE, device_id="virtual-0002"))
        async for _ in other.items():
            pass

    with pytest.raises(UsageError, match="belongs to virtual-0002, but this device is virtual-0001"):
        asyncio.run(read())


def test_the_command_measures_and_run_applies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = "nv=0&gain=-0.37&offset_mv=3&noise_mv=0.005&speed=max"
    profile, out = tmp_path / "p.toml", tmp_path / "e.jsonl"
    assert main(["calibrate", "device", "--source", f"sim:?signal=pulse&{board}", "--out", str(profile)]) == 0
    assert load_profile(profile).lsb_mv == pytest.approx(0.001 / 0.37, rel=0.004)
    sweep = ["calibrate", "device", "--signal", "sweep", "--source", f"sim:?signal=sweep&{board}", "--add-to"]
    assert main([*sweep, str(profile)]) == 0
    found = load_profile(profile)
    assert (found.polarity, len(found.response)) == (-1, 8)
    assert "within 70-140 %" in capsys.readouterr().out
    run = ["run", "--source", "sim:?nv=0&speed=max", "--seconds", "14", "--view", "none", "--out", str(out)]
    assert main([*run, "--device-profile", str(profile)]) == 0
    line = json.loads(out.read_text().splitlines()[-1])
    assert line["applied"]["device_profile"]["file"] == "p.toml"
    assert len(line["applied"]["device_profile"]["sha256"]) == 64
    assert "scale from the device profile" in capsys.readouterr().err


def test_errors_are_one_line_with_their_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "p.toml")]
    for code, words, said in (
        (3, ["--source", "sim:?speed=max&seconds=20", *out], "no calibration pulse found"),
        (2, ["--source", "sim:?speed=max", "--signal", "sine", *out], "add --hz"),
        (2, ["--source", "sim:?speed=max"], "no file for the profile"),
        (3, ["--source", "sim:?signal=shorted&nv=0&speed=max", "--signal", "shorted", *out], "not known"),
        (7, ["--source", "sim:", "--out", str(tmp_path / "no" / "p.toml")], "is not a folder"),
        (3, ["--source", str(tmp_path / "none.csv"), *out], "none.csv"),
    ):
        assert main(["calibrate", "device", *words]) == code
        err = capsys.readouterr().err.strip().splitlines()
        assert len(err) == 1
        assert said in err[0]
    assert not (tmp_path / "p.toml").exists()
