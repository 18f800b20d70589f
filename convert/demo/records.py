"""Types of ``validation/report.json`` of the demonstration bundle."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from convert.distil.records import Report


class SimulatorEntry(TypedDict):
    """Version of the simulator, and seed of its random numbers."""

    version: int
    seed: int


class CohortEntry(TypedDict):
    """Number of all simulated patients, and of the teacher's training patients."""

    patients: int
    train: int


class RecordingEntry(TypedDict):
    """Name of a recording, and the SHA-256 of its files in hexadecimal by name."""

    name: str
    files: dict[str, str]


class ImitatedEntry(TypedDict):
    """Real recordings on which the student imitated its teacher.

    Attributes:
        source: Their source and licence; empty if not stated.
        sha256: SHA-256 over the hashes of all recordings, whatever their names, in hexadecimal.
        leads: Number of leads of all recordings.
        copies: Number of forms of each lead beside the recorded one.
        recordings: The recordings.
    """

    source: str
    sha256: str
    leads: int
    copies: int
    recordings: list[RecordingEntry]


class DemoReport(Report):
    """The report of the student, with the facts of the demonstration.

    Attributes:
        command: Command that makes the bundle.
        simulator: The simulator.
        cohort: The patients.
        seconds: Length of each record for the teacher, seconds.
        student_seconds: Length of each record for the student, seconds.
        imitated: Real recordings that the student imitated; ``None``, or absent in older bundles, for none.
    """

    command: str
    simulator: SimulatorEntry
    cohort: CohortEntry
    seconds: float
    student_seconds: float
    imitated: NotRequired[ImitatedEntry | None]
