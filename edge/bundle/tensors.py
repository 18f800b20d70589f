"""Input and output of a model: shape, type, and the steps in which the runtime counts their values.

Every form of a model has the same ends for the runtime: integers in, integers out, each a number of steps of a fixed
scale. An int8 model has these steps in its tensors. For a float model the runtime multiplies and rounds, so that golden
vectors and sums over windows are exact whatever the form of the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from edge.bundle.typed_json import Reader

TensorType = Literal["int8", "float32"]

Steps = NDArray[np.signedinteger[Any]]
"""Values counted in steps: int8 or int16."""

MAX_ELEMENTS = 1 << 20
MAX_RATIO = 64


@dataclass(frozen=True, slots=True)
class Coarse:
    """The second, coarser copy of every head in an int8 output.

    An int8 output with fifty steps a standard deviation ends at 2.5 standard deviations. Where a head is at that end,
    its copy with ``ratio`` times larger steps gives the value.

    Attributes:
        first: Index of the first copy; the copies follow the heads in the same order.
        ratio: Size of a step of the copies, in steps of the heads.
    """

    first: int
    ratio: int


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of the model.

    Attributes:
        shape: Shape of the tensor.
        scale: Value of one step.
        zero_point: Step that means zero.
        dtype: Type of the tensor in the model.
        coarse: The coarser copies in an int8 output; ``None`` for none.
    """

    shape: tuple[int, ...]
    scale: float
    zero_point: int
    dtype: TensorType = "int8"
    coarse: Coarse | None = None

    @property
    def width(self) -> int:
        """Number of values without the coarser copies."""
        return math.prod(self.shape) if self.coarse is None else self.coarse.first

    @property
    def steps_dtype(self) -> type[np.int8 | np.int16]:
        """Type of the steps that the runtime uses: int16 for a float tensor or one with coarser copies."""
        return np.int8 if self.dtype == "int8" and self.coarse is None else np.int16

    def to_steps(self, values: NDArray[Any]) -> Steps:
        """Round values to steps, same shape; values out of range get the last step."""
        limits = np.iinfo(self.steps_dtype)
        steps = np.rint(values / self.scale) + self.zero_point
        return np.asarray(np.clip(steps, limits.min, limits.max), dtype=self.steps_dtype)

    def to_values(self, steps: Steps) -> NDArray[np.float64]:
        """Return the values of steps, same shape."""
        return np.asarray((steps.astype(np.float64) - self.zero_point) * self.scale)

    def joined(self, raw: NDArray[np.int8]) -> Steps:
        """Return one value for each head of a raw int8 output.

        Args:
            raw: Shape ``(..., elements)``.

        Returns:
            Shape ``(..., width)``: int8, or int16 where there are coarser copies.
        """
        if self.coarse is None:
            return raw
        fine = raw[..., : self.coarse.first].astype(np.int16)
        copies = raw[..., self.coarse.first :].astype(np.int16)
        wide = (copies - self.zero_point) * self.coarse.ratio + self.zero_point
        # A copy near the end of the fine range is rounded; it must not bring the value back into that range.
        low, high = np.minimum(wide, -128), np.maximum(wide, 127)
        return np.asarray(np.where(fine <= -128, low, np.where(fine >= 127, high, fine)), dtype=np.int16)


def parse_tensor(r: Reader, *, any_form: bool) -> TensorSpec:
    """Check the entry ``input`` or ``output`` of a manifest.

    Args:
        r: The entry.
        any_form: Whether the schema of the manifest knows float tensors and coarser copies.

    Raises:
        BundleError: A value is missing or impossible.
    """
    dtype = cast("TensorType", r.get("dtype").one_of(*(("int8", "float32") if any_form else ("int8",))))
    shape = tuple(item.integer() for item in r.get("shape").items(8))
    if not shape or min(shape) < 1 or math.prod(shape) > MAX_ELEMENTS:
        raise r.get("shape").fail("a shape of positive sizes")
    scale = r.get("scale").number()
    if scale <= 0.0:
        raise r.get("scale").fail("a positive number")
    zero_point = r.get("zero_point").integer()
    if not -128 <= zero_point <= 127 or (dtype == "float32" and zero_point != 0):
        raise r.get("zero_point").fail("-128 to 127, and 0 for a float tensor")
    coarse = r.opt("coarse") if any_form else None
    return TensorSpec(shape, scale, zero_point, dtype, _coarse(coarse, shape, dtype))


def _coarse(r: Reader | None, shape: tuple[int, ...], dtype: TensorType) -> Coarse | None:
    if r is None or r.value is None:
        return None
    first, ratio = r.get("first").integer(), r.get("ratio").integer()
    if dtype != "int8" or 2 * first != math.prod(shape):
        raise r.get("first").fail("half of the values of an int8 output")
    if not 2 <= ratio <= MAX_RATIO:
        raise r.get("ratio").fail(f"2 to {MAX_RATIO}")
    return Coarse(first, ratio)
