"""The layers of a student as the schedule in C knows them.

The graph must be a stem convolution, blocks of a depthwise and a 1x1 convolution with an optional residual ADD, a MEAN
over time, and 1x1 convolutions. That covers the students of every preset with any number of heads
(``convert/compute/students.py``); ``reading.py`` refuses a graph that differs and names the operation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.micro.c99.scaling import Range, Scale

GROUP = 4
"""Number of channels that the kernels process together."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """What the convolutions have in common.

    Attributes:
        name: Name of the layer in the model.
        weights: int8; their shape is that of the kind of layer.
        biases: int64, one per output channel, with the zero point of the input.
        scales: Scale of each output channel.
        range: Zero point and limits of the outputs.
    """

    name: str
    weights: NDArray[np.int8]
    biases: NDArray[np.int64]
    scales: tuple[Scale, ...]
    range: Range


@dataclass(frozen=True, slots=True, eq=False)
class Dense(Layer):
    """A layer that computes each output from all inputs.

    The weights are ``(outputs, inputs)``; the number of inputs is a multiple of `GROUP`.
    """

    @property
    def inputs(self) -> int:
        """Returns the number of inputs."""
        return int(self.weights.shape[1])

    @property
    def outputs(self) -> int:
        """Returns the number of outputs."""
        return int(self.weights.shape[0])

    @property
    def work(self) -> int:
        """Returns how long it takes for one vector, as ``work_of()`` of ``anyecg_network.c``."""
        return self.outputs * (self.inputs + 16)


@dataclass(frozen=True, slots=True, eq=False)
class Depthwise(Layer):
    """A convolution along time, separately for each channel. The weights are ``(taps, channels)``."""

    @property
    def taps(self) -> int:
        """Returns the number of taps."""
        return int(self.weights.shape[0])

    @property
    def channels(self) -> int:
        """Returns the number of channels."""
        return int(self.weights.shape[1])


@dataclass(frozen=True, slots=True)
class Sum:
    """The residual: a block's input plus what its convolutions made of it.

    Attributes:
        name: Name of the layer in the model.
        swap: Whether the block's input is the one with the smaller scale.
        factor: What the values with the smaller scale are multiplied by before ``scale``.
        scale: Scale of the values with the smaller scale.
        scale_sum: Scale of the sum.
        zero_large: Zero point of the values with the larger scale.
        zero_small: Zero point of the values with the smaller scale.
        range: Zero point and limits of the outputs.
    """

    name: str
    swap: bool
    factor: int
    scale: Scale
    scale_sum: Scale
    zero_large: int
    zero_small: int
    range: Range


@dataclass(frozen=True, slots=True)
class Timing:
    """How a stage moves along time.

    Attributes:
        steps: Number of vectors that it makes.
        stride: Vectors of its input from one of them to the next.
        left: Vectors before the signal that the first one reads.
        zero: Zero point of its input, which stands before and after the signal.
    """

    steps: int
    stride: int
    left: int
    zero: int


@dataclass(frozen=True, slots=True, eq=False)
class Stem:
    """The first convolution.

    Attributes:
        dense: Its taps, and zeros up to a multiple of `GROUP`, as inputs.
        taps: Number of taps.
        time: How it moves along the window.
    """

    dense: Dense
    taps: int
    time: Timing


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A depthwise convolution, a 1x1 convolution, and the residual sum of some blocks.

    Attributes:
        depth: The depthwise convolution.
        point: The 1x1 convolution.
        add: The residual sum.
        time: How the depthwise convolution moves along time.
    """

    depth: Depthwise
    point: Dense
    add: Sum | None
    time: Timing

    @property
    def ring_bytes(self) -> int:
        """Returns the size of its ring in bytes."""
        return self.depth.taps * self.depth.channels


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean over time.

    Attributes:
        channels: Number of channels.
        bias: Added to every sum: what the zero point of the input adds up to.
        scale: Scale of a sum.
        range: Zero point and limits of the outputs.
    """

    channels: int
    bias: int
    scale: Scale
    range: Range


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A student.

    Attributes:
        window: Number of values of a window.
        stem: The first convolution.
        blocks: The blocks in order.
        mean: The mean over time.
        heads: The layers after it.
    """

    window: int
    stem: Stem
    blocks: tuple[Block, ...]
    mean: Mean
    heads: tuple[Dense, ...]

    @property
    def outputs(self) -> int:
        """Returns the number of outputs."""
        return self.heads[-1].outputs

    @property
    def work(self) -> int:
        """Returns the sum of what ``anyecg_network_step()`` notes as its work, without the layers after the mean."""
        total = self.stem.time.steps * self.stem.dense.work
        for block in self.blocks:
            depth = block.depth
            total += block.time.steps * (block.point.work + depth.channels * (2 * depth.taps + 16))
        return total

    @property
    def ring_bytes(self) -> int:
        """Returns the size of all rings in bytes."""
        return sum(block.ring_bytes for block in self.blocks)

    @property
    def ranges(self) -> tuple[Range, ...]:
        """Returns the limits of all layers."""
        found = [self.stem.dense.range, self.mean.range, *(layer.range for layer in self.heads)]
        for block in self.blocks:
            found += [block.depth.range, block.point.range]
            if block.add is not None:
                found.append(block.add.range)
        return tuple(found)

    @property
    def channels_max(self) -> int:
        """Returns the largest number of channels of a vector between layers."""
        inside = [*(block.depth.channels for block in self.blocks), self.mean.channels]
        return max(*inside, *(layer.outputs for layer in self.heads[:-1]), self.stem.dense.inputs)
