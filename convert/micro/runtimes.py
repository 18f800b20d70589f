"""The whole runtime of a model on a microcontroller, both ways: plain C99, and TensorFlow Lite Micro with kernels."""

from __future__ import annotations

from dataclasses import dataclass

from convert.compute.students import ALLOWED_OPS
from convert.micro.arena import Arena
from convert.micro.c99.cost import PROCESSORS, cost
from convert.micro.c99.network import Network
from convert.micro.graph import Graph
from convert.micro.tflm import KERNELS, reserved_bytes


@dataclass(frozen=True, slots=True)
class RuntimeCost:
    """What a model and everything that runs it cost, without an application.

    Attributes:
        runtime: ``c99`` or ``tflm``.
        key: Name of the processor or of the kernels in JSON.
        title: The same for people.
        flash_bytes: Code, tables and model; without golden windows.
        ram_bytes: Memory that exists once; without the window.
        stack_bytes: Deepest stack of an inference.
        instructions: Executed instructions for a window; not cycles.
    """

    runtime: str
    key: str
    title: str
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    instructions: int


def runtime_costs(
    graph: Graph, model_bytes: int, network: Network | None, arena: Arena | None
) -> tuple[RuntimeCost, ...]:
    """Returns what a model costs.

    Args:
        graph: Graph of the model.
        model_bytes: Size of the TFLite flatbuffer.
        network: Its layers; ``None`` where plain C99 does not cover it.
        arena: Arena sizes; ``None`` where TensorFlow Lite Micro cannot run it. Its code was measured with the
            operations of students, so a model with others has no figures.
    """
    rows = []
    if network is not None:
        for key, processor in PROCESSORS.items():
            c = cost(network, processor)
            rows.append(
                RuntimeCost("c99", key, processor.title, c.flash_bytes, c.ram_bytes, c.stack_bytes, c.instructions)
            )
    if arena is not None and set(graph.op_names()) <= ALLOWED_OPS:
        for key, kernels in KERNELS.items():
            instructions = round(kernels.instructions_per_mac * graph.macs())
            flash, reserve = model_bytes + kernels.code_bytes, reserved_bytes(key, arena)
            rows.append(RuntimeCost("tflm", key, kernels.title, flash, reserve, kernels.stack_bytes, instructions))
    return tuple(rows)
