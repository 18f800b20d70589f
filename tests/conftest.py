"""Shared fixtures. Recordings and captures live outside the project and are found beside it; their absence skips."""

from __future__ import annotations

import os
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Test workers share the processors. A thread for every processor in each of them only makes them wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

# No test measures how long an example takes: on a busy machine that says nothing about the code.
with suppress(ImportError):  # a device has no hypothesis; the tests that need it are not run there
    from hypothesis import HealthCheck, settings

    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where workers share the files, those that may take longest go first, so that all workers end together."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    longest: dict[Path, float] = {}
    for item in items:
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0.0), limit.args[0] if limit and limit.args else 0.0)
    number = Counter(item.path for item in items)
    items.sort(key=lambda item: (-longest[item.path], -number[item.path], str(item.path)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin every test with the same global random numbers: Keras draws the seeds of new weights from them."""
    random.seed(0)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real recordings and golden files beside the project."""
    path = ROOT.parent / "shared"
    if not (path / "data").is_dir():
        pytest.skip("no ../shared beside the project: real recordings and golden files are not here")
    return path


@pytest.fixture(scope="session")
def data_dir(shared_dir: Path) -> Path:
    """Real ECG recordings with reference beats."""
    return shared_dir / "data"
