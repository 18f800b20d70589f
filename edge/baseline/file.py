"""The baseline of a wearer, and the JSON file that holds it. Nothing in the file is trusted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edge.baseline.correction import Correction, CorrectionName
from edge.baseline.record import QUANTITIES, Quantity
from edge.bundle.typed_json import Reader
from edge.process.files import write_atomically
from edge.records import NOTICE, Applied
from edge.rounding import significant
from firmware_bridge.errors import UsageError
from firmware_bridge.reading import parse_json, read_limited

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = "anyecg.baseline/1"
MAX_BYTES = 1 << 16
"""Largest file of a baseline, bytes; one with many postures has 6 KB."""
MAX_POSTURES = 16
"""Most postures of a baseline."""
MAX_SOURCES = 64
"""Most sessions and recordings of a baseline."""
MAX_LEVEL = 1e5
"""Largest level or change in a file, in any unit."""
RR_RANGE_MS = (150.0, 5000.0)
"""Shortest and longest RR interval in a file, ms."""
_FIX = "make it again with 'anyecg baseline'"


class BaselineReader(Reader):
    """Typed access to the JSON of a baseline."""

    error = UsageError
    wrong = _FIX
    incomplete = _FIX


@dataclass(frozen=True, slots=True)
class Level:
    """A quantity in the quiet hour, in its unit.

    Attributes:
        median: Its median.
        mad: Median absolute deviation of single windows.
        scatter: Half width of the range in which medians of five minutes lie.
        windows: Windows in which it was measured.
    """

    median: float
    mad: float
    scatter: float
    windows: int


@dataclass(frozen=True, slots=True)
class Posture:
    """A posture or activity that the wearer has named.

    Attributes:
        name: Its name, such as ``standing``.
        windows: Windows that could be compared.
        rr_ms: Their median RR interval, ms.
        medians: Median of each quantity.
    """

    name: str
    windows: int
    rr_ms: float
    medians: Mapping[Quantity, float]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The quiet hour of a wearer.

    Attributes:
        device: Device with which it was recorded.
        lead: Name of the lead in a recording; ``None`` for a patch.
        profile_sha256: Hash of the device profile that was applied; ``None`` without one.
        montage: Where the electrodes were, in the words of the user; may be empty.
        made: Time at which the file was written, ISO 8601 UTC.
        start: Start of the quiet hour, ISO 8601 UTC; the time since the start of a recording without a clock.
        minutes: Length of the quiet hour, min.
        windows: Windows of it that were compared.
        stated: Whether the user has stated the hour.
        rr_ms: Median RR interval, ms.
        correction: Rate correction of QT.
        levels: Each quantity that was measured.
        postures: Postures that the user has named.
        sources: Names of the sessions and recordings.
    """

    device: str
    lead: str | None
    profile_sha256: str | None
    montage: str
    made: str
    start: str
    minutes: float
    windows: int
    stated: bool
    rr_ms: float
    correction: Correction
    levels: Mapping[Quantity, Level]
    postures: tuple[Posture, ...] = ()
    sources: tuple[str, ...] = ()


def baseline_dict(baseline: Baseline) -> dict[str, object]:
    """Return the JSON object of a baseline."""
    b, c = baseline, baseline.correction
    return {
        "schema": SCHEMA,
        "made": b.made,
        "sources": list(b.sources),
        "device": b.device,
        "lead": b.lead,
        "profile_sha256": b.profile_sha256,
        "montage": b.montage,
        "quiet_hour": {
            "start": b.start, "minutes": significant(b.minutes), "windows": b.windows, "stated": b.stated,
            "rr_ms": significant(b.rr_ms),
        },
        "correction": {
            "name": c.name, "exponent": significant(c.exponent), "low": significant(c.low),
            "high": significant(c.high), "rr_low_ms": significant(c.rr_low_ms),
            "rr_high_ms": significant(c.rr_high_ms), "blocks": c.blocks,
        },
        "levels": {
            name: {
                "median": significant(level.median), "mad": significant(level.mad),
                "scatter": significant(level.scatter), "windows": level.windows,
            }
            for name, level in b.levels.items()
        },
        "postures": [
            {
                "name": p.name, "windows": p.windows, "rr_ms": significant(p.rr_ms),
                "medians": {name: significant(x) for name, x in p.medians.items()},
            }
            for p in b.postures
        ],
        "notice": NOTICE,
    }  # fmt: skip


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline, readable only by its owner.

    Raises:
        OutputError: It cannot be written.
    """
    write_atomically(path, json.dumps(baseline_dict(baseline), indent=2) + "\n", private=True)


def load_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        UsageError: The file cannot be read, or is not a baseline; the message names the key.
    """
    return parse_baseline(_read(path), str(path))


