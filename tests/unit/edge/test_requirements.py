"""What ``pyproject.toml`` asks for on each processor, and the extras that messages name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import edge
import firmware_bridge

PROJECT = tomllib.loads((Path(edge.__file__).parents[1] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    ("machine", "litert"), [("x86_64", True), ("aarch64", True), ("armv7l", False), ("armv6l", False)]
)
def test_the_device_install_of_each_processor(machine: str, litert: bool) -> None:
    wanted = [Requirement(text) for text in PROJECT["dependencies"]]
    names = {one.name for one in wanted if one.marker is None or one.marker.evaluate({"platform_machine": machine})}
    assert names == {"numpy", "bleak", "pyserial"} | ({"ai-edge-litert"} if litert else set())


def test_the_numpy_of_32_bit_raspberry_pi_os_is_enough() -> None:
    """Debian 12 has 1.24.2, and numpy's marker cannot tell a 32-bit system under a 64-bit kernel."""
    (numpy,) = [one for one in map(Requirement, PROJECT["dependencies"]) if one.name == "numpy"]
    assert numpy.marker is None
    assert numpy.specifier.contains("1.24.2")
    (capped,) = [one for one in map(Requirement, PROJECT["optional-dependencies"]["tflite"]) if one.name == "numpy"]
    assert capped.specifier.contains("1.26.4")
    assert not capped.specifier.contains("2.0.0")


def test_every_extra_that_a_message_names_exists() -> None:
    named = set()
    for package in (edge, firmware_bridge):
        for path in Path(package.__file__).parent.rglob("*.py"):
            text = path.read_text()
            named |= set(re.findall(r"anyecg-edge\[(\w+)\]", text))
            named |= set(re.findall(r'MissingExtraError[(,]\s*f?"[^"]*",\s*"(\w+)"', text))
    assert {"tflite", "micro", "replay", "ble", "foundation"} <= named
    assert named <= PROJECT["optional-dependencies"].keys()
