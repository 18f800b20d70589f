"""A wrong word is answered with the one that was probably meant, and nothing is overwritten by surprise."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cli.main import COMMANDS, main
from edge.sources import SCHEMES, SourceUrl
from edge.sources.suggest import source_for
from firmware_bridge.errors import UsageError
from firmware_bridge.suggest import MAX_CHARS, closest


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("/dev/ttyACM0", "serial:/dev/ttyACM0"),
        ("/dev/serial/by-id/usb-x?device=max30003", "serial:/dev/serial/by-id/usb-x?device=max30003"),
        ("ttyUSB0", "serial:/dev/ttyUSB0"),
        ("COM3", "serial:COM3"),
        ("polar_h10", "ble:polar_h10"),
        ("polar-h10", "ble:polar_h10"),
        ("polar_h01", "ble:polar_h10"),
        ("Polar_H10/A0:9E:1A:12:34:56", "ble:polar_h10/A0:9E:1A:12:34:56"),
        ("bitalino", "serial:PORT?device=bitalino"),
        ("A0:9E:1A:12:34:56", "ble:DEVICE/A0:9E:1A:12:34:56"),
        ("192.168.4.1:4567", "tcp:192.168.4.1:4567"),
        ("patch.local:4567", "tcp:patch.local:4567"),
        ("[fe80::1]:4567", "tcp:[fe80::1]:4567"),
        ("night.edf", "replay:night.edf"),
        ("folder/rec.csv?fs=250", "replay:folder/rec.csv?fs=250"),
        ("seriall:/dev/ttyACM0", "serial:/dev/ttyACM0"),
        ("reply:night.edf", "replay:night.edf"),
        ("blue:polar_h10", "ble:polar_h10"),
        ("what is this", None),
        ("", None),
        ("https://example.org/x.csv", None),
        ("a" * 5000, None),
        ("nul\0byte", None),
    ],
)
def test_a_text_that_is_no_url_is_answered_with_the_probable_one(text: str, meant: str | None) -> None:
    assert source_for(text, SCHEMES) == meant
    with pytest.raises(UsageError) as caught:
        SourceUrl.parse(text)
    assert meant is None or f"did you mean '{meant}'?" in caught.value.fix
    if meant is not None:
        SourceUrl.parse(meant)


def test_an_existing_file_is_a_recording(tmp_path: Path) -> None:
    (tmp_path / "polar_h10").write_text("")
    assert source_for(str(tmp_path / "polar_h10"), SCHEMES) == f"replay:{tmp_path / 'polar_h10'}"
    assert source_for(str(tmp_path), SCHEMES) == f"replay:{tmp_path}"


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["rnu"], "run"),
        (["bundel", "verify", "demo"], "bundle"),
        (["run", "--sesion-dir", "x", "--source", "sim:"], "--session-dir"),
        (["run", "--source", "replay:x.csv?sped=max"], "speed"),
        (["run", "--source", "serial:/dev/x?device=polar_h9"], "polar_h10"),
        (["devices", "openbci_cytom"], "openbci_cyton"),
    ],
)
def test_typing_errors_are_answered(arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert f"did you mean '{meant}'?" in said
    assert said.count("\n") == 1


def test_nothing_like_it_gets_no_suggestion_and_long_words_cost_nothing() -> None:
    assert closest("xyzzy", COMMANDS) is None
    assert closest("r" * (MAX_CHARS + 1), COMMANDS) is None
    assert closest("run", []) is None


@pytest.mark.parametrize("form", ["version", "--version", "-V"])
def test_version(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([form]) == 0
    assert capsys.readouterr().out.startswith("anyecg-edge ")


RUN = ["run", "--source", "sim:?seed=1&speed=max", "--seconds", "20", "--view", "none"]


def test_a_picture_is_svg_and_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "screen.svg"
    assert main([*RUN, "--picture", str(tmp_path / "screen.png")]) == 2
    assert "name it screen.svg" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert main([*RUN, "--picture", str(picture)]) == 0
    before = picture.read_bytes()
    picture.write_bytes(b"mine")
    assert main([*RUN, "--picture", str(picture)]) == 2
    assert "add --force" in capsys.readouterr().err
    assert picture.read_bytes() == b"mine"
    assert main([*RUN, "--picture", str(picture), "--force"]) == 0
    assert len(picture.read_bytes()) == pytest.approx(len(before), rel=0.2)


def test_a_second_source_never_replaces_the_first_silently(capsys: pytest.CaptureFixture[str]) -> None:
    two = ["--source", "sim:?seed=1&speed=max&seconds=2", "--source", "sim:?seed=2&speed=max&seconds=2"]
    assert main(["run", *two, "--view", "none"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows if row[-1:] == ["end"]] == ["sim-1", "sim-2"]


def test_the_command_line_wins_over_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "anyecg.toml"
    config.write_text('source = "replay:/nope/of/the/file.csv"\nseconds = 5\nview = "none"\n')
    assert main(["run", "--config", str(config), "--source", "sim:?speed=max", "--seconds=20"]) == 0
    assert "signal      20" in capsys.readouterr().out


def test_a_device_profile_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "board.toml"
    command = ["calibrate", "device", "--source", "sim:?signal=pulse&nv=0&speed=max", "--out", str(profile)]
    assert main(command) == 0
    before = profile.read_bytes()
    assert main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert profile.read_bytes() == before
    assert main([*command, "--force"]) == 0
