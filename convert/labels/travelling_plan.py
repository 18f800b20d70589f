"""The label plan that is stored with a model, so that the model is judged by the rules of its training labels.

A plan is a label file of ``anyecg prepare``, or the JSON form of it that a training writes: ``labels.json`` in the
folder of a teacher, ``validation/labels.json`` in a bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from convert.datasets.mimic.layout import is_mimic
from convert.datasets.visit_data import is_mcmed
from convert.labels.plan import (
    MAX_BYTES,
    HeadPlan,
    LabelPlan,
    Pairing,
    SegmentPlan,
    checked_plan,
    named_plan,
    read_plan,
)
from edge.bundle.reader import read_extra
from firmware_bridge.errors import BundleError, InputError
from firmware_bridge.reading import parse_json, read_limited

SCHEMA = "anyecg.label-plan/1"
FILE = "validation/labels.json"
"""Path of the plan in a bundle."""
BESIDE = "labels.json"
"""Name of the plan in the folder of a teacher."""

DEFAULT = "default"
"""Origin of the default plan."""

NEAR_MINUTES = 60.0
"""By default a result is paired with windows at most this many minutes from its order, as in CardioLab's estimation
task (arXiv 2411.14886)."""


@dataclass(frozen=True, slots=True)
class ChosenPlan:
    """The plan in use and its origin.

    Attributes:
        plan: The plan.
        said_by: Origin of the plan: :data:`DEFAULT`, ``bundle``, ``teacher`` or the name of a file.
    """

    plan: LabelPlan
    said_by: str

    def for_report(self) -> dict[str, str]:
        """Return the entries for a report: origin, rule in words, SHA-256."""
        return {
            "said_by": self.said_by,
            "rule": rule_of(self.plan),
            "sha256": hashlib.sha256(plan_file(self.plan)).hexdigest(),
        }


def default_plan() -> LabelPlan:
    """Return the default plan: all labs of the catalogue, paired as in CardioLab, with the catalogue's ranges."""
    every = checked_plan({}, "")
    return LabelPlan(
        pairing=Pairing(mode="nearest", minutes=NEAR_MINUTES, time="order"),
        heads=HeadPlan(missing_range="catalogue"),
        segments=SegmentPlan(),
        labs=every.labs,
    )


def chosen_plan(given: Path | None, kept: LabelPlan | None, keeper: str, data: Path | None = None) -> ChosenPlan:
    """Return the plan of the command line, else the plan stored with the model or teacher, else the default.

    Args:
        given: File that the command line names.
        kept: Plan that is stored with the model or teacher.
        keeper: Origin of ``kept``: ``bundle`` or ``teacher``.
        data: Folder of the labelled data. MIMIC-IV has a default plan of its own, and rare assays in unknown units,
            which are left out.

    Raises:
        InputError: The file is not a label plan.
    """
    if given is not None:
        return ChosenPlan(read_label_plan(given), given.name)
    if data is None or is_mcmed(data) or not is_mimic(data):
        return ChosenPlan(default_plan(), DEFAULT) if kept is None else ChosenPlan(kept, keeper)
    if kept is None:
        return ChosenPlan(named_plan("mimic"), "mimic")
    return ChosenPlan(replace(kept, heads=replace(kept.heads, unknown_units="exclude")), keeper)


def read_label_plan(path: Path) -> LabelPlan:
    """Read a label file: TOML as for ``anyecg prepare``, or JSON as a training writes it.

    Args:
        path: Path of the file, or of a folder with a ``labels.json``.

    Raises:
        InputError: The file cannot be read, or an entry is unknown or wrong; the message names the entry.
    """
    path = path / BESIDE if path.is_dir() else path
    if path.suffix.lower() != ".json":
        return read_plan(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than any label plan", "check the path")
        return parse_plan_file(read_limited(path, MAX_BYTES), str(path))
    except OSError as error:
        raise InputError(f"cannot read the label plan {path}: {error.strerror or error}") from error


def read_bundle_plan(bundle: Path) -> LabelPlan | None:
    """Return the plan that a bundle was trained with; ``None`` where the bundle has none.

    Raises:
        BundleError: The file exists and cannot be read.
    """
    data = read_extra(bundle, FILE, MAX_BYTES)
    try:
        return None if data is None else parse_plan_file(data, FILE)
    except InputError as error:
        raise BundleError(f"{bundle}: {error.what}", "update anyecg-edge or create the bundle again") from None


def parse_plan_file(data: bytes, where: str) -> LabelPlan:
    """Parse the bytes of a ``labels.json``.

    Raises:
        InputError: They are not a label plan.
    """
    try:
        raw = parse_json(data)
    except ValueError as error:
        raise InputError(f"{where} is not valid JSON: {error}") from None
    if not isinstance(raw, Mapping) or raw.get("schema") != SCHEMA or not isinstance(raw.get("plan"), Mapping):
        raise InputError(f"{where} is not a label plan", f"this version reads {SCHEMA!r}")
    plan = dict(raw["plan"])
    try:
        plan["labs"] = {str(lab["key"]): _lab(lab) for lab in plan.get("labs", ())}
    except (TypeError, KeyError, ValueError, AttributeError):
        raise InputError(f"{where}: labs is not a list of labs") from None
    return checked_plan(plan, where)


def _lab(lab: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry in the form of a label file, where units are a table."""
    return {**{k: v for k, v in lab.items() if k != "key"}, "units": dict(lab.get("units", ()))}


def plan_file(plan: LabelPlan) -> bytes:
    """Return the ``labels.json`` of a plan; the same plan gives the same bytes."""
    return (json.dumps({"schema": SCHEMA, "plan": asdict(plan)}, indent=1) + "\n").encode()


def rule_of(plan: LabelPlan) -> str:
    """Return the rule of a plan in words, for reports."""
    p = plan.pairing
    if p.mode == "nearest":
        now = f"the result nearest in time, {p.minutes:g} minutes from its {p.time} at most"
    else:
        now = f"from {p.before_min:g} minutes before the order to the result"
    ahead = f"{now}; horizons by the time of the {plan.heads.horizon_time}"
    if plan.heads.ranges != "row":
        whose = "the median limits of the lab" if plan.heads.ranges == "median" else "the catalogue's range"
        return f"{ahead}; every row is judged by {whose}"
    without = {"exclude": "left out", "catalogue": "judged by the catalogue's", "median": "judged by the lab's median"}
    return f"{ahead}; rows without a range are {without[plan.heads.missing_range]}"
