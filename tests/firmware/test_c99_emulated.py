"""The plain C99 network on emulated microcontrollers: the bits of TensorFlow Lite Micro, and what it costs there."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the convert extra is not installed")
pytest.importorskip("tflite_micro", reason="the micro extra is not installed")

from convert.compute.inference import run_int8
from convert.micro.c99.cost import PROCESSORS, cost
from convert.micro.c99.reading import read_network
from convert.micro.graph import read_graph
from helpers.c99_students import student, windows, write_sources
from helpers.micro_machines import MACHINES, Machine, run_emulated

pytestmark = pytest.mark.slow

WINDOWS = {"demo": 200, "nano": 40, "small": 40}
HEADS = 12
FLASH_MAX, RAM_MAX, STACK_MAX = 50_500, 4_096, 512
INSTRUCTIONS_MAX = {
    "Cortex-M0": 25_000_000,
    "Cortex-M3": 10_000_000,
    "Cortex-M4, plain": 10_000_000,
    "Cortex-M4, DSP": 6_500_000,
    "Cortex-M7": 6_500_000,
    "Cortex-M33": 6_500_000,
    "Cortex-M55": 6_500_000,
    "RISC-V rv32imc": 12_000_000,
    "Xtensa LX106": 25_000_000,
}

PROCESSOR_OF = {
    "Cortex-M0": "cortex-m0",
    "Cortex-M3": "cortex-m3",
    "Cortex-M4, plain": "cortex-m3",
    "Cortex-M4, DSP": "cortex-m4-dsp",
    "Cortex-M7": "cortex-m4-dsp",
    "Cortex-M33": "cortex-m4-dsp",
    "RISC-V rv32imc": "rv32imc",
    "Xtensa LX106": "lx106",
}
"""The processor of the cost model for each machine that it covers."""


@pytest.fixture(scope="module")
def wanted():
    found = {}
    for name, count in WINDOWS.items():
        rows = windows(count)
        found[name] = rows, run_int8(student(name, HEADS), rows.reshape(count, 1, 1, -1, 1), "tflm")
    return found


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_same_bits_on_every_processor(tmp_path, wanted, machine: Machine, name):
    missing = machine.missing()
    if missing is not None:
        pytest.skip(f"{missing} is not installed (.ci/install-slow installs it)")
    rows, outputs = wanted[name]
    run = run_emulated(machine, write_sources(student(name, HEADS), tmp_path / "c"), rows, tmp_path)
    assert np.array_equal(run.outputs, outputs)
    if machine.name in PROCESSOR_OF:
        predicted = cost(read_network(read_graph(student(name, HEADS))), PROCESSORS[PROCESSOR_OF[machine.name]])
        assert predicted.ram_bytes == run.ram
        assert predicted.flash_bytes == pytest.approx(run.flash, rel=0.03)
        assert predicted.stack_bytes == pytest.approx(run.stack, abs=16)
        assert predicted.instructions == pytest.approx(run.instructions, rel=0.03)
    if name == "demo":
        assert run.flash <= FLASH_MAX
        assert run.ram <= RAM_MAX
        assert run.stack <= STACK_MAX
        assert run.instructions <= INSTRUCTIONS_MAX[machine.name]
