"""Forms of a float model that need no calibration data: dynamic range and float16.

Both replace constants in the float flatbuffer, so that they take seconds and no memory of TensorFlow. The dynamic-range
form has the int8 weights of the full-int8 form: symmetric, with one scale for each output channel. At run time the
interpreter quantizes what enters a convolution with the range of that very window, and everything else is float.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.compute.flatbuffer import constant, convolutions, opcode, opened, packed, schema, set_constant
from convert.quantization.weights import int8_weights

MIN_ELEMENTS = 1024
"""Constants with fewer elements stay float, as in TensorFlow's converter: they are small, and the first convolution
reads the ECG itself."""

HYBRID_VERSION = 5
"""Version of CONV_2D that supports float input with int8 weights and a scale for each channel."""


def dynamic_flatbuffer(float_model: bytes) -> bytes:
    """Return the dynamic-range form of a float model: int8 weights, float input and output."""
    model = opened(float_model)
    hybrid = opcode(model, schema().BuiltinOperator.CONV_2D, HYBRID_VERSION)
    for operator, tensor in _large_weights(model):
        weights = constant(model, tensor)
        steps, scale = int8_weights(weights)
        set_constant(model, tensor, steps)
        tensor.type = schema().TensorType.INT8
        quantization = schema().QuantizationParametersT()
        quantization.scale = scale.reshape(-1)
        quantization.zeroPoint = np.zeros(len(steps), np.int64)
        quantization.quantizedDimension = 0
        tensor.quantization = quantization
        operator.opcodeIndex = hybrid
    return packed(model)


def float16_flatbuffer(float_model: bytes) -> bytes:
    """Return the form with float16 weights, which the interpreter widens when it loads them."""
    model = opened(float_model)
    graph = model.subgraphs[0]
    widen = opcode(model, schema().BuiltinOperator.DEQUANTIZE, 3)
    added = []
    for operator, tensor in _large_weights(model):
        weights = constant(model, tensor)
        set_constant(model, tensor, weights.astype(np.float16))
        tensor.type = schema().TensorType.FLOAT16
        wide = schema().TensorT()
        wide.name, wide.shape, wide.type, wide.buffer = tensor.name + b"_wide", tensor.shape, 0, 0
        wide.hasRank = True
        graph.tensors.append(wide)
        step = schema().OperatorT()
        step.opcodeIndex = widen
        step.inputs = np.array([operator.inputs[1]], np.int32)
        step.outputs = np.array([len(graph.tensors) - 1], np.int32)
        operator.inputs = np.array([operator.inputs[0], step.outputs[0], *operator.inputs[2:]], np.int32)
        added.append(step)
    graph.operators = [*added, *graph.operators]
    return packed(model)


def _large_weights(model: Any) -> list[tuple[Any, Any]]:
    """Return the convolutions with large float weights, and the tensors of these; each tensor once."""
    tensors = model.subgraphs[0].tensors
    found = [(op, tensors[op.inputs[1]]) for op in convolutions(model)]
    large = [(op, t) for op, t in found if np.prod(t.shape) > MIN_ELEMENTS and t.type == schema().TensorType.FLOAT32]
    return list({id(t): (op, t) for op, t in large}.values())
