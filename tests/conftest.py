"""Shared fixtures. Recordings and captures live outside the project and are found beside it; their absence skips."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
