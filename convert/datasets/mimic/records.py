"""The ECGs of MIMIC-IV-ECG by visit. A visit is a series of ECGs less than a day apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from convert.datasets.csvrows import rows_of
from firmware_bridge.errors import InputError

APART = timedelta(hours=24)
"""ECGs that are further apart belong to different visits. The list of records names no stay in the hospital."""


@dataclass(frozen=True, slots=True)
class Ecg:
    """One ECG of ten seconds.

    Attributes:
        subject: Identifier of the patient.
        study: Identifier of the ECG.
        time: Time by the clock of the ECG machine, which is not synchronised with the hospital's.
        path: Path in the data set without a suffix, as stated.
    """

    subject: int
    study: int
    time: datetime
    path: str


@dataclass(frozen=True, slots=True)
class EcgVisit:
    """ECGs of one patient less than a day apart.

    Attributes:
        visit: Identifier: that of the first ECG.
        subject: Identifier of the patient.
        ecgs: ECGs in the order of time.
    """

    visit: int
    subject: int
    ecgs: tuple[Ecg, ...]


def read_ecgs(path: Path) -> tuple[list[Ecg], Counter[str]]:
    """Read the list of records.

    Returns:
        ECGs in the order of patient, time and identifier; and the number of left-out entries by reason.

    Raises:
        InputError: The file cannot be read, lacks a column, or gives an ECG to two patients.
    """
    found: dict[int, tuple[Ecg, int]] = {}
    left_out: Counter[str] = Counter()
    for row in rows_of(path, ("subject_id", "study_id", "ecg_time", "path")):
        subject, study, time = row.integer("subject_id"), row.integer("study_id"), row.time("ecg_time")
        if study in found:
            ecg, line = found[study]
            if ecg.subject != subject:
                raise InputError(
                    f"{path} lines {line} and {row.line} give the ECG {study} to two patients, {ecg.subject} and "
                    f"{subject}",
                    "remove one of the lines",
                )
            left_out["ecg_listed_twice"] += 1
        elif time is None:
            left_out["ecg_without_time"] += 1
        else:
            found[study] = Ecg(subject, study, time, row.text("path")), row.line
    return sorted((ecg for ecg, _ in found.values()), key=lambda e: (e.subject, e.time, e.study)), left_out


def visits_of(ecgs: list[Ecg]) -> list[EcgVisit]:
    """Group ECGs, sorted by patient and time, into visits."""
    groups: list[list[Ecg]] = []
    for ecg in ecgs:
        last = groups[-1][-1] if groups else None
        if last is not None and last.subject == ecg.subject and ecg.time - last.time < APART:
            groups[-1].append(ecg)
        else:
            groups.append([ecg])
    return [EcgVisit(group[0].study, group[0].subject, tuple(group)) for group in groups]


def by_subject(visits: list[EcgVisit]) -> Mapping[int, list[EcgVisit]]:
    """Return the visits of each patient, in the order of time."""
    out: dict[int, list[EcgVisit]] = {}
    for visit in visits:
        out.setdefault(visit.subject, []).append(visit)
    return out
