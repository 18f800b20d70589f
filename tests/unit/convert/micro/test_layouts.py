"""The folder of a package is a library of Arduino, PlatformIO, ESP-IDF, Zephyr and CMake."""

from __future__ import annotations

import json
import re

import pytest

from convert.micro.layouts import NAME, metadata
from convert.micro.package import build, from_bundle
from edge.bundle.reader import load_bundle
from helpers.firmware_build import run
from helpers.needs import tool

CATEGORIES = {"Communication", "Data Processing", "Data Storage", "Device Control", "Display", "Other", "Sensors"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("libraries") / NAME
    for name, data in build(from_bundle(load_bundle("demo"))).files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def sources(folder):
    return sorted(path.name for path in folder.glob("anyecg_*.c"))


def test_arduino_compiles_the_model_from_the_flat_folder(folder):
    rows = dict(line.split("=", 1) for line in (folder / "library.properties").read_text().splitlines())
    assert rows["name"] == folder.name
    assert re.fullmatch(r"\d+\.\d+\.\d+", rows["version"])
    assert rows["category"] in CATEGORIES
    assert rows["sentence"].endswith(".")
    assert (folder / rows["includes"]).is_file()
    # With src/ or utility/, Arduino compiles other files; everything else in the root is compiled.
    assert not (folder / "src").exists()
    assert not (folder / "utility").exists()
    compiled = {p.name for p in folder.iterdir() if p.suffix in {".c", ".cc", ".cpp", ".S"}}
    assert compiled == {*sources(folder), "main.cc"}
    main = folder / "main.cc"
    done = run([tool("g++"), "-DARDUINO=10819", "-std=c++17", f"-I{folder}", "-c", main, "-o", "/dev/null"])
    assert done.returncode == 0, done.stderr  # nothing in it without TFLite Micro


def test_platformio_compiles_the_model_and_nothing_else(folder):
    manifest = json.loads((folder / "library.json").read_text())
    assert (folder / manifest["headers"][0]).is_file()
    assert manifest["build"]["srcDir"] == manifest["build"]["includeDir"] == "."
    exclude, *include = manifest["build"]["srcFilter"]
    assert exclude == "-<*>"
    assert [re.fullmatch(r"\+<(.+)>", row)[1] for row in include] == sources(folder)


def test_zephyr_module(folder):
    module = (folder / "zephyr/module.yml").read_text()
    assert module == "name: anyecg-model\nbuild:\n  cmake: .\n  kconfig: zephyr/Kconfig\n"
    kconfig = (folder / "zephyr/Kconfig").read_text()
    defined = set(re.findall(r"^config (\w+)$", kconfig, re.MULTILINE))
    used = set(re.findall(r"CONFIG_(ANYECG_\w+)", (folder / "CMakeLists.txt").read_text()))
    assert used == defined == {"ANYECG_MODEL", "ANYECG_MODEL_TFLM"}


def test_esp_idf_manifest(folder):
    manifest = (folder / "idf_component.yml").read_text()
    assert re.match(r'version: "\d+\.\d+\.\d+"\n', manifest)
    found = manifest.partition("dependencies:\n")[2]
    assert found == '  idf: ">=5.0"\n  espressif/esp-tflite-micro:\n    version: ">=1.3.1"\n    public: true\n'


def test_cmake_builds_the_library(folder, tmp_path):
    done = run([tool("cmake"), "-S", folder, "-B", tmp_path / "b"])
    assert done.returncode == 0, done.stderr
    done = run([tool("cmake"), "--build", tmp_path / "b"])
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "b").glob("libanyecg_model.a"))


STAND_INS = {
    "ESP_PLATFORM": 'function(idf_component_register)\n  message(NOTICE "esp ${ARGV}")\nendfunction()\n',
    "ZEPHYR_BASE": "set(CONFIG_ANYECG_MODEL y)\nset(CONFIG_ANYECG_MODEL_TFLM y)\n"
    + "".join(
        f'function({name})\n  message(NOTICE "{name} ${{ARGV}}")\nendfunction()\n'
        for name in (
            "zephyr_library_named",
            "zephyr_library_sources",
            "zephyr_include_directories",
            "zephyr_compile_definitions",
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("system", STAND_INS)
def test_the_two_build_systems_get_the_sources(folder, tmp_path, system):
    """Against stand-ins of their CMake functions: neither system is installed here."""
    script = tmp_path / "CMakeLists.txt"
    script.write_text(
        f"cmake_minimum_required(VERSION 3.16)\nproject(p NONE)\nset({system} 1)\n{STAND_INS[system]}"
        f'include("{folder}/CMakeLists.txt")\n'
    )
    done = run([tool("cmake"), "-S", tmp_path, "-B", tmp_path / "b"])
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    for name in sources(folder):
        assert name in said
    assert "main" not in said
    if system == "ZEPHYR_BASE":
        assert "zephyr_compile_definitions TF_LITE_STATIC_MEMORY" in said


def test_without_tflm_nothing_asks_for_it():
    files = metadata(["anyecg_model.c", "anyecg_model.h", "main.c", "check/main.c"], "2026-11", tflm=False)
    assert not [name for name, data in files.items() if b"tflite" in data or b"TF_LITE" in data]
    assert b"version=0.0.0\n" in files["library.properties"]
    assert json.loads(files["library.json"])["build"]["srcFilter"] == ["-<*>", "+<anyecg_model.c>"]
