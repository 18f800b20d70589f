"""What a session holds as tables, for CSV and Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

from edge.baseline.record import QUANTITIES
from edge.records import Estimate, LabEstimate
from edge.sessions.ecg import Missing, Segment
from edge.sessions.folder import SessionFolder, utc_of
from edge.sessions.formats.digits import CHUNK
from edge.sessions.marks import Mark
from edge.sessions.spans import abstentions
from edge.waves.network_answer import NetworkAnswer
from edge.waves.record import DIGITS

Cell = int | float | str | bool | None
Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Name and type of each column of a table."""

    names: tuple[str, ...]
    types: tuple[type, ...]


class Writer(Protocol):
    """Writes the rows of one table, some at a time."""

    def rows(self, rows: list[Row]) -> None:
        """Append rows.

        Raises:
            OSError: The file cannot be written.
        """

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: The file cannot be written.
        """


RUNS = Columns(("run", "session", "source", "start", "clock_synced"), (int, str, str, str, bool))
"""``start`` is the time at ``time_s`` 0, UTC."""
BEATS = Columns(("run", "time_s", "rr_s"), (int, float, float))
WAVES = Columns(("run", "wave", "onset_s", "peak_s", "end_s"), (int, str, float, float, float))
SPANS = Columns(("run", "start_s", "end_s", "reason"), (int, float, float, str))
_ESTIMATES = (
    ("run", int), ("time", str), ("start_s", float), ("end_s", float), ("quality", float), ("flags", str),
    ("heart_rate_bpm", float), ("abstained", str), ("lost_samples", int), ("rhythm", str),
    *((name, float) for name in DIGITS),
)  # fmt: skip
_CHANGE = (("", float), (".low", float), (".high", float), (".within", bool))
"""Columns of the change of each quantity; only in a session with a baseline."""
_HEAD = (("", float), (".low", float), (".high", float), (".threshold", float), (".flag", bool))
"""Columns of an output, and of the network's own answer where the output is fused with waves."""


def ecg_columns(unit: str) -> Columns:
    """Return the columns of the ECG in ``mV`` or ``counts``."""
    return Columns(("run", "segment", "time_s", f"ecg_{unit.lower()}"), (int, int, float, float))


def ecg_rows(segment: Segment) -> Iterator[list[Row]]:
    """Yield the samples of a segment."""
    for at in range(0, len(segment.samples), CHUNK):
        values = segment.samples[at : at + CHUNK]
        times = segment.times_s(at, at + len(values))
        yield [
            (segment.run, segment.number, round(t, 6), float(f"{v:.7g}"))
            for t, v in zip(times.tolist(), values.tolist(), strict=True)
        ]


def run_rows(session: SessionFolder) -> Iterator[Row]:
    """Yield the runs."""
    for run in session.runs:
        yield run.number, run.session, run.source, utc_of(run.start_unix_s), run.synced


def wave_rows(waves: list[Mark]) -> Iterator[Row]:
    """Yield the waves."""
    for mark in waves:
        yield mark.run, mark.kind, round(mark.start_s, 4), round(mark.at_s, 4), round(mark.end_s, 4)


def abstention_rows(session: SessionFolder) -> Iterator[Row]:
    """Yield the spans without an estimate."""
    for span in abstentions(session.estimates(), _numbers(session)):
        yield span.run, span.start_s, span.end_s, span.reason


def gap_row(gap: Missing) -> Row:
    """Return a gap as a row."""
    return gap.run, round(gap.start_s, 6), round(gap.end_s, 6), gap.reason


class EstimateShape(NamedTuple):
    """What the table of estimates holds.

    Attributes:
        keys: Keys of the outputs.
        changes: Whether there are changes against a quiet hour.
        fused: Keys of the outputs beside which stands the network's own answer.
    """

    keys: tuple[str, ...]
    changes: bool
    fused: tuple[str, ...]


def estimate_columns(session: SessionFolder) -> tuple[Columns, EstimateShape]:
    """Return the columns of the estimates, and what they hold."""
    keys: tuple[str, ...] = ()
    changes, fused = False, set[str]()
    for e in session.estimates():
        changes |= e.change is not None
        keys = keys or tuple(lab.key for lab in e.labs)
        fused |= {lab.key for lab in e.labs if lab.network is not None}
        # An output that abstains by rhythm has no answer of the network, nor has an estimate that the patch made.
        if e.labs and e.estimated_by != "patch" and all(lab.abstained is None for lab in e.labs):
            break
    quantities = QUANTITIES if changes else ()
    more = [(f"change.{name}{suffix}", kind) for name in quantities for suffix, kind in _CHANGE]
    heads = [(f"{key}{suffix}", kind) for key in keys for suffix, kind in _HEAD]
    networks = [(f"{key}.network{suffix}", kind) for key in keys if key in fused for suffix, kind in _HEAD]
    names, types = zip(*_ESTIMATES, *more, *heads, *networks, strict=True)
    return Columns(names, types), EstimateShape(keys, changes, tuple(key for key in keys if key in fused))


def estimate_rows(session: SessionFolder, shape: EstimateShape) -> Iterator[Row]:
    """Yield one row for each hop."""
    numbers = _numbers(session)
    for e in session.estimates():
        yield _estimate_row(e, numbers.get(e.session, 0), shape)


def batches(rows: Iterator[Row], size: int = 4096) -> Iterator[list[Row]]:
    """Yield rows in lists."""
    while some := list(islice(rows, size)):
        yield some


def _estimate_row(e: Estimate, run: int, shape: EstimateShape) -> Row:
    labs = {lab.key: lab for lab in e.labs}
    cells: list[Cell] = [
        run, e.time, e.window.start_s, e.window.end_s, e.quality.score, " ".join(e.quality.flags), e.heart_rate_bpm,
        e.abstained, e.lost_samples, None if e.rhythm is None else e.rhythm.name,
        *(None if e.waves is None else getattr(e.waves, name) for name in DIGITS),
    ]  # fmt: skip
    for name in QUANTITIES if shape.changes else ():
        found = None if e.change is None else e.change.values.get(name)
        cells += [None] * len(_CHANGE) if found is None else [found.value, found.low, found.high, found.within]
    for key in shape.keys:
        cells += _answer_cells(labs.get(key))
    for key in shape.fused:
        cells += _answer_cells(labs[key].network if key in labs else None)
    return tuple(cells)


def _answer_cells(answer: LabEstimate | NetworkAnswer | None) -> list[Cell]:
    """Return the cells of an output, or of the network's own answer beside it."""
    if answer is None:
        return [None] * len(_HEAD)
    low, high = answer.interval or (None, None)
    return [answer.value, low, high, answer.threshold, answer.flag]


def _numbers(session: SessionFolder) -> Mapping[str, int]:
    return {run: number for number, run in enumerate(session.names, 1)}
