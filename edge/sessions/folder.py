"""A session folder for reading: its description, and what it holds, run by run, in bounded memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edge.bundle.words import key_words, stated_words
from edge.records import Estimate, utc_text
from edge.store.keep import MAX_JSON_BYTES, SESSION_SCHEMA
from edge.store.reader import EstimateReader
from firmware_bridge.errors import InputError
from firmware_bridge.parts import parts
from firmware_bridge.reading import open_regular

if TYPE_CHECKING:
    from edge.baseline.file import Baseline

MAX_EVENT_BYTES = 1 << 16
MAX_BEAT_BYTES = 128
MAX_NOTES = 20
LATEST_UNIX_S = 4_102_444_800.0
"""Times from the year 2100 on are damaged, s."""
MAX_RUN_S = 1e9
"""A longer run, s, is a damaged number."""
_FIX = "name a folder that 'anyecg run --session-dir' wrote"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a session. A run that continues a session after a power failure is another one.

    Attributes:
        number: Number of the run, from 1.
        session: Identifier, as in its estimates.
        source: The source URL.
        start_unix_s: Unix time at the start of its signal, s.
        synced: Whether that time comes from a synchronised clock.
    """

    number: int
    session: str
    source: str
    start_unix_s: float
    synced: bool


class SessionFolder:
    """A session folder, also one that a run is writing.

    Args:
        path: The folder.

    Attributes:
        path: The folder.
        about: ``session.json``: device, source, bundle, runs.
        summary: ``summary.json`` of the last run; ``None`` while it lasts, and after a power failure.
        damage: What was found damaged while the session was read, one line each.

    Raises:
        InputError: The folder is not a session.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.about = read_object(self.path / "session.json")
        schema = self.about.get("schema")
        if schema != SESSION_SCHEMA:
            newer = isinstance(schema, str) and schema.startswith("anyecg.session/")
            raise InputError(
                f"{self.path}/session.json has schema {schema!r:.60}", "update anyecg-edge" if newer else _FIX
            )
        ended = self.path / "summary.json"
        self.summary = read_object(ended) if ended.exists() else None
        self.damage: list[str] = []
        self._baseline: Baseline | None = None
        self._listed = _listed_runs(self.about, self.path)

    @property
    def device(self) -> str:
        """Name of the device or recording."""
        return str(self.about.get("device", "?"))

    @property
    def bundle(self) -> str:
        """Name and version of the bundle."""
        about = self.about.get("bundle")
        return str(about.get("name", "?")) if isinstance(about, dict) else "?"

    def means(self, key: str) -> str:
        """Return an output in words, as its bundle states them, or by its key without them."""
        about = self.about.get("bundle")
        known = about.get("means") if isinstance(about, dict) else None
        text = known.get(key) if isinstance(known, dict) else None
        return stated_words(text) if isinstance(text, str) else key_words(key)

    @property
    def names(self) -> tuple[str, ...]:
        """Identifiers of the runs, in order."""
        return tuple(name for name, _url, _start in self._listed)

    @property
    def started(self) -> tuple[float, ...]:
        """Unix time at which each run was started, s, in order."""
        return tuple(start_s for _name, _url, start_s in self._listed)

    @property
    def started_unix_s(self) -> float:
        """Unix time at which the first run was started, s."""
        return self._listed[0][2]

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The runs; the start of their signal is that of the first estimate with a synchronised clock."""
        starts: dict[str, tuple[float, bool]] = {}
        for e in self.estimates():
            if len(starts) == len(self._listed) and all(synced for _start, synced in starts.values()):
                break
            start_s = unix_s(e.time) - e.window.end_s
            if 0.0 <= start_s < LATEST_UNIX_S and (
                e.session not in starts or (e.clock_synced and not starts[e.session][1])
            ):
                starts[e.session] = start_s, e.clock_synced
        return tuple(
            Run(number, name, url, *starts.get(name, (started, False)))
            for number, (name, url, started) in enumerate(self._listed, 1)
        )

    def estimates(self) -> Iterator[Estimate]:
        """Yield the estimates and abstentions, in order; none if the session has none.

        Raises:
            InputError: A file cannot be read, or an estimate has another schema.
        """
        reader = self._reader()
        if reader is not None:
            yield from reader.estimates() if self._baseline is None else self._compared(reader.estimates())
            if reader.damage:
                self.note(reader.damage)

    def compare(self, baseline: Baseline) -> None:
        """Let :meth:`estimates` carry the change against a baseline, in place of the one that was written."""
        self._baseline = baseline

    def _compared(self, estimates: Iterator[Estimate]) -> Iterator[Estimate]:
        from edge.baseline.trend import Trend
        from edge.baseline.worn import of_session

        assert self._baseline is not None
        device, lead = of_session(self.about)
        run, trend = None, None
        for e in estimates:
            if trend is None or e.session != run:
                run, trend = e.session, Trend(self._baseline, device, lead, e.applied)
            yield replace(e, change=trend.take(e))

    def lines(self) -> Iterator[Mapping[str, object]]:
        """Yield the estimates and abstentions as plain JSON objects, which is faster.

        Raises:
            InputError: A file cannot be read.
        """
        reader = self._reader()
        if reader is not None:
            yield from map(json.loads, reader.lines())

    def beats(self) -> Iterator[tuple[int, float, float]]:
        """Yield run number, signal time of the R peak, s, and RR interval, s (NaN if there is none).

        Raises:
            InputError: A file cannot be read.
        """
        for line in self._text("beats.csv", MAX_BEAT_BYTES):
            cells = line.split(",")
            try:
                beat = int(cells[0]), float(cells[1]), float(cells[2] or "nan")
            except (ValueError, IndexError):
                continue  # the header, or a damaged line
            if math.isfinite(beat[1]):
                yield beat

    def events(self) -> Iterator[Mapping[str, object]]:
        """Yield the events of the link as they were written.

        Raises:
            InputError: A file cannot be read.
        """
        for line in self._text("events.jsonl", MAX_EVENT_BYTES):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue  # a damaged line
            if isinstance(event, dict):
                yield event

    def raw_files(self) -> list[Path]:
        """Return the parts of the raw recordings, oldest first.

        Raises:
            InputError: The folder cannot be read.
        """
        return self._parts("raw.aer")

    def note(self, damage: str) -> None:
        """Record damage: each text once, and a bounded number of them."""
        if damage not in self.damage and len(self.damage) < MAX_NOTES:
            self.damage.append(damage)

    def size_bytes(self) -> int:
        """Return the size of all files in the folder."""
        try:
            return sum(path.lstat().st_size for path in self.path.iterdir())
        except OSError:
            return 0

    def _reader(self) -> EstimateReader | None:
        if not (self._parts("estimates.aee") or self._parts("estimates.jsonl")):
            return None
        return EstimateReader(self.path)

    def _parts(self, first: str) -> list[Path]:
        try:
            return [part for part in parts(self.path / first) if part.is_file()]
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror or error}", _FIX) from None

    def _text(self, first: str, limit: int) -> Iterator[str]:
        """Yield complete lines up to a length; the last one after a power failure may have no newline."""
        for path in self._parts(first):
            try:
                with open_regular(path) as file:
                    while raw := file.readline(limit + 1):
                        if raw.endswith(b"\n"):
                            yield raw.decode("utf-8", "replace").strip("\0\r\n")
            except OSError as error:
                raise InputError(f"cannot read {path}: {error.strerror or error}", "check the disk") from None


