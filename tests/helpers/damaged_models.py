"""Damaged models: bits flipped in weights, scales and biases, and changed operations, in a valid flatbuffer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

KINDS = ("weights", "scale", "bias", "operation")


def damaged(model: bytes, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield damaged copies of a model, each with what was damaged: one flipped bit, or one changed operation."""
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        yield _one(model, KINDS[i % len(KINDS)], rng)


def _one(model: bytes, kind: str, rng: np.random.Generator) -> tuple[str, bytes]:
    from convert.compute.flatbuffer import convolutions, opened, packed

    root = opened(model)
    graph = root.subgraphs[0]
    choices = convolutions(root)
    operator = choices[int(rng.integers(len(choices)))]
    weights = graph.tensors[operator.inputs[1]]
    name = weights.name.decode().split(";")[0]
    if kind == "operation":
        return _change_operation(root, rng)
    if kind == "scale" and weights.quantization is not None and weights.quantization.scale is not None:
        scale = np.array(weights.quantization.scale, np.float32)
        weights.quantization.scale, bit = _flip(scale, rng, low=20, high=31)
        return f"scale of {name}, bit {bit}", packed(root)
    tensor = graph.tensors[operator.inputs[2]] if kind == "bias" else weights
    data = np.frombuffer(bytes(root.buffers[tensor.buffer].data), np.uint8)
    flipped, bit = _flip(data, rng, low=0, high=8)
    root.buffers[tensor.buffer].data = flipped
    return f"{kind} of {name}, bit {bit}", packed(root)


def _flip(values: NDArray, rng: np.random.Generator, low: int, high: int) -> tuple[NDArray, int]:
    """Flip one bit of one element, from ``low`` to below ``high``."""
    out = values.copy()
    bits = out.view(np.uint32 if out.dtype == np.float32 else np.uint8)
    bit = int(rng.integers(low, high))
    index = int(rng.integers(len(bits)))
    bits[index] ^= bits.dtype.type(1 << bit)
    return out, bit


def _change_operation(root, rng: np.random.Generator) -> tuple[str, bytes]:
    from convert.compute.flatbuffer import kind, opcode, packed, schema

    ops = schema().BuiltinOperator
    swaps = {ops.ADD: ops.SUB, ops.LOGISTIC: ops.TANH}
    options = [op for op in root.subgraphs[0].operators if kind(root, op) in swaps]
    operator = options[int(rng.integers(len(options)))]
    code = swaps[kind(root, operator)]
    operator.opcodeIndex = opcode(root, code, 1)
    if code == ops.SUB:
        operator.builtinOptionsType, operator.builtinOptions = (
            schema().BuiltinOptions.SubOptions,
            schema().SubOptionsT(),
        )
    return f"operation {code}", packed(root)
