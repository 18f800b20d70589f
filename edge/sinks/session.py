"""The session folder: everything that one session writes, for unattended runs of weeks."""

from __future__ import annotations

import json
import platform
import time
from collections import deque
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.process.files import make_folder, output_error, write_atomically
from edge.records import NOTICE, to_json, utc_text
from edge.sinks import BaseSink
from edge.sinks._append import AppendFile
from edge.sinks._events import EventLog
from edge.sinks.summary_json import summary_dict
from edge.store.compact import CompactFile
from edge.store.keep import DEFAULT, SESSION_SCHEMA, Keep, Keeper, parse_keep
from edge.store.storage import Storage
from firmware_bridge.errors import OutputError, UsageError
from firmware_bridge.parts import next_part

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle
    from edge.records import Estimate, RunSummary
    from edge.sources import SourceInfo
    from edge.waves.record import WaveRecord
    from firmware_bridge.samples import LinkEvent

MAX_RR_S = 3.0
"""Longest RR interval, s; a longer time between two beats is a gap (Orphanidou 2015)."""

MAX_JSON_CHARS = 1 << 20

KEEP_EVERY_S = 600.0
"""Time between two looks for files that are too old, s; each new part is a reason to look, too."""

_NEW_FOLDER = "name a new folder"

_BEATS_HEADER = "run,time_s,rr_s,pr_ms,qrs_ms,qt_ms"
SETTLED_S = 1.0
"""Time between a beat and the end of the window whose average beat includes it, s."""
MAX_WAITING = 64
"""Most beats that wait for the waves of their window: more than a window holds."""
_BEATS_HEADERS = (f"{_BEATS_HEADER}\n", "run,time_s,rr_s\n")
_BEFORE_RESULTS = {"estimates.jsonl": ("",), "events.jsonl": ("",), "beats.csv": _BEATS_HEADERS}
"""Files that exist before ``session.json``, with what they hold until then, or the begin of it."""
_MOST_BEFORE_RESULTS = max(map(len, _BEATS_HEADERS))


def next_raw_path(folder: Path | str) -> Path:
    """Return the file for the next raw recording in a session folder; a recording is never overwritten.

    Raises:
        OutputError: The folder cannot be read.
    """
    try:
        return next_part(Path(folder) / "raw.aer")
    except OSError as error:
        raise output_error(folder, error) from None


def make_private(folder: Path) -> None:
    """Create a session folder that only its owner can open, or leave an existing one as it is.

    Raises:
        OutputError: The folder cannot be created.
    """
    make_folder(folder, 0o700)


