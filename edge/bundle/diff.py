"""What changed between two bundles: identity, heads, calibration, front end, evidence, budgets, conversion, files."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.bundle.files import MANIFEST
from edge.bundle.reader import MAX_FILE_BYTES, MAX_MANIFEST_BYTES, Bundle, read_extra
from firmware_bridge.errors import BundleError

SECTIONS = (
    "bundle", "heads", "calibration", "evidence", "front end", "tensors", "aggregation", "budgets", "conversion",
    "other", "files",
)  # fmt: skip
"""Sections of the result, in order."""

_SECTION_OF = {
    **dict.fromkeys(("name", "version", "tier", "form", "licence", "notice", "created", "schema", "teacher"), "bundle"),
    "front_end": "front end",
    "input": "tensors",
    "output": "tensors",
    "aggregation": "aggregation",
    "budgets": "budgets",
    **dict.fromkeys(("conversion", "network", "golden"), "conversion"),
}
"""Section by key of the manifest; ``outputs`` and ``files`` are compared entry by entry."""

Json = Any


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two bundles.

    Attributes:
        section: One of :data:`SECTIONS`.
        subject: Key of the head or name of the file that it is about; empty for none.
        field: Dotted path of the changed value. ``present`` for a head or file of one bundle only, ``position`` for a
            head that moved among the others (from 1), ``column`` for its column in the output of the model.
        before: Value in the first bundle, as JSON has it; ``None`` if absent.
        after: Value in the second bundle.
    """

    section: str
    subject: str
    field: str
    before: Json
    after: Json


def changes_between(a: Bundle, b: Bundle) -> tuple[Change, ...]:
    """Compare two verified bundles without running their models.

    Args:
        a: First bundle.
        b: Second bundle.

    Returns:
        The differences in the order of :data:`SECTIONS`; none if both say the same. An absent value equals a null, and
        the order of the keys does not count.

    Raises:
        BundleError: A bundle changed since it was verified, or is nested too deeply.
    """
    before, after = _Documents(a), _Documents(b)
    try:
        found = [
            *_fields("bundle", "", {"size_bytes": size_of(a)}, {"size_bytes": size_of(b)}),
            *_of_manifest(before.manifest, after.manifest),
            *_of_heads(before, after),
            *_of_files(before.manifest["files"], after.manifest["files"]),
        ]
    except RecursionError:
        raise BundleError(f"{a.path} or {b.path}: manifest.json is nested too deeply", "convert it again") from None
    return tuple(sorted(found, key=lambda c: SECTIONS.index(c.section)))


def size_of(bundle: Bundle) -> int:
    """Return the size of all files of a bundle but the manifest, bytes."""
    return sum(size for _, size in bundle.manifest.files.values())


class _Documents:
    """The JSON of a bundle as written, with the keys that the runtime does not use."""

    def __init__(self, bundle: Bundle) -> None:
        # The first schema knew one form only and did not name it.
        self.manifest = {"form": bundle.manifest.form, **_document(bundle, MANIFEST, MAX_MANIFEST_BYTES)}
        self.calibration: Mapping[str, Json] = _document(bundle, "calibration.json", MAX_FILE_BYTES)["heads"]
        self.heads: dict[str, dict[str, Json]] = {head["key"]: head for head in self.manifest["outputs"]}
        self.keys = list(self.heads)


def _document(bundle: Bundle, name: str, limit: int) -> dict[str, Json]:
    raw = read_extra(bundle.path, name, limit)
    try:
        # NaN differs from itself; as a text it does not.
        found = json.loads(raw or b"", parse_constant=str)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BundleError(f"{name} of {bundle.path} changed while it was read", "compare it when nothing writes to it")
    return found


def _of_manifest(a: Mapping[str, Json], b: Mapping[str, Json]) -> Iterator[Change]:
    for key in _union(a, b):
        if key not in {"outputs", "files"}:
            yield from _fields(_SECTION_OF.get(key, "other"), "", {key: a.get(key)}, {key: b.get(key)})


def _of_heads(a: _Documents, b: _Documents) -> Iterator[Change]:
    shared = [key for key in a.keys if key in b.heads]
    for key in _union(a.heads, b.heads):
        if key not in a.heads or key not in b.heads:
            yield Change("heads", key, "present", key in a.heads, key in b.heads)
    for key in _moved(a.keys, [key for key in b.keys if key in a.heads]):
        yield Change("heads", key, "position", a.keys.index(key) + 1, b.keys.index(key) + 1)
    # Columns that only follow from the order of the heads would repeat what was added, removed and moved.
    in_order = all(d.heads[key].get("index") == i for d in (a, b) for i, key in enumerate(d.keys))
    for key in shared:
        before, after = _described(a.heads[key], in_order), _described(b.heads[key], in_order)
        yield from _fields("heads", key, before, after)
        yield from _fields("evidence", key, a.heads[key].get("evidence"), b.heads[key].get("evidence"))
        yield from _fields("calibration", key, a.calibration.get(key), b.calibration.get(key))


def _described(head: Mapping[str, Json], in_order: bool) -> dict[str, Json]:
    found = {k: v for k, v in head.items() if k not in {"key", "index", "evidence"}}
    return found if in_order else {**found, "column": head.get("index")}


def _of_files(a: Mapping[str, Json], b: Mapping[str, Json]) -> Iterator[Change]:
    for name in _union(a, b):
        if name not in a or name not in b:
            yield Change("files", name, "present", name in a, name in b)
        else:
            yield from _fields("files", name, a[name], b[name])


def _fields(section: str, subject: str, a: Json, b: Json, path: str = "") -> Iterator[Change]:
    """Yield the differing leaves of two JSON values; a list is one leaf."""
    if isinstance(a, dict) or isinstance(b, dict):
        left, right = (value if isinstance(value, dict) else {} for value in (a, b))
        if (a is None or isinstance(a, dict)) and (b is None or isinstance(b, dict)):
            for key in _union(left, right):
                inner = f"{path}.{key}" if path else key
                yield from _fields(section, subject, left.get(key), right.get(key), inner)
            return
    if a != b or isinstance(a, bool) != isinstance(b, bool):
        yield Change(section, subject, path, a, b)


def _union(a: Mapping[str, Json], b: Mapping[str, Json]) -> list[str]:
    return [*a, *(key for key in b if key not in a)]


def _moved(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return as few keys as explain the change of order: those outside a longest increasing subsequence."""
    place = {key: i for i, key in enumerate(before)}
    ends: list[int] = []
    last: list[str] = []
    previous: dict[str, str | None] = {}
    for key in after:
        at = bisect_left(ends, place[key])
        previous[key] = last[at - 1] if at else None
        ends[at : at + 1], last[at : at + 1] = [place[key]], [key]
    kept: set[str] = set()
    key_or_none = last[-1] if last else None
    while key_or_none is not None:
        kept.add(key_or_none)
        key_or_none = previous[key_or_none]
    return [key for key in after if key not in kept]
