"""What a network costs on a microcontroller as plain C99: flash, RAM, stack and instructions, without building it.

RAM and the tables in flash are exact for a 32-bit processor. The size of the code and the instructions come from builds
of students with gcc 12 at ``-O2``, run in QEMU. For three students on eight processors, flash and instructions are
within 3 % of the measured ones and the stack within 16 bytes (``tests/firmware/test_c99_emulated.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convert.micro.c99.network import GROUP, Dense, Network

DENSE_BYTES = DEPTHWISE_BYTES = MEAN_BYTES = 16
SUM_BYTES = 20
STEM_BYTES = 24
BLOCK_BYTES = 44
SCALE_BYTES = 8
"""Sizes of the structures of ``anyecg_kernels.h`` and ``anyecg_layers.h`` on a 32-bit processor."""

POINTERS_BYTES = 16
"""Window, outputs, work and the next stage in ``struct anyecg_network``."""


@dataclass(frozen=True, slots=True)
class Processor:
    """What the runtime costs on a processor.

    Attributes:
        title: Name for tables.
        code_bytes: Code of kernels and schedule.
        frames_bytes: Stack besides the vectors on it.
        vector: Instructions for a vector of a dense layer.
        output: Instructions for four of its outputs.
        product: Instructions for 16 of its products.
        channel: Instructions of a depthwise convolution for four channels.
        tap: Instructions for four channels and one tap of it.
        added: Instructions for one value of a residual sum.
        sample: Instructions to fetch a sample for the stem.
    """

    title: str
    code_bytes: int
    frames_bytes: int
    vector: float
    output: float
    product: float
    channel: float
    tap: float
    added: float
    sample: float


PROCESSORS: Mapping[str, Processor] = {
    "cortex-m4-dsp": Processor("Cortex-M4, M7, M33 with DSP", 1_900, 152, 151.4, 105.3, 22.9, 51.3, 14.8, 30.6, 13.2),
    "cortex-m3": Processor("Cortex-M3, M4 without DSP", 2_056, 152, 162.3, 129.4, 51.9, 87.8, 18.7, 41.9, 1.2),
    "cortex-m0": Processor("Cortex-M0", 2_216, 164, 249.1, 312.1, 102.0, 240.6, 36.3, 113.9, 1.0),
    "rv32imc": Processor("RISC-V rv32imc", 2_578, 152, 230.0, 129.8, 69.9, 71.3, 18.6, 50.2, 0.0),
    "lx106": Processor("Xtensa LX106", 2_586, 176, 227.7, 240.2, 100.6, 181.4, 36.9, 100.2, 0.0),
}
"""By name in the JSON of ``anyecg lint``."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network costs on one processor.

    Attributes:
        flash_bytes: Code and tables; windows for the self-test and texts of heads are not included.
        ram_bytes: ``struct anyecg_network``; window and outputs are the caller's.
        stack_bytes: Deepest stack of an inference.
        instructions: Executed instructions for a window.
    """

    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    instructions: int


def cost(network: Network, processor: Processor) -> Cost:
    """Returns what a network costs.

    Args:
        network: The network.
        processor: One of `PROCESSORS`.
    """
    vectors = 2 * network.channels_max + network.mean.channels
    return Cost(
        flash_bytes=table_bytes(network) + processor.code_bytes,
        ram_bytes=ram_bytes(network),
        stack_bytes=vectors + processor.frames_bytes,
        instructions=round(_instructions(network, processor)),
    )


def table_bytes(network: Network) -> int:
    """Returns the flash of the tables of ``anyecg_layers.c``, bytes."""
    total = STEM_BYTES + MEAN_BYTES + DENSE_BYTES * len(network.heads)
    for layer in (network.stem.dense, *network.heads):
        total += _dense_bytes(layer)
    for block in network.blocks:
        total += BLOCK_BYTES + _dense_bytes(block.point) + block.ring_bytes + SCALE_BYTES * block.depth.channels
        total += SUM_BYTES if block.add is not None else 0
    return total


def ram_bytes(network: Network) -> int:
    """Returns the size of ``struct anyecg_network``, bytes."""
    return network.ring_bytes + 4 * network.mean.channels + 4 * (len(network.blocks) + 1) + POINTERS_BYTES


def macs(network: Network) -> int:
    """Returns the multiplications of a window, without those of the padding to groups of four."""
    total = network.stem.time.steps * network.stem.taps * network.stem.dense.outputs
    for block in network.blocks:
        total += block.time.steps * (block.ring_bytes + block.point.inputs * block.point.outputs)
    return total + sum(layer.inputs * layer.outputs for layer in network.heads)


def _groups(n: int) -> int:
    return -(-n // GROUP)


def _dense_bytes(layer: Dense) -> int:
    return _groups(layer.outputs) * GROUP * (layer.inputs + SCALE_BYTES)


def _instructions(network: Network, p: Processor) -> float:
    stem = network.stem
    total = stem.time.steps * (_dense(stem.dense, p) + stem.dense.inputs * p.sample)
    for block in network.blocks:
        each = _groups(block.depth.channels) * (p.channel + block.depth.taps * p.tap) + _dense(block.point, p)
        total += block.time.steps * (each + (block.point.outputs * p.added if block.add is not None else 0.0))
    return total + sum(_dense(layer, p) for layer in network.heads)


def _dense(layer: Dense, p: Processor) -> float:
    return p.vector + _groups(layer.outputs) * (p.output + layer.inputs / GROUP * p.product)
