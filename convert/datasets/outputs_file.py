"""The outputs file, which describes a teacher's outputs: TOML or JSON, one entry for each row of ``dense``, in order.

.. code-block:: toml

    [[outputs]]
    key = "potassium_high"
    lab = "potassium"
    loinc = "2823-3"        # optional
    unit = "1"              # "1" for a probability, else the unit of the value
    direction = "high"      # low, high or abnormal; omitted for a value
    kind = "probability"    # or "value"
    horizon_min = 60        # optional
    means = "potassium above 5.0 mmol/L within 60 min"    # optional: the output in words, with its cut-off, for pages
    rhythms = ["sinus"]     # optional: rhythms in which the evidence holds; in others the output abstains
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from edge.bundle.schema import MAX_MEANS_CHARS
from edge.rhythm.gate import STATED
from edge.rhythm.record import RhythmName
from firmware_bridge.errors import InputError
from firmware_bridge.reading import parse_json, parse_toml, read_limited

MAX_BYTES = 4 << 20
KEYS = ("key", "lab", "loinc", "unit", "direction", "kind", "horizon_min", "evidence", "index", "means", "rhythms")
_KEY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

Kind = Literal["probability", "value"]
Direction = Literal["low", "high", "abnormal"]


class StatedEvidence(TypedDict):
    """Evidence that the user states for a head; ``None`` where nothing is stated.

    Attributes:
        auroc: AUROC of a probability.
        ci: 95 % interval of the AUROC: low and high.
        n: Number of cases.
        tier: Level of the evidence.
        mae: Mean absolute error of a value, in its unit.
    """

    auroc: float | None
    ci: list[float] | None
    n: float | None
    tier: Literal["strong", "moderate", "limited"]
    mae: NotRequired[float | None]


class OutputEntry(TypedDict):
    """One head, as the manifest of a bundle describes it.

    Attributes:
        index: Index in the output tensor.
        key: Unique key.
        lab: Key of the lab.
        loinc: LOINC code; ``None`` where unknown.
        unit: UCUM unit; ``"1"`` for a probability.
        direction: Condition that the probability is for; ``None`` for a value.
        kind: Whether the head is a probability or a value.
        horizon_min: Minutes from the ECG to the result; ``None`` for an estimate of the present.
        evidence: Evidence of the head.
        means: The head in words, with its cut-off.
        rhythms: Rhythms in which the evidence holds; absent for any.
    """

    index: int
    key: str
    lab: str
    loinc: str | None
    unit: str
    direction: Direction | None
    kind: Kind
    horizon_min: int | None
    evidence: StatedEvidence
    means: NotRequired[str]
    rhythms: NotRequired[list[RhythmName]]


def read_outputs(path: Path) -> list[OutputEntry]:
    """Read an outputs file into heads as the manifest of a bundle describes them.

    Args:
        path: A ``.toml`` or ``.json`` file.

    Returns:
        One entry for each head: index, key, lab, loinc, unit, direction, kind, horizon_min, evidence.

    Raises:
        InputError: The file cannot be read, or an entry is wrong; the message names the entry.
    """
    raw = _parse(path)
    entries = raw.get("outputs") if isinstance(raw, Mapping) else raw
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path} names no outputs", "it needs a list 'outputs'; see docs/convert.md")
    heads = [_head(f"{path}: outputs[{i}]{_named(entry)}", i, entry) for i, entry in enumerate(entries)]
    seen: set[str] = set()
    for i, head in enumerate(heads):
        if head["key"] in seen:
            raise InputError(f"{path}: outputs[{i}]: the key '{head['key']}' occurs twice")
        seen.add(head["key"])
    return heads


def match_dense(heads: Sequence[OutputEntry], n_classes: int, outputs: Path, checkpoint: Path) -> None:
    """Check that the number of heads equals the number of rows of ``dense``.

    Raises:
        InputError: The numbers differ.
    """
    if len(heads) != n_classes:
        raise InputError(
            f"{outputs} names {len(heads)} outputs, dense of {checkpoint} has {n_classes}",
            "give one entry for each row of dense, in its order",
        )


def _parse(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MB", "give a TOML or JSON file with the outputs")
        data = read_limited(path, MAX_BYTES)
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}", "the outputs are described by a TOML or JSON file"
        ) from None
    try:
        return parse_json(data) if path.suffix.lower() == ".json" else parse_toml(data)
    except ValueError as error:
        raise InputError(f"{path} cannot be parsed: {error}") from None


def _named(entry: object) -> str:
    key = entry.get("key") if isinstance(entry, Mapping) else None
    return f" '{key[:60]}'" if isinstance(key, str) else ""


def _head(where: str, index: int, entry: Any) -> OutputEntry:
    if not isinstance(entry, Mapping):
        raise InputError(f"{where} is not a table")
    unknown = sorted(set(entry) - set(KEYS))
    if unknown:
        raise InputError(f"{where}: unknown key '{unknown[0]}'", f"known keys: {', '.join(KEYS)}")
    if entry.get("index", index) != index:
        raise InputError(
            f"{where}: its index is {entry['index']}",
            f"the index of this entry is {index}; list the entries in the order of dense",
        )
    kind = entry.get("kind", "probability")
    if kind not in ("probability", "value"):
        raise InputError(f"{where}: unknown kind '{kind}'", "use probability or value")
    direction = entry.get("direction")
    if direction not in ("low", "high", "abnormal", None):
        raise InputError(
            f"{where}: unknown direction '{direction}'", "use low, high or abnormal, or omit it for a value"
        )
    key = _text(where, entry, "key")
    if not _KEY.fullmatch(key):
        raise InputError(f"{where}: invalid key '{key}'", "use lower case letters, digits and _ . -")
    horizon = entry.get("horizon_min")
    if horizon is not None and (not isinstance(horizon, int) or isinstance(horizon, bool) or horizon < 0):
        raise InputError(f"{where}: invalid horizon_min {horizon!r}", "give whole minutes")
    unit = entry.get("unit", "1" if kind == "probability" else None)
    found: OutputEntry = {
        "index": index,
        "key": key,
        "lab": _text(where, entry, "lab"),
        "loinc": None if entry.get("loinc") is None else _text(where, entry, "loinc"),
        "unit": _text(where, {"unit": unit}, "unit"),
        "direction": direction,
        "kind": kind,
        "horizon_min": horizon,
        "evidence": _evidence(where, entry.get("evidence")),
    }
    _add_optional(where, entry, found)
    return found


def _add_optional(where: str, entry: Mapping[str, Any], found: OutputEntry) -> None:
    if entry.get("means") is not None:
        found["means"] = _text(where, entry, "means", MAX_MEANS_CHARS)
    if entry.get("rhythms") is not None:
        found["rhythms"] = _rhythms(where, entry["rhythms"])


def _rhythms(where: str, value: Any) -> list[RhythmName]:
    names = [name for name in STATED if isinstance(value, list) and name in value]
    if not names or len(names) != len(value):
        raise InputError(f"{where}: 'rhythms' must be a list of rhythms", f"known rhythms: {', '.join(STATED)}")
    return names


def _text(where: str, entry: Mapping[str, Any], name: str, most: int = 200) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        raise InputError(f"{where}: '{name}' must be a text", "see docs/convert.md")
    return value


def _evidence(where: str, value: Any) -> StatedEvidence:
    """Return the evidence that the user states for the teacher; the lowest level where none is stated."""
    if value is None:
        return {"auroc": None, "ci": None, "n": None, "tier": "limited"}
    if not isinstance(value, Mapping) or value.get("tier") not in ("strong", "moderate", "limited"):
        raise InputError(f"{where}: evidence needs a tier", "use strong, moderate or limited")
    numbers = {k: value.get(k) for k in ("auroc", "n", "mae")}
    for name, number in numbers.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise InputError(f"{where}: evidence.{name} is not a number")
    ci = value.get("ci")
    if ci is not None and not (isinstance(ci, list) and len(ci) == 2 and all(isinstance(c, int | float) for c in ci)):
        raise InputError(f"{where}: evidence.ci must be two numbers")
    return {
        "auroc": numbers["auroc"], "n": numbers["n"], "mae": numbers["mae"], "ci": ci, "tier": value["tier"],
    }  # fmt: skip
