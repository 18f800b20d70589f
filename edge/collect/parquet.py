"""Hops in Parquet files: ``DIR/hops/day=YYYY-MM-DD/HH-....parquet``, one row for each hop.

Each batch becomes a file in each hour that it touches. A file appears with all its rows or not at all. `tend` merges
the files of an hour into one, without repetitions; until then a hop that the broker sent twice may be there twice.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from edge.collect.hops import DETAILS, Hop
from edge.collect.merging import merge
from edge.collect.stores import Batch, Refused, StoreDownError
from edge.process.files import make_folder, sync_folder, written_beside
from edge.waves.record import DIGITS
from firmware_bridge import posix
from firmware_bridge.errors import OutputError

MOST = 20_000
PATIENCE_S = 10.0
TEND_EVERY_S = 60.0
MAX_FILES = 60
"""Files of one hour from which on the hour is merged before it is over."""
SETTLED_S = 900.0
"""Time after the end of an hour at which its files are merged, s."""

_REAL, _TEXT = pa.float32(), pa.string()
_TIME = pa.timestamp("ms", tz="UTC")
_LAB = pa.struct(
    [
        ("key", _TEXT), ("loinc", _TEXT), ("unit", _TEXT), ("value", _REAL), ("low", _REAL), ("high", _REAL),
        ("threshold", _REAL), ("flag", pa.bool_()), ("evidence", _TEXT),
    ]
)  # fmt: skip
HOPS = pa.schema(
    [
        ("patch", _TEXT), ("session", _TEXT), ("time", _TIME), ("start_us", pa.int64()), ("end_us", pa.int64()),
        ("device", _TEXT), ("synced", pa.bool_()), ("bundle", _TEXT), ("sha256", _TEXT), ("quality", _REAL),
        ("flags", _TEXT), ("rate_bpm", _REAL), ("reason", _TEXT), ("lost", pa.int64()), ("latency_ms", _REAL),
        ("windows", pa.int32()), ("labs", pa.list_(_LAB)), ("applied", _TEXT), ("rhythm", _TEXT),
        ("af_share", _REAL), ("ectopic_share", _REAL), *((name, _REAL) for name in DIGITS),
        *((name, _TEXT) for name in DETAILS),
    ],
    metadata={"anyecg.schema": "1"},
)  # fmt: skip
AVAILABILITY = pa.schema([("patch", _TEXT), ("time", _TIME), ("online", pa.bool_())], metadata={"anyecg.schema": "1"})
EVENTS = pa.schema(
    [("patch", _TEXT), ("session", _TEXT), ("digest", _TEXT), ("time", _TIME), ("kind", _TEXT), ("detail", _TEXT),
     ("repeats", pa.int64())],
    metadata={"anyecg.schema": "1"},
)  # fmt: skip
TABLES: dict[str, tuple[pa.Schema, list[str]]] = {
    "hops": (HOPS, ["patch", "session", "end_us", "time"]),
    "availability": (AVAILABILITY, ["patch", "time"]),
    "events": (EVENTS, ["patch", "session", "digest"]),
}
"""Columns of each table, and those that identify a row."""


class ParquetStore:
    """A folder of Parquet files, for one collector at a time.

    Args:
        folder: The folder.
        keep_s: Age of a day at which it is removed, s; ``None`` to keep all.
    """

    most, patience_s = MOST, PATIENCE_S

    def __init__(self, folder: Path, keep_s: float | None) -> None:
        self.place = f"parquet:{folder}"
        self._folder, self._keep_s = folder, keep_s
        self._lock: int | None = None
        self._tended_s = 0.0
        self._number = 0
        self._damaged: set[Path] = set()
        """First files of hours that cannot be merged."""

    def open(self) -> None:
        """Make the folder, and take it for this process.

        Raises:
            OutputError: Another collector writes there.
            StoreDownError: The folder cannot be made or written now.
        """
        try:
            make_folder(self._folder, 0o700)
            lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | posix.CLOSE_ON_EXEC, 0o600)
        except (OSError, OutputError) as error:
            raise StoreDownError(str(error)) from None
        try:
            posix.lock(lock)
        except OSError:
            os.close(lock)
            raise OutputError(f"another collector writes to {self._folder}", "name another folder") from None
        self._lock = lock
        with suppress(OSError):
            for path in self._folder.glob("*/day=*/.*.part"):  # a collector that was killed has left them
                path.unlink()

    def write(self, batch: Batch, refused: Refused) -> int:
        """Write a batch; all of its rows count as new, because repetitions are found later.

        Raises:
            StoreDownError: A file cannot be written now.
        """
        del refused
        rows = {
            "hops": [_row(hop) for hop in batch.hops],
            "availability": [one._asdict() for one in batch.availability],
            "events": [one._asdict() for one in batch.events],
        }
        try:
            for table, found in rows.items():
                self._write(table, found)
        except (OSError, OutputError, pa.ArrowException) as error:
            raise StoreDownError(str(error)) from None
        return len(batch.hops)

    def patches_of(self, session: str) -> list[str]:
        """Return the patches that have a session of this name: reads two columns of every file.

        Raises:
            StoreDownError: A file cannot be read.
        """
        found: set[str] = set()
        for path in (self._folder / "hops").glob("day=*/*.parquet"):
            try:
                table = pq.read_table(path, columns=["patch"], partitioning=None, filters=[("session", "==", session)])
            except (OSError, pa.ArrowException) as error:
                raise StoreDownError(f"cannot read {path}: {error}") from None
            found |= set(table["patch"].to_pylist())
        return sorted(found)

    def tend(self, *, everything: bool = False) -> None:
        """Remove days that are too old, and merge one hour that has ended.

        Args:
            everything: Whether to merge every hour.

        Raises:
            StoreDownError: A file cannot be written or removed now.
        """
        now_s = time.monotonic()
        if now_s < self._tended_s and not everything:
            return
        try:
            self._remove_old()
        except (OSError, ValueError) as error:
            raise StoreDownError(str(error)) from None
        for table, (schema, identity) in TABLES.items():
            for files in self._due(table, everything=everything):
                try:
                    merge(files, schema, identity, self._name(files[0].parent, files[0].name[:2]))
                except (OSError, OutputError, pa.ArrowException) as error:
                    self._damaged.add(files[0])  # the other hours do not wait for it
                    raise StoreDownError(f"cannot merge {files[0].parent}: {error}") from None
                if not everything:
                    return  # the next one soon: messages wait meanwhile
        self._tended_s = now_s + TEND_EVERY_S

    def close(self) -> None:
        """Let another collector write there."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _write(self, table: str, rows: list[dict[str, Any]]) -> None:
        hours: dict[tuple[date, int], list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            hours[row["time"].date(), row["time"].hour].append(row)
        for (day, hour), some in hours.items():
            folder = self._folder / table / f"day={day}"
            make_folder(folder, 0o700)
            with written_beside(self._name(folder, f"{hour:02}"), private=True) as partial:
                pq.write_table(pa.Table.from_pylist(some, TABLES[table][0]), partial, compression="zstd")

    def _name(self, folder: Path, hour: str) -> Path:
        """Return the name of a new file: no other file ever gets it."""
        self._number += 1
        return folder / f"{hour}-{time.time_ns():x}-{os.getpid():x}-{self._number:x}.parquet"

    def _due(self, table: str, *, everything: bool) -> list[list[Path]]:
        """Return the files of each hour that should be merged."""
        hours: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for path in sorted((self._folder / table).glob("day=*/[0-9][0-9]-*.parquet")):
            hours[path.parent.name, path.name[:2]].append(path)
        now = datetime.now(UTC)
        return [
            files
            for (day, hour), files in hours.items()
            if len(files) > 1
            and files[0] not in self._damaged
            and (everything or len(files) > MAX_FILES or now > _start(day, hour) + timedelta(seconds=3600 + SETTLED_S))
        ]

    def _remove_old(self) -> None:
        if self._keep_s is None:
            return
        oldest = (datetime.now(UTC) - timedelta(seconds=self._keep_s)).date()
        for folder in self._folder.glob("*/day=*"):
            if date.fromisoformat(folder.name[4:]) < oldest:
                shutil.rmtree(folder)
                sync_folder(folder.parent)


def _start(day: str, hour: str) -> datetime:
    return datetime.fromisoformat(day[4:]).replace(hour=int(hour) % 24, tzinfo=UTC)


def _row(hop: Hop) -> dict[str, Any]:
    row = hop.columns()
    layout = row.pop("layout")
    columns = [row.pop(name) for name in ("value", "low", "high", "flag")]
    row |= {"bundle": None, "sha256": None, "labs": None}
    if layout is not None:
        labs = zip(layout.heads, *columns, strict=True)
        row["bundle"], row["sha256"] = layout.bundle, layout.sha256
        row["labs"] = [
            {**head._asdict(), "value": value, "low": low, "high": high, "flag": flag}
            for head, value, low, high, flag in labs
        ]
    return row
