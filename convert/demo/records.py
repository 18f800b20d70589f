"""Types of ``validation/report.json`` of the demonstration bundle."""

from __future__ import annotations

from typing import TypedDict

from convert.distil.records import Report


class SimulatorEntry(TypedDict):
    """Version of the simulator, and seed of its random numbers."""

    version: int
    seed: int


class CohortEntry(TypedDict):
    """Number of all simulated patients, and of the teacher's training patients."""

    patients: int
    train: int


class DemoReport(Report):
    """The report of the student, with the facts of the demonstration.

    Attributes:
        command: Command that makes the bundle.
        simulator: The simulator.
        cohort: The patients.
        seconds: Length of each record for the teacher, seconds.
        student_seconds: Length of each record for the student, seconds.
    """

    command: str
    simulator: SimulatorEntry
    cohort: CohortEntry
    seconds: float
    student_seconds: float
