"""Files of unknown origin: special ones are refused at once, and documents fail in one way only."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from edge.cli.main import main
from firmware_bridge.errors import MAX_LINE_CHARS, InputError
from firmware_bridge.reading import is_integer, is_number, open_regular, parse_json, parse_toml, read_limited
from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.text import shortened

DEVICES = [path for path in ("/dev/zero", "/dev/null") if Path(path).exists()]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.csv")
    return tmp_path / "pipe.csv"


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_limited(path, 4)


def test_nothing_but_files_is_opened(tmp_path: Path, pipe: Path) -> None:
    for path in (pipe, *map(Path, DEVICES)):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(path)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(OSError, match="file name"):
        open_regular(Path("a\0b"))


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"1" + b"0" * 5000, b"\xff", b"{", b""])
def test_json_fails_with_value_error_alone(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


@pytest.mark.parametrize(
    "text", [b"a=" + b"[" * 100_000, b"a=1" + b"0" * 5000, b'a="\xed\xa0\x80"', b'a="\\ud800"', b"a"]
)
def test_toml_fails_with_value_error_alone(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_toml(text)


@pytest.mark.parametrize("text", ["{}=1", "[{}]", "x = {{ {} = 1 }}", '"a".{}=1'])
def test_a_key_of_many_parts_takes_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="too many parts"):
        parse_toml(text.format(".".join("a" * 30_000)))
    assert parse_toml('note = "' + "a. " * 150 + '"')


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["run", "--source", "replay:{}?fs=250"], 3),
        (["run", "--config", "{}"], 2),
        (["run", "--source", "sim:?speed=max", "--seconds", "1", "--device-profile", "{}"], 2),
        (["run", "--source", "sim:?speed=max", "--seconds", "1", "--person", "{}"], 2),
        (["bundle", "verify", "demo", "--trusted", "{}"], 2),
        (["bundle", "show", "{}"], 4),
        (["convert", "inspect", "{}"], 3),
    ],
)
def test_no_command_waits_for_a_pipe(
    command: list[str], code: int, pipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (pipe, Path("/dev/zero")):
        assert main([word.format(path) for word in command]) == code
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("text", ["a=" + "[" * 50_000, "hop=1" + "0" * 5000, "hop = nan", "hop = 0001-01-01", "\x00"])
def test_a_configuration_that_cannot_be_meant(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text(text)
    assert main(["run", "--config", str(tmp_path / "c.toml"), "--source", "sim:", "--seconds", "1"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_messages_are_short_and_keep_both_ends() -> None:
    error = InputError("a" * 5000 + "end", "b" * 5000)
    assert len(error.what) <= MAX_LINE_CHARS
    assert error.what.startswith("aaa")
    assert error.what.endswith("end")
    assert len(str(error)) < 2 * MAX_LINE_CHARS + 5
    assert shortened("abc", 3) == "abc"


def test_text_of_a_device_controls_no_terminal() -> None:
    event = LinkEvent(LinkEventKind.HELLO, 0, "\x1b[2Jpatch\n", {"id": "\x1b]0;x\x07", "rate": 250})
    assert event.detail == "\ufffd[2Jpatch "
    assert event.data == {"id": "\ufffd]0;x\ufffd", "rate": 250}


@pytest.mark.parametrize("x", [0, -3, 2.5, 1e100, (1 << 63) - 1])
def test_finite_numbers_are_numbers(x):
    assert is_number(x)


@pytest.mark.parametrize("x", [True, None, "1", [1], math.nan, math.inf, -math.inf, 1e101, 1 << 63, -(1 << 63)])
def test_what_json_may_hold_in_the_place_of_a_number_is_refused(x):
    assert not is_number(x)


@pytest.mark.parametrize(("x", "number", "integer"), [(2, True, True), (2.0, True, False), (5, False, False)])
def test_bounds_and_kind_are_checked(x, number, integer):
    assert is_number(x, 0.0, 4.0) is number
    assert is_integer(x, 0, 4) is integer
    assert not is_integer(True, 0, 4)
