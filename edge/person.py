"""A person's own laboratory results: they move that person's later values, shrunk towards no change, for a while.

The error of a value has a part that is the person's own and a part that is not: variances *between* and *within*
persons. After ``n`` results with the mean error ``m`` the best linear offset is
``between / (between + within / n) * m`` (empirical Bayes), and the interval narrows by what is then known. A result
counts from its own time until it expires; one from the future of an estimate never counts, so that a replay is not told
what came later.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.bundle.reader import Bundle
from edge.records import Anchor, Applied, LabEstimate, utc_text
from firmware_bridge.errors import UsageError

SCHEMA = "anyecg.person/1"
MAX_BYTES = 1 << 20
MAX_RESULTS = 1000
DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """One laboratory result and what the ECG said at that time.

    Attributes:
        key: Output that it anchors.
        value: Measured, in ``unit``.
        unit: UCUM unit, that of the output.
        at_ns: When the blood was drawn, Unix time.
        estimate: What the output said without any anchor.
        estimate_ns: When.
        between_sd: Spread of persons' own errors.
        within_sd: Spread of one person's errors about them.
        expires_ns: From when it no longer counts.
    """

    key: str
    value: float
    unit: str
    at_ns: int
    estimate: float
    estimate_ns: int
    between_sd: float
    within_sd: float
    expires_ns: int


@dataclass(frozen=True, slots=True)
class Person:
    """A person's results.

    Attributes:
        name: As the user calls the person; may be empty.
        bundle: Name and version of the bundle whose estimates were compared.
        bundle_sha256: Its identity: another bundle errs otherwise.
        made: When the file was last written, ISO 8601 UTC.
        results: In order of time.
    """

    name: str
    bundle: str
    bundle_sha256: str
    made: str
    results: tuple[Result, ...]


def shrunk(errors: list[float], between_sd: float, within_sd: float) -> tuple[float, float]:
    """The offset for later values, and the factor of their intervals.

    Args:
        errors: Result minus estimate, at least one.
        between_sd: Spread of persons' own errors.
        within_sd: Spread of one person's errors about them.
    """
    n, between, within = len(errors), between_sd**2, within_sd**2
    if between <= 0.0:
        return 0.0, 1.0
    offset = between / (between + within / n) * (sum(errors) / n)
    left = between * within / (n * between + within) if within > 0.0 else 0.0
    return offset, math.sqrt((within + left) / (within + between))


class Anchoring:
    """Applies a person's results to estimates.

    Args:
        person: Whose.
        bundle: The bundle that estimates now.

    Raises:
        UsageError: The results are about another bundle.
    """

    def __init__(self, person: Person, bundle: Bundle) -> None:
        if person.bundle_sha256 != bundle.sha256:
            raise UsageError(
                f"the person's results were compared with {person.bundle}, this is {bundle.manifest.name} "
                f"{bundle.manifest.version} of other bytes",
                "anchor anew with estimates of this bundle",
            )
        keys = [head.key for head in bundle.manifest.outputs]
        self._of: dict[int, list[Result]] = {}
        for result in person.results:
            if result.key not in keys:
                raise UsageError(f"the bundle has no output '{result.key}'", "anchor anew")
            self._of.setdefault(keys.index(result.key), []).append(result)

    def __call__(self, labs: tuple[LabEstimate, ...], unix_ns: int) -> tuple[LabEstimate, ...]:
        """The estimates with the results that count at that time."""
        changed = list(labs)
        for index, results in self._of.items():
            if index < len(changed):
                changed[index] = _moved(labs[index], [r for r in results if r.at_ns <= unix_ns < r.expires_ns])
        return tuple(changed)


def _moved(lab: LabEstimate, results: list[Result]) -> LabEstimate:
    if not results or lab.value is None:
        return lab
    newest = max(results, key=lambda r: r.at_ns)
    offset, factor = shrunk([r.value - r.estimate for r in results], newest.between_sd, newest.within_sd)
    centre = lab.value + offset
    interval = lab.interval
    if interval is not None:
        interval = (centre - factor * (lab.value - interval[0]), centre + factor * (interval[1] - lab.value))
    anchor = Anchor(offset, len(results), utc_text(newest.at_ns), utc_text(max(r.expires_ns for r in results)))
    return lab._replace(value=centre, interval=interval, anchor=anchor)


def notes(person: Person, now_ns: int) -> list[str]:
    """What is to be said of the results at the start of a run."""
    counts = [r for r in person.results if r.at_ns <= now_ns < r.expires_ns]
    out = []
    for key in sorted({r.key for r in counts}):
        mine = [r for r in counts if r.key == key]
        until = utc_text(max(r.expires_ns for r in mine))
        out.append(f"{key} is anchored by {len(mine)} of this person's own results until {until}")
    gone = sum(r.expires_ns <= now_ns for r in person.results)
    if gone:
        out.append(f"{gone} of this person's results have expired and count no more")
    return out


def applied(person: Person, path: Path) -> Applied:
    """What every estimate says of the person's file."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    what = ", ".join(sorted({r.key for r in person.results}))
    return Applied(path.name, digest, person.made, f"{len(person.results)} results: {what}")


