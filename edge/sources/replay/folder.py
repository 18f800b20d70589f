"""The recordings in a folder, or those that a pattern or several URLs name."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge.sources import SourceUrl
from firmware_bridge.errors import InputError, UsageError

SUFFIXES = frozenset({".hea", ".edf", ".bdf", ".csv", ".tsv", ".mat", ".aer"})
"""Ends of the names of recordings; other files of a folder are not looked at."""

MAX_FILES = 200_000
"""Largest number of recordings in a folder. MC-MED has fewer lead II recordings in each part."""

_ANNOTATIONS = re.compile(r"(_|-)(ann|annotations|peaks|rr|labels)$", re.IGNORECASE)


def recording_files(folder: Path) -> list[Path]:
    """Return the recordings under a folder, sorted. Symbolic links to folders are not followed.

    Args:
        folder: A folder, or one recording.

    Raises:
        InputError: The folder does not exist, or holds no recording.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}", "give a folder of recordings")
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        folders.sort()
        found += _recordings([Path(root, name) for name in sorted(files)])
        if len(found) > MAX_FILES:
            raise InputError(f"{folder} holds more than {MAX_FILES} recordings", "give a smaller folder")
    if not found:
        raise InputError(f"{folder} holds no recording", f"recordings are files with {', '.join(sorted(SUFFIXES))}")
    return found


def _recordings(files: Sequence[Path]) -> list[Path]:
    """Return the files of one folder that are recordings: a header stands for its signal files."""
    here = [p for p in files if p.suffix.lower() in SUFFIXES]
    headers = {p.stem for p in here if p.suffix == ".hea"}
    return [p for p in here if (p.suffix == ".hea" or p.stem not in headers) and not _ANNOTATIONS.search(p.stem)]


def many_recordings(urls: Sequence[str]) -> list[tuple[str, SourceUrl]] | None:
    """Return name and URL of each recording; ``None`` if the only URL names one source.

    Args:
        urls: Source URLs; each names a recording, a folder of recordings, or files by a pattern such as ``*.hea``.

    Raises:
        UsageError: Several sources are not all recordings, or a speed is set.
        InputError: A folder or pattern has no recording.
    """
    parsed = [SourceUrl.parse(url) for url in urls]
    if len(parsed) == 1 and (parsed[0].scheme != "replay" or not _names_many(parsed[0].path)):
        return None
    out: dict[str, tuple[str, SourceUrl]] = {}
    for url in parsed:
        if url.scheme != "replay":
            raise UsageError(
                f"{url.text} is not a recording, and only recordings are read one after another",
                "name it without a folder or pattern beside it",
            )
        if url.params.get("speed", "max").lower() != "max":
            raise UsageError("several recordings are read as fast as possible", "leave out the speed")
        for name, path in _named(url.path):
            query = url.rest.partition("?")[2]
            one = replace(
                url,
                text=f"replay:{path}" + (f"?{query}" if query else ""),
                rest=str(path),
                path=str(path),
                params={**url.params, "speed": "max"},
            )
            out.setdefault(str(path), (name, one))
    if len(out) > MAX_FILES:
        raise InputError(f"more than {MAX_FILES} recordings are named", "name fewer at a time")
    return list(out.values())


def _names_many(path: str) -> bool:
    expanded = Path(path).expanduser()
    try:
        return expanded.is_dir() or (glob.has_magic(path) and not expanded.exists() and not _is_record(expanded))
    except (OSError, ValueError):
        return False


def _is_record(path: Path) -> bool:
    return bool(path.name) and path.with_name(path.name + ".hea").exists()


def _named(path: str) -> list[tuple[str, Path]]:
    """Return the name to show and the path of each recording that one URL names."""
    place = Path(path).expanduser()
    if not _names_many(path):
        return [(place.name, place)]
    if place.is_dir():
        return [(p.relative_to(place).as_posix(), p) for p in recording_files(place)]
    matched = [Path(p) for p in sorted(glob.iglob(str(place), recursive=True))]  # noqa: PTH207  # a whole path with a pattern
    matched = [p for p in matched if p.is_file()]
    found: list[Path] = []
    for folder in sorted({p.parent for p in matched}):
        found += _recordings([p for p in matched if p.parent == folder])
    found = found or matched
    if not found:
        raise InputError(f"no file matches {path}", "check the pattern")
    common = Path(os.path.commonpath([p.parent for p in found]))
    return [(p.relative_to(common).as_posix(), p) for p in found]
