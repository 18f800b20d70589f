"""The table of docs/reliability.md names tests, files and targets that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def exists(name: str) -> bool:
    """Whether a path or a target of make exists."""
    return (ROOT / name).exists() or re.search(rf"^{name}:", MAKEFILE, re.MULTILINE) is not None


def rows() -> list[list[str]]:
    table = PAGE.partition("| promise |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def test_every_row_is_whole() -> None:
    assert len(rows()) >= 12
    for row in rows():
        assert len(row) == 4, row
        assert all(row), row
        assert re.fullmatch(r"`[^`]+`", row[3]), row


@pytest.mark.parametrize("command", sorted({row[3].strip("`") for row in rows()}))
def test_its_command_can_run(command: str) -> None:
    word, *names = command.split()
    assert word in {"make", "pytest"}
    assert names
    assert [name for name in names if not exists(name)] == []
