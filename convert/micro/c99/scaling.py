"""Scales as integers, as TensorFlow Lite Micro computes them when it prepares a model.

Sources: ``QuantizeMultiplier`` and ``CalculateActivationRange`` of TensorFlow Lite (``kernel_util``,
``quantization_util``), ``AddParams`` of its kernel ADD, and ``QuantizedMeanOrSum`` of its reference kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ADD_SHIFT = 20
"""Both inputs of ADD are multiplied by two to the power of it."""

INT8_MIN, INT8_MAX = -128, 127


@dataclass(frozen=True, slots=True)
class Scale:
    """A positive factor of at most one half as ``multiplier / 2**31 / 2**shift``.

    Attributes:
        multiplier: 31-bit integer, 0 or more.
        shift: Number of bits of the rounding division after the multiplication; negative for a factor of one or more.
    """

    multiplier: int
    shift: int

    @property
    def covered(self) -> bool:
        """Returns whether the kernels in C can apply it: they divide by a power of two from 2 to 2**31."""
        return self.multiplier == 0 or 1 <= self.shift <= 31


@dataclass(frozen=True, slots=True)
class Range:
    """Zero point and limits of a layer's outputs, in steps."""

    zero: int
    low: int
    high: int


def quantized(factor: float) -> Scale:
    """Returns a factor as an integer multiplier and a shift.

    Args:
        factor: Factor, 0 or more.
    """
    if factor == 0.0:
        return Scale(0, 0)
    fraction, exponent = math.frexp(factor)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, exponent = multiplier // 2, exponent + 1
    if exponent < -31:
        return Scale(0, 0)
    return Scale(multiplier, -exponent)


def output_range(activation: str, scale: float, zero: int) -> Range:
    """Returns the limits of an output.

    Args:
        activation: ``NONE``, ``RELU`` or ``RELU6``.
        scale: Scale of the output.
        zero: Zero point of the output.
    """
    low, high = INT8_MIN, INT8_MAX
    if activation in {"RELU", "RELU6"}:
        low = max(low, zero)
    if activation == "RELU6":
        steps = np.float32(6.0) / np.float32(scale)
        high = min(high, zero + (_rounded(steps) if steps < 1024 else 1024))
    return Range(zero, low, high)


def sum_scales(small: float, large: float, out: float) -> tuple[int, Scale, Scale]:
    """Returns how ADD scales its inputs: a factor and a scale for the one with the smaller scale, and that of the sum.

    The reference multiplies both inputs by 2**20 and then by their scale over twice the larger one. For the larger one
    this is exactly 2**19. If both are equal, the same holds for the other: a factor of 2**21 and a quarter.

    Args:
        small: The smaller scale of the inputs.
        large: The larger scale of the inputs.
        out: Scale of the output.
    """
    total = quantized(2.0 * large / ((1 << ADD_SHIFT) * out))
    if small == large:
        return 1 << (ADD_SHIFT + 1), Scale(1 << 30, 1), total
    return 1 << ADD_SHIFT, quantized(small / (2.0 * large)), total


def mean_scale(scale: float, out: float, n: int) -> Scale:
    """Returns the scale of a mean, which divides a sum of ``n`` values too.

    Args:
        scale: Scale of the input.
        out: Scale of the output.
        n: Number of values, 1 or more.
    """
    whole = quantized(scale / out)
    shift = min(n.bit_length() - 1, 32, 31 - whole.shift)
    return Scale((whole.multiplier << shift) // n, whole.shift + shift)


def _rounded(value: np.float32) -> int:
    """Rounds halves away from zero, as ``TfLiteRound`` does; values are positive."""
    return math.floor(float(value) + 0.5)
