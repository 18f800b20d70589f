"""The commands and programs of a page of the documentation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any


def blocks(text: str, kinds: str = "python|sh") -> list[tuple[str, str]]:
    """Return kind and content of the fenced blocks of a page."""
    return re.findall(rf"^```({kinds})\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_blocks(text: str) -> dict[str, Any]:
    """Run the blocks of a page in order, in the current folder; return the names of its Python blocks."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    space: dict[str, Any] = {}
    for kind, code in blocks(text):
        if kind == "sh":
            subprocess.run(["bash", "-ec", code], check=True, env=env, capture_output=True, timeout=600)
        else:
            exec(compile(code, "a page", "exec"), space)
    return space
