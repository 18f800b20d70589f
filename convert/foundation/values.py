"""Values beside logits in one int8 output: every value head is standardised in the exported model, and mapped back.

A teacher's values come out in the laboratory's unit (glucose about 110 mg/dL), its logits within a few units of zero.
One output tensor has one step for all, so that the values would leave nothing of the logits. The rows of ``dense`` that
make values are therefore folded so that a value varies no more than logits do; ``slope`` and ``intercept`` in
``calibration.json`` make the laboratory's unit of it again. Rows of probabilities stay as they are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.tensors import Checkpoint
from convert.datasets.heads import TeacherHead
from convert.parity.forms import HeadName
from edge.bundle.schema import OutputHead
from firmware_bridge.errors import BundleError

F64 = NDArray[np.float64]

ROOM = 5.0
"""Standard deviations of a value, over the calibration windows, that the output holds on either side of their mean
(arbitrary): what lies beyond is cut off."""

SHARE = 0.5
"""Of the logits' median standard deviation, a value's own in the model's scale. As wide as a logit, a value now and
then was what interpreters disagreed about most, and the step of all heads came out three times as coarse (measured);
half as wide leaves it a dozen steps a deviation."""

LEAST_OF_RANGE = 0.05
"""Of half the range of the logits, a value's deviation at least: six steps. Logits that hardly move may still lie far
apart, and make the step coarse."""

FLAT = 0.4
"""Of its deviation over the calibration windows, where a value counts as flat at the gate (arbitrary)."""

LEAST_SHARE = 1e-3
"""Of a value's mean, the least deviation that is told apart: below, float32 itself would be what is magnified."""

DIGITS = 6
"""Significant digits of what is folded and written; the same numbers do both, so none is lost."""

WHAT = "logits; values standardised for the int8 output, their differences in the heads' table in their units"
"""Of a parity report's outputs."""


@dataclass(frozen=True, slots=True)
class Line:
    """Of one head: ``teacher's output = centre + scale * model's output``."""

    centre: float = 0.0
    scale: float = 1.0


SAME = Line()
"""Of a head whose output is the teacher's."""


@dataclass(frozen=True, slots=True)
class ValueScaling:
    """How the outputs of an exported model and those of its teacher go together.

    Attributes:
        lines: One a column of the output.
        middle: Mean of every value in the model's scale, over the calibration windows.
        spread: Standard deviation of every value there.
    """

    lines: tuple[Line, ...]
    middle: float = 0.0
    spread: float = 1.0

    @property
    def any(self) -> bool:
        """Some head is standardised."""
        return any(line != SAME for line in self.lines)

    @property
    def room(self) -> tuple[float, float]:
        """Smallest and largest output that the model must be able to give."""
        return self.middle - ROOM * self.spread, self.middle + ROOM * self.spread

    def folded(self, checkpoint: Checkpoint) -> Checkpoint:
        """The teacher with standardised outputs.

        Args:
            checkpoint: Its ``dense`` has a row a head.
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
        """The teacher's outputs, ``(n, heads)``, as the model gives them."""
        centre, scale = self._arrays()
        return np.asarray((outputs - centre) / scale) if self.any else outputs

    def _arrays(self) -> tuple[F64, F64]:
        return np.array([line.centre for line in self.lines]), np.array([line.scale for line in self.lines])


def unscaled(heads: int) -> ValueScaling:
    """The model's outputs are the teacher's."""
    return ValueScaling((SAME,) * heads)


def scaling_of(is_value: Sequence[bool], outputs: F64) -> ValueScaling:
    """Centre and scale of every value head.

    Values vary about half as much as logits do, and lie over the middle of the range that the logits take, so that they
    make the step no coarser.

    Args:
        is_value: One a head.
        outputs: The teacher's, over the calibration windows, ``(n, heads)``.
    """
    if not any(is_value) or not np.all(np.isfinite(outputs)):
        # A NaN is found and named where ranges are measured.
        return unscaled(len(is_value))
    value = np.array(is_value)
    logits = outputs[:, ~value]
    low, high = (float(logits.min()), float(logits.max())) if logits.size else (0.0, 0.0)
    low, high = min(low, 0.0), max(high, 0.0)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    usual = SHARE * float(np.median(logits.std(axis=0))) if logits.size else 0.0
    spread = min(max(usual, LEAST_OF_RANGE * half), half / ROOM) or 1.0
    lines = tuple(_line(outputs[:, j], middle, spread) if value[j] else SAME for j in range(len(value)))
    return ValueScaling(lines, middle, spread)


def _line(outputs: F64, middle: float, spread: float) -> Line:
    mean = float(outputs.mean())
    sd = max(float(outputs.std()), LEAST_SHARE * abs(mean)) or 1.0
    scale = _short(sd / spread)
    return Line(_short(mean - middle * scale), scale)


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def described(heads: Sequence[Mapping[str, Any]], scaling: ValueScaling) -> dict[str, Any]:
    """What ``manifest.conversion`` says of it: nothing where nothing is standardised."""
    if not scaling.any:
        return {}
    found = {h["key"]: dataclasses.asdict(s) for h, s in zip(heads, scaling.lines, strict=True) if s != SAME}
    return {"values": found}


def scaling_of_bundle(manifest: Mapping[str, Any], outputs: Sequence[OutputHead], width: int) -> ValueScaling:
    """How the outputs of a bundle's model go together with its teacher's; of older bundles they are the same.

    ``calibration.json`` may have been fitted anew since, so it does not tell.

    Args:
        manifest: As parsed.
        outputs: Its heads.
        width: Outputs of the model.

    Raises:
        BundleError: It is not what a conversion writes.
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
        raise BundleError(f"manifest.conversion.values.{key} is not what a conversion writes", "convert it again")
    return Line(*found)


def named(heads: Sequence[Mapping[str, Any]], scaling: ValueScaling) -> list[HeadName]:
    """The columns of a parity report; heads that are standardised show differences in their units."""
    return [name_of(h["key"], h["kind"], h["unit"], s, scaling) for h, s in zip(heads, scaling.lines, strict=True)]


def name_of(key: str, kind: Any, unit: str, line: Line, scaling: ValueScaling) -> HeadName:
    """One column of a parity report."""
    return HeadName(key, kind) if line == SAME else HeadName(key, kind, unit, line.scale, FLAT * scaling.spread)


def uncalibrated(kind: str, line: Line) -> dict[str, Any]:
    """No calibration yet: the teacher's own probability or value, without an interval or a threshold."""
    interval = {"method": "none"}
    if kind == "value":
        fixed = {"slope": line.scale, "intercept": line.centre}
        return {"method": "linear", **fixed, "threshold": None, "interval": interval}
    return {"method": "none", "threshold": None, "interval": interval}


def in_units(heads: Sequence[TeacherHead], entries: Mapping[str, Mapping[str, Any]]) -> tuple[TeacherHead, ...]:
    """A teacher's heads as its converted model gives them.

    Args:
        heads: Of the checkpoint.
        entries: Of the uncalibrated bundle's ``calibration.json``.
    """
    return tuple(
        dataclasses.replace(h, slope=entries[h.key].get("slope", 1.0), offset=entries[h.key].get("intercept", 0.0))
        for h in heads
    )
