"""A folder that holds everything of one session, for weeks unattended and for a look afterwards."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge.records import NOTICE, summary_dict, utc_text
from edge.sinks import BaseSink
from edge.sinks._append import AppendFile, output_error, write_atomically
from edge.sinks.jsonl import JsonlSink
from firmware_bridge.errors import OutputError, UsageError

if TYPE_CHECKING:
    from edge.records import BundleRef, Estimate, RunSummary
    from firmware_bridge.samples import LinkEvent

SCHEMA = "anyecg.session/1"
MAX_RR_S = 3.0
"""A longer distance of two beats is a gap, not an RR interval (Orphanidou 2015)."""

MAX_JSON_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What identifies a session.

    Attributes:
        source: The source URL.
        bundle: The bundle.
        live: The source is a device; only such a session can be continued.
        versions: Versions of the kit, Python, numpy and the interpreter.
        settings: Flags of the run, as written.
    """

    source: str
    bundle: BundleRef
    live: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str | float | bool | None] = field(default_factory=dict)


class SessionFolder:
    """The folder of ``--session-dir``.

    A new or empty folder begins a session. One that holds a session of the same device and bundle which never ended
    (the power failed, the process was killed) is continued: its files are appended to, and the run gets a number,
    because signal time begins anew. Anything else is refused, so no session is ever mixed with another.

    Args:
        path: The folder.
        info: What is about to run.

    Attributes:
        session_id: For the estimates' ``session``.
        run: 1 for the first run of the session, counted on for continuations.
    """

    def __init__(self, path: Path | str, info: SessionInfo) -> None:
        self.path = Path(path)
        self._info = info
        self.session_id = ""
        self.run = 0
        self._runs: list[object] = []
        self._base_id = ""

    @property
    def raw_path(self) -> Path:
        """Where the raw recording of this run goes; a recording is never overwritten."""
        return self.path / ("raw.aer" if self.run <= 1 else f"raw.{self.run}.aer")

    def begin(self, unix_ns: int | None = None) -> None:
        """Make the folder or continue in it, and write ``session.json``.

        Args:
            unix_ns: Wall clock; now where it is ``None``.

        Raises:
            UsageError: The folder belongs to another or a finished session.
            OutputError: It cannot be written.
        """
        started = utc_text(time.time_ns() if unix_ns is None else unix_ns)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            known = (self.path / "session.json").exists()
            foreign = not known and any(not p.name.endswith(".tmp") for p in self.path.iterdir())
        except OSError as error:
            raise output_error(self.path, error) from None
        if foreign:
            raise UsageError(f"{self.path} is not empty and holds no session", "name a new folder")
        if known:
            self._continue()
        else:
            self._base_id = f"{started[:19].replace('-', '').replace(':', '')}Z-{secrets.token_hex(2)}"
        self.run = len(self._runs) + 1
        self.session_id = self._base_id if self.run == 1 else f"{self._base_id}.{self.run}"
        self._runs.append({"run": self.run, "started": started, "raw": self.raw_path.name})
        write_atomically(self.path / "session.json", json.dumps(self._json(), indent=2) + "\n")

    def end(self, summary: RunSummary) -> None:
        """Write ``summary.json``: the session is finished.

        Raises:
            OutputError: It cannot be written.
        """
        write_atomically(self.path / "summary.json", json.dumps(summary_dict(summary), indent=2) + "\n")

    def _continue(self) -> None:
        if (self.path / "summary.json").exists():
            raise UsageError(f"{self.path} holds a finished session", "name a new folder")
        try:
            with (self.path / "session.json").open(encoding="utf-8") as file:
                old = json.loads(file.read(MAX_JSON_BYTES))
            same = (old["source"], old["bundle"]["sha256"]) == (self._info.source, self._info.bundle.sha256)
            self._base_id, self._runs = str(old["session"]), list(old["runs"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(f"{self.path}/session.json cannot be read: {error}", "name a new folder") from None
        if not same:
            raise UsageError(f"{self.path} holds a session of another source or bundle", "name a new folder")
        if not self._info.live:
            raise UsageError(f"{self.path} holds an unfinished replay, which begins anew", "name a new folder")

    def _json(self) -> dict[str, object]:
        return {
            "schema": SCHEMA,
            "session": self._base_id,
            "source": self._info.source,
            "bundle": {"name": self._info.bundle.name, "sha256": self._info.bundle.sha256},
            "versions": dict(self._info.versions),
            "settings": dict(self._info.settings),
            "runs": self._runs,
            "notice": NOTICE,
        }


class SessionSink(BaseSink):
    """Estimates, beats and events of a run in its session folder; the raw recording beside them is the source's part.

    Args:
        folder: The folder; ``begin`` was called.
    """

    def __init__(self, folder: SessionFolder) -> None:
        self._folder = folder
        self._estimates = JsonlSink(folder.path / "estimates.jsonl")
        self._beats = AppendFile(folder.path / "beats.csv", b"run,", "run,time_s,rr_s")
        self._events = AppendFile(folder.path / "events.jsonl", b"{")
        self._last_beat_s: float | None = None

    def open(self) -> None:
        """Open the files.

        Raises:
            OutputError: One of them cannot be written.
        """
        self._estimates.open()
        self._beats.open()
        self._events.open()

    def estimate(self, e: Estimate) -> None:
        """Append to ``estimates.jsonl``.

        Raises:
            OutputError: The disk is full or failed.
        """
        self._estimates.estimate(e)

    def event(self, ev: LinkEvent) -> None:
        """Append to ``events.jsonl``.

        Raises:
            OutputError: The disk is full or failed.
        """
        record = {
            "time": utc_text(time.time_ns()),
            "session": self._folder.session_id,
            "kind": str(ev.kind),
            "detail": ev.detail,
            "data": dict(ev.data),
        }
        self._events.write_line(json.dumps(record, separators=(",", ":"), default=str))

    def beat(self, t_s: float) -> None:
        """Append to ``beats.csv``.

        Raises:
            OutputError: The disk is full or failed.
        """
        rr = None if self._last_beat_s is None else t_s - self._last_beat_s
        self._last_beat_s = t_s
        shown = f"{rr:.3f}" if rr is not None and 0 < rr <= MAX_RR_S else ""
        self._beats.write_line(f"{self._folder.run},{t_s:.3f},{shown}")

    def close(self, summary: RunSummary | None) -> None:
        """Close the files and, with a summary, finish the session.

        Raises:
            OutputError: The disk is full or failed.
        """
        failed: OutputError | None = None
        for file in (self._estimates, self._beats, self._events):
            try:
                file.close(None) if isinstance(file, JsonlSink) else file.close()
            except OutputError as error:
                failed = error
        if failed is not None:
            raise failed
        if summary is not None:
            self._folder.end(summary)
