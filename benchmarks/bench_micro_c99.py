"""The plain C99 network on emulated microcontrollers: flash, RAM, stack and instructions of every preset, as a table.

pip install -e '.[convert,micro]'; .ci/install-slow; python benchmarks/bench_micro_c99.py

Instructions are counted by QEMU and are the same on every machine with the same compilers; they are not cycles. Each
row compares 200 windows with the TensorFlow Lite Micro interpreter.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from convert.compute.inference import run_int8
from helpers.c99_students import student, windows, write_sources
from helpers.micro_machines import MACHINES, run_emulated

STUDENTS = {"demo": "demonstration", "nano": "`nano`", "small": "`small`"}
HEADS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--windows", type=int, default=200, help="windows for each row; default: 200")
    count = parser.parse_args().windows
    print("| student | processor | flash, bytes | RAM, bytes | stack, bytes | instructions | outputs that differ |")
    print("|---|---|---|---|---|---|---|")
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
                f"{run.instructions / 1e6:.2f} M | {different} of {wanted.size:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
