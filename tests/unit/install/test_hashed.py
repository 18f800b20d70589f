"""What `make` and the service install by hash, and the wheel: its bill of materials, and the same bytes every time."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import runpy
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers import needs
from unit.install.test_locked import LOCKED, PROJECT, ROOT, _asked, _environment

SBOM = runpy.run_path(str(ROOT / "packaging" / "sbom.py"))
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
DEBIAN_HAS = {"numpy"}
"""Left out for 32-bit ARM, for which PyPI has no wheel of it."""


def _hashed(name: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of a file with its hashes; a line without one is a fault."""
    text = (ROOT / "constraints" / name).read_text().replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement, *hashes = line.split(" --hash=sha256:")
            found.append((Requirement(requirement), [h.strip() for h in hashes]))
    return found


def _applies(name: str, environment: dict[str, str]) -> dict[str, str]:
    lines = [r for r, _ in _hashed(name) if r.marker is None or r.marker.evaluate(environment)]
    assert len({r.name for r in lines}) == len(lines)
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in lines}


@pytest.mark.parametrize("name", ["device.txt", "build.txt", "audit.txt"])
def test_every_line_is_one_version_with_hashes(name: str) -> None:
    lines = _hashed(name)
    assert len(lines) > 5
    for requirement, hashes in lines:
        assert str(requirement.specifier).startswith("=="), requirement
        assert hashes, f"{requirement} has no hash"
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes)


@pytest.mark.parametrize(
    ("python", "machine"),
    [*((v, m) for v in ("3.11", "3.12", "3.13", "3.14") for m in ("x86_64", "aarch64")), ("3.11", "armv7l")],
)
def test_the_hashed_files_hold_the_locked_versions_of_the_device_install(python: str, machine: str) -> None:
    environment = _environment(python, machine)
    texts = [Requirement(line) for line in LOCKED.read_text().splitlines() if line and not line.startswith("#")]
    locked = {r.name: str(r.specifier).removeprefix("==") for r in texts if r.marker and r.marker.evaluate(environment)}
    device, build = _applies("device.txt", environment), _applies("build.txt", environment)
    assert device.items() <= locked.items()
    assert build.items() <= locked.items()
    asked = {canonicalize_name(r.name) for r in _asked(environment, {})}
    absent = DEBIAN_HAS if machine == "armv7l" else set()
    assert asked - absent <= device.keys() | build.keys()
    if machine == "armv7l":
        assert "tflite-runtime" in device
        assert not DEBIAN_HAS & device.keys()


@pytest.mark.parametrize("stamp", [".device", ".test", ".mutants", ".lint"])
def test_make_installs_by_hash_first_and_then_within_the_lock(stamp: str, tmp_path: Path) -> None:
    log, python = tmp_path / "log", tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "[$PIP_CONSTRAINT|$PIP_BUILD_CONSTRAINT] $*" >>{log}\n')
    python.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE"))}
    command = [needs.tool("make"), "--no-print-directory", f"VENV={tmp_path}", f"{tmp_path}/{stamp}"]
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    first, second = log.read_text().splitlines()
    assert "--require-hashes -r constraints/device.txt -r constraints/build.txt" in first
    locked = "constraints/locked.txt"
    alone = stamp == ".device"
    assert second.startswith(f"[{locked}|{'' if alone else locked}] -m pip install")
    # pip 25.3 refuses a build constraint without isolation.
    assert ("--no-build-isolation" in second) == alone, "the build backend would be fetched again, without a hash"


def test_a_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    name = "bleak-3.1.0-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name, "w") as wheel:
        info = "bleak-3.1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: bleak\nVersion: 3.1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    digests = next(hashes for r, hashes in _hashed("device.txt") if r.name == "bleak")
    command = [sys.executable, "-m", "pip", "install", "--no-index", f"--find-links={tmp_path}", "--dry-run"]
    command += ["--no-deps", "--ignore-installed", "--require-hashes", "-r", "wanted.txt"]
    env = {n: v for n, v in os.environ.items() if not n.startswith("PIP_")} | {"PIP_CONFIG_FILE": os.devnull}
    for wanted, status in (([*digests], 1), ([hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()], 0)):
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in wanted)
        (tmp_path / "wanted.txt").write_text(f"bleak==3.1.0 {hashes}\n")
        run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert run.returncode == status, run.stderr
        assert ("DO NOT MATCH THE HASHES" in run.stderr) == bool(status), run.stderr


def test_the_bill_of_materials_is_the_one_of_the_lock() -> None:
    assert SBOM["SBOM"].read_text(encoding="utf-8") == SBOM["text"](), "run `python3 packaging/sbom.py`"
    bom: dict[str, Any] = json.loads(SBOM["text"]())
    lines = _hashed("device.txt")
    assert {c["purl"] for c in bom["components"]} == {f"pkg:pypi/{r.name}@{str(r.specifier)[2:]}" for r, _ in lines}
    for component in bom["components"]:
        listed = {h["content"] for h in component["externalReferences"][0]["hashes"]}
        assert listed == {h for r, hashes in lines if r.name == component["name"] for h in hashes}


def _build(folder: Path, mask: int, modified_s: int) -> Path:
    """Builds the wheel from a copy of the project whose files are readable by umask and as old as given."""
    shutil.copytree(ROOT / "packaging", folder / "packaging", ignore=shutil.ignore_patterns("__pycache__"))
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for path in folder.rglob("*"):
        kept = stat.S_IXUSR if path.is_dir() else path.stat().st_mode & 0o111
        path.chmod((0o666 | (0o111 if kept else 0)) & ~mask)
        os.utime(path, (modified_s, modified_s))
    env = {n: v for n, v in os.environ.items() if n not in ("SOURCE_DATE_EPOCH", "PYTHONHASHSEED")}
    env |= {"PYTHONHASHSEED": str(mask + 1), "TZ": "Asia/Tokyo" if mask else "UTC", "PYTHONPATH": ""}
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "out"]
    subprocess.run(command, cwd=folder, env=env, umask=mask, check=True, capture_output=True)
    (wheel,) = (folder / "out").iterdir()
    return wheel


def test_two_builds_of_the_wheel_are_the_same_bytes(tmp_path: Path) -> None:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed; `make test` installs it")
    first = _build(tmp_path / "one", 0o022, 1_600_000_000)
    second = _build(tmp_path / "a longer name", 0o077, 1_790_000_001)
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as wheel:
        (inside,) = [name for name in wheel.namelist() if ".dist-info/sboms/" in name]
        assert wheel.read(inside).decode() == SBOM["text"]()
    # The comparison notices one changed byte of the sources.
    (tmp_path / "one" / "edge" / "__init__.py").open("a").write("\n")
    again = tmp_path / "one"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "out2"],
        cwd=again,
        check=True,
        capture_output=True,
    )
    assert next((again / "out2").iterdir()).read_bytes() != second.read_bytes()
