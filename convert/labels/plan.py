"""The label file, checked, as frozen values. ``docs/prepare.md`` describes it for users."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from convert.datasets.labcatalogue import catalogue, normalised
from convert.datasets.units import plain_unit
from firmware_bridge.errors import InputError
from firmware_bridge.reading import parse_toml, read_limited

DEFAULT_FILE = "labels.toml"
"""Default label file in ``convert/data``, for MC-MED and plain recordings."""

PLANS = {"mcmed": DEFAULT_FILE, "mimic": "mimic.toml", "cardiolab": "cardiolab.toml"}
"""Label files of the package by the name of their plan."""

SCHEMA = "anyecg.labels/1"
MAX_BYTES = 1 << 20

Direction = Literal["low", "high", "abnormal"]
MissingRange = Literal["exclude", "catalogue", "median"]
Ranges = Literal["row", "catalogue", "median"]
UnknownUnits = Literal["refuse", "exclude"]
PairingMode = Literal["order_to_result", "nearest"]
TimeOf = Literal["order", "result"]

_T = TypeVar("_T", "Pairing", "HeadPlan", "SegmentPlan")

DIRECTIONS: tuple[Direction, ...] = ("low", "high", "abnormal")


@dataclass(frozen=True, slots=True)
class Pairing:
    """The rule that assigns results to segments.

    Attributes:
        mode: ``"order_to_result"``: the middle of the segment is between ``before_min`` minutes before the order and
            the result; ``"nearest"``: it is within ``minutes`` of ``time`` (CardioLab: 60, arXiv 2411.14886).
        before_min: Minutes before the order, for ``"order_to_result"``.
        minutes: Largest distance in time for ``"nearest"``, minutes.
        time: Time that counts for ``"nearest"``: order or result.
    """

    mode: PairingMode = "order_to_result"
    before_min: float = 60.0
    minutes: float = 60.0
    time: TimeOf = "order"

    @property
    def window_min(self) -> float:
        """``minutes`` or ``before_min``: the one that the mode uses."""
        return self.minutes if self.mode == "nearest" else self.before_min


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """The outputs for each lab.

    Attributes:
        directions: Directions of the estimates of the present.
        values: Whether the value itself is an output.
        horizons_min: Horizons of the monitoring outputs, minutes: any abnormal value in ``(0, minutes]`` after the
            segment.
        horizon_directions: Directions of the monitoring outputs.
        horizon_time: Time that counts for the monitoring outputs: order or result.
        missing_range: Use of a row without reference limits: it is left out, or gets the catalogue's limits, or the
            median of the lab's limits in the data set (as in CardioLab).
        ranges: Limits that decide: those of the row, those of the catalogue, or the median of the lab's limits in the
            data set (CardioLab).
        unknown_units: Refuse results in an unknown unit, or leave them out and count them.
        min_values: Smallest number of distinct results in the training part; with fewer the head is dropped (CardioLab:
            200).
        min_positives: Smallest number of distinct abnormal results there (CardioLab: 10).
    """

    directions: tuple[Direction, ...] = ("low", "high")
    values: bool = True
    horizons_min: tuple[int, ...] = (30, 60, 120)
    horizon_directions: tuple[Direction, ...] = ("low", "high")
    horizon_time: TimeOf = "result"
    missing_range: MissingRange = "exclude"
    ranges: Ranges = "row"
    unknown_units: UnknownUnits = "refuse"
    min_values: int = 200
    min_positives: int = 10


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """The rules that select segments.

    Attributes:
        hop_s: Seconds between the starts of segments.
        flat_s: Duration of a constant signal from which a segment is flat, s.
        flat_mv: Peak-to-peak amplitude below which a segment is flat, mV.
        clipped_s: Time at a limit of the range from which a segment is clipped, s.
        max_mv: Peak-to-peak amplitude after the filter above which a segment is not an ECG, mV.
        keep_unlabelled: Whether segments without any label are kept.
    """

    hop_s: float = 10.0
    flat_s: float = 2.5
    flat_mv: float = 0.05
    clipped_s: float = 0.2
    max_mv: float = 10.0
    keep_unlabelled: bool = False


@dataclass(frozen=True, slots=True)
class LabPlan:
    """One lab of the label file.

    Attributes:
        key: Key in the catalogue.
        names: Spellings of its components, as `convert.datasets.labcatalogue.normalised` returns them.
        units: Additional units with their factors to the unit of the catalogue.
        ignore_units: Units whose results are left out and counted.
    """

    key: str
    names: tuple[str, ...]
    units: tuple[tuple[str, float], ...] = ()
    ignore_units: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """A whole label file."""

    pairing: Pairing
    heads: HeadPlan
    segments: SegmentPlan
    labs: tuple[LabPlan, ...]

    def by_name(self) -> dict[str, int]:
        """Return the position of the lab for each normalised component name."""
        return {name: i for i, lab in enumerate(self.labs) for name in lab.names}


@dataclass(frozen=True, slots=True)
class CandidateHead:
    """An output that the plan asks for; the data may have too few labels for it.

    Attributes:
        key: Unique name, such as ``potassium_high``, ``potassium_high_60min``, ``potassium_value``.
        lab: Position of its lab in the plan.
        direction: Direction of a probability; ``None`` for a value.
        horizon_min: Horizon, minutes; ``None`` for an estimate of the present.
    """

    key: str
    lab: int
    direction: Direction | None
    horizon_min: int | None


def candidate_heads(plan: LabelPlan) -> tuple[CandidateHead, ...]:
    """Return all candidate heads: for each lab the estimates, then the horizons, then the value."""
    out: list[CandidateHead] = []
    for i, lab in enumerate(plan.labs):
        out += [CandidateHead(f"{lab.key}_{d}", i, d, None) for d in plan.heads.directions]
        out += [
            CandidateHead(f"{lab.key}_{d}_{h}min", i, d, h)
            for h in plan.heads.horizons_min
            for d in plan.heads.horizon_directions
        ]
        if plan.heads.values:
            out.append(CandidateHead(f"{lab.key}_value", i, None, None))
    return tuple(out)


def read_plan(path: Path | None) -> LabelPlan:
    """Read a label file.

    Args:
        path: A TOML file; ``None`` for the default label file of the package.

    Raises:
        InputError: The file cannot be read, or an entry is unknown or wrong; the message names the entry.
    """
    if path is None:
        return named_plan("mcmed")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than any label file", "check the path")
        return parse_plan(read_limited(path, MAX_BYTES), str(path))
    except OSError as error:
        raise InputError(f"cannot read the label file {path}: {error.strerror or error}") from error


def named_plan(name: str) -> LabelPlan:
    """Return a plan of the package.

    Args:
        name: A key of :data:`PLANS`.

    Raises:
        InputError: There is no such plan.
    """
    if name not in PLANS:
        raise InputError(f"no label plan {name!r}", f"choose one of {', '.join(PLANS)}, or give a file with --labels")
    text = (resources.files("convert") / "data" / PLANS[name]).read_text(encoding="utf-8")
    return parse_plan(text, PLANS[name])


def parse_plan(text: str | bytes, where: str) -> LabelPlan:
    """Parse the text of a label file; see `read_plan` for the errors."""
    try:
        raw = parse_toml(text)
    except ValueError as error:
        what = "is not text" if isinstance(error, UnicodeDecodeError) else "is not valid TOML"
        raise InputError(f"the label file {where} {what}: {error}") from error
    return checked_plan(raw, where)


def checked_plan(raw: Mapping[str, Any], where: str) -> LabelPlan:
    """Check the tables of a label file; see `read_plan` for the errors."""
    _only(raw, {"schema", "pairing", "heads", "segments", "labs"}, where, "")
    if raw.get("schema", SCHEMA) != SCHEMA:
        raise InputError(f"{where}: schema is {raw['schema']!r}", f"this version reads {SCHEMA!r}")
    plan = LabelPlan(
        pairing=_table(Pairing, raw, "pairing", where),
        heads=_table(HeadPlan, raw, "heads", where),
        segments=_table(SegmentPlan, raw, "segments", where),
        labs=_labs(raw.get("labs"), where),
    )
    _check(plan, where)
    return plan


_CHOICES: dict[str, tuple[str, ...]] = {
    "mode": ("order_to_result", "nearest"),
    "time": ("order", "result"),
    "horizon_time": ("order", "result"),
    "missing_range": ("exclude", "catalogue", "median"),
    "ranges": ("row", "catalogue", "median"),
    "unknown_units": ("refuse", "exclude"),
    "directions": DIRECTIONS,
    "horizon_directions": DIRECTIONS,
}


def _only(raw: Mapping[str, Any], known: set[str], where: str, table: str) -> None:
    unknown = sorted(set(raw) - known)
    if unknown:
        place = f"[{table}] of {where}" if table else where
        raise InputError(f"{place} has the unknown key {', '.join(unknown)}", f"known keys: {', '.join(sorted(known))}")


def _table(kind: type[_T], raw: Mapping[str, Any], name: str, where: str) -> _T:
    given = raw.get(name, {})
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: {name} is not a table")
    defaults = {f.name: f.default for f in fields(kind)}
    _only(given, set(defaults), where, name)
    return kind(**{key: _value(key, value, defaults[key], f"{where}: {name}.{key}") for key, value in given.items()})


def _value(key: str, value: object, like: object, where: str) -> Any:
    """Return ``value`` as a field with the type of its default ``like``; the error says what was expected."""
    if isinstance(like, bool):
        if isinstance(value, bool):
            return value
        raise InputError(f"{where} is {value!r}, not true or false")
    if isinstance(like, tuple):
        items = tuple(value) if isinstance(value, list) else (None,)
        if len(set(map(str, items))) != len(items) or not all(_item_fits(key, item) for item in items):
            what = f"a list of {', '.join(_CHOICES[key])}" if key in _CHOICES else "a list of minutes, 1 to 10080"
            raise InputError(f"{where} is {value!r}, not {what}")
        return items
    if isinstance(like, str):
        if value in _CHOICES[key]:
            return value
        raise InputError(f"{where} is {value!r}", f"use one of {', '.join(_CHOICES[key])}")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = not isinstance(like, int) or isinstance(value, int)
    if not number or not whole or not 0 <= cast("float", value) <= 1e6 or math.isnan(cast("float", value)):
        raise InputError(f"{where} is {value!r}, not a {'whole ' if isinstance(like, int) else ''}number of 0 or more")
    return value if isinstance(like, int) else float(cast("float", value))


def _item_fits(key: str, item: object) -> bool:
    if key in _CHOICES:
        return item in _CHOICES[key]
    return isinstance(item, int) and not isinstance(item, bool) and 1 <= item <= 10080


def _labs(raw: object, where: str) -> tuple[LabPlan, ...]:
    if raw is None:
        return _every_lab()
    if not isinstance(raw, Mapping) or not raw:
        raise InputError(f"{where}: labs is not a table with entries", "write [labs.potassium] and so on, or omit it")
    return tuple(_lab(str(key), entry, where) for key, entry in raw.items())


def _every_lab() -> tuple[LabPlan, ...]:
    return tuple(LabPlan(lab.key, _names_of(lab.key)) for lab in catalogue().values())


def _names_of(key: str) -> tuple[str, ...]:
    lab = catalogue()[key]
    return tuple(dict.fromkeys(normalised(n) for n in (*lab.mcmed_names, *lab.assumed_names, lab.name, lab.key)))


def _lab(key: str, entry: object, where: str) -> LabPlan:
    if key not in catalogue():
        raise InputError(f"{where}: labs.{key} is not in the catalogue", "'anyecg prepare --list-labs' lists the keys")
    if not isinstance(entry, Mapping):
        raise InputError(f"{where}: labs.{key} is not a table")
    _only(entry, {"names", "units", "ignore_units"}, where, f"labs.{key}")
    names = entry.get("names")
    if names is not None and not _texts(names, least=1):
        raise InputError(f"{where}: labs.{key}.names is not a list of component names")
    units = entry.get("units", {})
    factors = list(units.values()) if isinstance(units, Mapping) else [None]
    if not all(isinstance(f, int | float) and not isinstance(f, bool) and 0 < f < 1e9 for f in factors):
        raise InputError(
            f"{where}: labs.{key}.units is not a table of unit = factor",
            'write, for example, units = { "mEq/L" = 1.0 }',
        )
    ignored = entry.get("ignore_units", [])
    if not _texts(ignored, least=0):
        raise InputError(f"{where}: labs.{key}.ignore_units is not a list of units")
    return LabPlan(
        key=key,
        names=_names_of(key) if names is None else tuple(dict.fromkeys(normalised(n) for n in names)),
        units=tuple((plain_unit(u), float(f)) for u, f in units.items()),
        ignore_units=tuple(plain_unit(u) for u in ignored),
    )


def _texts(value: object, *, least: int) -> bool:
    return isinstance(value, list) and len(value) >= least and all(isinstance(item, str) for item in value)


def _check(plan: LabelPlan, where: str) -> None:
    owner: dict[str, str] = {}
    for lab in plan.labs:
        for name in lab.names:
            other = owner.setdefault(name, lab.key)
            if other != lab.key:
                raise InputError(f"{where}: the name {name!r} belongs to two labs, {other} and {lab.key}")
    if not 0.1 <= plan.segments.hop_s <= 3600.0:
        raise InputError(f"{where}: segments.hop_s is {plan.segments.hop_s:g}", "give 0.1 to 3600 seconds")
    if not candidate_heads(plan):
        raise InputError(f"{where} asks for no output", "give heads.directions, heads.horizons_min or heads.values")
