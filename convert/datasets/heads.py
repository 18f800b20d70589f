"""The meaning of a teacher's outputs, read from its bundle or from the outputs file of its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from convert.datasets.outputs_file import Direction, Kind, read_outputs
from edge.bundle.reader import Bundle
from edge.rhythm.record import RhythmName
from firmware_bridge.errors import InputError


@dataclass(frozen=True, slots=True)
class TeacherHead:
    """One output of a teacher.

    Attributes:
        key: Name, unique in the teacher.
        lab: Key of the lab.
        loinc: LOINC code of the measured lab, ``None`` where unknown.
        unit: UCUM unit of the estimate; ``"1"`` for a probability.
        kind: ``"probability"`` or ``"value"``.
        direction: Condition that the probability is for: low, high or abnormal; ``None`` for a value.
        horizon_min: Minutes from the ECG to the result; ``None`` for an estimate of the present.
        slope: Factor from the teacher's output to the calibrated logit or value.
        offset: Offset, added after the factor.
        threshold: Decision threshold of the teacher; ``None`` where it has none.
        half_width: Half width of the teacher's interval, 0 where it has none.
        means: The head in words, with its cut-off; ``None`` where unknown.
        rhythms: Rhythms in which the evidence holds; ``None`` for any.
    """

    key: str
    lab: str
    loinc: str | None
    unit: str
    kind: Kind
    direction: Direction | None
    horizon_min: int | None = None
    slope: float = 1.0
    offset: float = 0.0
    threshold: float | None = None
    half_width: float = 0.0
    means: str | None = None
    rhythms: tuple[RhythmName, ...] | None = None

    @property
    def is_value(self) -> bool:
        """Whether the output is a value."""
        return self.kind == "value"


def heads_of_bundle(bundle: Bundle) -> tuple[TeacherHead, ...]:
    """Return the outputs of a foundation bundle with their calibration, in the order of the output tensor.

    Raises:
        InputError: The bundle does not describe all outputs of its model.
    """
    found: dict[int, TeacherHead] = {}
    for h in bundle.manifest.outputs:
        c = bundle.calibration[h.key]
        width = c.interval_width if c.interval_method == "conformal" else 0.0
        found[h.index] = TeacherHead(
            h.key, h.lab, h.loinc, h.unit, h.kind, cast("Direction | None", h.direction), h.horizon_min,
            c.slope, c.offset, c.threshold, width, h.means, h.rhythms,
        )  # fmt: skip
    width = bundle.manifest.output.width
    if sorted(found) != list(range(width)):
        raise InputError(f"{bundle.path} describes {len(found)} of the {width} outputs of its model")
    return tuple(found[i] for i in range(width))


def heads_of_file(path: Path) -> tuple[TeacherHead, ...]:
    """Return the outputs of a checkpoint from its outputs file (:mod:`convert.datasets.outputs_file`).

    Raises:
        InputError: The file cannot be read, or an entry is wrong; the message names the entry.
    """
    found = []
    for row in read_outputs(path):
        rhythms = row.get("rhythms")
        value = row["kind"] == "value"
        if (row["direction"] is None) != value:
            raise InputError(f"{path}: {row['key']}: a probability needs a direction, a value must not have one")
        found.append(
            TeacherHead(
                row["key"],
                row["lab"],
                row["loinc"],
                row["unit"],
                row["kind"],
                row["direction"],
                row["horizon_min"],
                means=row.get("means"),
                rhythms=None if rhythms is None else tuple(rhythms),
            )
        )
    return tuple(found)
