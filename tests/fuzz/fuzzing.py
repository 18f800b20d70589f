"""What the slow tests of both groups of targets share."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from fuzz.run import run

SECONDS, RUNS = 30, 60_000
SEED = 1
"""The same inputs each time, so that a finding belongs to a change of the code; `make fuzz` takes others each time, and
as many as fit into its time."""
NO_ATHERIS = "atheris is not installed (x86-64 only; .ci/install-slow, or pip install -e '.[fuzz]')"


def fuzz(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fuzz a target for `SECONDS`; what it finds is in the message."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip(NO_ATHERIS)
    good = run(name, SECONDS, seed=SEED, corpus=None, findings=folder, runs=RUNS)
    said = capsys.readouterr().out
    found = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert good, f"{said}\nfound: {found}"
