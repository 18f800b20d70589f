"""``import edge``: light, typed, documented."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import edge

ROOT = Path(__file__).resolve().parents[4]
OWN_MODULES = {"edge", "firmware_bridge", "firmware_bridge.lazy"}
MODULES_MAX = 40
"""Modules of the standard library that ``import edge`` may load beside its own. It loads ``typing`` with all that
belongs to it, 29 on Python 3.11; numpy alone would be more than 100, asyncio 60."""


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_edge_loads_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import edge; print(*sorted(set(sys.modules) - before))"
    loaded = set(python(code).split())
    assert loaded >= OWN_MODULES
    assert len(loaded - OWN_MODULES) <= MODULES_MAX, loaded
    assert not {m.partition(".")[0] for m in loaded} - set(sys.stdlib_module_names) - {"edge", "firmware_bridge"}


def test_the_version_is_that_of_the_package() -> None:
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert edge.__version__ in {declared, "0+unknown"}


def test_a_checkout_has_a_version() -> None:
    code = (
        "import importlib.metadata as m\n"
        "def no(name): raise m.PackageNotFoundError(name)\n"
        "m.version = no\n"
        "import edge; print(edge.__version__)\n"
    )
    assert python(code) == "0+unknown"


@pytest.mark.parametrize("name", [n for n in edge.__all__ if n != "__version__"])
def test_every_name_is_documented(name: str) -> None:
    thing = getattr(edge, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        for attribute, value in vars(thing).items():
            if not attribute.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{attribute}"


@pytest.mark.slow
def test_programs_are_checked_with_its_types(tmp_path: Path) -> None:
    """mypy finds the right use right and the wrong use wrong, as in a program outside of the kit."""
    pytest.importorskip("mypy", reason="the lint extra is not installed")
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\n"
        "import edge\n"
        "async def main() -> None:\n"
        "    async with edge.open('sim:', speed='max') as stream:\n"
        "        async for beat in stream.beats():\n"
        "            reveal_type(beat)\n"
        "for item in edge.open(np.zeros(10), fs_hz=250):\n"
        "    reveal_type(item)\n"
        "reveal_type(edge.load_bundle().predict(np.zeros(10), 250.0).answer)\n"
        "reveal_type(edge.Estimates([])[0:1])\n"
        "reveal_type(edge.read_session('x').estimates[0].labs[0].interval)\n"
        "edge.open('sim:', speed='fast')\n"
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        "",
        "--cache-dir",
        str(tmp_path),
        str(program),
    ]
    import os

    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "MYPYPATH": str(ROOT)}, timeout=500
    )
    said = [line.split(": ", 2)[2] for line in done.stdout.splitlines() if line.startswith(str(program))]
    assert said[0] == 'Revealed type is "edge.api.items.Beat"'
    assert all(kind in said[1] for kind in ("Samples", "Gap", "Beat", "Waves", "Estimate", "LinkEvent"))
    assert said[2] == 'Revealed type is "edge.records.Estimate | None"'
    assert said[3] == 'Revealed type is "edge.api.tables.Estimates"'
    assert "tuple[float, float] | None" in said[4] or "tuple[builtins.float, builtins.float] | None" in said[4]
    assert "arg-type" in said[5]
