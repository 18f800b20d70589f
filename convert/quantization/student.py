"""A network that rounds as int8 kernels do and can be trained: weights, biases and ranges are variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.quantization.forward import activate, apply, tf
from convert.quantization.network import CONVOLUTIONS, SAME_SCALE, Network, Op

RANGE_LIMIT = 0.2
"""Largest change of the logarithm of an end of a range, so that R peaks stay within it."""

GATE_HIGH = 255.0 / 256.0
"""Upper end of the fixed range of a LOGISTIC."""


class Student:
    """The int8 self of a float model, with straight-through gradients.

    Args:
        network: The model, with ranges. It changes only in :meth:`write`.

    Attributes:
        weights: Weights by index of the operation, in TensorFlow's layout.
        biases: Biases by index of the operation.
        ends: Logarithms of the change of both ends of each range, ``(tensors, 2)``.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._convolutions = [k for k, op in enumerate(network.ops) if op.kind in CONVOLUTIONS]
        self.weights: dict[int, Any] = {}
        self.biases: dict[int, Any] = {}
        for k in self._convolutions:
            op = network.ops[k]
            self.weights[k] = tf.Variable(network.constant(op.inputs[1]).transpose(1, 2, 3, 0))
            self.biases[k] = tf.Variable(network.constant(op.inputs[2]))
        self._ranged = [
            op.output
            for op in network.ops
            if op.kind not in SAME_SCALE and op.kind != "LOGISTIC" and op.output != network.sink
        ]
        self._row = {index: i for i, index in enumerate(self._ranged)}
        first = np.array([network.range_of(i) for i in self._ranged], dtype=np.float32)
        self._first = np.stack([np.minimum(first[:, 0], 0.0), np.maximum(first[:, 1], 1e-6)], axis=1)
        self.ends = tf.Variable(np.zeros_like(self._first))

    @property
    def variables(self) -> list[Any]:
        """All variables, in a fixed order."""
        return [*self.weights.values(), *self.biases.values(), self.ends]

    def run(self, x: Any, keep: Callable[[Op, Any], None]) -> Any:
        """Run the network.

        Args:
            x: Windows with values of the int8 input, ``(n, 1, samples, 1)``.
            keep: Called with each operation and its rounded output.

        Returns:
            The output, not rounded, ``(n, 1, 1, outputs)``.
        """
        network, change = self._network, tf.exp(tf.clip_by_value(self.ends, -RANGE_LIMIT, RANGE_LIMIT))
        ranges = self._first * change
        values: dict[int, Any] = {network.source: x}
        for k, op in enumerate(network.ops):
            inputs = [values[i] if i in values else network.constant(i) for i in op.inputs]
            y = self._convolve(k, op, inputs[0]) if op.kind in CONVOLUTIONS else apply(op, inputs)
            if op.kind == "LOGISTIC":
                y = tf.quantization.fake_quant_with_min_max_vars(y, 0.0, GATE_HIGH)
            elif op.output in self._row:
                low, high = tf.unstack(ranges[self._row[op.output]])
                y = tf.quantization.fake_quant_with_min_max_vars(y, low, high)
            values[op.output] = y
            keep(op, y)
        return values[network.sink]

    def _convolve(self, k: int, op: Op, x: Any) -> Any:
        options, weights = op.raw.builtinOptions, self.weights[k]
        if op.kind == "DEPTHWISE_CONV_2D":
            # One tap: the weights are (1, 1, channels, 1), exact in int8, since each channel has its scale.
            y = x * tf.reshape(weights, [1, 1, 1, -1])
        else:
            peak = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(weights), [0, 1, 2]), 1e-12))
            kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(
                weights, -peak, peak, 8, narrow_range=True
            )
            padding = "VALID" if options.padding == 1 else "SAME"
            y = _grouped(x, kernel, [1, options.strideH, options.strideW, 1], padding)
        return activate(y + self.biases[k], options)

    def write(self) -> None:
        """Write weights, biases and ranges into the model."""
        for k in self._convolutions:
            op = self._network.ops[k]
            self._network.give_constant(op, 1, self.weights[k].numpy().transpose(3, 0, 1, 2))
            self._network.give_constant(op, 2, self.biases[k].numpy())
        change = np.exp(np.clip(self.ends.numpy(), -RANGE_LIMIT, RANGE_LIMIT))
        for index, (low, high) in zip(self._ranged, self._first * change, strict=True):
            self._network.set_range(index, float(low), float(high))


def _grouped(x: Any, kernel: Any, strides: list[int], padding: str) -> Any:
    """Return a convolution, in groups one by one: TensorFlow's gradient of a grouped convolution is slow on a CPU."""
    groups = int(x.shape[-1]) // int(kernel.shape[2])
    if groups == 1:
        return tf.nn.conv2d(x, kernel, strides, padding)
    parts = zip(tf.split(x, groups, axis=3), tf.split(kernel, groups, axis=3), strict=True)
    return tf.concat([tf.nn.conv2d(p, w, strides, padding) for p, w in parts], axis=3)


def targets_of(network: Network, blocks: list[int], x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return what the float model gives for crops: outputs, then the mean over time of some tensors, by channel."""
    from convert.quantization.forward import run

    kept: dict[int, Any] = {}

    def tap(op: Op, y: Any) -> Any:
        if op.output in blocks:
            kept[op.output] = tf.reduce_mean(y, [1, 2]).numpy()
        return y

    y = run(network, x, tap).numpy()
    return [y.reshape(len(x), -1), *(kept[i] for i in blocks)]


def watched(network: Network) -> list[int]:
    """Return the tensors whose means are taught besides the outputs: the sums of the blocks, and the features."""
    sums = [op.output for op in network.ops if op.kind == "ADD" and not network.is_constant(op.inputs[1])]
    last = network.producer(network.sink)
    features = [last.inputs[0]] if last is not None and last.inputs[0] != network.source else []
    return [*sums, *(i for i in features if i not in sums)]
