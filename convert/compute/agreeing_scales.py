"""Scales with which LiteRT's reference kernels and TensorFlow Lite Micro compute the same int8 outputs.

Of the operations of a Net1D, two differ:

- MUL multiplies by the factor ``scale_1 * scale_2 / scale_out``. LiteRT computes it in float32, TensorFlow Lite Micro
  in float64. A product that lies within that error of the middle between two steps gets one step in one interpreter
  and the next step in the other. In a full-size network that is about one pair of inputs of 65,536 in one of 119
  multiplications.
- LOGISTIC is a table of float32 results in LiteRT and a fixed-point polynomial in TensorFlow Lite Micro. An input whose
  result lies close to the middle between two steps can differ: about one input of 256 in one of 100 operations.

Changing a scale in its last bits, far below any other error, removes these inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import CheckFailedError

STEP = 2.0**-22
MAX_STEPS = 400
"""Smallest relative change of a scale (two units of its last bit) and largest one, in these steps: 1e-4. At the end of
the int8 range that is 1.2 % of a step."""

LOGISTIC_MARGIN = 1e-4
"""Smallest distance of 256 times the logistic function from the middle between two steps, in steps. The fixed-point
polynomial of TensorFlow Lite Micro is more exact than that."""

_INT8 = 9
_SAME_SCALE = frozenset({"MAX_POOL_2D", "PAD", "PADV2", "RESHAPE", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "GATHER"})
"""Operations whose output has the scale of their input."""

_X = np.arange(-128, 128, dtype=np.int64)


class _Operation(NamedTuple):
    """An int8 MUL or LOGISTIC: its inputs and its output, as indices of tensors."""

    name: str
    inputs: tuple[int, ...]
    output: int

    @property
    def changed(self) -> int:
        """The tensor whose scale can change: the output of LOGISTIC has a fixed one."""
        return self.output if self.name == "MUL" else self.inputs[0]


class _Model:
    """The scales of a flatbuffer, changed in place."""

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.raw = bytearray(model)
        root: Any = schema.Model.GetRootAs(self.raw, 0)
        names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        graph = root.Subgraphs(0)
        self._tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
        self.operations: list[_Operation] = []
        self._links: list[tuple[int, int]] = []
        for op in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            code = root.OperatorCodes(op.OpcodeIndex())
            name = names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "")
            inputs, out = tuple(op.Inputs(i) for i in range(op.InputsLength())), op.Outputs(0)
            if name in _SAME_SCALE:
                self._links.append((inputs[0], out))
            elif name in {"MUL", "LOGISTIC"} and all(self._tensors[i].Type() == _INT8 for i in (*inputs, out)):
                self.operations.append(_Operation(name, inputs, out))

    def name(self, tensor: int) -> str:
        return str(self._tensors[tensor].Name().decode("utf-8", "replace"))

    def scale(self, tensor: int) -> NDArray[np.float32]:
        """Return the scale of a tensor as a view, shape ``(1,)``."""
        view: NDArray[np.float32] = self._tensors[tensor].Quantization().ScaleAsNumpy()
        return view

    def zero_point(self, tensor: int) -> int:
        return int(self._tensors[tensor].Quantization().ZeroPoint(0))

    def group(self, tensor: int) -> set[int]:
        """Return the tensors that must have the scale of a tensor."""
        found, grown = {tensor}, True
        while grown:
            more = {i for link in self._links if found & set(link) for i in link} - found
            found |= more
            grown = bool(more)
        return found


def doubtful_inputs(model: bytes) -> dict[str, int]:
    """Return for how many inputs the two interpreters may compute different steps.

    Args:
        model: An int8 TFLite flatbuffer.

    Returns:
        Number of pairs of inputs of a MUL (of 65,536) or inputs of a LOGISTIC (of 256), by name of the output tensor;
        operations without such an input are left out.
    """
    found = _Model(model)
    counts = ((found.name(op.output), _doubtful(found, op)) for op in found.operations)
    return {name: count for name, count in counts if count}


def with_agreeing_scales(model: bytes) -> bytes:
    """Change scales in their last bits until both interpreters compute the same steps for every input.

    Args:
        model: An int8 TFLite flatbuffer.

    Returns:
        The flatbuffer with the same size; only scales differ, by at most 1e-4 of their value.

    Raises:
        CheckFailedError: No such scale exists for an operation.
    """
    found = _Model(model)
    # MUL last: its output needs a much smaller change than the input of LOGISTIC, which is also an input of MUL.
    for op in sorted(found.operations, key=lambda op: op.name):
        if _doubtful(found, op):
            _settle(found, op)
    return bytes(found.raw)


def _settle(model: _Model, op: _Operation) -> None:
    group = model.group(op.changed)
    # A changed input of LOGISTIC may make a MUL doubtful, which is settled later.
    touched = [o for o in model.operations if o.name <= op.name and {*o.inputs, o.output} & group]
    for scale in _nearby(model.scale(op.changed)[0]):
        for tensor in group:
            model.scale(tensor)[0] = scale
        if not any(_doubtful(model, o) for o in touched):
            return
    raise CheckFailedError(
        f"LiteRT and TensorFlow Lite Micro round {model.name(op.output)} differently", "please report it"
    )


def _nearby(scale: np.float32) -> Iterator[np.float32]:
    for k in range(1, MAX_STEPS + 1):
        yield np.float32(scale * (1.0 + k * STEP))
        yield np.float32(scale * (1.0 - k * STEP))


def _doubtful(model: _Model, op: _Operation) -> int:
    return _doubtful_pairs(model, op) if op.name == "MUL" else _doubtful_logits(model, op)


def _doubtful_logits(model: _Model, op: _Operation) -> int:
    source = op.inputs[0]
    x = (_X - model.zero_point(source)) * float(model.scale(source)[0])
    exact = 256.0 / (1.0 + np.exp(-x))
    # Results above 255.5 are clamped, in both.
    near = np.abs(exact - np.floor(exact) - 0.5) < LOGISTIC_MARGIN
    return int(np.count_nonzero(near & (exact < 255.6)))


def _doubtful_pairs(model: _Model, op: _Operation) -> int:
    first, second, out = (model.scale(i)[0] for i in (*op.inputs, op.output))
    in_float = float(np.float32(np.float32(first * second) / out))
    in_double = float(first) * float(second) / float(out)
    x, y = (_X - model.zero_point(i) for i in op.inputs)
    products, counts = np.unique(np.outer(x, y), return_counts=True)
    zero_point = model.zero_point(op.output)
    a, b = (np.clip(_scaled(products, factor) + zero_point, -128, 127) for factor in (in_float, in_double))
    return int(counts[a != b].sum())


def _scaled(x: NDArray[np.int64], factor: float) -> NDArray[np.int64]:
    """Multiply by a factor as both interpreters do: 31 bits of the factor, and two roundings."""
    mantissa, exponent = math.frexp(factor)
    multiplier = math.floor(mantissa * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, exponent = multiplier // 2, exponent + 1
    product = x * (1 << max(exponent, 0)) * multiplier
    # Rounds halves away from zero, and its division truncates.
    high = np.sign(product) * ((np.abs(product) + (1 << 30)) >> 31)
    right = max(-exponent, 0)
    remainder, half = high & ((1 << right) - 1), ((1 << right) - 1) >> 1
    return np.asarray((high >> right) + (remainder > half + (high < 0)))