class SessionSink(BaseSink):
    """Writes a run to the folder of ``--session-dir``.

    A new or empty folder begins a session. A folder with an unfinished session of the same device and bundle (the power
    failed, the process was killed) is continued: the run appends to its files, and ``session.json`` gets another run
    with a new identifier, because signal time restarts at 0. Any other folder is refused, so sessions never mix.
    The source writes the raw recording into the same folder (`next_raw_path`).

    Args:
        path: The folder.
        source: Description of the source; only a live source can be continued.
        bundle: The bundle that makes the estimates.
        session: Identifier of this run, as in its estimates.
        keep: How much of the session stays on the disk; the limits of ``--keep`` without it.
        others: Whether finished sessions in the same folder count and may be removed, too.
        storage: The account of what is lost and removed.
        keeper: What removes old files, if several running sessions share the limits.
        patch: Name of the patch in topics, if the run publishes to a broker; ``None`` otherwise.
    """

    def __init__(
        self,
        path: Path | str,
        source: SourceInfo,
        bundle: Bundle,
        session: str,
        *,
        keep: Keep | None = None,
        others: bool = False,
        storage: Storage | None = None,
        keeper: Keeper | None = None,
        patch: str | None = None,
    ) -> None:
        self._path = Path(path)
        self._source = source
        self._bundle = bundle
        self._session = session
        self._patch = patch
        self._runs: list[object] = []
        self._run: dict[str, object] = {}
        self._keep = keep or parse_keep(DEFAULT)
        self._storage = storage or Storage()
        self._keeper = keeper or Keeper(self._keep, self._path, self._storage, others=others)
        self._keep_at_s = 0.0
        self._estimates = CompactFile(
            self._path / "estimates.aee", self._keep.part_bytes, self._storage, self._storage.part_ended
        )
        self._beats = self._lines("beats.csv", b"run,", _BEATS_HEADER)
        self._events = EventLog(self._lines("events.jsonl", b'{"time":"'), session)
        self._last_beat_s: float | None = None
        self._waiting: deque[tuple[float, str]] = deque()
        """Beats that are not written yet: signal time, s, and the begin of their line."""
        self._found: dict[str, object] = {}
        self._opened = False

    def open(self) -> None:
        """Create the folder or continue the session in it.

        Raises:
            UsageError: The folder belongs to another or a finished session.
            OutputError: The folder cannot be written.
        """
        self._enter()
        self._beats.open()
        self._events.open()
        self._run = {"session": self._session, "source": self._source.url, "started": utc_text(time.time_ns())}
        if self._patch is not None:
            self._run["patch"] = self._patch
        self._write_about()
        self._opened = True
        self._remove_old()

    def estimate(self, e: Estimate) -> None:
        """Append to the compact file of estimates, and the beats that waited for this record to ``beats.csv``.

        Raises:
            OutputError: The disk failed.
        """
        self._estimates.write_line(to_json(e))
        self._write_beats(e)
        if self._storage.take_part_ended() or time.monotonic() >= self._keep_at_s:
            self._remove_old()

    def event(self, ev: LinkEvent) -> None:
        """Append to ``events.jsonl``, within its limit.

        Raises:
            OutputError: The disk failed.
        """
        found = ev.data.get("decided")
        if isinstance(found, dict):
            self._found |= found
        self._events.event(ev)

    def beat(self, t_s: float) -> None:
        """Take a beat for ``beats.csv``. It is written with the next record, which has the waves of its window.

        Raises:
            OutputError: The disk failed.
        """
        rr = None if self._last_beat_s is None else t_s - self._last_beat_s
        self._last_beat_s = t_s
        rr_text = f"{rr:.3f}" if rr is not None and 0 < rr <= MAX_RR_S else ""
        self._waiting.append((t_s, f"{len(self._runs) + 1},{t_s:.3f},{rr_text}"))
        if len(self._waiting) > MAX_WAITING:
            self._write_beat(None)

    def _write_beats(self, e: Estimate) -> None:
        """Write the beats for which a record is the one with their waves."""
        while self._waiting and self._waiting[0][0] <= e.window.end_s - SETTLED_S:
            self._write_beat(e.waves if self._waiting[0][0] >= e.window.start_s else None)

    def _write_beat(self, waves: WaveRecord | None) -> None:
        _t_s, line = self._waiting.popleft()
        found = () if waves is None else (waves.pr_ms, waves.qrs_ms, waves.qt_ms)
        cells = ["" if value is None else f"{value:.0f}" for value in found] or [""] * 3
        self._beats.write_line(",".join((line, *cells)))

    def close(self, summary: RunSummary | None) -> None:
        """Close the files and, with a summary, finish the session.

        Raises:
            OutputError: The disk is full or failed.
        """
        failed: OutputError | None = None
        try:
            while self._waiting and self._opened:
                self._write_beat(None)
        except OutputError as error:
            failed = error
        for file in (self._estimates, self._beats, self._events):
            try:
                file.close()
            except OutputError as error:
                failed = error
        if self._opened:
            try:
                self._write_about()
            except OutputError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        if summary is not None and self._opened:
            about = summary_dict(summary) | {"storage": self._storage.as_dict()}
            if self._events.omitted:
                about["thrown_away"] = {**summary.thrown_away, "events_not_logged": self._events.omitted}
            write_atomically(self._path / "summary.json", json.dumps(about, indent=2) + "\n", private=True)

    def _lines(self, name: str, starts_with: bytes, header: str = "") -> AppendFile:
        return AppendFile(
            self._path / name,
            starts_with,
            header,
            what=name.partition(".")[0],
            private=True,
            part_bytes=self._keep.part_bytes,
            watch=self._storage,
        )

    def _remove_old(self) -> None:
        self._keep_at_s = time.monotonic() + KEEP_EVERY_S
        if self._keeper.apply():
            with suppress(OutputError):  # a full disk must not end the run here; the summary says it, too
                self._write_about()

    def _enter(self) -> None:
        make_private(self._path)
        try:
            names = {p.name for p in self._path.iterdir() if p.suffix not in {".tmp", ".aer"}}
        except OSError as error:
            raise output_error(self._path, error) from None
        if "summary.json" in names:
            raise UsageError(f"{self._path} holds a finished session", _NEW_FOLDER)
        if "session.json" in names:
            self._continue()
        elif not all(self._left_by_a_start(name) for name in names):
            raise UsageError(f"{self._path} is not empty and holds no session", _NEW_FOLDER)

    def _left_by_a_start(self, name: str) -> bool:
        """Return whether a run that was killed before its first result has left a file."""
        if name == ".session.json.part":
            return True
        allowed = _BEFORE_RESULTS.get(name)
        if allowed is None:
            return False
        try:
            with (self._path / name).open("rb") as file:
                begun = file.read(_MOST_BEFORE_RESULTS + 1)
        except OSError:
            return False
        # A power cut may leave the length of what was not synced, and zeros instead of it.
        return not begun.strip(b"\0") or any(text.encode().startswith(begun) for text in allowed)

    def _continue(self) -> None:
        try:
            with (self._path / "session.json").open(encoding="utf-8") as file:
                old = json.loads(file.read(MAX_JSON_CHARS))
            before = (old["device_url"], old["bundle"]["sha256"])
            self._runs = list(old["runs"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(f"{self._path}/session.json cannot be read: {error}", _NEW_FOLDER) from None
        if before != (_device_url(self._source.url), self._bundle.sha256):
            raise UsageError(f"{self._path} holds a session of another source or bundle", _NEW_FOLDER)
        if not self._source.live:
            raise UsageError(f"{self._path} holds an unfinished replay, which cannot be continued", _NEW_FOLDER)

    def _write_about(self) -> None:
        write_atomically(self._path / "session.json", json.dumps(self._about(), indent=2) + "\n", private=True)

    def _about(self) -> dict[str, object]:
        manifest = self._bundle.manifest
        decided = self._source.decided
        means = {head.key: head.means for head in manifest.outputs if head.means is not None}
        return {
            "schema": SESSION_SCHEMA,
            "device": self._source.device,
            "device_url": _device_url(self._source.url),
            "decided": ({} if decided is None else decided.as_dict()) | self._found or None,
            "bundle": {"name": f"{manifest.name} {manifest.version}", "sha256": self._bundle.sha256}
            | ({"means": means} if means else {}),
            "versions": {
                "anyecg-edge": _version("anyecg-edge"),
                "python": platform.python_version(),
                "numpy": np.__version__,
                "ai-edge-litert": _version("ai-edge-litert"),
                "system": platform.platform(),
            },
            "runs": [*self._runs, self._run | {"storage": self._storage.as_dict()}],
            "keep": self._keep.text,
            "notice": NOTICE,
        }


def _device_url(url: str) -> str:
    """Return the source URL without a ``record:`` prefix, because each run records to another file."""
    return url.partition(",")[2] if url.startswith("record:") else url


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
