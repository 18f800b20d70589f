"""The runner of the tiers: both calls of pytest count, and one summary says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).resolve().parents[1] / "helpers" / "run_tier.py"
CONFIG = "[pytest]\naddopts = -m 'not slow'\nmarkers =\n  slow\n  alone\n"
TESTS = """
import os, pytest

def test_shared():
    assert os.environ.get("PYTEST_XDIST_WORKER", "")[:2] == {worker!r}

@pytest.mark.alone
def test_alone():
    assert "PYTEST_XDIST_WORKER" not in os.environ
    assert {alone}

@pytest.mark.slow
def test_slow():
    assert {slow}
"""


def run(folder: Path, tier: str = "fast", *more: str, worker: str = "", alone: bool = True, slow: bool = True):
    (folder / "pytest.ini").write_text(CONFIG)
    (folder / "test_it.py").write_text(TESTS.format(worker=worker, alone=alone, slow=slow))
    # Neither the options of this run nor its worker's name are those of the runs within.
    command = ["env", "-u", "PYTEST_XDIST_WORKER", "-u", "PYTEST_ADDOPTS", sys.executable, str(RUNNER), tier]
    done = subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout[done.stdout.rindex("\n===") :]


def test_the_rest_is_spread_and_what_measures_runs_alone(tmp_path):
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    code, said = run(tmp_path, "fast", "--workers", "2", worker="gw")
    assert code == 0
    assert "fast tier: passed" in said
    assert "on 2 workers: 1 passed" in said
    assert "alone: 1 passed" in said


def test_a_failure_of_either_call_is_a_failure(tmp_path):
    code, said = run(tmp_path, "fast", "--workers", "1", alone=False)
    assert code == 1
    assert "fast tier: FAILED" in said
    assert "on one worker: 1 passed" in said
    assert "alone: 1 failed" in said
    assert "FAILED test_it.py::test_alone" in said
    code, said = run(tmp_path, "fast", "--workers", "1", worker="gw")
    assert code == 1
    assert "FAILED test_it.py::test_shared" in said
    assert "alone: 1 passed" in said


def test_the_slow_tier_runs_the_slow_tests(tmp_path):
    code, said = run(tmp_path, "slow", "--workers", "1", slow=False)
    assert code == 1
    assert "on one worker: 1 failed" in said
    assert "alone: no tests" in said


def test_tests_that_cannot_be_read_are_a_failure(tmp_path):
    (tmp_path / "test_broken.py").write_text("import no_such_module\n")
    code, said = run(tmp_path, "fast", "--workers", "1")
    assert code == 1
    assert "FAILED" in said
