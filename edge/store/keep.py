"""``--keep``: how much of what the kit writes stays on the disk, by size and by age; the oldest goes first.

Only files are removed that the kit wrote into session folders, by their names and kinds: parts of estimates, raw
recordings, beats and events that are closed, and the two JSON files of a finished session once no part of it is left.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from edge.store.storage import Storage
from firmware_bridge.errors import UsageError
from firmware_bridge.parts import part_number
from firmware_bridge.posix import CLOSE_ON_EXEC, NO_FOLLOW, NO_WAIT, lock
from firmware_bridge.reading import resolved

DEFAULT = "2GB"
SESSION_SCHEMA = "anyecg.session/1"
SEQUENCES = ("estimates.aee", "estimates.jsonl", "raw.aer", "beats.csv", "events.jsonl")
"""First parts of everything that grows in a session folder."""
ENDS = ("postures.csv", "summary.json", "session.json")
"""Files that go when a session has no part left, in this order."""
MIN_BYTES = 1_000_000
MAX_PART_BYTES = 64 << 20
"""Largest part, bytes."""
PARTS = 16
"""Parts that the limit holds at least."""
OPEN_PARTS = 4
"""Files of a session that grow at the same time: estimates, raw recording, beats, events."""
MAX_JSON_BYTES = 1 << 20

_UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_AGES = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_GRAMMAR = "write a size (500MB, 2GB), an age (12h, 30d, 8w), both (2GB,30d), or all"


@dataclass(frozen=True, slots=True)
class Keep:
    """The limits of what is kept.

    Attributes:
        max_bytes: Largest size of all files together, bytes; ``None`` for no limit.
        max_age_s: Largest age of a file, s since its last change; ``None`` for no limit.
        text: The limits as the user wrote them.
        sessions: Number of running sessions that share the limits.
    """

    max_bytes: int | None
    max_age_s: float | None
    text: str
    sessions: int = 1

    @property
    def part_bytes(self) -> int | None:
        """Size at which the next part of a file begins, bytes; ``None`` for one part."""
        if self.max_bytes is None:
            return MAX_PART_BYTES if self.max_age_s is not None else None
        return min(self.max_bytes // (PARTS * self.sessions), MAX_PART_BYTES)


def parse_keep(text: str, sessions: int = 1) -> Keep:
    """Parse ``2GB``, ``30d``, ``2GB,30d`` or ``all``.

    Args:
        text: The limits.
        sessions: Number of running sessions that share them.

    Raises:
        UsageError: The text is none of these, or the size is too small.
    """
    size: float | None = None
    age: float | None = None
    if text != "all":
        for part in text.split(","):
            found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?([A-Za-z]{1,3})", part.strip(), re.ASCII)
            unit = found[2] if found is not None else ""
            if found is not None and unit in _UNITS and size is None:
                size = float(found[1]) * _UNITS[unit]
            elif found is not None and unit in _AGES and age is None:
                age = float(found[1]) * _AGES[unit]
            else:
                raise UsageError(f"--keep {text}: not a size or an age", _GRAMMAR)
    if size is not None and size < MIN_BYTES * sessions:
        raise UsageError(f"--keep {text}: the smallest size is {sessions}MB", _GRAMMAR)
    if age is not None and age < 3600.0:
        raise UsageError(f"--keep {text}: the smallest age is 1h", _GRAMMAR)
    return Keep(None if size is None else int(size), age, text, sessions)


@dataclass(frozen=True, slots=True)
class _File:
    changed_s: float
    number: int
    folder: str
    name: str
    size: int
    current: bool

    @property
    def path(self) -> str:
        """Its path as text: path objects of all files at every look would fill Python's table of interned strings."""
        return f"{self.folder}{os.sep}{self.name}"


