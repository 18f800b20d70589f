"""The forward pass of a float LiteRT model in TensorFlow, with the rounding of int8 kernels where it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.tf_runtime import load_tensorflow
from convert.quantization.network import CONVOLUTIONS, SAME_SCALE, Network, Op
from convert.quantization.weights import int8_weights
from firmware_bridge.errors import InputError

tf = load_tensorflow()

Tap = Callable[[Op, Any], Any]
"""Takes an operation and what it computed and returns what the operations after it read."""

ACTIVATIONS = {0: None, 1: tf.nn.relu, 3: tf.nn.relu6}
"""Fused activations by their number in the schema."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The int8 scale of a tensor.

    Attributes:
        scale: Value of one step.
        zero_point: Step that means zero.
    """

    scale: float
    zero_point: int

    def round(self, values: Any) -> Any:
        """Round a tensor to the grid and clip it, as an int8 kernel does."""
        steps = tf.round(values / self.scale) + self.zero_point
        return (tf.clip_by_value(steps, -128.0, 127.0) - self.zero_point) * self.scale


def grid_of(low: float, high: float) -> Grid:
    """Return the grid that the converter makes from a range."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255.0, 1e-12)
    return Grid(float(np.float32(scale)), int(np.clip(round(-128.0 - low / scale), -128, 127)))


def grids(network: Network) -> dict[int, Grid]:
    """Return the grid of every tensor that an operation makes, and of the input."""
    found = {network.source: grid_of(*network.range_of(network.source))}
    for op in network.ops:
        if op.kind == "LOGISTIC":
            found[op.output] = Grid(1.0 / 256.0, -128)
        elif op.kind in SAME_SCALE:
            found[op.output] = found[op.inputs[0]]
        else:
            found[op.output] = grid_of(*network.range_of(op.output))
    return found


def rounded_weights(weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Round weights to int8 with one scale for each output channel.

    Args:
        weights: The weights.
        axis: Axis of the output channels.
    """
    steps, scale = int8_weights(weights, axis)
    return steps * scale


def rounded_constants(network: Network) -> dict[int, NDArray[np.float32]]:
    """Return the constants that the converter rounds to int8: weights by channel, other operands by tensor."""
    found: dict[int, NDArray[np.float32]] = {}
    for op in network.ops:
        for slot, index in enumerate(op.inputs):
            if index < 0 or not network.is_constant(index) or op.kind not in (*CONVOLUTIONS, "ADD", "MUL"):
                continue
            if op.kind in CONVOLUTIONS:
                if slot == 1:
                    found[index] = rounded_weights(network.constant(index), 0 if op.kind == "CONV_2D" else 3)
            else:
                value = network.constant(index)
                found[index] = grid_of(float(value.min()), float(value.max())).round(value).numpy()
    return found


def run(network: Network, windows: Any, tap: Tap | None = None, constants: Mapping[int, Any] | None = None) -> Any:
    """Run a model on windows.

    Args:
        network: The model.
        windows: Windows, ``(n, 1, samples, 1)``.
        tap: Called for every operation; ``None`` for a float pass.
        constants: Values instead of those of the model, by index of the tensor.

    Returns:
        The output, ``(n, 1, 1, outputs)``.
    """
    constants = constants or {}
    values: dict[int, Any] = {network.source: windows}
    last = {i: k for k, op in enumerate(network.ops) for i in op.inputs}

    def value(index: int) -> Any:
        if index in values:
            return values[index]
        return constants[index] if index in constants else network.constant(index)

    for k, op in enumerate(network.ops):
        y = apply(op, [value(i) if i >= 0 else None for i in op.inputs])
        values[op.output] = y if tap is None else tap(op, y)
        for index in op.inputs:
            if last[index] == k:
                values.pop(index, None)
    return values[network.sink]


def apply(op: Op, inputs: list[Any]) -> Any:
    """Compute one operation in float."""
    x, options = inputs[0], op.raw.builtinOptions
    if op.kind in CONVOLUTIONS:
        return _convolve(op, *inputs)
    if op.kind == "LOGISTIC":
        return tf.sigmoid(x)
    if op.kind in ("ADD", "MUL"):
        y = x + inputs[1] if op.kind == "ADD" else x * inputs[1]
        return activate(y, options)
    if op.kind == "MEAN":
        return tf.reduce_mean(x, axis=[int(i) for i in np.ravel(inputs[1])], keepdims=bool(options.keepDims))
    if op.kind == "MAX_POOL_2D":
        size, stride = [options.filterHeight, options.filterWidth], [options.strideH, options.strideW]
        return tf.nn.max_pool2d(x, size, stride, "VALID" if options.padding == 1 else "SAME")
    if op.kind == "PAD":
        return tf.pad(x, inputs[1])
    if op.kind == "RESHAPE":
        return tf.reshape(x, [-1, *[int(n) for n in np.ravel(inputs[1])][1:]])
    raise InputError(f"the model has the operation {op.kind}", "its int8 form cannot be improved")


def _convolve(op: Op, x: Any, weights: Any, bias: Any = None) -> Any:
    options = op.raw.builtinOptions
    padding = "VALID" if options.padding == 1 else "SAME"
    strides = [1, options.strideH, options.strideW, 1]
    if op.kind == "DEPTHWISE_CONV_2D":
        # One tap is a product, which is many times as fast as TensorFlow's convolution.
        taps = weights.shape[1] * weights.shape[2]
        kernel = tf.transpose(weights, [1, 2, 3, 0])
        y = x * kernel[:, :, :, 0] if taps == 1 else tf.nn.depthwise_conv2d(x, kernel, strides, padding)
    else:
        y = tf.nn.conv2d(x, tf.transpose(weights, [1, 2, 3, 0]), strides, padding)
    return activate(y if bias is None else y + bias, options)


def activate(y: Any, options: Any) -> Any:
    """Apply the activation that an operation includes."""
    f = ACTIVATIONS[int(options.fusedActivationFunction)]
    return y if f is None else f(y)
