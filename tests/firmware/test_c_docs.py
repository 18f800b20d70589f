"""The page for firmware engineers: its make lines run, and its figures match the build."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from convert.cli.micro_package import main as package_main
from firmware_bridge.virtual import c_library
from helpers.c_side import ROOT
from helpers.firmware_build import run, tool

PAGE = (ROOT / "docs" / "firmware.md").read_text(encoding="utf-8")


def make_lines() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [line for line in "".join(blocks).splitlines() if line.startswith("make ")]


def with_model(line: str) -> bool:
    return "MODEL=" in line


@pytest.fixture
def folder(tmp_path):
    assert c_library.run([str(tmp_path / "AnyECG")]) == 0
    assert package_main(["demo", "--out", str(tmp_path / "AnyECGModel")]) == 0
    return tmp_path


def obey(line: str, folder: Path) -> str:
    tool("make")
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_lines_for_this_computer(folder):
    tool("gcc")
    lines = [line for line in make_lines() if "cortex-m4" not in line]
    assert len(lines) == 3
    said = "".join(obey(line, folder) for line in lines)
    assert "anyecg self-test: ok" in said
    assert (folder / "AnyECG" / "build" / "patch").exists()
    assert (folder / "AnyECG" / "build-model" / "patch").exists()


@pytest.mark.slow
def test_the_lines_for_a_cortex_and_the_table(folder):
    tool("arm-none-eabi-gcc")
    lines = [line for line in make_lines() if "cortex-m4" in line]
    assert list(map(with_model, lines)) == [False, True]
    stated = re.findall(r"^\| \*\*the .*\| \*\*(\d+ ?\d+)\*\* \| \*\*(\d+ \d+)\*\*", PAGE, re.MULTILINE)
    for line, (flash, ram) in zip(lines, stated, strict=True):
        text, data, bss = map(int, obey(line + " -s --no-print-directory", folder).splitlines()[-1].split()[:3])
        assert text + data == pytest.approx(int(flash.replace(" ", "")), rel=0.1)  # another compiler, another size
        assert data + bss == pytest.approx(int(ram.replace(" ", "")), rel=0.02)
    table = run([tool("make"), "-s", "--no-print-directory", "-C", folder / "AnyECG", "sizes"]).stdout
    for size in map(str.split, table.splitlines()[1:]):
        stated = int(re.search(rf"\| `{Path(size[-1]).stem}` \| (\d+)", PAGE)[1])
        assert int(size[0]) == pytest.approx(stated, rel=0.1), size
    layer = (folder / "AnyECG" / "examples" / "patch" / "anyecg_hal.h").read_text()
    assert len(re.findall(r"anyecg_hal_\w+\(.*\);", layer)) == 8  # as the page says
