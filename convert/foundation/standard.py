"""Standardised heads: every head of an exported model has mean 0 and standard deviation 1 over the calibration windows.

A teacher's logits are within a few units of zero and its values are in the unit of the laboratory (glucose about 110
mg/dL). One output tensor has one step for all heads, so a head that hardly moves would be lost beside one that moves
much. The last convolution is therefore divided by the standard deviation of each head; ``calibration.json`` maps back
to logits and to the unit of the laboratory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.bundle.records import UncalibratedEntry
from convert.compute.flatbuffer import constant, convolutions, ends, opened, packed, set_constant
from convert.datasets.heads import TeacherHead
from convert.datasets.outputs_file import Kind, OutputEntry
from convert.foundation.records import LineEntry, Standardised
from convert.parity.forms import HeadName
from edge.bundle.schema import OutputHead
from edge.bundle.tensors import Coarse
from firmware_bridge.errors import BundleError, InputError
from firmware_bridge.reading import is_number

F64 = NDArray[np.float64]

FLAT = 0.4
"""Standard deviation of a value over the evaluation windows below which it counts as flat at the gate, relative to the
calibration windows (arbitrary)."""

MIN_LOGIT_SCALE = 1e-3
"""Smallest scale of a logit: what varies less is the rounding of float32."""

MIN_SHARE = 1e-3
"""Minimum standard deviation of a value, relative to its mean; a smaller one would magnify the rounding of float32."""

DIGITS = 6
"""Number of significant digits of the scaling, the same in the model and in ``calibration.json``."""

STEPS_PER_SD = 64
"""Steps of the int8 output in a standard deviation of each head. The fine range ends at two standard deviations; beyond
it the coarser copy of the head gives the value."""

COARSE_RATIO = 5
"""Size of a step of the coarser copies in steps of the heads: their range ends at ten standard deviations."""

WHAT = (
    "standard deviations of each head over the calibration windows; the heads' tables show logits, and values in "
    "their unit"
)
"""Description of the outputs in a parity report."""


@dataclass(frozen=True, slots=True)
class Line:
    """Scaling of one head: ``teacher's output = centre + scale * model's output``."""

    centre: float = 0.0
    scale: float = 1.0


SAME = Line()
"""Scaling of a head whose output is the teacher's."""


@dataclass(frozen=True, slots=True)
class HeadScaling:
    """Scaling between the outputs of an exported model and those of its teacher.

    Attributes:
        lines: Scaling of each head, in the order of the output.
    """

    lines: tuple[Line, ...]

    @property
    def any(self) -> bool:
        """Whether any head is standardised."""
        return any(line != SAME for line in self.lines)

    def to_model(self, outputs: F64) -> F64:
        """Convert the teacher's outputs, ``(n, heads)``, to the model's scale."""
        centre, scale = self.arrays()
        return np.asarray((outputs - centre) / scale) if self.any else outputs

    def to_teacher(self, outputs: F64) -> F64:
        """Convert the model's outputs, ``(n, heads)``, to the teacher's scale."""
        centre, scale = self.arrays()
        return np.asarray(centre + outputs * scale) if self.any else outputs

    def arrays(self) -> tuple[F64, F64]:
        """Return centre and scale of the heads, ``(heads,)`` each."""
        return np.array([line.centre for line in self.lines]), np.array([line.scale for line in self.lines])


def unscaled(heads: int) -> HeadScaling:
    """Return the scaling for a model whose outputs are the teacher's."""
    return HeadScaling((SAME,) * heads)


def scaling_of(is_value: Sequence[bool], outputs: F64) -> HeadScaling:
    """Choose centre and scale of every head.

    Args:
        is_value: Whether each head is a value.
        outputs: The teacher's outputs on the calibration windows, ``(n, heads)``.
    """
    if not np.all(np.isfinite(outputs)):
        # A NaN is reported later, when the ranges are measured.
        return unscaled(len(is_value))
    return HeadScaling(tuple(_line(outputs[:, j], value=is_value[j]) for j in range(len(is_value))))


def _line(outputs: F64, *, value: bool) -> Line:
    mean, sd = float(outputs.mean()), float(outputs.std())
    least = MIN_SHARE * abs(mean) or 1.0 if value else MIN_LOGIT_SCALE
    return Line(_short(mean), _short(max(sd, least)))


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def standardised_flatbuffer(float_model: bytes, scaling: HeadScaling) -> bytes:
    """Fold a scaling into the last convolution of a float model.

    Args:
        float_model: Result of :func:`convert.foundation.export.float_flatbuffer`.
        scaling: Scaling of its heads.
    """
    if not scaling.any:
        return float_model
    model = opened(float_model)
    weights, bias = _last(model)
    centre, scale = scaling.arrays()
    rows = constant(model, weights).astype(np.float64) / scale[:, None, None, None]
    rest = (constant(model, bias).astype(np.float64) - centre) / scale
    set_constant(model, weights, rows.astype(np.float32))
    set_constant(model, bias, rest.astype(np.float32))
    return packed(model)


