"""Emulated microcontrollers: build a network in C for each, run windows on it, and measure instructions and stack.

QEMU counts instructions, not cycles; a run always gives the same number.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOURCES = Path(__file__).resolve().parents[1] / "firmware" / "c99"
SPIN_INSTRUCTIONS = 400_000
RUNTIME = ("anyecg_network", "anyecg_kernels", "anyecg_layers")
PUSH_RUNTIME = (*RUNTIME, "anyecg_push", "anyecg_stream")


@dataclass(frozen=True, slots=True)
class Machine:
    """An emulated processor.

    Attributes:
        name: Name in tables.
        emulator: QEMU's program.
        board: QEMU's options that choose board and processor.
        compiler: Cross-compiler.
        flags: Its options for the processor.
        code: Start and size of the memory for code, KiB.
        data: Start and size of the memory for data, KiB.
    """

    name: str
    emulator: str
    board: tuple[str, ...]
    compiler: str
    flags: tuple[str, ...]
    code: tuple[int, int]
    data: tuple[int, int]

    def missing(self) -> str | None:
        """Return the first program that is not installed."""
        return next((p for p in (self.compiler, self.emulator, self.size) if shutil.which(p) is None), None)

    @property
    def size(self) -> str:
        """Return the program that prints the sizes of sections."""
        return self.compiler.removesuffix("gcc") + "size"


def _arm(name: str, board: str, code: tuple[int, int], data: tuple[int, int], *flags: str) -> Machine:
    return Machine(name, "qemu-system-arm", ("-M", board), "arm-none-eabi-gcc", ("-mthumb", *flags), code, data)


_MPS2 = ((0x0, 4096), (0x2000_0000, 4096))
_NO_DSP = "-DANYECG_NO_DSP"

MACHINES = (
    _arm("Cortex-M0", "microbit", (0x0, 256), (0x2000_0000, 16), "-mcpu=cortex-m0"),
    _arm("Cortex-M3", "mps2-an385", *_MPS2, "-mcpu=cortex-m3"),
    _arm("Cortex-M4, plain", "mps2-an386", *_MPS2, "-mcpu=cortex-m4", _NO_DSP),
    _arm("Cortex-M4, DSP", "mps2-an386", *_MPS2, "-mcpu=cortex-m4"),
    _arm("Cortex-M7", "mps2-an500", *_MPS2, "-mcpu=cortex-m7"),
    _arm("Cortex-M33", "mps2-an505", (0x1000_0000, 4096), (0x3800_0000, 4096), "-mcpu=cortex-m33"),
    _arm("Cortex-M55", "mps3-an547", (0x1000_0000, 512), (0x3000_0000, 512), "-mcpu=cortex-m55"),
    Machine(
        "RISC-V rv32imc",
        "qemu-system-riscv32",
        ("-M", "virt", "-cpu", "rv32", "-bios", "none"),
        "riscv64-unknown-elf-gcc",
        ("-march=rv32imc_zicsr", "-mabi=ilp32", "-mcmodel=medany", "--specs=picolibc.specs"),
        (0x8000_0000, 1024),
        (0x8010_0000, 1024),
    ),
    Machine(
        "Xtensa LX106",
        "qemu-system-xtensa",
        ("-M", "sim", "-cpu", "lx106"),
        "xtensa-lx106-elf-gcc",
        ("-mlongcalls", "-mtext-section-literals"),
        (0x5000_0000, 1024),
        (0x6000_0000, 1024),
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run on an emulated processor.

    Attributes:
        outputs: int8 ``(windows, outputs)``.
        instructions: Largest number for a window.
        stack: Bytes of stack, arguments of the call included.
        flash: Bytes of code and tables of the runtime.
        code: The part of ``flash`` that is code.
        ram: Bytes of `struct anyecg_network`.
    """

    outputs: NDArray[np.int8]
    instructions: int
    stack: int
    flash: int
    code: int
    ram: int


@dataclass(frozen=True, slots=True, eq=False)
class PushRun:
    """A run of ``anyecg_push()`` on an emulated processor.

    Attributes:
        outputs: int8 ``(windows, outputs)``.
        longest: Largest number of instructions of a call.
        hop: Instructions of all calls of one hop.
        flash: Bytes of code and tables, front end included.
        ram: Bytes of `struct anyecg_pusher`.
    """

    outputs: NDArray[np.int8]
    longest: int
    hop: int
    flash: int
    ram: int


def run_emulated(
    machine: Machine, package: Path, windows: NDArray[np.int8], folder: Path, *, level: str = "-O2"
) -> Run:
    """Build a network for a processor and run windows on it.

    Args:
        machine: The processor.
        package: Folder with the network's C files.
        windows: int8 ``(n, window)``.
        folder: Empty folder for what is made.
        level: Level of optimization.
    """
    _write(folder / "windows.bin", windows)
    spin, ticks, stack = _run(machine, package, folder, "emulated", RUNTIME, level)
    outputs = np.frombuffer((folder / "outputs.bin").read_bytes(), np.int8).reshape(len(windows), -1)
    flash, code = _flash(machine, folder, RUNTIME)
    instructions = round(ticks * SPIN_INSTRUCTIONS / spin)
    return Run(outputs, instructions, stack, flash, code, _object_bytes(machine, folder, "network"))


