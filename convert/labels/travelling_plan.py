"""The label plan that goes with a model: how its labels were made, so that it is judged by the same rules.

A plan is a label file of ``anyecg prepare``, or what a training leaves of it as JSON: ``labels.json`` beside a teacher,
``validation/labels.json`` in a bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convert.labels.plan import MAX_BYTES, HeadPlan, LabelPlan, Pairing, SegmentPlan, checked_plan, read_plan
from edge.bundle.reader import read_extra
from firmware_bridge.errors import BundleError, InputError

SCHEMA = "anyecg.label-plan/1"
FILE = "validation/labels.json"
"""In a bundle."""
BESIDE = "labels.json"
"""Beside a teacher."""

DEFAULT = "default"
"""Who says a plan that nobody says."""

NEAR_MINUTES = 60.0
"""Where nothing else is said, a result counts for windows this near to its order: CardioLab's estimation task (arXiv
2411.14886)."""


@dataclass(frozen=True, slots=True)
class ChosenPlan:
    """The plan that holds, and who said so.

    Attributes:
        plan: The plan.
        said_by: :data:`DEFAULT`, ``bundle``, ``teacher`` or the name of a file.
    """

    plan: LabelPlan
    said_by: str

    def for_report(self) -> dict[str, str]:
        """What a report says of it: who said so, the rule in words, SHA-256."""
        return {
            "said_by": self.said_by,
            "rule": rule_of(self.plan),
            "sha256": hashlib.sha256(plan_file(self.plan)).hexdigest(),
        }


def default_plan() -> LabelPlan:
    """Every lab of the catalogue, paired as CardioLab does; rows without a range take the catalogue's."""
    every = checked_plan({}, "")
    return LabelPlan(
        pairing=Pairing(mode="nearest", minutes=NEAR_MINUTES, time="order"),
        heads=HeadPlan(missing_range="catalogue"),
        segments=SegmentPlan(),
        labs=every.labs,
    )


def chosen_plan(given: Path | None, kept: LabelPlan | None, keeper: str) -> ChosenPlan:
    """The plan of the command line, else the one that model or teacher brings, else the default.

    Args:
        given: File of the command line.
        kept: Plan that stands with the model.
        keeper: Whose that is.

    Raises:
        InputError: The file is no label plan.
    """
    if given is not None:
        return ChosenPlan(read_label_plan(given), given.name)
    return ChosenPlan(default_plan(), DEFAULT) if kept is None else ChosenPlan(kept, keeper)


def read_label_plan(path: Path) -> LabelPlan:
    """Reads a label file, TOML as for ``anyecg prepare`` or JSON as a training writes it.

    Args:
        path: The file; a folder stands for the ``labels.json`` in it.

    Raises:
        InputError: It cannot be read, or an entry is unknown or wrong; the message names the entry.
    """
    path = path / BESIDE if path.is_dir() else path
    if path.suffix.lower() != ".json":
        return read_plan(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than any label plan", "is it the right one?")
        return parse_plan_file(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"cannot read the label plan {path}: {error.strerror or error}") from error


def read_bundle_plan(bundle: Path) -> LabelPlan | None:
    """The plan that a bundle was trained by; ``None`` where it brings none.

    Raises:
        BundleError: The file is there and cannot be read.
    """
    data = read_extra(bundle, FILE, MAX_BYTES)
    try:
        return None if data is None else parse_plan_file(data, FILE)
    except InputError as error:
        raise BundleError(f"{bundle}: {error.what}", "update anyecg-edge or make the bundle again") from None


def parse_plan_file(data: bytes, where: str) -> LabelPlan:
    """Reads the bytes of a ``labels.json``.

    Raises:
        InputError: They are none.
    """
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is no JSON: {error}") from None
    if not isinstance(raw, Mapping) or raw.get("schema") != SCHEMA or not isinstance(raw.get("plan"), Mapping):
        raise InputError(f"{where} is no label plan", f"this version reads {SCHEMA!r}")
    plan = dict(raw["plan"])
    try:
        plan["labs"] = {str(lab["key"]): _lab(lab) for lab in plan.get("labs", ())}
    except (TypeError, KeyError, ValueError, AttributeError):
        raise InputError(f"{where}: labs is no list of labs") from None
    return checked_plan(plan, where)


def _lab(lab: Mapping[str, Any]) -> dict[str, Any]:
    """The entry as a label file has it: units are a table there."""
    return {**{k: v for k, v in lab.items() if k != "key"}, "units": dict(lab.get("units", ()))}


def plan_file(plan: LabelPlan) -> bytes:
    """``labels.json`` of a plan; the same plan gives the same bytes."""
    return (json.dumps({"schema": SCHEMA, "plan": asdict(plan)}, indent=1) + "\n").encode()


def rule_of(plan: LabelPlan) -> str:
    """The pairing in words."""
    p = plan.pairing
    if p.mode == "nearest":
        now = f"the result nearest in time, {p.minutes:g} minutes from its {p.time} at most"
    else:
        now = f"from {p.before_min:g} minutes before the order to the result"
    without = {"exclude": "left out", "catalogue": "judged by the catalogue's", "median": "judged by the lab's median"}
    return (
        f"{now}; horizons by the time of the {plan.heads.horizon_time}; "
        f"rows without a range are {without[plan.heads.missing_range]}"
    )
