"""Where the files of MIMIC-IV and MIMIC-IV-ECG are: plain or compressed tables, and two depths of record folders.

::

    record_list.csv                                  subject_id, study_id, file_name, ecg_time, path
    files/p1000/p10000032/s40689238/40689238.hea     full set
    files/p10000032/s107143276/107143276.hea         open demo: one level less
    hosp/labevents.csv.gz                            and d_labitems, patients, and diagnoses_icd where it exists;
                                                     plain .csv in an unpacked copy
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from firmware_bridge.errors import InputError

RECORD_LIST = "record_list"
LAB_EVENTS, LAB_ITEMS, PATIENTS, DIAGNOSES = "labevents", "d_labitems", "patients", "diagnoses_icd"

SEARCH_DEPTH = 6
"""Depth below a folder in which both data sets are looked for: downloads keep ``physionet.org/files/NAME/VERSION``."""

_SIGNALS = "files"
"""Folder of the signals, which holds hundreds of thousands of folders and none of the tables."""


@dataclass(frozen=True, slots=True)
class MimicPlace:
    """Folders of the two data sets.

    Attributes:
        ecg: Folder with ``record_list.csv``.
        hosp: Folder with ``labevents.csv``; ``None`` for ECGs without results.
    """

    ecg: Path
    hosp: Path | None


def table(folder: Path, name: str) -> Path | None:
    """Return the file of a table, plain or compressed; ``None`` where there is none."""
    return next((path for suffix in (".csv", ".csv.gz") if (path := folder / f"{name}{suffix}").is_file()), None)


def needed_table(folder: Path, name: str) -> Path:
    """Return the file of a table.

    Raises:
        InputError: The folder does not have it.
    """
    path = table(folder, name)
    if path is None:
        raise InputError(f"no {name}.csv or {name}.csv.gz in {folder}", "check that the download is complete")
    return path


def is_mimic(folder: Path) -> bool:
    """Return whether a folder, or one below it, holds the list of records of MIMIC-IV-ECG."""
    return next(_holding(folder, RECORD_LIST), None) is not None


def place_of(ecg: Path, hosp: Path | None = None) -> MimicPlace:
    """Find both data sets.

    Args:
        ecg: Folder of MIMIC-IV-ECG, or a folder above it and MIMIC-IV.
        hosp: Folder of MIMIC-IV, or one above it; ``None`` to look below ``ecg``.

    Raises:
        InputError: No list of records is found, a data set is found twice, or ``hosp`` holds no results.
    """
    records = _only(ecg, RECORD_LIST, "MIMIC-IV-ECG")
    if records is None:
        raise InputError(f"no {RECORD_LIST}.csv in {ecg} or below", "give the folder of MIMIC-IV-ECG or of its demo")
    results = _only(ecg if hosp is None else hosp, LAB_EVENTS, "MIMIC-IV")
    if results is None and hosp is not None:
        raise InputError(f"no {LAB_EVENTS}.csv in {hosp} or below", "give the folder of MIMIC-IV or of its demo")
    return MimicPlace(records.absolute(), None if results is None else results.absolute())


def _only(folder: Path, name: str, what: str) -> Path | None:
    found = list(_holding(folder, name))
    if len(found) > 1:
        raise InputError(f"{folder} holds {what} twice: {found[0]} and {found[1]}", "name one of the two folders")
    return found[0] if found else None


def _holding(folder: Path, name: str) -> Iterator[Path]:
    """Yield the folders with a table, at most :data:`SEARCH_DEPTH` below a folder."""
    top = len(folder.parts)
    for root, names, _ in os.walk(folder):
        path = Path(root)
        if table(path, name) is not None:
            yield path
        deep = len(path.parts) - top >= SEARCH_DEPTH
        # In the list of a download, 'files' is also the folder above the data sets; there it holds no patients.
        patients = path.name == _SIGNALS and any(n.startswith("p1") for n in names)
        names[:] = [] if deep or patients else sorted(names)


def header_of(root: Path, stated: str) -> Path:
    """Return the header file of a record.

    Args:
        root: Folder with ``record_list.csv``.
        stated: Column ``path`` of that list.

    Returns:
        The path of the header; the other depth of folders is tried where the stated one does not exist.

    Raises:
        InputError: The path leaves the data set.
    """
    parts = PurePosixPath(stated).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in stated or "\0" in stated:
        raise InputError(f"{RECORD_LIST} names the path {stated[:80]!r}", "correct it: it must be below the data set")
    first = root.joinpath(*parts).with_name(f"{parts[-1]}.hea")
    if first.is_file() or len(parts) < 4:
        return first
    files, *rest = parts
    shallow, deep = (files, *rest[1:]), (files, rest[0][:5], *rest)
    for other in (shallow, deep):
        path = root.joinpath(*other).with_name(f"{parts[-1]}.hea")
        if path.is_file():
            return path
    return first
