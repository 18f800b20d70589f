"""The graph of a .tflite file with the properties that matter on a microcontroller: operations, shapes and types.

Field numbers are those of TensorFlow Lite's ``schema.fbs``, version 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from convert.micro.flatbuffer import Flat, Table
from firmware_bridge.errors import InputError

MAX_MODEL_BYTES = 512 << 20

TYPES: dict[int, tuple[str, int]] = {
    0: ("float32", 4),
    1: ("float16", 2),
    2: ("int32", 4),
    3: ("uint8", 1),
    4: ("int64", 8),
    5: ("string", 0),
    6: ("bool", 1),
    7: ("int16", 2),
    8: ("complex64", 8),
    9: ("int8", 1),
    10: ("float64", 8),
    11: ("complex128", 16),
    12: ("uint64", 8),
    13: ("resource", 0),
    14: ("variant", 0),
    15: ("uint32", 4),
    16: ("uint16", 2),
    17: ("int4", 1),
    18: ("bfloat16", 2),
}
"""Name and element size in bytes by ``TensorType``."""

CUSTOM = 32
_OLD_CODES = 127
"""Placeholder in the older field for operations with a higher number, which are in a newer field."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor.

    Attributes:
        name: Name that the converter gave it.
        shape: Dimensions.
        dynamic: Whether a dimension is not fixed.
        type: Element type, such as ``int8``.
        constant: Whether the file holds its values.
        scale: Quantization scales, one for the tensor or one for each channel; empty where it is not quantized.
        zero_point: The zero point of each scale.
        data: Its values, little-endian, if it is constant.
    """

    name: str
    shape: tuple[int, ...]
    dynamic: bool
    type: str
    constant: bool
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    data: memoryview = field(default=memoryview(b""), compare=False, repr=False)

    @property
    def elements(self) -> int:
        """Returns the number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        index: Position in the graph.
        name: Name such as ``CONV_2D``; ``CUSTOM:NAME`` for a custom operation.
        inputs: Input tensors; ``None`` for an absent optional input.
        outputs: Output tensors.
        dilation: Largest dilation of a convolution, else 1.
        stride: Largest stride of a convolution, else 1.
        step: Stride of a convolution along time (the width), else 1.
        same: Whether a convolution is padded so that only its stride shortens the signal.
        activation: Fused activation: ``NONE``, ``RELU``, ``RELU_N1_TO_1``, ``RELU6``, ``TANH`` or ``SIGN_BIT``.
    """

    index: int
    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    dilation: int
    stride: int
    step: int = 1
    same: bool = False
    activation: str = "NONE"

    def tensors(self) -> tuple[Tensor, ...]:
        """Returns all present inputs and outputs."""
        return tuple(t for t in (*self.inputs, *self.outputs) if t is not None)

    def macs(self) -> int:
        """Returns the multiply-accumulates of a convolution, each tap of the padding included; 0 for others."""
        kernel = self.inputs[1] if len(self.inputs) > 1 else None
        if self.name not in {"CONV_2D", "DEPTHWISE_CONV_2D"} or kernel is None or len(kernel.shape) != 4:
            return 0
        channels = 1 if self.name == "DEPTHWISE_CONV_2D" else kernel.shape[3]
        return sum(t.elements for t in self.outputs) * kernel.shape[1] * kernel.shape[2] * channels


@dataclass(frozen=True, slots=True)
class Graph:
    """The main graph of a model.

    Attributes:
        inputs: Model inputs.
        outputs: Model outputs.
        operations: Operations in order of execution.
        subgraphs: Number of graphs in the file.
        tensors: All tensors in the order of the file, which decides the memory plan between equal sizes.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operations: tuple[Operation, ...]
    subgraphs: int
    tensors: tuple[Tensor, ...] = ()

    def op_names(self) -> tuple[str, ...]:
        """Returns the distinct operations, sorted."""
        return tuple(sorted({op.name for op in self.operations}))

    def macs(self) -> int:
        """Returns the multiply-accumulates of the convolutions of one inference."""
        return sum(op.macs() for op in self.operations)


