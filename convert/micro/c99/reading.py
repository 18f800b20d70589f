"""Read the network of a student from the graph of its .tflite file, or say which operation is not covered."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from convert.micro.c99.network import GROUP, Block, Dense, Depthwise, Mean, Network, Stem, Sum, Timing
from convert.micro.c99.scaling import INT8_MAX, INT8_MIN, Range, Scale, mean_scale, output_range, quantized, sum_scales
from convert.micro.graph import Graph, Operation, Tensor
from convert.parity.layers import short_name
from firmware_bridge.errors import CheckFailedError

ACTIVATIONS = ("NONE", "RELU", "RELU6")
BIAS_LIMIT = 1 << 26
"""A bias shares its 32 bits with the five bits of a shift."""

SUM_LIMIT = 1 << 30
TAPS_MAX = 255
CHANNELS_MAX = 4096
STAGES_MAX = 255
RINGS_MAX = 0xFFFF
WORK_MAX = (1 << 31) - 1
"""Limits of the fields that the tables have in C."""


class NotCoveredError(CheckFailedError):
    """The plain C99 runtime does not have an operation in the form in which a graph uses it.

    Args:
        where: Name of the operation and its layer.
        why: What the runtime lacks.
    """

    def __init__(self, where: str, why: str) -> None:
        fix = "use 'anyecg micro-package --runtime tflm' for this model"
        super().__init__(f"the C99 runtime does not cover {where}: {why}", fix)
        self.where = where
        self.why = why

    def __reduce__(self) -> tuple[type[NotCoveredError], tuple[str, str]]:
        """Pickle the error by its own arguments, from which its message is built."""
        return type(self), (self.where, self.why)


def place(op: Operation) -> str:
    """Returns the name of an operation with its layer, or with its position where the model has no names."""
    name = short_name(op.outputs[0].name) if op.outputs else ""
    shown = "".join(c if c.isprintable() else "?" for c in name)[:60]
    return f"{op.name} of {shown}" if shown else f"{op.name} #{op.index}"


def read_network(graph: Graph) -> Network:
    """Reads a student.

    Args:
        graph: Graph of the model.

    Raises:
        NotCoveredError: The graph has an operation, a shape or a scale that the runtime does not cover.
    """
    return _Reader(graph).network()


class _Reader:
    """Walks through the operations in order; each must read what the one before it made."""

    def __init__(self, graph: Graph) -> None:
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise NotCoveredError(
                "the model", f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs, not 1 each"
            )
        self._graph = graph
        self._left = list(graph.operations)
        self._at = graph.inputs[0]

    def network(self) -> Network:
        start = self._at
        stem = self._stem()
        blocks = []
        while self._is_next("DEPTHWISE_CONV_2D"):
            blocks.append(self._block())
        if not blocks:
            raise self._unexpected("DEPTHWISE_CONV_2D")
        mean = self._mean()
        heads = [self._dense(self._take("CONV_2D"))]
        while self._is_next("CONV_2D"):
            heads.append(self._dense(self._take("CONV_2D")))
        self._skip_reshape()
        if self._left:
            raise self._unexpected("the end of the graph")
        if self._at != self._graph.outputs[0]:
            raise NotCoveredError("the model", "its output is not that of its last operation")
        if len(blocks) + 1 > STAGES_MAX:
            raise NotCoveredError("the model", f"more than {STAGES_MAX - 1} blocks")
        network = Network(start.elements, stem, tuple(blocks), mean, tuple(heads))
        if network.ring_bytes > RINGS_MAX or network.work > WORK_MAX:
            raise NotCoveredError("the model", f"{network.ring_bytes} bytes of rings; the limit is {RINGS_MAX}")
        return network

    def _skip_reshape(self) -> None:
        while self._left and self._left[0].name == "RESHAPE" and self._left[0].inputs[:1] == (self._at,):
            self._at = self._left.pop(0).outputs[0]

    def _is_next(self, name: str) -> bool:
        self._skip_reshape()
        return bool(self._left) and self._left[0].name == name

    def _unexpected(self, wanted: str) -> NotCoveredError:
        if not self._left:
            return NotCoveredError("the model", f"it ends where a student has {wanted}")
        return NotCoveredError(place(self._left[0]), f"a student has {wanted} here")

    def _take(self, name: str) -> Operation:
        if not self._is_next(name):
            raise self._unexpected(name)
        op = self._left.pop(0)
        if len(op.outputs) != 1 or self._at not in op.inputs:
            raise NotCoveredError(place(op), "it does not read the output of the operation before it")
        if op.activation not in ACTIVATIONS:
            raise NotCoveredError(place(op), f"the fused activation {op.activation}")
        if op.dilation != 1:
            raise NotCoveredError(place(op), f"a dilation of {op.dilation}")
        for tensor in (self._at, op.outputs[0]):
            self._check_activations(op, tensor)
        self._at = op.outputs[0]
        return op

    def _check_activations(self, op: Operation, tensor: Tensor) -> None:
        if (
            tensor.type != "int8"
            or len(tensor.scale) != 1
            or len(tensor.zero_point) != 1
            or not 0 < tensor.scale[0] < math.inf
        ):
            raise NotCoveredError(place(op), f"activations of type {tensor.type} with {len(tensor.scale)} scales")
        if not INT8_MIN <= tensor.zero_point[0] <= INT8_MAX:
            raise NotCoveredError(place(op), f"a zero point of {tensor.zero_point[0]}")
        if tensor.dynamic or len(tensor.shape) != 4 or tensor.shape[:2] != (1, 1) or min(tensor.shape) < 1:
            raise NotCoveredError(place(op), f"activations of shape {list(tensor.shape)}, not (1, 1, time, channels)")
        if tensor.shape[3] > CHANNELS_MAX:
            raise NotCoveredError(place(op), f"{tensor.shape[3]} channels; the limit is {CHANNELS_MAX}")

    def _stem(self) -> Stem:
        before = self._at
        op = self._take("CONV_2D")
        weights, biases, scales = _parameters(op, before, 0)
        outputs, height, taps, channels = weights.shape
        if (height, channels) != (1, 1) or before.shape[3] != 1:
            raise NotCoveredError(place(op), f"a kernel of shape {list(weights.shape)}, not (outputs, 1, taps, 1)")
        inputs = (taps + GROUP - 1) // GROUP * GROUP
        padded = np.zeros((outputs, inputs), np.int8)
        padded[:, :taps] = weights[:, 0, :, 0]
        dense = Dense(_name(op), padded, biases, scales, _range(op))
        return Stem(dense, taps, _timing(op, before, taps))

    def _block(self) -> Block:
        start = self._at
        op = self._take("DEPTHWISE_CONV_2D")
        weights, biases, scales = _parameters(op, start, 3)
        one, height, taps, channels = weights.shape
        if (one, height, channels) != (1, 1, start.shape[3]):
            raise NotCoveredError(place(op), f"a kernel of shape {list(weights.shape)}, not (1, 1, taps, channels)")
        if channels % GROUP:
            raise NotCoveredError(place(op), f"{channels} channels, not a multiple of {GROUP}")
        depth = Depthwise(_name(op), weights[0, 0], biases, scales, _range(op))
        time = _timing(op, start, taps)
        point = self._dense(self._take("CONV_2D"))
        add = self._sum(start, time, depth) if self._is_next("ADD") else None
        return Block(depth, point, add, time)

    def _dense(self, op: Operation) -> Dense:
        before = next(t for t in op.inputs if t is not None)
        weights, biases, scales = _parameters(op, before, 0)
        outputs, height, taps, inputs = weights.shape
        if (height, taps, inputs, op.step) != (1, 1, before.shape[3], 1):
            raise NotCoveredError(place(op), f"a kernel of shape {list(weights.shape)}, stride {op.step}: not 1x1")
        if inputs % GROUP:
            raise NotCoveredError(place(op), f"{inputs} channels, not a multiple of {GROUP}")
        return Dense(_name(op), weights.reshape(outputs, inputs), biases, scales, _range(op))

    def _sum(self, start: Tensor, time: Timing, depth: Depthwise) -> Sum:
        after = self._at
        op = self._take("ADD")
        if op.inputs not in {(start, after), (after, start)} or start.shape != after.shape:
            raise NotCoveredError(place(op), "it is not the sum of a block's input and output")
        if time.stride != 1 or time.left >= depth.taps:
            raise NotCoveredError(place(op), "a residual around a stride")
        swap = start.scale[0] < after.scale[0]
        small, large = (start, after) if swap else (after, start)
        factor, scale, total = sum_scales(small.scale[0], large.scale[0], op.outputs[0].scale[0])
        if not scale.covered or not total.covered:
            raise NotCoveredError(place(op), f"scales {start.scale[0]:g} and {after.scale[0]:g}")
        return Sum(_name(op), swap, factor, scale, total, large.zero_point[0], small.zero_point[0], _range(op))

    def _mean(self) -> Mean:
        before = self._at
        op = self._take("MEAN")
        axes = op.inputs[1] if len(op.inputs) > 1 else None
        usable = axes is not None and axes.type == "int32" and len(axes.data) % 4 == 0
        names = {int(i) % 4 for i in np.frombuffer(axes.data, "<i4")} if axes is not None and usable else set()
        if names not in ({1, 2}, {2}):
            raise NotCoveredError(place(op), f"a mean over the axes {sorted(names)}, not over time")
        steps, channels = before.shape[2:]
        after = op.outputs[0]
        scale = mean_scale(before.scale[0], after.scale[0], steps)
        bias = -before.zero_point[0] * steps
        if not scale.covered or abs(bias) >= BIAS_LIMIT:
            raise NotCoveredError(place(op), f"a mean of {steps} values from {before.scale[0]:g} to {after.scale[0]:g}")
        return Mean(channels, bias, scale, _range(op))


def _name(op: Operation) -> str:
    return short_name(op.outputs[0].name) or f"operation {op.index}"


def _range(op: Operation) -> Range:
    out = op.outputs[0]
    return output_range(op.activation, out.scale[0], out.zero_point[0])


def _timing(op: Operation, before: Tensor, taps: int) -> Timing:
    """Returns how a convolution moves along time, with TensorFlow's padding."""
    n, steps, stride = before.shape[2], op.outputs[0].shape[2], op.step
    if not 1 <= stride <= taps <= TAPS_MAX:
        raise NotCoveredError(place(op), f"{taps} taps and a stride of {stride}")
    wanted = -(-n // stride) if op.same else (n - taps) // stride + 1
    if wanted != steps or steps > 0xFFFF:
        raise NotCoveredError(place(op), f"{steps} values of {n}")
    return Timing(steps, stride, max((steps - 1) * stride + taps - n, 0) // 2, before.zero_point[0])


def _parameters(
    op: Operation, before: Tensor, axis: int
) -> tuple[NDArray[np.int8], NDArray[np.int64], tuple[Scale, ...]]:
    """Returns weights, biases and scales of a convolution.

    Args:
        op: The convolution.
        before: Its input.
        axis: Axis of the output channels in its weights.
    """
    kernel = op.inputs[1] if len(op.inputs) > 1 else None
    if op.inputs[0] != before or kernel is None or kernel.type != "int8" or len(kernel.shape) != 4:
        raise NotCoveredError(place(op), "weights that are not int8 with four dimensions")
    if min(kernel.shape) < 1 or len(kernel.data) != kernel.elements or set(kernel.zero_point) != {0}:
        raise NotCoveredError(place(op), "weights that are not constant, or with a zero point")
    weights = np.frombuffer(kernel.data, np.int8).reshape(kernel.shape)
    channels = kernel.shape[axis]
    if op.outputs[0].shape[3] != channels or len(kernel.scale) not in {1, channels}:
        raise NotCoveredError(place(op), f"{len(kernel.scale)} scales for {channels} channels")
    if not all(0 < scale < math.inf for scale in kernel.scale):
        raise NotCoveredError(place(op), "a scale that is not positive")
    per_channel = weights.sum(axis=tuple(i for i in range(4) if i != axis), dtype=np.int64)
    magnitude = np.abs(weights.astype(np.int64)).sum(axis=tuple(i for i in range(4) if i != axis))
    biases = _bias(op, channels) - before.zero_point[0] * per_channel
    if (np.abs(biases) >= BIAS_LIMIT).any() or (np.abs(biases) + 128 * magnitude >= SUM_LIMIT).any():
        raise NotCoveredError(place(op), f"a bias of {int(np.abs(biases).max())}; the limit is {BIAS_LIMIT}")
    factors = [before.scale[0] * s / op.outputs[0].scale[0] for s in kernel.scale] * (channels // len(kernel.scale))
    scales = tuple(quantized(f) for f in factors)
    bad = [f for f, s in zip(factors, scales, strict=True) if not s.covered]
    if bad:
        raise NotCoveredError(place(op), f"a channel whose scale is {bad[0]:g}; it must be below one half")
    return weights, biases, scales


def _bias(op: Operation, channels: int) -> NDArray[np.int64]:
    tensor = op.inputs[2] if len(op.inputs) > 2 else None
    if tensor is None:
        return np.zeros(channels, np.int64)
    if tensor.type != "int32" or len(tensor.data) != 4 * channels:
        raise NotCoveredError(place(op), f"a bias of type {tensor.type} with {tensor.elements} values")
    return np.frombuffer(tensor.data, "<i4").astype(np.int64)
