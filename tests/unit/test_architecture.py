"""The house keeps its shape: imports go one way, and the device side loads nothing that the device lacks."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BELOW = {
    "firmware_bridge": set(),
    "edge": {"firmware_bridge"},
    "convert": {"edge", "firmware_bridge", "calibration"},
    "calibration": {"edge", "firmware_bridge", "convert"},
}
DEVICE_LIBRARIES = {
    "numpy",
    "serial",
    "bleak",
    "dbus_fast",
    "ai_edge_litert",
    "tflite_runtime",
    "tflite_micro",
    "scipy",
    "wfdb",
    "edfio",
}
LAZY_ONLY = DEVICE_LIBRARIES - {"numpy"}
OURS = set(BELOW)


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Top-level names that a module imports, each with whether it does so while it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)
    }
    guards = [i for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test)]
    typing_only = {id(n) for guard in guards for n in ast.walk(guard)}
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        found += [(n.split(".")[0], id(node) not in inside | typing_only) for n in names]
    return found


@pytest.mark.parametrize("package", ["firmware_bridge", "edge"])
def test_imports_go_downwards_and_heavy_ones_wait(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for name, at_load in imports_of(path):
            if name in OURS:
                assert name == package or name in BELOW[package], f"{path} imports {name}"
            elif name not in sys.stdlib_module_names:
                assert name in DEVICE_LIBRARIES, f"{path} imports {name}"
                assert not (at_load and name in LAZY_ONLY), f"{path} imports {name} while it is loaded"


@pytest.mark.parametrize(
    "pattern", ["firmware_bridge/devices/*.py", "firmware_bridge/framing.py", "firmware_bridge/messages.py"]
)
def test_decoders_are_sans_io(pattern: str) -> None:
    for path in ROOT.glob(pattern):
        assert not {n for n, _ in imports_of(path)} & {"asyncio", "socket", "serial", "bleak", "threading"}, path


def test_stages_are_synchronous() -> None:
    allowed = {"pipeline.py", "session.py"}
    for path in (ROOT / "edge").glob("*.py"):
        if path.name not in allowed:
            assert "asyncio" not in {n for n, _ in imports_of(path)}, path


def python(
    code: str, *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, env=env, timeout=120)


def test_a_whole_micro_run_loads_neither_scipy_nor_tensorflow(tmp_path: Path) -> None:
    """Network down, no Bluetooth, no display, no home: a replay from CSV with the demonstration bundle works."""
    code = (
        "import socket, sys\n"
        "def no(*a, **k): raise OSError('the network is down')\n"
        "socket.create_connection = socket.socket.connect = no\n"
        "from firmware_bridge.ecgsyn import EcgParams, EcgSynth\n"
        "open('e.csv','w').write('\\n'.join(f'{v:.4f}' for v in EcgSynth(EcgParams(), 1).generate(5000, 250.0)))\n"
        "from edge.cli import main\n"
        "url = 'replay:e.csv?fs=250&unit=mV'\n"
        "rc = main(['run','--source',url,'--speed','max','--out','o.jsonl','--view','none'])\n"
        "heavy = {'scipy','tensorflow','keras','matplotlib','wfdb','pandas','sklearn','rich','bleak','serial'}\n"
        "print(rc, sorted(heavy & set(sys.modules)), sum(1 for _ in open('o.jsonl')))\n"
    )
    env = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "DBUS_SYSTEM_BUS_ADDRESS", "HOME"}}
    done = python(code, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "0 [] 18"


def test_importing_edge_loads_nothing() -> None:
    done = python("import edge, sys; print(sorted({'numpy','asyncio','scipy'} & set(sys.modules)))")
    assert done.stdout.strip() == "[]"


def test_packages_are_typed_and_version_is_known() -> None:
    for package in BELOW:
        assert (ROOT / package / "py.typed").exists()
    done = subprocess.run([sys.executable, "-m", "edge.cli", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("anyecg-edge 0.")