def push_emulated(machine: Machine, package: Path, samples: NDArray[np.int16], heads: int, folder: Path) -> PushRun:
    """Push samples of 250 Hz on a processor, with a hop of one second.

    Args:
        machine: The processor.
        package: Folder with the network's C files.
        samples: Counts of 16 bits.
        heads: Number of outputs.
        folder: Empty folder for what is made.
    """
    _write(folder / "samples.bin", samples)
    spin, longest, hop = _run(machine, package, folder, "emulated_push", PUSH_RUNTIME, "-O2")
    outputs = np.frombuffer((folder / "outputs.bin").read_bytes(), np.int8).reshape(-1, heads)
    longest, hop = (round(n * SPIN_INSTRUCTIONS / spin) for n in (longest, hop))
    flash, _code = _flash(machine, folder, PUSH_RUNTIME)
    return PushRun(outputs, longest, hop, flash, _object_bytes(machine, folder, "pusher"))


def _write(path: Path, values: NDArray[np.generic]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(values.astype(values.dtype.newbyteorder("<")).tobytes())


def _run(
    machine: Machine, package: Path, folder: Path, program: str, runtime: tuple[str, ...], level: str
) -> tuple[int, int, int]:
    """Build and run a program; return its three figures."""
    objects = [_object(machine, package, package / f"{name}.c", folder, level) for name in runtime]
    own = (f"{program}.c", "board.c", "start.c")
    objects += [_object(machine, package, SOURCES / name, folder, level) for name in own]
    image = folder / "image.elf"
    (folder / "link.ld").write_text(_linker_script(machine))
    _call([machine.compiler, *machine.flags, "-nostdlib", "-nostartfiles", *objects, "-lgcc",
           f"-T{folder / 'link.ld'}", "-Wl,--build-id=none", "-o", image], folder)  # fmt: skip
    xtensa = "xtensa" in machine.emulator
    semihosting = ["-semihosting"] if xtensa else ["-semihosting-config", "enable=on,target=native"]
    _call([machine.emulator, *machine.board, "-icount", "shift=0", "-display", "none", "-monitor", "none",
           "-serial", "none", *semihosting, "-kernel", image], folder)  # fmt: skip
    first, second, third = struct.unpack("<3I", (folder / "figures.bin").read_bytes())
    return first, second, third


def _object(machine: Machine, package: Path, source: Path, folder: Path, level: str) -> Path:
    found = folder / f"{source.stem}.o"
    strict = ("-Wall", "-Wextra", "-Werror")
    _call([machine.compiler, *machine.flags, level, "-std=gnu99", "-ffunction-sections", "-fdata-sections", *strict,
           "-ffreestanding", f"-I{package}", f"-I{SOURCES}", "-c", source, "-o", found], folder)  # fmt: skip
    return found


def _call(command: list[object], folder: Path) -> str:
    done = subprocess.run([str(c) for c in command], cwd=folder, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise AssertionError(f"{command[0]}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _flash(machine: Machine, folder: Path, runtime: tuple[str, ...]) -> tuple[int, int]:
    objects = [folder / f"{name}.o" for name in runtime]
    rows = [line.split() for line in _call([machine.size, *objects], folder).splitlines()[1:]]
    texts = {Path(row[-1]).stem: int(row[0]) + int(row[1]) for row in rows}
    return sum(texts.values()), sum(n for name, n in texts.items() if name != "anyecg_layers")


def _object_bytes(machine: Machine, folder: Path, name: str) -> int:
    listing = _call([machine.compiler.removesuffix("gcc") + "nm", "-S", folder / "image.elf"], folder)
    return int(next(line.split()[1] for line in listing.splitlines() if line.endswith(f" {name}")), 16)


def _linker_script(machine: Machine) -> str:
    (code, code_kib), (data, data_kib) = machine.code, machine.data
    return f"""ENTRY({"start" if "arm" in machine.compiler else "entry"})
MEMORY
{{
  CODE (rx)  : ORIGIN = {code:#x}, LENGTH = {code_kib}K
  DATA (rwx) : ORIGIN = {data:#x}, LENGTH = {data_kib}K
}}
SECTIONS
{{
  .text : {{ KEEP(*(.vectors)) *(.literal* .text*) *(.rodata* .srodata*) . = ALIGN(8); }} > CODE
  .ARM.exidx : {{ *(.ARM.exidx*) }} > CODE
  .data : {{ image_data_start = .; *(.data* .sdata*) . = ALIGN(8); image_data_end = .; }} > DATA AT > CODE
  image_data_load = LOADADDR(.data);
  .bss (NOLOAD) : {{ image_bss_start = .; *(.bss* .sbss*) *(COMMON) . = ALIGN(8); image_bss_end = .; }} > DATA
  image_stack_top = ORIGIN(DATA) + LENGTH(DATA);
}}
"""