def read_graph(model: bytes, what: str = "the model") -> Graph:
    """Reads the graph of a TFLite flatbuffer.

    Args:
        model: Content of the file.
        what: Name of the file, for error messages.

    Raises:
        InputError: The file is not a TFLite model, or is damaged.
    """
    if model[4:8] != b"TFL3":
        raise InputError(f"{what} is not a TFLite model", "give a .tflite file or a bundle")
    flat = Flat(model, what)
    root = flat.root()
    graphs = root.tables(2)
    if not graphs:
        raise InputError(f"{what} holds no graph", "convert it again")
    codes = [_op_name(code) for code in root.tables(1)]
    buffers = root.tables(4)
    main = graphs[0]
    tensors = [_tensor(t, buffers) for t in main.tables(0)]

    def pick(indices: tuple[int, ...]) -> tuple[Tensor | None, ...]:
        if any(not -1 <= i < len(tensors) for i in indices):
            raise flat.damaged()
        return tuple(None if i == -1 else tensors[i] for i in indices)

    def present(indices: tuple[int, ...]) -> tuple[Tensor, ...]:
        return tuple(t for t in pick(indices) if t is not None)

    operations = []
    for index, op in enumerate(main.tables(3)):
        code = op.scalar(0, "I")
        if code >= len(codes):
            raise flat.damaged()
        inputs, outputs = pick(op.numbers(1, "i")), present(op.numbers(2, "i"))
        operations.append(_operation(index, codes[code], inputs, outputs, op.table(4)))
    sources, results = present(main.numbers(1, "i")), present(main.numbers(2, "i"))
    return Graph(sources, results, tuple(operations), len(graphs), tuple(tensors))


def _op_name(code: Table) -> str:
    number = code.scalar(0, "b")
    if number >= _OLD_CODES or number == 0:
        number = max(number, code.scalar(3, "i"))
    if number == CUSTOM:
        return f"CUSTOM:{code.text(1)}"
    return _builtin_names().get(number, f"BUILTIN_{number}")


def _builtin_names() -> dict[int, str]:
    # LiteRT, which the kit needs anyway, contains the names of the schema.
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return {v: k for k, v in vars(BuiltinOperator).items() if isinstance(v, int)}


def _tensor(table: Table, buffers: list[Table]) -> Tensor:
    quantization = table.table(4)
    shape = table.numbers(0, "i")
    code = table.scalar(1, "b")
    number = table.scalar(2, "I")
    buffer = buffers[number] if number < len(buffers) else None
    return Tensor(
        name=table.text(3),
        shape=shape,
        dynamic=any(n < 0 for n in (*shape, *table.numbers(7, "i"))),
        type=TYPES.get(code, (f"type {code}", 0))[0],
        constant=buffer is not None and (buffer.length(0) > 0 or buffer.scalar(1, "Q") > 0),
        scale=() if quantization is None else quantization.numbers(2, "f"),
        zero_point=() if quantization is None else quantization.numbers(3, "q"),
        data=memoryview(b"") if buffer is None else buffer.view(0),
    )


_ACTIVATION_FIELD = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "ADD": 0}
"""Number of the fused activation among the options of an operation."""

_ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")


def _operation(
    index: int,
    name: str,
    inputs: tuple[Tensor | None, ...],
    outputs: tuple[Tensor, ...],
    options: Table | None,
) -> Operation:
    """Returns an operation with what its options say; options that are absent have their defaults."""
    activation = "NONE"
    if options is not None and name in _ACTIVATION_FIELD:
        code = options.scalar(_ACTIVATION_FIELD[name], "b")
        activation = _ACTIVATIONS[code] if 0 <= code < len(_ACTIVATIONS) else f"activation {code}"
    if options is None or name not in {"CONV_2D", "DEPTHWISE_CONV_2D"}:
        return Operation(index, name, inputs, outputs, dilation=1, stride=1, activation=activation)
    first = 4 if name == "CONV_2D" else 5
    step = options.scalar(1, "i")
    return Operation(
        index,
        name,
        inputs,
        outputs,
        dilation=max(options.scalar(first, "i", 1), options.scalar(first + 1, "i", 1)),
        stride=max(step, options.scalar(2, "i")),
        step=step,
        same=options.scalar(0, "b") == 0,
        activation=activation,
    )