def to_toml(person: Person) -> str:
    """The person's file; ``load_person`` reads it."""
    head = {"schema": SCHEMA, "name": person.name, "bundle": person.bundle, "bundle_sha256": person.bundle_sha256}
    lines = [f"{key} = {json.dumps(value)}" for key, value in {**head, "made": person.made}.items()]
    for r in person.results:
        row = {
            "key": r.key, "value": r.value, "unit": r.unit, "at": utc_text(r.at_ns), "estimate": r.estimate,
            "estimate_at": utc_text(r.estimate_ns), "between_sd": r.between_sd, "within_sd": r.within_sd,
            "expires": utc_text(r.expires_ns),
        }  # fmt: skip
        lines += ["", "[[results]]", *(f"{key} = {json.dumps(value)}" for key, value in row.items())]
    return "\n".join(lines) + "\n"


def load_person(path: Path) -> Person:
    """Reads a person's file.

    Raises:
        UsageError: It cannot be read, or is no such file; the message names the key.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is too large for a person's results")
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the person's results {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the person's results {path} are not valid TOML: {error}") from None
    if raw.get("schema") != SCHEMA:
        raise UsageError(f"{path} holds no person's results", f'its schema must be "{SCHEMA}"')
    rows = raw.get("results", [])
    if not isinstance(rows, list) or len(rows) > MAX_RESULTS or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path}: 'results' must be at most {MAX_RESULTS} tables")
    results = sorted((_result(path, row) for row in rows), key=lambda r: (r.at_ns, r.key))
    name, bundle, sha256, made = (_text(path, raw, key) for key in ("name", "bundle", "bundle_sha256", "made"))
    return Person(name, bundle, sha256, made, tuple(results))


def _result(path: Path, row: Mapping[str, Any]) -> Result:
    return Result(
        key=_text(path, row, "key"),
        value=_number(path, row, "value"),
        unit=_text(path, row, "unit"),
        at_ns=_time(path, row, "at"),
        estimate=_number(path, row, "estimate"),
        estimate_ns=_time(path, row, "estimate_at"),
        between_sd=_number(path, row, "between_sd", 0.0),
        within_sd=_number(path, row, "within_sd", 0.0),
        expires_ns=_time(path, row, "expires"),
    )


def _text(path: Path, row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or len(value) > 4096:
        raise UsageError(f"{path}: '{key}' must be a text, not {value!r:.60}")
    return value


def _number(path: Path, row: Mapping[str, Any], key: str, low: float = -1e9) -> float:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= 1e9:
        raise UsageError(f"{path}: '{key}' must be a number, not {value!r:.60}")
    return float(value)


def _time(path: Path, row: Mapping[str, Any], key: str) -> int:
    try:
        return unix_ns(_text(path, row, key))
    except ValueError:
        raise UsageError(f"{path}: '{key}' must be a time such as 2026-01-31T08:30:00Z") from None


def unix_ns(text: str) -> int:
    """Unix time of an ISO 8601 text that names its offset from UTC.

    Raises:
        ValueError: It is none, or does not.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
