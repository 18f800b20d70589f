"""What the slow tests of both groups of targets share."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from fuzz.run import run

SECONDS = 30
NO_ATHERIS = "atheris is not installed (x86-64 only; .ci/install-slow, or pip install -e '.[fuzz]')"


def fuzz(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fuzz a target for half a minute with another seed each time; what it finds is in the message."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip(NO_ATHERIS)
    good = run(name, SECONDS, seed=0, corpus=None, findings=folder)
    said = capsys.readouterr().out
    found = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert good, f"{said}\nfound: {found}"
