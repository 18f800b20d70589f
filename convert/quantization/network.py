"""A float LiteRT model as a list of operations whose constants and ranges can be changed.

Every step of the package takes such a model and gives one back, so that the converter stays the last step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.flatbuffer import kind, opcode, opened, operator_names, packed, schema
from firmware_bridge.errors import InputError

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
SAME_SCALE = ("MAX_POOL_2D", "PAD", "RESHAPE")
"""Operations whose int8 kernels give the output the scale of the input."""


@dataclass(slots=True, eq=False)
class Op:
    """One operation.

    Attributes:
        kind: Name of the operation, as in the schema.
        inputs: Indices of its tensors; of a convolution the input, the weights and the bias.
        output: Index of the tensor that it makes.
        raw: The operation of the flatbuffer.
    """

    kind: str
    inputs: list[int]
    output: int
    raw: Any


class Network:
    """A float model with one input and one subgraph.

    Args:
        model: The flatbuffer.

    Attributes:
        ops: The operations in order.
        source: Index of the input.
        sink: Index of the output.

    Raises:
        InputError: The flatbuffer is not a model of this kind.
    """

    def __init__(self, model: bytes) -> None:
        self._model = opened(model)
        if len(self._model.subgraphs) != 1 or len(self._model.subgraphs[0].inputs) != 1:
            raise InputError("the model has several graphs or inputs", "give a model with one of each")
        self._graph = self._model.subgraphs[0]
        self.source = int(self._graph.inputs[0])
        self.sink = int(self._graph.outputs[0])
        names = operator_names()
        self.ops = [
            Op(names[kind(self._model, raw)], [int(i) for i in raw.inputs], int(raw.outputs[0]), raw)
            for raw in self._graph.operators
        ]

    def name(self, index: int) -> str:
        """Return the name of a tensor."""
        return str(self._graph.tensors[index].name.decode())

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(int(n) for n in self._graph.tensors[index].shape)

    def is_constant(self, index: int) -> bool:
        """Whether a tensor is stored in the model."""
        return self._model.buffers[self._graph.tensors[index].buffer].data is not None

    def constant(self, index: int) -> NDArray[Any]:
        """Return a copy of a stored tensor, float32 or int32."""
        tensor = self._graph.tensors[index]
        dtype = np.int32 if tensor.type == schema().TensorType.INT32 else np.float32
        data = np.asarray(self._model.buffers[tensor.buffer].data, dtype=np.uint8)
        return data.view(dtype).reshape(self.shape(index)).copy()

    def give_constant(self, op: Op, slot: int, value: NDArray[np.float32]) -> int:
        """Give an operation a stored tensor of its own, since the converter shares equal ones, and return its index."""
        sc = schema()
        old = self._graph.tensors[op.inputs[slot]] if slot < len(op.inputs) else None
        tensor, buffer = sc.TensorT(), sc.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value, dtype="<f4").tobytes(), dtype=np.uint8)
        self._model.buffers.append(buffer)
        tensor.buffer, tensor.type = len(self._model.buffers) - 1, sc.TensorType.FLOAT32
        tensor.name = (old.name if old is not None else self._graph.tensors[op.output].name) + b"/own"
        tensor.shape, tensor.hasRank = np.array(value.shape, np.int32), True
        self._graph.tensors.append(tensor)
        index = len(self._graph.tensors) - 1
        op.inputs[slot : slot + 1] = [index]
        op.raw.inputs = np.array(op.inputs, np.int32)
        return index

    def set_constant(self, index: int, value: NDArray[np.float32]) -> None:
        """Change a stored tensor that belongs to one operation; see :meth:`give_constant`."""
        data = np.ascontiguousarray(value, dtype="<f4").tobytes()
        self._model.buffers[self._graph.tensors[index].buffer].data = np.frombuffer(data, dtype=np.uint8)

    def range_of(self, index: int) -> tuple[float, float]:
        """Return the range of a tensor.

        Raises:
            InputError: The model is not calibrated.
        """
        found = self._graph.tensors[index].quantization
        if found is None or found.min is None or found.max is None:
            raise InputError(f"the tensor {self.name(index)} has no range", "calibrate the model first")
        return float(found.min[0]), float(found.max[0])

    def set_range(self, index: int, low: float, high: float) -> None:
        """Set the range of a tensor."""
        ranges = schema().QuantizationParametersT()
        ranges.min, ranges.max = np.array([low], np.float32), np.array([high], np.float32)
        self._graph.tensors[index].quantization = ranges

    def consumers(self, index: int) -> list[Op]:
        """Return the operations that read a tensor."""
        return [op for op in self.ops if index in op.inputs]

    def producer(self, index: int) -> Op | None:
        """Return the operation that makes a tensor; ``None`` for the input and for constants."""
        return next((op for op in self.ops if op.output == index), None)

    def replace(self, old: Sequence[Op], new: Op) -> None:
        """Put one operation in the place of the last of several others."""
        place = self.ops.index(old[-1])
        self.ops[place] = new
        self.ops = [op for op in self.ops if not any(op is gone for gone in old)]

    def depthwise(self, source: int, weights: NDArray[np.float32], bias: NDArray[np.float32], output: int) -> Op:
        """Return a new depthwise convolution along time, not yet placed.

        Args:
            source: Index of its input.
            weights: Its weights, ``(1, 1, taps, channels)``.
            bias: Its bias, ``(channels,)``.
            output: Index of its output.
        """
        sc = schema()
        raw = sc.OperatorT()
        raw.opcodeIndex = opcode(self._model, sc.BuiltinOperator.DEPTHWISE_CONV_2D, 1)
        raw.builtinOptionsType = sc.BuiltinOptions.DepthwiseConv2DOptions
        raw.builtinOptions = sc.DepthwiseConv2DOptionsT()
        raw.builtinOptions.padding = sc.Padding.VALID
        raw.builtinOptions.strideW = raw.builtinOptions.strideH = raw.builtinOptions.depthMultiplier = 1
        raw.builtinOptions.dilationWFactor = raw.builtinOptions.dilationHFactor = 1
        raw.inputs, raw.outputs = np.array([source], np.int32), np.array([output], np.int32)
        op = Op("DEPTHWISE_CONV_2D", [source, -1, -1], output, raw)
        op.inputs = [source]
        self.give_constant(op, 1, weights)
        self.give_constant(op, 2, bias)
        return op

    def copy_tensor(self, index: int) -> int:
        """Return the index of a new tensor with the shape of another one."""
        tensor, old = schema().TensorT(), self._graph.tensors[index]
        tensor.name, tensor.shape, tensor.type, tensor.buffer = old.name + b"/scaled", old.shape, old.type, 0
        tensor.shapeSignature, tensor.hasRank = old.shapeSignature, old.hasRank
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def rewire(self, op: Op, old: int, new: int) -> None:
        """Let an operation read another tensor."""
        op.inputs = [new if i == old else i for i in op.inputs]
        op.raw.inputs = np.array(op.inputs, np.int32)

    def pack(self) -> bytes:
        """Return the flatbuffer without the tensors that nothing reads."""
        self._graph.operators = [op.raw for op in self.ops]
        self._drop_unused()
        return packed(self._model)

    def _drop_unused(self) -> None:
        """Empty the buffers of tensors that no operation reads any more."""
        used = {i for op in self.ops for i in op.inputs if i >= 0}
        kept = {self._graph.tensors[i].buffer for i in used}
        for i, tensor in enumerate(self._graph.tensors):
            if i not in used and tensor.buffer not in kept:
                self._model.buffers[tensor.buffer].data = None
