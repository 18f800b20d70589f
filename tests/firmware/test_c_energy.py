"""The instructions of the front end that docs/energy.md counts with, on an emulated Cortex-M4."""

from __future__ import annotations

import re
import sys

import pytest

from helpers.c_side import C_SIDE
from helpers.firmware_build import CORTEX, HERE, M4, compiled, run
from helpers.needs import tool

sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))

import bench_energy as energy

pytestmark = pytest.mark.slow

PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include "anyecg_vectors.h"
#include "ecg_frontend.h"
#define SYSTICK ((volatile uint32_t *)0xE000E010u)
static struct anyecg_stream stream;
static int8_t window[ANYECG_STREAM_WINDOW];
int main(void) {
  const unsigned n = sizeof(vector_counts) / sizeof(vector_counts[0]);
  uint32_t start, pushed, done;
  unsigned i;
  SYSTICK[1] = 0xFFFFFFu;
  SYSTICK[2] = 0u;
  SYSTICK[0] = 5u;
  anyecg_stream_init(&stream, VECTOR_GRID_HZ, VECTOR_BITS);
  start = SYSTICK[2];
  for (i = 0u; i < n; i++) anyecg_stream_push(&stream, vector_counts[i]);
  pushed = SYSTICK[2];
  anyecg_stream_window(&stream, window);
  done = SYSTICK[2];
  printf("%u %lu %lu\\n", n, (unsigned long)(start - pushed), (unsigned long)(pushed - done));
  return 0;
}
"""
TICK_NS, INSTRUCTION_NS = 40, 16
"""SysTick runs at 25 MHz; ``-icount shift=4`` gives every instruction 16 ns."""


def test_instructions_of_the_front_end(tmp_path):
    (tmp_path / "main.c").write_text(PROGRAM)
    image = tmp_path / "energy.elf"
    compiled(
        [
            *(tool("arm-none-eabi-gcc"), *M4, "-std=c99", "-Os", f"-I{C_SIDE / 'src'}", f"-I{C_SIDE / 'vectors'}"),
            *(tmp_path / "main.c", C_SIDE / "src" / "ecg_frontend.c", CORTEX / "startup.c"),
            *(f"-T{CORTEX / 'mps2.ld'}", "-nostartfiles", "--specs=rdimon.specs", "-o", image),
        ]
    )
    machine = ("-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=4,sleep=off")
    host = ("-semihosting-config", "enable=on,target=native", "-kernel", image)
    done = run([tool("qemu-system-arm"), *machine, *host])
    found = re.search(r"(\d+) (\d+) (\d+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    samples, pushing, window = (int(n) for n in found.groups())
    per_second = pushing * TICK_NS / INSTRUCTION_NS / samples * 250
    assert per_second == pytest.approx(energy.FRONT_END_PER_S, rel=0.1)  # another compiler, other instructions
    assert window * TICK_NS / INSTRUCTION_NS == pytest.approx(energy.FRONT_END_PER_WINDOW, rel=0.1)
