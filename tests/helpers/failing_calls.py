"""A call of the system that fails once: the disk is full, or the user presses Ctrl-C."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.errors import EXIT_SIGINT, OutputError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
FAULTS = [
    pytest.param(FULL, OutputError.exit_code, "No space left on device", id="full-disk"),
    pytest.param(KeyboardInterrupt(), EXIT_SIGINT, "interrupted", id="ctrl-c"),
]
"""Fault, exit code and words of the one line."""

CALLS = [(os, "fsync"), (Path, "replace"), (Path, "rename")]
"""What every file passes before it gets its name."""


def each_fault(
    monkeypatch: pytest.MonkeyPatch, fault: BaseException, act: Callable[[], int], most: int = 1000
) -> Iterator[int]:
    """Call again and again, and let the first of `CALLS` fail in the first call, the second in the second, and so on.

    Yields the exit code of each call, and ends before the first one that no fault reached.
    """
    for at in range(most):
        with monkeypatch.context() as patched:
            seen = _count(patched, fault, at)
            code = act()
        if seen[0] <= at:
            assert code == 0
            assert at, "nothing was written"
            return
        yield code


def calls_of(monkeypatch: pytest.MonkeyPatch, act: Callable[[], int]) -> int:
    """Return the number of `CALLS` in a call without a fault."""
    with monkeypatch.context() as patched:
        seen = _count(patched, FULL, -1)
        assert act() == 0
    return seen[0]


def one_fault(monkeypatch: pytest.MonkeyPatch, fault: BaseException, at: int, act: Callable[[], int]) -> int:
    """Return the exit code of a call in which one of `CALLS` fails, counted from 0."""
    with monkeypatch.context() as patched:
        seen = _count(patched, fault, at)
        code = act()
    assert seen[0] > at
    return code


def _count(patched: pytest.MonkeyPatch, fault: BaseException, at: int) -> list[int]:
    seen = [0]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            seen[0] += 1
            if seen[0] == at + 1:
                raise fault
            return real(*args)

        return call

    for owner, name in CALLS:
        patched.setattr(owner, name, counted(getattr(owner, name)))
    return seen


def leftovers(folder: Path) -> list[str]:
    """Return the names of temporary files and folders."""
    return [p.name for p in folder.rglob("*") if p.name.startswith(".") and p.suffix in {".part", ".old"}]
