"""constraints/locked.txt: complete, within the ranges of pyproject.toml, and free of this machine."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
LOCKED = ROOT / "constraints" / "locked.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
APART = {"tflite"}
"""Extras that need numpy 1 and are locked for 32-bit ARM alone."""


def _lines() -> list[Requirement]:
    return [Requirement(line) for line in LOCKED.read_text().splitlines() if line and not line.startswith("#")]


def _environment(python: str, machine: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "platform_machine": machine,
        "sys_platform": "linux",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def _asked(environment: dict[str, str], extras: dict[str, list[str]]) -> list[Requirement]:
    texts = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]
    texts += [text for wanted in extras.values() for text in wanted]
    asked = [Requirement(text) for text in texts]
    return [r for r in asked if r.name != "anyecg-edge" and (r.marker is None or r.marker.evaluate(environment))]


def test_every_line_is_one_version_of_a_package_and_names_no_index() -> None:
    for line in LOCKED.read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[a-z0-9.-]+==[\w.!+]+ ; [\w '\"().<>=!*]+", line), line
    assert not {"torch", "torchvision"} & {r.name for r in _lines()}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_every_dependency_is_locked_within_its_range(python: str, machine: str) -> None:
    environment = _environment(python, machine)
    applies = [r for r in _lines() if r.marker is None or r.marker.evaluate(environment)]
    locked = {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in applies}
    assert len(locked) == len(applies), "a package has two versions"
    extras = {name: texts for name, texts in PROJECT["project"]["optional-dependencies"].items() if name not in APART}
    asked = _asked(environment, extras)
    assert len(asked) > 15
    for requirement in asked:
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in constraints/locked.txt: run `make lock`"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}, but {version} is locked"


def test_32_bit_arm_gets_the_numpy_of_its_interpreter() -> None:
    environment = _environment("3.11", "armv7l")
    locked = {r.name: str(r.specifier) for r in _lines() if r.marker is None or r.marker.evaluate(environment)}
    assert locked["numpy"].startswith("==1.")
    assert {"tflite-runtime", "bleak", "pyserial", "hatchling"} <= set(locked)


def test_the_lock_command_covers_every_extra() -> None:
    command: dict[str, Any] = runpy.run_path(str(ROOT / "packaging" / "lock.py"))
    named_alone = {"ble", "serial"}  # in the device install already
    assert {*command["EXTRAS_64"], *command["EXTRAS_32"]} == set(
        PROJECT["project"]["optional-dependencies"]
    ) - named_alone


def test_newest_reports_each_version_that_differs() -> None:
    command: dict[str, Any] = runpy.run_path(str(ROOT / "packaging" / "newest.py"))
    lines = [
        "# comment",
        "numpy==2.4.6 ; sys_platform == 'linux'",
        "numpy==1.26.4 ; platform_machine == 'none'",
        "onnx==1.0 ; sys_platform == 'linux'",
    ]
    locked = command["locked_versions"]("\n".join(lines))
    assert locked == {"numpy": "2.4.6", "onnx": "1.0"}
    rows = command["differences"](locked, {"numpy": "2.5.5", "pip": "1", "wrapt": "3"})
    assert rows == [("numpy", "2.4.6", "2.5.5"), ("wrapt", "-", "3")]
    assert command["differences"](locked, {"numpy": "2.4.6"}) == []
