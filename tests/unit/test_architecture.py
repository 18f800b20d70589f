"""The layout holds: imports go one way, no files import each other in a circle, and the device side stays light."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.import_graph import LAYERS, ROOT, circles, import_graph, sources, upward

DEVICE_LIBRARIES = {
    "numpy",
    "serial",
    "bleak",
    "dbus_fast",
    "ai_edge_litert",
    "tflite_runtime",
    "tflite_micro",
    "scipy",
    "soundfile",
    "cryptography",
    "paho",
    "pylsl",
    "pyarrow",
    "pandas",
}
LAZY_ONLY = DEVICE_LIBRARIES - {"numpy"}
HOST_FOLDER = ROOT / "edge" / "collect"
HOST_LIBRARIES = {"sqlalchemy", "psycopg"}
"""What only the collector of many patches needs; nothing on the device loads it."""
MODULES_MAX = 17
"""Modules in one folder; about sixteen is the aim."""
LINES_MAX = 400
FUNCTION_LINES_MAX = 53
"""Lines of a function without its long texts; 40 is the aim."""
LONG_FUNCTIONS_MAX = 16
"""Functions with more lines than the aim. Neither number may grow: lower them when a function gets shorter."""
FUNCTION_LINES_AIM = 40


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


def test_no_import_goes_upwards() -> None:
    assert upward(import_graph()) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(import_graph()) == []


def test_arrows_put_back_are_found(tmp_path: Path) -> None:
    for layer in LAYERS:
        shutil.copytree(ROOT / layer, tmp_path / layer, ignore=shutil.ignore_patterns("__pycache__", "bundles", "c"))
    arrows = {
        "calibration/report/plots.py": None,
        "convert/stats/metrics.py": "calibration",
        "edge/stats.py": "convert.stats.metrics",
        "firmware_bridge/errors.py": "edge.records",
    }
    for file, target in arrows.items():
        with (tmp_path / file).open("a", encoding="utf-8") as f:
            f.write(f"\n\ndef f() -> None:\n    import {target or 'edge.records'}\n")
    assert sorted(upward(import_graph(tmp_path))) == [
        "convert.stats.metrics -> calibration",
        "edge.stats -> convert.stats.metrics",
        "firmware_bridge.errors -> edge.records",
    ]


def test_a_circle_put_back_is_found(tmp_path: Path) -> None:
    for layer in LAYERS:
        (tmp_path / layer).mkdir()
        (tmp_path / layer / "__init__.py").touch()
    (tmp_path / "edge" / "a.py").write_text("def f():\n    from edge import b\n")
    (tmp_path / "edge" / "b.py").write_text("from edge.c import x\n")
    (tmp_path / "edge" / "c.py").write_text("import edge.a\n")
    assert circles(import_graph(tmp_path)) == [("edge.a", "edge.b", "edge.c")]


def test_no_folder_and_no_file_has_grown_too_large() -> None:
    folders: dict[Path, int] = {}
    for path in sources().values():
        if path.name != "__init__.py":
            folders[path.parent] = folders.get(path.parent, 0) + 1
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_MAX, path
    assert {str(f): n for f, n in folders.items() if n > MODULES_MAX} == {}


def function_lines(source: str) -> dict[str, int]:
    """Lines of each function by name and first line. A text in triple quotes, such as a docstring, counts as one line.

    A function within another one counts as a part of it, and by itself.
    """
    found, rows = {}, source.encode().split(b"\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            for text in ast.walk(node):
                if isinstance(text, ast.Constant | ast.JoinedStr):
                    start = rows[text.lineno - 1][text.col_offset :].lstrip(b"frFR")
                    if start.startswith(b'"""'):
                        lines -= set(range(text.lineno + 1, (text.end_lineno or text.lineno) + 1))
            found[f"{node.name}:{node.lineno}"] = len(lines)
    return found


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{name}": n
        for path in sources().values()
        for name, n in function_lines(path.read_text(encoding="utf-8")).items()
    }
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES_MAX} == {}
    assert len([n for n in lengths.values() if n > FUNCTION_LINES_AIM]) <= LONG_FUNCTIONS_MAX


def test_a_long_function_is_found() -> None:
    body = "    x = 1\n" * 70
    page = '    text = f"""\n' + "line\n" * 70 + '{x}"""\n'
    assert function_lines(f"def f():\n{body}") == {"f:1": 71}
    assert function_lines(f"class A:\n  async def g(self):\n{body}") == {"g:2": 71}
    assert function_lines(f"def h():\n    x = 1\n{page}    return text\n") == {"h:1": 4}


@pytest.mark.parametrize("package", ["firmware_bridge", "edge"])
def test_the_device_side_imports_device_libraries_only_and_heavy_ones_late(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        on_host = HOST_FOLDER in path.parents
        for name, at_load in imports_of(path):
            if name not in sys.stdlib_module_names and name not in LAYERS:
                known = DEVICE_LIBRARIES | HOST_LIBRARIES if on_host else DEVICE_LIBRARIES
                assert name in known, f"{path} imports {name}"
                assert on_host or not (at_load and name in LAZY_ONLY), f"{path} imports {name} while it is loaded"


def test_nothing_on_the_device_imports_the_collector() -> None:
    inside = ("edge.collect.", "edge.collect")
    arrows = {f"{a} -> {b}" for a, targets in import_graph().items() for b in targets if b.startswith(inside)}
    assert arrows
    assert [arrow for arrow in arrows if not arrow.startswith(inside)] == []


@pytest.mark.parametrize(
    "pattern", ["firmware_bridge/devices/*.py", "firmware_bridge/wire/framing.py", "firmware_bridge/wire/messages.py"]
)
def test_decoders_are_sans_io(pattern: str) -> None:
    files = list(ROOT.glob(pattern))
    assert files
    for path in files:
        assert not {n for n, _ in imports_of(path)} & {"asyncio", "socket", "serial", "bleak", "threading"}, path


def test_stages_are_synchronous() -> None:
    """Outside of the interfaces only sources, sinks and the two files that join them know asyncio."""
    allowed = {"edge/pipeline.py", "edge/session.py", "edge/process/no_tls.py"}
    for path in (ROOT / "edge").rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        outside = ("edge/sources/", "edge/sinks/", "edge/cli/", "edge/doctor/", "edge/api/", "edge/station/")
        if name not in allowed and not name.startswith(outside):
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
        "from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth\n"
        "open('e.csv','w').write('\\n'.join(f'{v:.4f}' for v in EcgSynth(EcgParams(), 1).generate(5000, 250.0)))\n"
        "from edge.cli.main import main\n"
        "url = 'replay:e.csv?fs=250&unit=mV'\n"
        "rc = main(['run','--source',url,'--speed','max','--out','o.jsonl','--view','none'])\n"
        "heavy = {'scipy','tensorflow','keras','matplotlib','wfdb','pandas','sklearn','rich','bleak','serial'}\n"
        "heavy |= {'edge.sessions','edge.collect','pyarrow','sqlalchemy','psycopg'}\n"
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
    for package in LAYERS:
        assert (ROOT / package / "py.typed").exists()
    done = subprocess.run([sys.executable, "-m", "edge.cli", "--version"], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("anyecg-edge 0.")


def test_the_page_draws_every_folder() -> None:
    """The picture in docs/architecture.md names every package folder, and no folder that is not there."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = page.partition("## Where to find what")[2].partition("```text")[2].partition("```")[0]
    drawn = {word.rstrip("/") for word in picture.split() if word.endswith("/")}
    folders = {path.parent.name for path in sources().values()}
    assert drawn - {"c"} == folders
