"""The folder as an Arduino and PlatformIO library: its layout fits their tools, and its sketch runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge.cli.main import COMMANDS
from firmware_bridge.devices.anyecg_patch import PatchDecoder
from firmware_bridge.errors import OutputError
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.virtual import c_library
from firmware_bridge.wire.messages import Start, encode
from helpers.c_side import C_SIDE, SOURCES
from helpers.firmware_build import HERE, compiled
from helpers.needs import git_checkout, tool

ROOT = Path(__file__).resolve().parents[2]
PROPERTIES = dict(
    line.split("=", 1) for line in (C_SIDE / "library.properties").read_text(encoding="utf-8").splitlines() if line
)
CATEGORIES = (
    "Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing", "Data Storage",
    "Data Processing", "Other",
)  # fmt: skip


def test_library_properties_as_arduino_lint_wants_them():
    assert {
        "name",
        "version",
        "author",
        "maintainer",
        "sentence",
        "paragraph",
        "category",
        "url",
        "architectures",
    } <= set(PROPERTIES)
    assert re.fullmatch(r"[A-Za-z0-9_ .\-]{1,63}", PROPERTIES["name"])
    assert "arduino" not in PROPERTIES["name"].lower()
    project = (HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{PROPERTIES["version"]}"\n' in project
    assert PROPERTIES["category"] in CATEGORIES
    assert PROPERTIES["sentence"].endswith(".")
    assert not PROPERTIES["paragraph"].startswith(PROPERTIES["sentence"])
    assert PROPERTIES["url"].startswith("https://")


def test_library_json_agrees():
    manifest = json.loads((C_SIDE / "library.json").read_text(encoding="utf-8"))
    assert (manifest["name"], manifest["version"]) == (PROPERTIES["name"], PROPERTIES["version"])
    assert manifest["headers"] == [PROPERTIES["includes"]]
    assert (C_SIDE / manifest["build"]["srcDir"] / manifest["headers"][0]).is_file()
    for example in manifest["examples"]:
        assert all((C_SIDE / example["base"] / name).is_file() for name in example["files"])


def test_folders_as_arduino_wants_them():
    assert all(path.suffix in {".c", ".h"} for path in (C_SIDE / "src").iterdir())
    sketches = list((C_SIDE / "examples").rglob("*.ino"))
    assert sketches
    for sketch in sketches:
        assert sketch.stem == sketch.parent.name
    assert not list(C_SIDE.rglob("*.o"))
    assert not [path for path in C_SIDE.rglob("*") if path.is_symlink() or path.suffix in {".exe", ".a"}]


def test_every_file_carries_its_licence():
    for path in C_SIDE.rglob("*"):
        if path.suffix in {".c", ".h", ".cc", ".ino"} and path.parent.name != "vectors":
            assert "SPDX-License-Identifier: MIT" in path.read_text(encoding="utf-8")[:60], path


def test_every_global_name_has_the_prefix(tmp_path):
    for source in SOURCES:
        compiled([tool("gcc"), "-std=c99", f"-I{C_SIDE / 'src'}", "-c", source, "-o", tmp_path / f"{source.stem}.o"])
    objects = sorted(tmp_path.glob("*.o"))
    done = subprocess.run([tool("nm"), "-g", "--defined-only", *objects], capture_output=True, text=True, check=True)
    names = re.findall(r" [A-Z] (\w+)$", done.stdout, re.MULTILINE)
    assert len(names) > 30
    assert all(name.startswith("anyecg_") for name in names)


def test_the_sketch_streams(tmp_path):
    sketch = C_SIDE / "examples" / "AnyEcgAd8232" / "AnyEcgAd8232.ino"
    objects = []
    for source in SOURCES:
        objects.append(tmp_path / f"{source.stem}.o")
        compiled([tool("gcc"), "-std=c99", "-O1", f"-I{C_SIDE / 'src'}", "-c", source, "-o", objects[-1]])
    program = tmp_path / "sketch"
    compiled(
        [
            *(tool("g++"), "-std=c++11", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{C_SIDE / 'src'}"),
            *(f"-I{HERE / 'arduino_mock'}", "-include", "Arduino.h", "-x", "c++", sketch, "-x", "none", *objects),
            *("-o", program),
        ]
    )
    done = subprocess.run([program], input=encode(Start()), capture_output=True, timeout=120, check=True)
    decoder = PatchDecoder()
    items = decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0)) + decoder.feed(done.stdout, 10**9)
    events = [i for i in items if isinstance(i, LinkEvent)]
    assert {event.kind for event in events} == {LinkEventKind.HELLO, LinkEventKind.INFO}  # its battery level is unknown
    hello = next(event for event in events if event.kind is LinkEventKind.HELLO)
    assert (hello.data["kind"], hello.data["lsb_mv"]) == ("AD8232 patch", None)
    blocks = [i for i in items if isinstance(i, SampleBlock)]
    assert sum(len(b) for b in blocks) > 1000
    assert decoder.counters()["lost_samples"] == 0
    assert blocks[-1].device_time_ns > blocks[0].device_time_ns  # over the wrap of its clock


def test_the_command_copies_the_folder(tmp_path, capsys):
    out = tmp_path / "AnyECG"
    assert COMMANDS["firmware"].target == "firmware_bridge.virtual.c_library:run"
    assert c_library.run([str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    want = {str(p.relative_to(C_SIDE)) for p in C_SIDE.rglob("*") if p.is_file() and "build" not in p.parts}
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == want
    with pytest.raises(OutputError, match="exists"):
        c_library.run([str(out)])


def test_a_folder_that_cannot_be_created_gives_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        c_library.run([str(tmp_path / "file" / "AnyECG")])


def test_a_wheel_has_the_c_side(tmp_path):
    """A wheel contains what git does not ignore: nothing in this folder may be ignored."""
    git = git_checkout(ROOT)
    files = [str(p) for p in C_SIDE.rglob("*") if p.is_file() and "build" not in p.parts]
    done = subprocess.run([git, "check-ignore", *files], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr


def test_a_full_disk_leaves_nothing_and_gives_one_line(tmp_path: Path) -> None:
    """In this process writes beyond 8 KB fail, as on a full disk."""
    code = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
from edge.cli.main import main
sys.exit(main(["firmware", sys.argv[1]]))
"""
    out = tmp_path / "c"
    done = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be written: File too large (free some space" in done.stderr
    assert len(done.stderr) < 400
    assert not out.exists()
