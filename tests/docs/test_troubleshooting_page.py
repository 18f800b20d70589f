"""Every message that the troubleshooting page quotes is in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
CODE = "\n".join(
    path.read_text(encoding="utf-8")
    for package in ("edge", "firmware_bridge")
    for path in (ROOT / package).rglob("*.py")
)


def quoted() -> list[str]:
    table = PAGE.partition("| symptom | the kit says |")[2].partition("\n\n")[0]
    rows = [row.split(" | ") for row in table.splitlines()[2:]]
    return sorted({text for row in rows for text in re.findall(r"`([^`]+)`", row[1])})


@pytest.mark.parametrize("text", quoted())
def test_a_quoted_message_is_in_the_code(text: str) -> None:
    assert text in CODE


def test_the_page_covers_the_complaints_of_serial_users() -> None:
    assert len(quoted()) >= 10


def test_every_option_of_the_two_commands_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    from edge.cli.main import main

    for command in ("doctor", "scan"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
        assert options
        for option in options:
            assert option in PAGE, option
