"""Values and logits in one int8 output: every value head is standardised in the exported model, and mapped back later.

A teacher's values are in the unit of the laboratory (glucose about 110 mg/dL), and its logits are within a few units of
zero. One int8 output has the same step for all heads, so the logits would be lost beside the values. The rows of
``dense`` for values are therefore scaled so that a value varies no more than the logits; ``slope`` and ``intercept`` in
``calibration.json`` map back to the unit of the laboratory. The rows of probabilities are unchanged.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.bundle.records import UncalibratedEntry
from convert.checkpoint.tensors import Checkpoint
from convert.datasets.heads import TeacherHead
from convert.datasets.outputs_file import Kind, OutputEntry
from convert.foundation.records import LineEntry, Standardised
from convert.parity.forms import HeadName
from edge.bundle.schema import OutputHead
from firmware_bridge.errors import BundleError

F64 = NDArray[np.float64]

ROOM = 5.0
"""Range of a value in the output on each side of its mean, in standard deviations over the calibration windows. The
number is arbitrary; values beyond it are clipped."""

SHARE = 0.5
"""Standard deviation of a value in the model's scale, relative to the median standard deviation of the logits. With 1,
the interpreters sometimes disagreed most about a value, and the step of all heads became three times as coarse
(measured). With one half, a value still has about twelve steps per standard deviation."""

MIN_OF_RANGE = 0.05
"""Minimum standard deviation of a value, relative to half the range of the logits: six steps. Logits that hardly vary
may still be far apart, which makes the step coarse."""

FLAT = 0.4
"""Share of its standard deviation over the calibration windows below which a value counts as flat at the gate
(arbitrary)."""

MIN_SHARE = 1e-3
"""Minimum standard deviation of a value, relative to its mean; a smaller one would magnify the rounding of float32."""

DIGITS = 6
"""Number of significant digits of the scaling, the same in the model and in ``calibration.json``."""

WHAT = "logits; values standardised for the int8 output, their differences in the heads' table in their units"
"""Description of the outputs in a parity report."""


@dataclass(frozen=True, slots=True)
class Line:
    """Scaling of one head: ``teacher's output = centre + scale * model's output``."""

    centre: float = 0.0
    scale: float = 1.0


SAME = Line()
"""Scaling of a head whose output is the teacher's."""