class Keeper:
    """Removes what is too much or too old. Several threads may call it.

    Args:
        keep: The limits.
        session: Folder of the running session, or the folders of all that share the limits; the open part of each of
            their files stays.
        storage: Takes note of what is removed.
        others: Whether the sessions beside it count and may be removed, too. Running ones do not.
        roots: Folders of sessions whose finished ones count as well, directly in them or one level deeper.
    """

    def __init__(
        self, keep: Keep, session: Path | Sequence[Path], storage: Storage, *, others: bool, roots: Sequence[Path] = ()
    ) -> None:
        self._keep, self._storage, self._others = keep, storage, others
        self._sessions = [session] if isinstance(session, Path) else list(session)
        self._roots, self._lock = roots, Lock()

    def apply(self) -> bool:
        """Remove what the limits say, oldest first.

        Returns:
            Whether something was removed.
        """
        if self._keep.max_bytes is None and self._keep.max_age_s is None:
            return False
        with self._lock:
            return self._apply()

    def _apply(self) -> bool:
        files = sorted(self._files(), key=lambda f: (f.changed_s, f.number, f.path))
        # Each open file may grow by one part before the next look.
        limit = math.inf
        if self._keep.max_bytes is not None:
            limit = self._keep.max_bytes - OPEN_PARTS * len(self._sessions) * (self._keep.part_bytes or 0)
        oldest_s = -math.inf if self._keep.max_age_s is None else time.time() - self._keep.max_age_s
        total = sum(file.size for file in files if not file.current)
        before = self._storage.removed_files
        for file in files:
            if file.current or (total <= limit and file.changed_s >= oldest_s):
                continue
            if self._remove(file.path, file.size):
                total -= file.size
                self._end(file.folder)
        return self._storage.removed_files > before

    def _files(self) -> Iterator[_File]:
        own = {str(resolved(session)) for session in self._sessions}
        for session in sorted(own):
            yield from _files_of(session, running=True)
        if not self._others:
            return
        seen = set(own)
        for folder in self._beside():
            if folder not in seen and is_session(folder) and not is_running(folder):
                seen.add(folder)
                yield from _files_of(folder, running=False)

    def _beside(self) -> Iterator[str]:
        """Yield the folders that may be other sessions."""
        for parent in sorted({str(resolved(session).parent) for session in self._sessions}):
            yield from _folders(parent)
        for root in self._roots:
            for folder in _folders(str(resolved(root))):
                yield folder
                yield from _folders(folder)

    def _remove(self, path: str, size: int) -> bool:
        try:
            os.unlink(path)  # noqa: PTH108  # Path would intern the name; see _File.path
        except OSError:
            return False
        self._storage.removed(path, size)
        return True

    def _end(self, name: str) -> None:
        """Remove a session of which no part is left; a file that the kit did not write keeps its folder."""
        folder = Path(name)
        own = {resolved(session) for session in self._sessions}
        if resolved(folder) in own or next(_files_of(name, running=False), None) is not None:
            return
        with suppress(OSError):
            for end in ENDS:
                (folder / end).unlink(missing_ok=True)
            folder.rmdir()
            if folder.parent.parent in {resolved(root) for root in self._roots}:
                folder.parent.rmdir()  # of an earlier run with several patches, if nothing is left in it


def _folders(parent: str) -> list[str]:
    try:
        with os.scandir(parent) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def is_session(folder: str | Path) -> bool:
    """Return whether a folder is a session that the kit wrote."""
    try:
        fd = os.open(f"{folder}{os.sep}session.json", os.O_RDONLY | NO_FOLLOW | NO_WAIT | CLOSE_ON_EXEC)
        with open(fd, "rb") as file:  # noqa: PTH123  # by its descriptor
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return False
            about = json.loads(file.read(MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(about, dict) and about.get("schema") == SESSION_SCHEMA


def _files_of(folder: str, *, running: bool) -> Iterator[_File]:
    found: dict[str, list[_File]] = {}
    with suppress(OSError):
        for entry in os.scandir(folder):
            for first in SEQUENCES:
                number = part_number(first, entry.name)
                if number:
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(about.st_mode):
                        file = _File(about.st_mtime, number, folder, entry.name, about.st_size, current=False)
                        found.setdefault(first, []).append(file)
    for files in found.values():
        last = max(file.number for file in files)
        for file in files:
            current = running and file.number == last
            yield replace(file, current=current)


def is_running(folder: str | Path) -> bool:
    """Return whether another run writes into a session; its beats and events are locked."""
    for file in _files_of(str(folder), running=True):
        if file.current and file.name.endswith((".csv", ".jsonl")):
            try:
                fd = os.open(file.path, os.O_RDONLY | NO_FOLLOW | CLOSE_ON_EXEC)
            except OSError:
                return True
            try:
                lock(fd, shared=True)
            except OSError:
                return True
            finally:
                os.close(fd)
    return False
