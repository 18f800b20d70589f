"""Outputs of the demonstration bundle, with the reference limits that define abnormal.

Codes, units and limits come from :mod:`convert.datasets.labcatalogue` (adult reference ranges, sexes merged). Sodium
is the negative control: it has no known effect on the ECG (Noordam, JACC 2019;73:3118), so a model that predicts it
shows a leak in the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.datasets.labcatalogue import catalogue

Direction = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Head:
    """One output of a bundle.

    Attributes:
        key: Output key, unique in the bundle.
        lab: Key of the lab.
        loinc: LOINC code of the measured lab.
        unit: UCUM unit of the output; ``"1"`` for a probability.
        kind: ``"probability"`` that the lab lies beyond ``limit``, or its ``"value"``.
        direction: ``"low"``, ``"high"``; ``None`` for a value.
        limit: Reference limit in the lab's own unit; ``None`` for a value.
    """

    key: str
    lab: str
    loinc: str
    unit: str
    kind: Literal["probability", "value"]
    direction: Direction | None
    limit: float | None


DEMO_LABS: tuple[tuple[str, Direction | None], ...] = (
    ("potassium", "low"),
    ("potassium", "high"),
    ("calcium", "low"),
    ("calcium", "high"),
    ("magnesium", "low"),
    ("magnesium", "high"),
    ("glucose", "low"),
    ("hemoglobin", "low"),
    ("free_t4", "high"),
    ("sodium", "low"),
    ("sodium", "high"),
    ("potassium", None),
)
"""Lab and direction of every output, in the order of the output tensor; ``None`` for the value itself."""


def demo_heads() -> tuple[Head, ...]:
    """Return the outputs of the demonstration, with code, unit and limit from the catalogue of labs."""
    return tuple(_head(lab, direction) for lab, direction in DEMO_LABS)


def _head(key: str, direction: Direction | None) -> Head:
    lab = catalogue()[key]
    if direction is None:
        return Head(key, key, lab.loinc, lab.unit, "value", None, None)
    limit = lab.ref_low if direction == "low" else lab.ref_high
    return Head(f"{key}_{direction}", key, lab.loinc, "1", "probability", direction, limit)


def limit_of(head: Head, value: float) -> float:
    """Return the label of a measured value: 1 beyond the head's limit, else 0; the value itself for a value head."""
    if head.limit is None:
        return value
    return float(value < head.limit if head.direction == "low" else value > head.limit)


VALUE_CENTRE = {"potassium": 4.25}
VALUE_SCALE = {"potassium": 0.3}
"""Value heads are trained on ``(value - centre) / scale``, so that they share the output tensor's int8 range with the
logits; the calibration maps back. The numbers are close to the mean of the simulated labs and keep an int8 step small.
"""


def targets(heads: Sequence[Head], labs: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float32]:
    """Return the training targets of lab values.

    Args:
        heads: The outputs.
        labs: Laboratory values by lab key, ``(patients,)`` in the unit of the lab, NaN where not measured.

    Returns:
        ``(patients, heads)`` float32: 0 or 1 for a probability, the standardised value for a value, NaN where unknown.
    """
    columns = []
    for head in heads:
        value = np.asarray(labs[head.lab], dtype=np.float64)
        if head.limit is None:
            column = (value - VALUE_CENTRE[head.lab]) / VALUE_SCALE[head.lab]
        else:
            beyond = value < head.limit if head.direction == "low" else value > head.limit
            column = np.where(np.isnan(value), np.nan, beyond.astype(np.float64))
        columns.append(column)
    return np.stack(columns, axis=1).astype(np.float32)
