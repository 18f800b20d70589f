"""What a teacher's outputs mean: from its bundle, or from a file beside its checkpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from convert.labcatalogue import catalogue
from edge.bundle import Bundle
from firmware_bridge.errors import InputError

Direction = Literal["low", "high", "abnormal"]

MAX_FILE_BYTES = 4 << 20
"""Largest description read."""


@dataclass(frozen=True, slots=True)
class TeacherHead:
    """One output of a teacher.

    Attributes:
        key: Unique in the teacher.
        lab: Key of the lab.
        loinc: LOINC code of the measured lab, ``None`` where unknown.
        unit: UCUM unit of what is shown; ``"1"`` for a probability.
        kind: ``"probability"`` or ``"value"``.
        direction: What the probability is of; ``None`` for a value.
        horizon_min: Minutes ahead; ``None`` for an estimate of now.
        slope: Factor from the teacher's output to the shown logit or value.
        offset: Added after it.
        threshold: The teacher's own decision threshold, ``None`` where it has none.
        half_width: Half width of the teacher's own interval, 0 where it has none.
    """

    key: str
    lab: str
    loinc: str | None
    unit: str
    kind: Literal["probability", "value"]
    direction: Direction | None
    horizon_min: int | None = None
    slope: float = 1.0
    offset: float = 0.0
    threshold: float | None = None
    half_width: float = 0.0

    @property
    def is_value(self) -> bool:
        """The output is a value."""
        return self.kind == "value"


def heads_of_bundle(bundle: Bundle) -> tuple[TeacherHead, ...]:
    """The outputs of a foundation bundle, with its own calibration, in the order of the output tensor.

    Raises:
        InputError: Some outputs of the model are described by no head.
    """
    found: dict[int, TeacherHead] = {}
    for h in bundle.manifest.outputs:
        c = bundle.calibration[h.key]
        width = c.interval_width if c.interval_method == "conformal" else 0.0
        found[h.index] = TeacherHead(
            h.key, h.lab, h.loinc, h.unit, h.kind, cast("Direction | None", h.direction), h.horizon_min,
            c.slope, c.offset, c.threshold, width,
        )  # fmt: skip
    width = 1
    for n in bundle.manifest.output.shape:
        width *= n
    if sorted(found) != list(range(width)):
        raise InputError(f"{bundle.path} describes {len(found)} of the {width} outputs of its model")
    return tuple(found[i] for i in range(width))


def read_outputs(path: Path) -> tuple[TeacherHead, ...]:
    """Reads the description of a checkpoint's outputs.

    Args:
        path: JSON, a list of objects (or an object with ``outputs``) as in a manifest, or CSV with the same names as
            columns: ``key``, ``lab``, ``kind``, ``direction``, and optionally ``loinc``, ``unit``, ``horizon_min``.
            One a row, in the order of ``dense``. What is left out comes from the catalogue of labs.

    Raises:
        InputError: It is missing or not such a file; the message names the output.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than any description of outputs")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text", "describe the outputs as JSON or CSV") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "describe the outputs as JSON or CSV") from None
    rows = _rows(path, text)
    heads = tuple(_head(f"{path} output {i}", row) for i, row in enumerate(rows))
    if not heads:
        raise InputError(f"{path} describes no output")
    twice = {h.key for h in heads if sum(o.key == h.key for o in heads) > 1}
    if twice:
        raise InputError(f"{path}: the key {min(twice)!r} stands twice")
    return heads


def _rows(path: Path, text: str) -> Sequence[Mapping[str, Any]]:
    if text.lstrip().startswith(("{", "[")):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not valid JSON: {str(error)[:100]}") from None
        rows = value.get("outputs") if isinstance(value, dict) else value
        if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            raise InputError(f"{path} holds no list of outputs")
        return sorted(rows, key=_index) if all(isinstance(r.get("index"), int) for r in rows) else rows
    try:
        return list(csv.DictReader(text.splitlines()))
    except csv.Error as error:
        raise InputError(f"{path}: {error}") from None


def _index(row: Mapping[str, Any]) -> int:
    return int(row["index"])


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()


def _head(where: str, row: Mapping[str, Any]) -> TeacherHead:
    direction, lab = _text(row, "direction"), _text(row, "lab")
    kind = _text(row, "kind") or ("probability" if direction else "value")
    known = catalogue().get(lab)
    if not lab or kind not in ("probability", "value"):
        raise InputError(f"{where}: needs a lab, and a kind of 'probability' or 'value'")
    if (direction not in ("low", "high", "abnormal")) if kind == "probability" else direction:
        raise InputError(f"{where}: direction {direction!r}", "low, high or abnormal; none for a value")
    horizon = _text(row, "horizon_min").removesuffix(".0")
    if horizon and not horizon.isdecimal():
        raise InputError(f"{where}: horizon_min {horizon!r} is no number of minutes")
    unit = "1" if kind == "probability" else _text(row, "unit") or (known.unit if known else "")
    if not unit:
        raise InputError(f"{where}: a value of {lab!r} needs a unit", "only labs of the catalogue have one by default")
    loinc = _text(row, "loinc") or (known.loinc if known else "")
    return TeacherHead(
        key=_text(row, "key") or (f"{lab}_{direction}" if direction else lab),
        lab=lab,
        loinc=loinc or None,
        unit=unit,
        kind=cast("Literal['probability', 'value']", kind),
        direction=cast("Direction | None", direction or None),
        horizon_min=int(horizon) if horizon else None,
    )
