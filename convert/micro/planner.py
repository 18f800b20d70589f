"""The memory plan of TensorFlow Lite Micro for the activations of a model.

The same rules as ``GreedyMemoryPlanner`` of TensorFlow Lite Micro: the largest buffer first, each at the lowest address
that is free during its life; of equal sizes, the one that was added last. The result equals what the interpreter
reports as the *head* of its arena, and is also known for kernels that this machine cannot run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from convert.micro.graph import Graph, Operation

ALIGNMENT = 16
"""Alignment of every buffer in the arena, bytes."""


@dataclass(frozen=True, slots=True)
class _Buffer:
    """A buffer and its life, from the first to the last operation that needs it."""

    size: int
    first: int
    last: int

    def meets(self, other: _Buffer) -> bool:
        return self.first <= other.last and other.first <= self.last


def aligned(size: int) -> int:
    """Return a size rounded up to the alignment of the arena, bytes."""
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def planned_bytes(graph: Graph, scratch: Callable[[Operation], int]) -> int:
    """Return the bytes that the plan needs.

    Args:
        graph: Graph of an int8 model.
        scratch: Scratch bytes that the kernel of an operation requests; 0 for none.
    """
    buffers = [*_activations(graph), *_scratch(graph, scratch)]
    order = sorted(range(len(buffers)), key=lambda i: (-buffers[i].size, -i))
    placed: list[tuple[int, _Buffer]] = []
    for index in order:
        buffer, offset = buffers[index], 0
        for start, other in sorted(placed, key=lambda p: p[0]):
            if not other.meets(buffer):
                continue
            if start - offset >= buffer.size:
                break
            offset = max(offset, start + other.size)
        placed.append((offset, buffer))
    return max((offset + buffer.size for offset, buffer in placed), default=0)


def _activations(graph: Graph) -> list[_Buffer]:
    last = len(graph.operations) - 1
    life: dict[int, tuple[int, int]] = {id(t): (0, 0) for t in graph.inputs}
    for op in graph.operations:
        for tensor in op.tensors():
            if not tensor.constant:
                first, _ = life.get(id(tensor), (op.index, op.index))
                life[id(tensor)] = (first, op.index)
    for tensor in graph.outputs:
        life[id(tensor)] = (life.get(id(tensor), (last, last))[0], last)
    return [_Buffer(aligned(t.elements), *life[id(t)]) for t in graph.tensors if id(t) in life]


def _scratch(graph: Graph, scratch: Callable[[Operation], int]) -> list[_Buffer]:
    sizes = [(op.index, scratch(op)) for op in graph.operations]
    return [_Buffer(aligned(size), index, index) for index, size in sizes if size]
