"""What a test needs beyond Python: a tool that is not installed skips the test and names what is missing."""

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
"""Debian's package of a tool, where it has another name or another tool's tests install it too."""


def tool(name: str) -> str:
    """The path of a tool; the test is skipped with a reason where it is absent."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: {PACKAGES.get(name, name)})")
    return found


def c_compiler() -> str:
    """The C compiler that ``anyecg virtual-patch --c`` would use; skips where there is none."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    pytest.skip("no C compiler is installed (Debian: gcc)")


def git_checkout(folder: Path) -> str:
    """The path of git, for a folder that is a git checkout; skips where either is missing."""
    if not (folder / ".git").exists():
        pytest.skip("the project is not a git checkout")
    return tool("git")


def tools_for(line: str) -> None:
    """Skips where a command of the docs needs a C compiler that is not installed.

    Args:
        line: A command as a page has it, for instance ``cc -std=c99 main.c``.
    """
    if line.startswith("cc "):
        tool("cc")
    if line.startswith("anyecg virtual-patch") and " --c " in line:
        c_compiler()