def with_copies(float_model: bytes) -> tuple[bytes, Coarse]:
    """Add a coarser copy of every head to a float model, after the heads.

    Args:
        float_model: A float model with or without the ranges of its tensors.

    Returns:
        The model with twice as many outputs, and their description.
    """
    model = opened(float_model)
    weights, bias = _last(model)
    rows, rest = constant(model, weights), constant(model, bias)
    heads = len(rest)
    set_constant(model, weights, np.concatenate([rows, rows / np.float32(COARSE_RATIO)]))
    set_constant(model, bias, np.concatenate([rest, rest / np.float32(COARSE_RATIO)]))
    sink = ends(model)[2]
    sink.shape = np.array([*sink.shape[:-1], 2 * heads], np.int32)
    sink.shapeSignature = None
    return packed(model), Coarse(heads, COARSE_RATIO)


def _last(model: Any) -> tuple[Any, Any]:
    """Return the weights and the bias of the last convolution, which gives the output."""
    graph = model.subgraphs[0]
    operator = convolutions(model)[-1]
    if int(operator.outputs[0]) != int(graph.outputs[0]) or len(operator.inputs) < 3:
        raise InputError("the network does not end in a convolution with a bias", "give a Net1D checkpoint")
    return graph.tensors[operator.inputs[1]], graph.tensors[operator.inputs[2]]


def described(heads: Sequence[OutputEntry], scaling: HeadScaling) -> Standardised:
    """Return the entry of ``manifest.conversion``; empty if no head is standardised."""
    if not scaling.any:
        return {}
    found: dict[str, LineEntry] = {
        h["key"]: {"centre": s.centre, "scale": s.scale} for h, s in zip(heads, scaling.lines, strict=True) if s != SAME
    }
    return {"standardised": found}


def scaling_of_bundle(manifest: Mapping[str, Any], outputs: Sequence[OutputHead], width: int) -> HeadScaling:
    """Return the scaling between the outputs of a bundle's model and its teacher's.

    It comes from the manifest, because ``calibration.json`` may have been fitted again since the conversion. Bundles of
    version 0.2 standardised values only, in the entry ``values``; older ones nothing.

    Args:
        manifest: The parsed manifest.
        outputs: Heads of the bundle.
        width: Number of outputs of the model.

    Raises:
        BundleError: The entry of the manifest is invalid.
    """
    conversion = manifest.get("conversion")
    found = conversion.get("standardised", conversion.get("values", {})) if isinstance(conversion, Mapping) else {}
    lines = [SAME] * width
    for head in outputs:
        if isinstance(found, Mapping) and head.key in found:
            lines[head.index] = _read(found[head.key], head.key)
    return HeadScaling(tuple(lines))


def _read(entry: object, key: str) -> Line:
    numbers = [entry.get(name) if isinstance(entry, Mapping) else None for name in ("centre", "scale")]
    found = [float(n) for n in numbers if is_number(n)]
    if len(found) != 2 or found[1] <= 0.0:
        raise BundleError(f"manifest.conversion: the scaling of {key} is invalid", "convert the bundle again")
    return Line(*found)


def named(heads: Sequence[OutputEntry], scaling: HeadScaling) -> list[HeadName]:
    """Return the columns of a parity report; they show differences in logits and in the units of values."""
    return [name_of(h["key"], h["kind"], h["unit"], s) for h, s in zip(heads, scaling.lines, strict=True)]


def name_of(key: str, kind: Kind, unit: str, line: Line) -> HeadName:
    """Return one column of a parity report."""
    if kind == "probability":
        return HeadName(key, kind, None, line.scale, line.centre)
    return HeadName(key, kind) if line == SAME else HeadName(key, kind, unit, line.scale, line.centre, FLAT)


def uncalibrated(kind: Kind, line: Line) -> UncalibratedEntry:
    """Return the entry of an uncalibrated head: the teacher's own output, without an interval or a threshold."""
    if kind == "value":
        return {
            "method": "linear",
            "slope": line.scale,
            "intercept": line.centre,
            "threshold": None,
            "interval": {"method": "none"},
        }
    return {"method": "none", "a": line.scale, "b": line.centre, "threshold": None, "interval": {"method": "none"}}


def in_units(heads: Sequence[TeacherHead], scaling: HeadScaling) -> tuple[TeacherHead, ...]:
    """Return a teacher's heads with the scaling of its converted model.

    Args:
        heads: Heads of the checkpoint.
        scaling: Scaling of the converted model.
    """
    from dataclasses import replace

    return tuple(replace(h, slope=line.scale, offset=line.centre) for h, line in zip(heads, scaling.lines, strict=True))