def applied(baseline: Baseline, path: Path) -> Applied:
    """Return the record of the file for the estimates."""
    digest = hashlib.sha256(_read(path)).hexdigest()
    what = f"quiet hour of {baseline.windows} windows from {baseline.start}"
    return Applied(path.name, digest, baseline.made, what)


def _read(path: Path) -> bytes:
    try:
        return read_limited(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(
            f"cannot read the baseline {path}: {error.strerror or error}",
            "'anyecg baseline SESSION --out FILE' writes one",
        ) from None


def parse_baseline(data: bytes, name: str) -> Baseline:
    """Read the JSON of a baseline.

    Args:
        data: Content of the file.
        name: Its name, for errors.

    Raises:
        UsageError: It is not a baseline; the message names the key.
    """
    try:
        raw = parse_json(data)
    except ValueError as error:
        raise UsageError(f"the baseline {name} is not valid JSON: {error}", _FIX) from None
    r = BaselineReader(raw, name)
    schema = r.opt("schema").value if isinstance(raw, dict) else None
    if schema != SCHEMA:
        raise UsageError(f"{name} holds no baseline: its schema is {schema!r:.60}, not {SCHEMA!r}", _FIX)
    hour = r.get("quiet_hour")
    rr_ms = _within(hour.get("rr_ms"), *RR_RANGE_MS)
    levels = {_quantity(key, one): _level(one) for key, one in _few(r.get("levels"), len(QUANTITIES))}
    if "qtc_ms" not in levels or levels["qtc_ms"].median <= 0.0:
        raise r.get("levels").fail("a positive qtc_ms")
    return Baseline(
        device=r.get("device").text(),
        lead=r.get("lead").text_or_none(),
        profile_sha256=r.get("profile_sha256").text_or_none(),
        montage=r.get("montage").text(),
        made=r.get("made").text(),
        start=hour.get("start").text(),
        minutes=_within(hour.get("minutes"), 0.0, MAX_LEVEL),
        windows=_count(hour.get("windows")),
        stated=hour.get("stated").boolean(),
        rr_ms=rr_ms,
        correction=_correction(r.get("correction")),
        levels=levels,
        postures=tuple(_posture(one) for one in r.get("postures").items(MAX_POSTURES)),
        sources=tuple(one.text() for one in r.get("sources").items(MAX_SOURCES)),
    )


def _correction(r: BaselineReader) -> Correction:
    name = cast("CorrectionName", r.get("name").one_of("fridericia", "individual"))
    exponent, low, high = (_within(r.get(key), -1.0, 2.0) for key in ("exponent", "low", "high"))
    rr_low_ms, rr_high_ms = (_within(r.get(key), 0.5 * RR_RANGE_MS[0], 2.0 * RR_RANGE_MS[1]) for key in _RR)
    if not (low <= exponent <= high and rr_low_ms <= rr_high_ms):
        raise r.fail("low <= exponent <= high and rr_low_ms <= rr_high_ms")
    return Correction(name, exponent, low, high, rr_low_ms, rr_high_ms, _count(r.get("blocks")))


_RR = ("rr_low_ms", "rr_high_ms")


def _level(r: BaselineReader) -> Level:
    mad, scatter = (_within(r.get(key), 0.0, MAX_LEVEL) for key in ("mad", "scatter"))
    return Level(_within(r.get("median"), -MAX_LEVEL, MAX_LEVEL), mad, scatter, _count(r.get("windows")))


def _posture(r: BaselineReader) -> Posture:
    medians = {
        _quantity(key, one): _within(one, -MAX_LEVEL, MAX_LEVEL) for key, one in _few(r.get("medians"), len(QUANTITIES))
    }
    return Posture(r.get("name").text(), _count(r.get("windows")), _within(r.get("rr_ms"), *RR_RANGE_MS), medians)


def _few(r: BaselineReader, limit: int) -> Sequence[tuple[str, BaselineReader]]:
    pairs = r.pairs()
    if len(pairs) > limit:
        raise r.fail(f"an object of at most {limit} members")
    return pairs


def _quantity(key: str, r: BaselineReader) -> Quantity:
    for name in QUANTITIES:
        if name == key:
            return name
    raise BaselineReader(key, r.path).fail(f"one of {', '.join(QUANTITIES)}")


def _within(r: BaselineReader, low: float, high: float) -> float:
    number = r.number()
    if not low <= number <= high:
        raise r.fail(f"a number from {low:g} to {high:g}")
    return number


def _count(r: BaselineReader) -> int:
    count = r.integer()
    if not 0 <= count <= 10_000_000:
        raise r.fail("a count")
    return count
