"""The settings of TFLite Micro: its headers are read with the right ones, or compilation fails with an explanation."""

from __future__ import annotations

import pytest

from convert.micro.arena import _measure_apart as measure_apart
from convert.micro.graph import read_graph
from convert.micro.package import build, from_bundle
from convert.micro.planner import planned_bytes
from convert.micro.tflm import KERNELS
from edge.bundle.reader import load_bundle
from helpers.firmware_build import M4, MOCK, STRICT_CXX, run, tool

TENSOR = '#include "tensorflow/lite/c/common.h"\n'
OPS = '#include "anyecg_ops.h"\n'
COUNT = """
#include <cstdio>
int main() {
  tflite::MicroMutableOpResolver<ANYECG_OP_COUNT> resolver;
  const bool added = anyecg_add_ops(resolver) == kTfLiteOk;
  std::printf("%d %u %zu", added ? 1 : 0, resolver.int8_only(), sizeof(TfLiteTensor));
  return 0;
}
"""


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


@pytest.fixture(scope="module")
def folder(bundle, tmp_path_factory):
    root = tmp_path_factory.mktemp("package")
    for name, data in build(from_bundle(bundle)).files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    return root


def compile_(folder, tmp_path, text, *flags, compiler="g++"):
    unit = tmp_path / "unit.cc"
    unit.write_text(text)
    # Old-style casts are in the headers for C.
    strict = [f for f in STRICT_CXX if f != "-Wold-style-cast"]
    command = (tool(compiler), "-std=c++17", *strict, f"-I{folder}", f"-isystem{MOCK}", *flags, unit)
    return run([*command, "-o", tmp_path / "unit"] if "-fsyntax-only" not in flags else command)


def counted(folder, tmp_path, *flags):
    done = compile_(folder, tmp_path, OPS + COUNT, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    return [int(word) for word in run([tmp_path / "unit"]).stdout.split()]


def test_the_structures_have_the_layout_of_the_library(folder, tmp_path):
    added, _, size = counted(folder, tmp_path)
    with_field = compile_(folder, tmp_path, TENSOR + "static_assert(sizeof(TfLiteTensor) == 40);", "-fsyntax-only")
    assert with_field.returncode == 0, with_field.stderr
    assert (added, size) == (1, 32)


@pytest.mark.parametrize(("flags", "int8"), [((), 0), (("-DCMSIS_NN",), 3), (("-DCMSIS_NN", "-DANYECG_ALL_TYPES"), 0)])
def test_cmsis_nn_links_the_kernels_of_int8_alone(folder, tmp_path, flags, int8):
    assert counted(folder, tmp_path, *flags)[1] == int8


def test_a_header_read_before_gives_a_sentence(folder, tmp_path):
    done = compile_(folder, tmp_path, TENSOR + OPS, "-fsyntax-only")
    assert done.returncode != 0
    assert "compile every C++ file with -DTF_LITE_STATIC_MEMORY" in done.stderr
    late = compile_(folder, tmp_path, TENSOR + "#define TF_LITE_STATIC_MEMORY\n" + OPS, "-fsyntax-only")
    assert late.returncode != 0
    assert "were read without TF_LITE_STATIC_MEMORY" in late.stderr
    assert compile_(folder, tmp_path, TENSOR + OPS, "-DTF_LITE_STATIC_MEMORY", "-fsyntax-only").returncode == 0


@pytest.mark.parametrize("system", ["ARDUINO", "__ZEPHYR__"])
def test_systems_that_build_both_sides_alike_keep_their_settings(folder, tmp_path, system):
    assert compile_(folder, tmp_path, TENSOR + OPS, f"-D{system}", "-fsyntax-only").returncode == 0


def test_a_cortex_m_must_say_which_kernels(folder, tmp_path):
    text = OPS
    tool("arm-none-eabi-g++")
    done = compile_(folder, tmp_path, text, *M4, "-fsyntax-only", compiler="arm-none-eabi-g++")
    assert done.returncode != 0
    assert "Compile with -DCMSIS_NN if the TFLite Micro library was built with" in done.stderr
    for choice in ("-DCMSIS_NN", "-DANYECG_REFERENCE_KERNELS"):
        done = compile_(folder, tmp_path, text, *M4, choice, "-fsyntax-only", compiler="arm-none-eabi-g++")
        assert done.returncode == 0, done.stderr


def test_c_gets_a_sentence(folder, tmp_path):
    unit = tmp_path / "unit.c"
    unit.write_text('#include "anyecg_tflm.h"\n')
    done = run([tool("gcc"), f"-I{folder}", "-fsyntax-only", unit])
    assert "TFLite Micro has no C interface" in done.stderr


def test_the_plan_is_that_of_the_interpreter(bundle):
    _, used = measure_apart(bundle.model)
    assert planned_bytes(read_graph(bundle.model), lambda _op: 0) == used.head


def test_the_figures_of_the_interpreter(bundle):
    graph = read_graph(bundle.model)
    assert graph.macs() == 1_698_248
    flash = {name: len(bundle.model) + k.code_bytes for name, k in KERNELS.items()}
    assert flash == {"reference": 117_279, "cmsis-nn-all": 151_199, "cmsis-nn": 120_191, "helium": 140_200}
