"""The student networks: small enough for a microcontroller, made of operations that every TFLite Micro port runs well.

A student is a stem convolution, a chain of depthwise-separable blocks (with a residual ADD where the shape allows), a
MEAN over time, a hidden 1x1 convolution and the head, also a 1x1 convolution. One-dimensional signals are laid out as
``(batch, 1, samples, channels)``: the two-dimensional form converts to far fewer operations than ``Conv1D``. The head
is not a FULLY_CONNECTED, because its per-channel form differs by one LSB between LiteRT's reference kernel and TFLite
Micro.

This file describes networks and does not import TensorFlow. Only :func:`wire` knows the topology. The training,
quantization-aware and export forms are three sets of operations that run through it (``convert/compute/qat.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from firmware_bridge.errors import UsageError

WINDOW_SAMPLES = 1250
"""Samples of a window: ten seconds of the 125 Hz ``stream/1`` signal."""

INPUT_SCALE = 1.0 / 16.0
"""The int8 scale of the input: z-scores in steps of 1/16, clamped to -8..+7.9375; the zero point is 0."""

OUTPUT_SCALE = 1.0 / 8.0
"""The int8 scale of the logits: -16..+15.875 in steps of 1/8, zero point 0. Two correct int8 implementations that round
differently (LiteRT's reference kernels, XNNPACK) differ by 0.03 to 0.05 in a logit, because each rounding of an early
activation spreads through the network; a finer output would only print that noise. Single windows of one patient differ
by 0.1 to 0.3, and their mean resolves more than one step."""

ALLOWED_OPS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "RELU6", "RESHAPE"})
"""Operations that TFLM, CMSIS-NN and ESP-NN all run well. RELU6 appears only fused."""


@dataclass(frozen=True, slots=True)
class Block:
    """One depthwise-separable block.

    Attributes:
        channels: Output channels.
        kernel: Taps of the depthwise convolution.
        stride: 1 or 2.
    """

    channels: int
    kernel: int
    stride: int = 1


@dataclass(frozen=True, slots=True)
class StudentSpec:
    """The shape of a student and the budget that it must fit.

    Attributes:
        name: Name of the preset.
        stem_channels: Channels of the stem.
        stem_kernel: Taps of the stem.
        stem_stride: Stride of the stem.
        blocks: The separable blocks in order.
        hidden: Channels of the hidden 1x1 convolution after pooling.
        flash_limit_bytes: Largest allowed model file.
        arena_limit_bytes: Largest allowed TFLite Micro arena.
    """

    name: str
    stem_channels: int
    stem_kernel: int
    stem_stride: int
    blocks: tuple[Block, ...]
    hidden: int
    flash_limit_bytes: int
    arena_limit_bytes: int


@dataclass(frozen=True, slots=True)
class ConvSpec:
    """One convolution of a student.

    Attributes:
        name: Name, unique in the student.
        kind: ``"conv"`` or ``"depthwise"``.
        cin: Input channels.
        cout: Output channels (equals ``cin`` for depthwise).
        kernel: Taps along time.
        stride: Stride along time.
        relu6: Whether a RELU6 follows (fused at export).
        norm: Whether training uses batch normalisation, which is folded into the weights afterwards.
    """

    name: str
    kind: Literal["conv", "depthwise"]
    cin: int
    cout: int
    kernel: int
    stride: int
    relu6: bool
    norm: bool


class Ops(Protocol):
    """The operations that :func:`wire` connects; tensors are ``(batch, 1, samples, channels)``."""

    def conv(self, name: str, x: Any) -> Any:
        """Apply the convolution with the name ``name``."""

    def add(self, name: str, a: Any, b: Any) -> Any:
        """Return RELU6 of the sum."""

    def mean(self, name: str, x: Any) -> Any:
        """Return the mean over time; all dimensions are kept."""


PRESETS: dict[str, StudentSpec] = {
    "nano": StudentSpec(
        "nano",
        stem_channels=8,
        stem_kernel=15,
        stem_stride=4,
        blocks=(Block(12, 9, 2), Block(16, 9, 2), Block(24, 9, 2), Block(32, 9, 2), Block(32, 5)),
        hidden=24,
        flash_limit_bytes=32 * 1024,
        arena_limit_bytes=16 * 1024,
    ),
    "micro": StudentSpec(
        "micro",
        stem_channels=16,
        stem_kernel=15,
        stem_stride=2,
        blocks=(
            Block(24, 9, 2),
            Block(32, 9, 2),
            Block(32, 9),
            Block(48, 9, 2),
            Block(48, 9),
            Block(64, 9, 2),
            Block(64, 9),
            Block(96, 9, 2),
            Block(96, 5),
        ),
        hidden=64,
        flash_limit_bytes=128 * 1024,
        arena_limit_bytes=48 * 1024,
    ),
    "small": StudentSpec(
        "small",
        stem_channels=32,
        stem_kernel=15,
        stem_stride=2,
        blocks=(
            Block(48, 9, 2),
            Block(48, 9),
            Block(64, 9, 2),
            Block(64, 9),
            Block(96, 9, 2),
            Block(96, 9),
            Block(128, 9, 2),
            Block(128, 9),
            Block(192, 9, 2),
            Block(192, 5),
            Block(192, 5),
        ),
        hidden=128,
        flash_limit_bytes=512 * 1024,
        arena_limit_bytes=128 * 1024,
    ),
}
"""The three presets. The limits are checked on the exported file and in the real TFLM interpreter, never estimated."""


def preset(name: str) -> StudentSpec:
    """Return a preset by its name.

    Args:
        name: ``nano``, ``micro`` or ``small``.

    Raises:
        UsageError: The preset does not exist.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise UsageError(f"unknown student preset {name!r}", f"use one of {', '.join(PRESETS)}") from None


def is_residual(cin: int, block: Block) -> bool:
    """Return whether the input of a block can be added to its output."""
    return block.stride == 1 and cin == block.channels


def convolutions(spec: StudentSpec, n_outputs: int) -> tuple[ConvSpec, ...]:
    """Return all convolutions of a student, in the order in which :func:`wire` applies them.

    Args:
        spec: The student.
        n_outputs: Number of heads.
    """
    found = [ConvSpec("stem", "conv", 1, spec.stem_channels, spec.stem_kernel, spec.stem_stride, True, True)]
    cin = spec.stem_channels
    for i, block in enumerate(spec.blocks):
        found.append(ConvSpec(f"block{i}.depth", "depthwise", cin, cin, block.kernel, block.stride, True, True))
        # RELU6 follows the sum of a residual block, so the branch itself ends without one.
        relu6 = not is_residual(cin, block)
        found.append(ConvSpec(f"block{i}.point", "conv", cin, block.channels, 1, 1, relu6, True))
        cin = block.channels
    found.append(ConvSpec("hidden", "conv", cin, spec.hidden, 1, 1, True, False))
    found.append(ConvSpec("head", "conv", spec.hidden, n_outputs, 1, 1, False, False))
    return tuple(found)


def wire(spec: StudentSpec, ops: Ops, x: Any) -> tuple[Any, Any]:
    """Run a student through a set of operations.

    Args:
        spec: The student.
        ops: The operations, with their weights.
        x: Input, shape ``(batch, 1, samples, 1)``.

    Returns:
        Logits ``(batch, 1, 1, n_outputs)`` and pooled features ``(batch, 1, 1, channels)``.
    """
    x = ops.conv("stem", x)
    cin = spec.stem_channels
    for i, block in enumerate(spec.blocks):
        y = ops.conv(f"block{i}.point", ops.conv(f"block{i}.depth", x))
        x = ops.add(f"block{i}.sum", x, y) if is_residual(cin, block) else y
        cin = block.channels
    features = ops.mean("pool", x)
    return ops.conv("head", ops.conv("hidden", features)), features


def activation_names(spec: StudentSpec) -> tuple[tuple[str, bool], ...]:
    """Return the tensors that get a quantization range: name, and whether the range starts at zero (after a RELU6).

    Input and head are not included: their ranges are fixed (:data:`INPUT_SCALE`, :data:`OUTPUT_SCALE`).
    """
    found: list[tuple[str, bool]] = [("stem", True)]
    cin = spec.stem_channels
    for i, block in enumerate(spec.blocks):
        residual = is_residual(cin, block)
        found += [(f"block{i}.depth", True), (f"block{i}.point", not residual)]
        if residual:
            found.append((f"block{i}.sum", True))
        cin = block.channels
    return (*found, ("pool", True), ("hidden", True))


def count_parameters(spec: StudentSpec, n_outputs: int) -> int:
    """Return the number of weights and biases of the folded network."""
    total = 0
    for c in convolutions(spec, n_outputs):
        total += c.kernel * c.cout * (c.cin if c.kind == "conv" else 1) + c.cout
    return total