@dataclass(frozen=True, slots=True)
class ValueScaling:
    """Scaling between the outputs of an exported model and those of its teacher.

    Attributes:
        lines: Scaling of each column of the output.
        middle: Mean of every value in the model's scale, over the calibration windows.
        spread: Standard deviation of every value in the model's scale, over the calibration windows.
    """

    lines: tuple[Line, ...]
    middle: float = 0.0
    spread: float = 1.0

    @property
    def any(self) -> bool:
        """Whether any head is standardised."""
        return any(line != SAME for line in self.lines)

    @property
    def room(self) -> tuple[float, float]:
        """Smallest and largest output that the model needs."""
        return self.middle - ROOM * self.spread, self.middle + ROOM * self.spread

    def folded(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return the teacher with standardised outputs.

        Args:
            checkpoint: The teacher, whose ``dense`` has a row for each head.
        """
        if not self.any:
            return checkpoint
        centre, scale = self._arrays()
        weight, bias = (checkpoint.tensors[f"dense.{name}"] for name in ("weight", "bias"))
        rows = weight.astype(np.float64) / scale[:, None]
        rest = (bias.astype(np.float64) - centre) / scale
        new = {"dense.weight": rows.astype(weight.dtype), "dense.bias": rest.astype(bias.dtype)}
        return dataclasses.replace(checkpoint, tensors={**checkpoint.tensors, **new})

    def to_model(self, outputs: F64) -> F64:
        """Convert the teacher's outputs, ``(n, heads)``, to the model's scale."""
        centre, scale = self._arrays()
        return np.asarray((outputs - centre) / scale) if self.any else outputs

    def _arrays(self) -> tuple[F64, F64]:
        return np.array([line.centre for line in self.lines]), np.array([line.scale for line in self.lines])


def unscaled(heads: int) -> ValueScaling:
    """Return the scaling for a model whose outputs are the teacher's."""
    return ValueScaling((SAME,) * heads)


def scaling_of(is_value: Sequence[bool], outputs: F64) -> ValueScaling:
    """Choose centre and scale of every value head.

    Values vary about half as much as logits, around the middle of the range of the logits, so that they do not make the
    step coarser.

    Args:
        is_value: Whether each head is a value.
        outputs: The teacher's outputs on the calibration windows, ``(n, heads)``.
    """
    if not any(is_value) or not np.all(np.isfinite(outputs)):
        # A NaN is reported later, when the ranges are measured.
        return unscaled(len(is_value))
    value = np.array(is_value)
    logits = outputs[:, ~value]
    low, high = (float(logits.min()), float(logits.max())) if logits.size else (0.0, 0.0)
    low, high = min(low, 0.0), max(high, 0.0)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    usual = SHARE * float(np.median(logits.std(axis=0))) if logits.size else 0.0
    spread = min(max(usual, MIN_OF_RANGE * half), half / ROOM) or 1.0
    lines = tuple(_line(outputs[:, j], middle, spread) if value[j] else SAME for j in range(len(value)))
    return ValueScaling(lines, middle, spread)


def _line(outputs: F64, middle: float, spread: float) -> Line:
    mean = float(outputs.mean())
    sd = max(float(outputs.std()), MIN_SHARE * abs(mean)) or 1.0
    scale = _short(sd / spread)
    return Line(_short(mean - middle * scale), scale)


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def described(heads: Sequence[OutputEntry], scaling: ValueScaling) -> Standardised:
    """Return the entry of ``manifest.conversion``; empty if no head is standardised."""
    if not scaling.any:
        return {}
    found: dict[str, LineEntry] = {
        h["key"]: {"centre": s.centre, "scale": s.scale} for h, s in zip(heads, scaling.lines, strict=True) if s != SAME
    }
    return {"values": found}


def scaling_of_bundle(manifest: Mapping[str, Any], outputs: Sequence[OutputHead], width: int) -> ValueScaling:
    """Return the scaling between the outputs of a bundle's model and its teacher's. Older bundles have none.

    It comes from the manifest, because ``calibration.json`` may have been fitted again since the conversion.

    Args:
        manifest: The parsed manifest.
        outputs: Heads of the bundle.
        width: Number of outputs of the model.

    Raises:
        BundleError: The entry of the manifest is invalid.
    """
    conversion = manifest.get("conversion")
    found = conversion.get("values", {}) if isinstance(conversion, Mapping) else {}
    lines = [SAME] * width
    for head in outputs:
        if isinstance(found, Mapping) and head.key in found:
            lines[head.index] = _read(found[head.key], head.key)
    return ValueScaling(tuple(lines))


def _read(entry: object, key: str) -> Line:
    numbers = [entry.get(name) if isinstance(entry, Mapping) else None for name in ("centre", "scale")]
    found = [float(n) for n in numbers if isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n)]
    if len(found) != 2 or found[1] <= 0.0:
        raise BundleError(f"manifest.conversion.values.{key} is invalid", "convert the bundle again")
    return Line(*found)


def named(heads: Sequence[OutputEntry], scaling: ValueScaling) -> list[HeadName]:
    """Return the columns of a parity report; standardised heads show differences in their units."""
    return [name_of(h["key"], h["kind"], h["unit"], s, scaling) for h, s in zip(heads, scaling.lines, strict=True)]


def name_of(key: str, kind: Kind, unit: str, line: Line, scaling: ValueScaling) -> HeadName:
    """Return one column of a parity report."""
    return HeadName(key, kind) if line == SAME else HeadName(key, kind, unit, line.scale, FLAT * scaling.spread)


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
    return {"method": "none", "threshold": None, "interval": {"method": "none"}}


def in_units(heads: Sequence[TeacherHead], entries: Mapping[str, Mapping[str, Any]]) -> tuple[TeacherHead, ...]:
    """Return a teacher's heads with the scaling of its converted model.

    Args:
        heads: Heads of the checkpoint.
        entries: Entries of ``calibration.json`` of the uncalibrated bundle.
    """
    return tuple(
        dataclasses.replace(h, slope=entries[h.key].get("slope", 1.0), offset=entries[h.key].get("intercept", 0.0))
        for h in heads
    )
