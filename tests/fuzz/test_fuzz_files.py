"""Fuzzes each reader of files for half a minute at most."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.fuzzing import fuzz
from fuzz.registry import FILES


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", FILES)
def test_nothing_is_found(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz(name, tmp_path, capsys)
