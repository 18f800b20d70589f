"""Data sets whose results belong to visits: MC-MED and MIMIC-IV, real or simulated, behind one interface."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from convert.datasets.mcmed import LabRow, McMedDataset, Part, Split, VisitRow
from convert.datasets.mimic.dataset import MimicDataset
from convert.datasets.mimic.layout import is_mimic, place_of


class VisitData(Protocol):
    """A data set of visits with results."""

    @property
    def root(self) -> Path:
        """Folder of the data set."""

    @property
    def simulated(self) -> bool:
        """Whether the simulator wrote the data set."""

    @property
    def lab_table(self) -> Path:
        """Table of the results."""

    def token(self, patient: str) -> str:
        """Return the identifier of a patient that is hashed."""

    def visits(self) -> Iterator[VisitRow]:
        """Yield the visits."""

    def split(self, part: Part, kind: Split = "random") -> list[int]:
        """Return the visits of one part of a split."""

    def labs(self, keys: Collection[str] | None = None, csns: Collection[int] | None = None) -> Iterator[LabRow]:
        """Yield laboratory rows."""

    def diagnoses(self) -> Iterator[tuple[int, int, str]]:
        """Yield patient, version of the ICD and code of each diagnosis; nothing where the data set has none."""

    def waveform_summary(self) -> dict[int, tuple[int, float]]:
        """Return number and duration in seconds of the recordings of each visit that has one."""


def has_visits(folder: Path) -> bool:
    """Return whether a folder has the layout of MC-MED, or holds MIMIC-IV-ECG."""
    return is_mcmed(folder) or is_mimic(folder)


def is_mcmed(folder: Path) -> bool:
    """Return whether a folder has the layout of MC-MED."""
    return (folder / "visits.csv").is_file() or (folder / "data" / "visits.csv").is_file()


def open_visits(folder: Path) -> VisitData:
    """Open a data set of visits.

    Args:
        folder: Folder in the MC-MED layout, or a folder with MIMIC-IV-ECG and MIMIC-IV below it.

    Raises:
        InputError: The folder is neither, or a table is missing.
    """
    return MimicDataset(place_of(folder)) if not is_mcmed(folder) and is_mimic(folder) else McMedDataset(folder)
