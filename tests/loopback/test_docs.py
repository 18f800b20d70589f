"""Every command in the docs runs: ``sh`` blocks line by line; ``text`` blocks need hardware or a network."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.needs import tools_for

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
AS_BLOCKS = ("prepare", "prepare-slurm", "cluster", "reproduce-anyecg-lab", "many-patches", "tutorial")
"""Pages whose blocks write files and run in the background, or belong together: ``test_prepare*.py``,
``test_cluster_page.py``, ``test_many_patches_page.py`` and ``test_site.py`` run each block as a whole."""
SLOW = (
    "anyecg train-demo", "anyecg bench", "anyecg convert", "anyecg finetune", "anyecg evaluate", "anyecg validate",
    "anyecg calibrate probability", "anyecg calibrate fuse", "anyecg bundle install",
)  # fmt: skip
ELSEWHERE = ("pip install", "make ", "python benchmarks/")


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def run(lines: list[str], folder: Path) -> None:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    for line in lines:
        tools_for(line)
        done = subprocess.run(["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, timeout=1500)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def pages_with(*, slow: bool) -> list[Path]:
    found = []
    for page in (p for p in PAGES if p.stem not in AS_BLOCKS):
        lines = [c for c in commands(page) if not c.startswith(ELSEWHERE)]
        if lines and any(c.startswith(SLOW) for c in lines) == slow:
            found.append(page)
    return found


@pytest.mark.parametrize("page", pages_with(slow=False), ids=lambda p: p.stem)
def test_commands_of_the_page_run(page: Path, tmp_path: Path) -> None:
    run([c for c in commands(page) if not c.startswith(ELSEWHERE)], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", pages_with(slow=True), ids=lambda p: p.stem)
def test_long_commands_of_the_page_run(page: Path, tmp_path: Path) -> None:
    run([c for c in commands(page) if not c.startswith(ELSEWHERE)], tmp_path)


def test_every_flag_in_the_docs_exists() -> None:
    from edge.cli.run import parser

    known = set(parser()._option_string_actions)
    for page in PAGES:
        for command in commands(page):
            if command.startswith("anyecg run"):
                assert {w.split("=")[0] for w in shlex.split(command) if w.startswith("--")} <= known, command


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_page_names_a_code_that_does_not_exist() -> None:
    from firmware_bridge import errors

    text = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    documented = {int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    codes = {c.exit_code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.AnyEcgError)}
    assert codes | {errors.EXIT_OK, errors.EXIT_INTERNAL, errors.EXIT_SIGINT, errors.EXIT_SIGTERM} <= documented
