"""Metadata that makes the folder of a package a library of Arduino, PlatformIO, Zephyr, ESP-IDF and CMake.

The sources stay where they are, in the root of the folder: a library without ``src/`` is Arduino's flat layout, and the
other systems take a list of files. Programs (``main.cc``, ``check/main.c``) are not part of the library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

NAME = "AnyECGModel"
"""Name of the library for Arduino and PlatformIO; the folder should have the same."""

SENTENCE = "A model of anyecg-edge as C: estimates of laboratory values from ten seconds of ECG."
PARAGRAPH = (
    "The sources that anyecg micro-package wrote: model, front end, outputs with calibration, golden windows. "
    "Research software, not a medical device."
)
URL = "https://arxiv.org/abs/2510.22301"
ESP_TFLITE_MICRO = ">=1.3.1"
"""Releases of Espressif's TensorFlow Lite Micro component whose interpreter takes no error reporter."""

_VERSION = re.compile(r"\d+\.\d+\.\d+")


def metadata(files: Iterable[str], version: str, *, tflm: bool = True) -> dict[str, bytes]:
    """Return the metadata files of a package by path.

    Args:
        files: Paths of the package's files.
        version: Version of the bundle; what is not ``1.2.3`` becomes ``0.0.0``, because the systems require it.
        tflm: Whether the package runs on TensorFlow Lite Micro.
    """
    sources = sorted(name for name in files if re.fullmatch(r"anyecg_\w+\.c", name))
    number = found[0] if (found := _VERSION.match(version)) else "0.0.0"
    first = "anyecg_model.h" if tflm else "anyecg_network.h"
    texts = {
        "library.properties": _arduino(number, first),
        "library.json": _platformio(number, first, sources, tflm=tflm),
        "CMakeLists.txt": _cmake(sources, tflm=tflm),
        "idf_component.yml": _esp_idf(number, tflm=tflm),
        "zephyr/module.yml": "name: anyecg-model\nbuild:\n  cmake: .\n  kconfig: zephyr/Kconfig\n",
        "zephyr/Kconfig": _KCONFIG + (_KCONFIG_TFLM if tflm else ""),
    }
    return {name: text.encode() for name, text in texts.items()}


def _arduino(version: str, header: str) -> str:
    rows = {
        "name": NAME,
        "version": version,
        "author": "The anyecg-edge authors",
        "maintainer": "The anyecg-edge authors",
        "sentence": SENTENCE,
        "paragraph": PARAGRAPH,
        "dot_a_linkage": "true",
        "category": "Data Processing",
        "url": URL,
        "architectures": "*",
        "includes": header,
    }
    return "".join(f"{key}={value}\n" for key, value in rows.items())


def _platformio(version: str, header: str, sources: list[str], *, tflm: bool) -> str:
    manifest = {
        "name": NAME,
        "version": version,
        "description": f"{SENTENCE} {PARAGRAPH}",
        "keywords": ["ecg", "model", *(["tflite-micro"] if tflm else [])],
        "authors": [{"name": "The anyecg-edge authors"}],
        "headers": [header],
        "frameworks": "*",
        "platforms": "*",
        "build": {"srcDir": ".", "includeDir": ".", "srcFilter": ["-<*>", *(f"+<{name}>" for name in sources)]},
    }
    return json.dumps(manifest, indent=2) + "\n"


def _cmake(sources: list[str], *, tflm: bool) -> str:
    listed = "".join(f"\n  {name}" for name in sources)
    kernels = _CMAKE_TFLM if tflm else ""
    return _CMAKE.replace("@SOURCES@", listed).replace("@TFLM@", kernels)


_CMAKE = """# The model as a component of ESP-IDF, a module of Zephyr or a plain CMake library.
cmake_minimum_required(VERSION 3.16)
set(ANYECG_MODEL_SOURCES@SOURCES@)

if(ESP_PLATFORM)
  idf_component_register(SRCS ${ANYECG_MODEL_SOURCES} INCLUDE_DIRS ".")
elseif(ZEPHYR_BASE)
  if(CONFIG_ANYECG_MODEL)
    zephyr_library_named(anyecg_model)
    zephyr_library_sources(${ANYECG_MODEL_SOURCES})
    zephyr_include_directories(.)@TFLM@
  endif()
else()
  project(anyecg_model C)
  add_library(anyecg_model STATIC ${ANYECG_MODEL_SOURCES})
  target_include_directories(anyecg_model PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  set_target_properties(anyecg_model PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON)
endif()
"""

_CMAKE_TFLM = """
    if(CONFIG_ANYECG_MODEL_TFLM)
      # For the whole image: Zephyr's TensorFlow Lite Micro and the application must agree on its structures.
      zephyr_compile_definitions(TF_LITE_STATIC_MEMORY)
    endif()"""


def _esp_idf(version: str, *, tflm: bool) -> str:
    dependency = f'  espressif/esp-tflite-micro:\n    version: "{ESP_TFLITE_MICRO}"\n    public: true\n' if tflm else ""
    return f'version: "{version}"\ndescription: "{SENTENCE}"\nurl: "{URL}"\ndependencies:\n  idf: ">=5.0"\n{dependency}'


_KCONFIG = """config ANYECG_MODEL
\tbool "Model of anyecg-edge"
\thelp
\t  Compiles the model, its front end, outputs and golden windows.
"""

_KCONFIG_TFLM = """
config ANYECG_MODEL_TFLM
\tbool "Run it with TensorFlow Lite Micro"
\tdepends on ANYECG_MODEL && TENSORFLOW_LITE_MICRO
\tdefault y
\thelp
\t  Builds TensorFlow Lite Micro and the application with TF_LITE_STATIC_MEMORY, as its own make does.
"""