def read_object(path: Path) -> dict[str, object]:
    """Read one JSON object.

    Raises:
        InputError: The file cannot be read, is too large, or holds something else.
    """
    try:
        with open_regular(path) as file:
            data = file.read(MAX_JSON_BYTES + 1)
        found = json.loads(data) if len(data) <= MAX_JSON_BYTES else None
    except FileNotFoundError:
        raise InputError(f"{path.parent} is not a session: it has no {path.name}", _FIX) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", _FIX) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}", _FIX) from None
    if not isinstance(found, dict):
        raise InputError(f"{path} does not describe a session", _FIX)
    return cast("dict[str, object]", found)


def unix_s(text: str) -> float:
    """Return the Unix time of a time of the kit (ISO 8601 UTC), s; 0 if it is damaged."""
    try:
        found = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
    return found if 0.0 <= found < LATEST_UNIX_S else 0.0


def unix_ms(unix_time_s: float) -> int:
    """Return a Unix time in whole milliseconds: a double of seconds is not exact, and must not lose one."""
    return round(unix_time_s * 1000)


def utc_of(unix_time_s: float) -> str:
    """Return a Unix time, s, as the kit writes times (ISO 8601 UTC)."""
    return utc_text(unix_ms(unix_time_s) * 1_000_000)


def _listed_runs(about: Mapping[str, object], path: Path) -> list[tuple[str, str, float]]:
    runs = about.get("runs")
    listed = [
        (run["session"], str(run.get("source", "")), unix_s(str(run.get("started", ""))))
        for run in (runs if isinstance(runs, list) else ())
        if isinstance(run, dict) and isinstance(run.get("session"), str)
    ]
    if not listed:
        raise InputError(f"{path}/session.json lists no run", "the file is damaged")
    return listed
