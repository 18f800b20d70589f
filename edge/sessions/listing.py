"""Finds session folders and summarises each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

from edge.sessions.folder import MAX_RUN_S, SessionFolder, utc_of
from edge.store.keep import is_running
from firmware_bridge.errors import InputError
from firmware_bridge.reading import resolved

DEPTH = 2
"""Levels of folders to look into: ``/var/lib/anyecg`` holds a folder for each patch, and that its sessions."""

MAX_FOLDERS = 100_000
"""Most folders that a search looks at."""

MAX_LOST = 1 << 40
"""More lost samples are a damaged number."""

State = Literal["finished", "running", "unfinished", "damaged"]


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One row of the list.

    Attributes:
        path: The folder.
        state: ``unfinished`` after a power failure or a kill; such a session can be continued.
        started: Start of the first run, ISO 8601 UTC; ``None`` if unknown.
        device: The device or recording.
        bundle: Name and version of the bundle.
        runs: Number of runs.
        length_s: Signal of all runs, s.
        hops: Estimates and abstentions.
        estimates: Estimates.
        lost_samples: Samples known to be lost.
        size_bytes: Size of all files, bytes.
        raw: Whether there is a raw recording, and so an ECG to export.
        problem: What is wrong with a damaged session; empty otherwise.
    """

    path: str
    state: State
    started: str | None = None
    device: str = ""
    bundle: str = ""
    runs: int = 0
    length_s: float = 0.0
    hops: int = 0
    estimates: int = 0
    lost_samples: int = 0
    size_bytes: int = 0
    raw: bool = False
    problem: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the facts as a JSON object."""
        return asdict(self)


def list_sessions(folders: Sequence[Path]) -> list[SessionFacts]:
    """Return the sessions in folders, oldest first.

    Args:
        folders: Session folders, and folders that hold some, directly or one level deeper.

    Raises:
        InputError: A folder does not exist or cannot be read.
    """
    found = {resolved(path): path for folder in folders for path in find_sessions(folder)}
    return sorted((session_facts(path) for path in found.values()), key=lambda facts: (facts.started or "", facts.path))


def session_facts(path: Path) -> SessionFacts:
    """Return the facts of a session folder; for a damaged one, its state and problem."""
    try:
        session = SessionFolder(path)
        length_s, hops, estimates, lost = _counts(session)
        raw = bool(session.raw_files())
    except InputError as error:
        return SessionFacts(str(path), "damaged", problem=str(error))
    state: State = "finished" if session.summary is not None else "running" if is_running(path) else "unfinished"
    return SessionFacts(
        path=str(path),
        state=state,
        started=utc_of(session.started_unix_s) if session.started_unix_s else None,
        device=session.device,
        bundle=session.bundle,
        runs=len(session.names),
        length_s=length_s,
        hops=hops,
        estimates=estimates,
        lost_samples=lost,
        size_bytes=session.size_bytes(),
        raw=raw,
    )


def _counts(session: SessionFolder) -> tuple[float, int, int, int]:
    """Return length, hops, estimates and lost samples: from the summary if it covers all runs, else by counting."""
    summary = session.summary
    if summary is not None and len(session.names) == 1:
        numbers = [summary.get(key) for key in ("signal_s", "hops", "estimates", "lost_samples")]
        if all(isinstance(n, int | float) and 0 <= n < MAX_LOST for n in numbers):
            length_s, hops, estimates, lost = cast("list[float]", numbers)
            return float(length_s), int(hops), int(estimates), int(lost)
    ends: dict[str, tuple[float, int]] = {}
    hops = estimates = 0
    for line in session.lines():
        hops += 1
        estimates += line.get("abstained") is None
        name, window, missing = str(line.get("session")), line.get("window"), line.get("lost_samples")
        end_s = window.get("end_s") if isinstance(window, Mapping) else None
        before = ends.get(name, (0.0, 0))
        ends[name] = (
            max(before[0], end_s) if isinstance(end_s, int | float) and 0 <= end_s < MAX_RUN_S else before[0],
            max(before[1], missing) if isinstance(missing, int) and missing < MAX_LOST else before[1],
        )
    return sum(end for end, _ in ends.values()), hops, estimates, sum(lost for _, lost in ends.values())


def find_sessions(folder: Path) -> Iterator[Path]:
    """Yield the session folders in a folder and up to `DEPTH` levels below it.

    Raises:
        InputError: The folder does not exist or cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", "name a session folder, or a folder that holds some")
    seen = 0
    level = [folder]
    for depth in range(DEPTH + 1):
        below: list[Path] = []
        for path in level:
            seen += 1
            if (path / "session.json").is_file():
                yield path
            elif depth < DEPTH and seen < MAX_FOLDERS:
                below += _folders_in(path, required=path == folder)
        level = below


def _folders_in(path: Path, *, required: bool) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
    except OSError as error:
        if required:
            raise InputError(f"cannot read {path}: {error.strerror or error}", "check its permissions") from None
        return []
    return [path / name for name in sorted(names)]
