"""The commands of docs/many-patches.md, each block as a whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "many-patches.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    blocks = [b for b in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "benchmarks/" not in b]
    assert len(blocks) == 3
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "anyecg").write_text(f'#!/bin/sh\nexec {sys.executable} -m edge.cli "$@"\n')
    (tmp_path / "bin" / "anyecg").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for block in blocks:
        done = subprocess.run(
            ["bash", "-e", "-c", block], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    for folder in ("night/bedroom", "night/hall", "ward/bedroom", "ward/hall"):
        assert (tmp_path / folder / "summary.json").exists()
    assert (tmp_path / "system/etc/anyecg/ward.toml").read_text() == (tmp_path / "ward.toml").read_text()
