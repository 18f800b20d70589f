"""`edge.open` with reasons, a baseline and a device profile: the same estimates as ``anyecg run``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import edge
from edge.baseline.file import load_baseline, write_baseline
from edge.cli.main import main
from edge.device_profile import MeasuredProfile, to_toml
from edge.records import to_json
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from helpers.quiet_hours import AT_REST, estimates, write_records
from helpers.session_files import comparable

HOP_S = 10.0
TALL_T = EcgParams(hr_bpm=62.0, t_mv=0.7, t_ms=110.0)


@pytest.fixture(autouse=True)
def no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons wait if the processor is slow, and two runs would then differ."""
    monkeypatch.setattr("edge.explain.live.MAX_SHARE", 1e6)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "person.csv"
    ecg_mv = EcgSynth(TALL_T, 3).generate(130 * 250, 250.0)
    path.write_text("\n".join(["ecg_mv", *(f"{v:.4f}" for v in ecg_mv), ""]))
    return path


@pytest.fixture
def quiet_hour(tmp_path: Path) -> Path:
    """A baseline of a patch that is named ``patch``."""
    night = write_records(tmp_path / "night", estimates(lambda _t: AT_REST, 3900.0))
    out = tmp_path / "ann.json"
    assert main(["baseline", str(night), "--out", str(out)]) == 0
    return out


def of_recording(path: Path) -> Path:
    """Turn a baseline into one of the lead of the recording."""
    write_baseline(path, replace(load_baseline(path), device="recording", lead="ecg_mv"))
    return path


def url_of(recording: Path) -> str:
    """The same source for both, because the name of a session is that of its source."""
    return f"replay:{recording}?fs=250&speed=max"


def lines_of_command(tmp_path: Path, recording: Path, *options: str) -> list[str]:
    out = tmp_path / "estimates.jsonl"
    assert (
        main(["run", "--source", url_of(recording), "--hop", str(HOP_S), "--view", "none", "--out", str(out), *options])
        == 0
    )
    return out.read_text().splitlines()


def test_python_and_command_give_the_same_estimates(tmp_path: Path, recording: Path, quiet_hour: Path) -> None:
    of_recording(quiet_hour)
    told = lines_of_command(tmp_path, recording, "--reasons", "--baseline", str(quiet_hour))
    stream = edge.open(url_of(recording), hop_s=HOP_S, reasons=True, baseline=quiet_hour)
    found = list(stream.estimates())
    assert [comparable(to_json(e)) for e in found] == [comparable(line) for line in told]
    last = found[-1]
    assert last.change is not None
    assert last.change.values["t_mv"].value == pytest.approx(0.4, abs=0.1)
    assert last.applied["baseline"].file == "ann.json"
    assert any(lab.reasons is not None and lab.reasons.shares for lab in last.labs)
    # The minutes of one iteration are no part of the next one.
    assert [e.change for e in stream.estimates()] == [e.change for e in found]


def test_reasons_and_changes_come_only_when_asked_for(recording: Path) -> None:
    for e in edge.open(url_of(recording), hop_s=HOP_S, seconds=60.0).estimates():
        assert e.change is None
        assert all(lab.reasons is None for lab in e.labs)


def test_a_baseline_of_another_device_is_noted(recording: Path, quiet_hour: Path) -> None:
    stream = edge.open(url_of(recording), hop_s=HOP_S, seconds=30.0, baseline=quiet_hour)
    assert "changes cannot be told: the baseline is of another device" in " ".join(stream.info.notes)
    changes = [e.change for e in stream.estimates()]
    assert {reason for change in changes if change for reason in change.missing.values()} == {"other_device"}
    assert changes
    assert None not in changes


def test_a_baseline_that_is_none_is_refused_before_the_source_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.api.open.open_source", lambda _url: pytest.fail("a source was opened"))
    with pytest.raises(edge.UsageError, match="cannot read the baseline"):
        edge.open("sim:", baseline=tmp_path / "none.json")


def test_a_device_profile_is_named_in_the_estimates(tmp_path: Path, recording: Path) -> None:
    profile = tmp_path / "board.toml"
    board = MeasuredProfile(
        device="anyecg_patch", device_id=None, unit="mV", lsb_mv=0.5, lsb_relative_uncertainty=0.003,
        polarity=1, polarity_known=True, offset=0.0, fs_nominal_hz=250.0, fs_hz=250.0, fs_from="sine", noise_mv=0.01,
        low_cut_hz=0.05, response={5.0: 1.0}, made="2026-01-01T00:00:00.000Z", how="test", source="sim:",
    )  # fmt: skip
    profile.write_text(to_toml(board))
    told = lines_of_command(tmp_path, recording, "--device-profile", str(profile))
    found = list(edge.open(url_of(recording), hop_s=HOP_S, device_profile=profile).estimates())
    assert [comparable(to_json(e)) for e in found] == [comparable(line) for line in told]
    assert found[-1].applied["device_profile"].file == "board.toml"
