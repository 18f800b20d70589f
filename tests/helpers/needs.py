"""Tools that a test needs besides Python: a missing tool skips the test with a message that names it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "cc": "gcc",
    "gcc": "gcc",
    "g++": "g++",
    "git": "git",
    "qemu-system-arm": "qemu-system-arm",
}
"""Debian package of each tool."""


def tool(name: str) -> str:
    """Return the path of a tool; skip the test with a reason if it is absent."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: {PACKAGES.get(name, name)})")
    return found


def c_compiler() -> str:
    """Return the C compiler that ``anyecg virtual-patch --c`` would use; skip the test if there is none."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    pytest.skip("no C compiler is installed (Debian: gcc)")


def git_checkout(folder: Path) -> str:
    """Return the path of git if the folder is a git checkout; skip the test if either is missing."""
    if not (folder / ".git").exists():
        pytest.skip("the project is not a git checkout")
    return tool("git")


def tools_for(line: str) -> None:
    """Skip the test if a command of the docs needs a C compiler or an extra that is not installed.

    Args:
        line: Command from a page, for instance ``cc -std=c99 main.c``.
    """
    if line.startswith("cc "):
        tool("cc")
    if line.startswith("anyecg virtual-patch") and " --c " in line:
        c_compiler()
    if line.startswith("anyecg collect"):
        pytest.importorskip("sqlalchemy", reason="the collect extra is not installed")
    if " --mqtt " in line:
        pytest.importorskip("paho.mqtt.client", reason="the mqtt extra is not installed")
