"""The inputs, outputs and operations of a LiteRT model that decide whether the runtime can use it."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.flatbuffer import kind, opcode, opened, operator_names, packed, schema
from convert.micro.graph import TYPES, Graph, read_graph
from edge.bundle.schema import Form
from firmware_bridge.errors import InputError

F64 = NDArray[np.float64]

SHAPE_ONLY = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""Operations that keep the order of the values."""
_MEANING_KEPT = SHAPE_ONLY | {"DEQUANTIZE", "QUANTIZE"}

FLEX = "CUSTOM:Flex"


@dataclass(frozen=True, slots=True)
class End:
    """One input or output of a model.

    Attributes:
        index: Index of the tensor in the graph.
        name: Name in the signature, as in the code that exported the model; else that of the tensor.
        shape: Dimensions; -1 for one that is not fixed.
        type: Element type, such as ``float32``.
        scale: Value of one step; ``None`` if the tensor is not quantized with one scale.
        zero_point: Step that means zero.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    scale: float | None
    zero_point: int

    @property
    def values(self) -> int:
        """Number of values of one window; a dimension that is not fixed counts as 1."""
        return math.prod(abs(n) for n in self.shape)

    def __str__(self) -> str:
        return f"'{self.name}' {self.type} {list(self.shape)}"


class OwnModel:
    """A model as a tree of objects that can be edited.

    Args:
        data: Content of the file.
        name: Name of the file, for error messages.

    Raises:
        InputError: The file is no TFLite model, is damaged, or has operations that LiteRT lacks.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name = data, name
        self.graph: Graph = read_graph(data, name)
        _check_operations(self.graph, name)
        self._names = operator_names()
        try:
            self.tree = opened(data)
            self.main = self.tree.subgraphs[0]
            self._signature = self._signature_names()
            self.inputs = [self.end(int(i)) for i in self.main.inputs]
            self.outputs = [self.end(int(i)) for i in self.main.outputs]
        except (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise InputError(f"{name} is damaged: {error}", "copy or export it again") from None

    def end(self, index: int) -> End:
        """Return a tensor as an input or output."""
        tensor = self.main.tensors[index]
        shape = () if tensor.shape is None else tuple(int(n) for n in tensor.shape)
        signature = tensor.shapeSignature
        if signature is not None and len(signature) == len(shape):
            shape = tuple(int(n) for n in signature)
        q = tensor.quantization
        scales = [] if q is None or q.scale is None else [float(s) for s in q.scale]
        zeros = [] if q is None or q.zeroPoint is None else [int(z) for z in q.zeroPoint]
        element = TYPES.get(tensor.type, (f"type {tensor.type}", 0))[0]
        raw = self._signature.get(index, tensor.name or b"").decode("utf-8", "replace")
        name = "".join(c if c.isprintable() else "?" for c in raw)[:80]
        scale = scales[0] if len(scales) == 1 and scales[0] > 0.0 else None
        return End(index, name, shape, element, scale, zeros[0] if zeros else 0)

    def _signature_names(self) -> dict[int, bytes]:
        """Return the names of inputs and outputs in the signature of the main graph, by tensor."""
        found: dict[int, bytes] = {}
        for signature in self.tree.signatureDefs or []:
            if signature.subgraphIndex == 0:
                for entry in [*(signature.inputs or []), *(signature.outputs or [])]:
                    found[int(entry.tensorIndex)] = entry.name or b""
        return {index: name for index, name in found.items() if name}

    def operation(self, operator: Any) -> str:
        """Return the name of an operation."""
        number = kind(self.tree, operator)
        return self._names.get(number, f"BUILTIN_{number}")

    def maker_of(self, index: int) -> tuple[str, int]:
        """Return the operation that gives a tensor its meaning, and its first input.

        Operations that only change the shape or the type are skipped.

        Returns:
            The name of the operation, and the index of its first input; an empty name for none.
        """
        makers = {int(o): op for op in self.main.operators for o in op.outputs}
        for _ in range(len(self.main.operators) + 1):
            op = makers.get(index)
            if op is None or not len(op.inputs):
                return "", index
            name = self.operation(op)
            if name not in _MEANING_KEPT:
                return name, int(op.inputs[0])
            index = int(op.inputs[0])
        return "", index

    def form(self) -> Form:
        """Return the form of the model: by the types of what its operations give, then of its constants."""
        made = [t.type for op in self.graph.operations for t in op.outputs]
        constants = {t.type for op in self.graph.operations for t in op.tensors() if t.constant}
        if made and made.count("int8") > len(made) / 2:
            return "int8"
        if "int8" in constants or "int4" in constants:
            return "dynamic"
        return "float16" if "float16" in constants else "float32"

    def packed(self) -> bytes:
        """Return the tree as a flatbuffer."""
        return packed(self.tree)

    def set_input(self, index: int, shape: tuple[int, ...]) -> None:
        """Fix the shape of an input."""
        tensor = self.main.tensors[index]
        tensor.shape, tensor.shapeSignature = np.array(shape, np.int32), None

    def set_output(self, index: int) -> None:
        """Make a tensor the only output."""
        self.main.outputs = np.array([index], np.int32)
        # Signatures name the old outputs.
        self.tree.signatureDefs = None

    def standardise(self, sink: End, shape: tuple[int, ...], centre: F64, scale: F64) -> End:
        """Append a multiplication and an addition that give each head mean 0 and standard deviation 1.

        Args:
            sink: The float output.
            shape: Its shape in the interpreter.
            centre: Value of each head that becomes 0, ``(heads,)``.
            scale: Difference from it that becomes 1, ``(heads,)``.

        Returns:
            The new output.
        """
        product = self._append("MUL", sink.index, (1.0 / scale).reshape(shape), f"{sink.name}/scaled")
        total = self._append("ADD", product, (-centre / scale).reshape(shape), f"{sink.name}/standardised")
        self.set_output(total)
        return self.end(total)

    def _append(self, name: str, source: int, values: F64, result: str) -> int:
        """Append an operation of a tensor and a constant; return the index of the result."""
        buffer = schema().BufferT()
        buffer.data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)
        self.tree.buffers.append(buffer)
        constant = self._tensor(f"{result}/constant", values.shape, len(self.tree.buffers) - 1)
        made = self._tensor(result, values.shape, 0)
        options = {"MUL": "MulOptions", "ADD": "AddOptions"}[name]
        op = schema().OperatorT()
        op.opcodeIndex = opcode(self.tree, getattr(schema().BuiltinOperator, name), 1)
        op.builtinOptionsType = getattr(schema().BuiltinOptions, options)
        op.builtinOptions = getattr(schema(), f"{options}T")()
        op.inputs, op.outputs = np.array([source, constant], np.int32), np.array([made], np.int32)
        self.main.operators.append(op)
        return made

    def _tensor(self, name: str, shape: tuple[int, ...], buffer: int) -> int:
        tensor = schema().TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), np.array(shape, np.int32), buffer
        tensor.type, tensor.hasRank = schema().TensorType.FLOAT32, True
        self.main.tensors.append(tensor)
        return len(self.main.tensors) - 1


def _check_operations(graph: Graph, name: str) -> None:
    custom = [op for op in graph.op_names() if op.startswith("CUSTOM:")]
    flex = [op.removeprefix(FLEX) for op in custom if op.startswith(FLEX)]
    if flex:
        raise InputError(
            f"{name} needs operations of TensorFlow that LiteRT lacks: {', '.join(flex[:8])}",
            "export it with TFLITE_BUILTINS only",
        )
    if custom:
        shown = ", ".join(op.removeprefix("CUSTOM:") or "without a name" for op in custom[:8])
        raise InputError(f"{name} has custom operations: {shown}", "export it with TFLITE_BUILTINS only")
