"""A person's own laboratory results, which anchor later values of the same person for some days.

The error of a value has a part that is constant for a person and a part that is not: the variances *between* and
*within* persons. After ``n`` results with the mean error ``m`` the best linear offset is
``between / (between + within / n) * m`` (empirical Bayes), and the interval becomes narrower. A result counts from its
own time until it expires. A result that is later than an estimate never counts, so a replay does not use the future.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.bundle.reader import Bundle
from edge.records import Anchor, Applied, LabEstimate, utc_text
from firmware_bridge.errors import UsageError
from firmware_bridge.reading import is_number, parse_toml, read_limited

SCHEMA = "anyecg.person/1"
MAX_BYTES = 1 << 20
MAX_RESULTS = 1000
DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """One laboratory result and the estimate at that time.

    Attributes:
        key: Key of the output that it anchors.
        value: Measured value, in ``unit``.
        unit: UCUM unit of the output.
        at_ns: Time of the blood sample, Unix ns.
        estimate: Value of the output without an anchor, in ``unit``.
        estimate_ns: Time of the estimate, Unix ns.
        between_sd: Standard deviation of the mean errors of persons, in ``unit``.
        within_sd: Standard deviation of a person's errors around their mean, in ``unit``.
        expires_ns: Time from which the result no longer counts, Unix ns.
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
    """The laboratory results of one person.

    Attributes:
        name: Name that the user gives the person; may be empty.
        bundle: Name and version of the bundle whose estimates were compared.
        bundle_sha256: SHA-256 of that bundle, because another bundle has other errors.
        made: When the file was last written, ISO 8601 UTC.
        results: The results in order of time.
    """

    name: str
    bundle: str
    bundle_sha256: str
    made: str
    results: tuple[Result, ...]


def shrunk(errors: list[float], between_sd: float, within_sd: float) -> tuple[float, float]:
    """Return the offset for later values, and the factor of their intervals.

    Args:
        errors: Results minus estimates, at least one.
        between_sd: Standard deviation of the mean errors of persons.
        within_sd: Standard deviation of a person's errors around their mean.
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
        person: The person and the results.
        bundle: The bundle that makes the estimates.

    Raises:
        UsageError: The results belong to another bundle.
    """

    def __init__(self, person: Person, bundle: Bundle) -> None:
        if person.bundle_sha256 != bundle.sha256:
            raise UsageError(
                f"the person's results were compared with {person.bundle}, but this is {bundle.manifest.name} "
                f"{bundle.manifest.version} with another hash",
                "anchor again with estimates of this bundle",
            )
        keys = [head.key for head in bundle.manifest.outputs]
        self._of: dict[int, list[Result]] = {}
        for result in person.results:
            if result.key not in keys:
                raise UsageError(f"the bundle has no output '{result.key}'", "anchor again with this bundle")
            self._of.setdefault(keys.index(result.key), []).append(result)

    def __call__(self, labs: tuple[LabEstimate, ...], unix_ns: int) -> tuple[LabEstimate, ...]:
        """Return the estimates, anchored by the results that count at that time."""
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
    """Return notes about the results for the start of a run."""
    counts = [r for r in person.results if r.at_ns <= now_ns < r.expires_ns]
    out = []
    for key in sorted({r.key for r in counts}):
        mine = [r for r in counts if r.key == key]
        until = utc_text(max(r.expires_ns for r in mine))
        out.append(f"{key} is anchored by {len(mine)} of this person's own results until {until}")
    expired = sum(r.expires_ns <= now_ns for r in person.results)
    if expired:
        out.append(f"{expired} of this person's results have expired and are ignored")
    return out


def applied(person: Person, path: Path) -> Applied:
    """Return the record of the person's file for the estimates."""
    digest = hashlib.sha256(read_limited(path, MAX_BYTES)).hexdigest()
    what = ", ".join(sorted({r.key for r in person.results}))
    return Applied(path.name, digest, person.made, f"{len(person.results)} results: {what}")


def to_toml(person: Person) -> str:
    """Return the person's results as TOML; :func:`load_person` reads them."""
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
    """Read a person's file.

    Raises:
        UsageError: The file cannot be read or holds no results; the message names the key.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(
                f"{path} is too large for a person's results", "name a file that anyecg calibrate person wrote"
            )
        raw = parse_toml(read_limited(path, MAX_BYTES))
    except OSError as error:
        raise UsageError(
            f"cannot read the person's results {path}: {error.strerror or error}", "check the path and its permissions"
        ) from None
    except ValueError as error:
        raise UsageError(f"the person's results {path} are not valid TOML: {error}", "correct the file") from None
    if raw.get("schema") != SCHEMA:
        raise UsageError(f"{path} holds no person's results", f'its schema must be "{SCHEMA}"')
    rows = raw.get("results", [])
    if not isinstance(rows, list) or len(rows) > MAX_RESULTS or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path}: 'results' must be at most {MAX_RESULTS} tables", "remove old results")
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
        raise UsageError(f"{path}: '{key}' must be a string, not {value!r:.60}", "correct the file")
    return value


def _number(path: Path, row: Mapping[str, Any], key: str, low: float = -1e9) -> float:
    value = row.get(key)
    if not is_number(value, low, 1e9):
        raise UsageError(f"{path}: '{key}' must be a number, not {value!r:.60}", "correct the file")
    return float(value)


def _time(path: Path, row: Mapping[str, Any], key: str) -> int:
    try:
        return unix_ns(_text(path, row, key))
    except ValueError:
        raise UsageError(f"{path}: '{key}' must be a time such as 2026-01-31T08:30:00Z", "correct the file") from None


def unix_ns(text: str) -> int:
    """Return the Unix time, ns, of an ISO 8601 text with an offset from UTC.

    Raises:
        ValueError: The text is not a time or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
