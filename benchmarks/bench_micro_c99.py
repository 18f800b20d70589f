"""The plain C99 network on emulated microcontrollers: flash, RAM, stack and instructions of every preset, as a table.

pip install -e '.[convert,micro]'; .ci/install-slow; python benchmarks/bench_micro_c99.py

Instructions are counted by QEMU and are the same on every machine with the same compilers; they are not cycles. Each
row compares 200 windows with the TensorFlow Lite Micro interpreter.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from convert.compute.inference import run_int8
from helpers.c99_students import RUNNER, counts, outputs_of, student, windows, write_sources
from helpers.micro_machines import MACHINES, Machine, push_emulated, run_emulated

STUDENTS = {"demo": "demonstration", "nano": "`nano`", "small": "`small`"}
HEADS = 12
SMALL_RAM_KIB = 16
"""RAM of the smallest emulated board, the Cortex-M0, KiB."""
LARGE_MODEL_BYTES = 200_000
"""Model whose network and front end do not fit into that RAM together; ``small`` is larger."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--windows", type=int, default=200, help="windows for each row; default: 200")
    parser.add_argument(
        "--host", type=int, metavar="N", help="compare N windows of each preset on this machine instead"
    )
    arguments = parser.parse_args()
    if arguments.host:
        compare_here(arguments.host)
        return
    count = arguments.windows
    print(
        "| student | processor | flash, bytes | RAM, bytes | stack, bytes | instructions | longest push | "
        "outputs that differ |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, shown in STUDENTS.items():
        model, rows = student(name, HEADS), windows(count)
        wanted = run_int8(model, rows.reshape(count, 1, 1, -1, 1), "tflm")
        for machine in MACHINES:
            if machine.missing() is not None:
                print(f"{machine.name}: {machine.missing()} is not installed", file=sys.stderr)
                continue
            with tempfile.TemporaryDirectory() as folder:
                run = run_emulated(machine, write_sources(model, Path(folder) / "c"), rows, Path(folder))
            different = int(np.count_nonzero(run.outputs != wanted))
            print(
                f"| {shown} | {machine.name} | {run.flash:,} | {run.ram:,} | {run.stack} | "
                f"{run.instructions / 1e6:.2f} M | {longest_push(machine, model)} | {different} of {wanted.size:,} |",
                flush=True,
            )


def longest_push(machine: Machine, model: bytes) -> str:
    """Return the largest number of instructions of a call of ``anyecg_push()``; empty if it cannot be linked."""
    if not machine.name.startswith("Cortex-M"):
        return ""  # no library for the compiler's 64-bit divisions
    if machine.data[1] <= SMALL_RAM_KIB and len(model) > LARGE_MODEL_BYTES:
        return "no room"
    with tempfile.TemporaryDirectory() as folder:
        sources = write_sources(model, Path(folder) / "c")
        run = push_emulated(machine, sources, counts(18.0, 250, 16), HEADS, Path(folder))
    return f"{run.longest:,}"


def compare_here(count: int) -> None:
    """Compare many windows (ECG, random, constant, saturated) with the interpreter, and time the compiler."""
    print("| student | heads | windows | outputs that differ | compile time |")
    print("|---|---|---|---|---|")
    for name, heads in {"demo": 12, "nano": 12, "micro": 12, "small": 108}.items():
        model, rows = student(name, heads), windows(count, seed=7)
        with tempfile.TemporaryDirectory() as folder:
            sources = write_sources(model, Path(folder) / "c")
            program = Path(folder) / "run"
            started = time.perf_counter()
            command = ["gcc", "-std=c99", "-O2", f"-I{sources}", *sources.glob("anyecg_*.c"), RUNNER, "-o", program]
            subprocess.run(command, check=True)
            seconds = time.perf_counter() - started
            found = outputs_of(program, rows, heads)
        different = int(np.count_nonzero(found != run_int8(model, rows.reshape(count, 1, 1, -1, 1), "tflm")))
        shown = STUDENTS.get(name, f"`{name}`")
        print(f"| {shown} | {heads} | {count:,} | {different} of {found.size:,} | {seconds:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
