"""Source of segments and results: MIMIC-IV-ECG with MIMIC-IV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from convert.datasets.mcmed import Segment
from convert.datasets.mimic.dataset import MimicDataset, part_of_subject
from convert.datasets.mimic.layout import MimicPlace, header_of
from convert.datasets.wfdb16 import read_header
from convert.labels.labs import RawLab, raw_lab
from convert.labels.plan import LabelPlan
from convert.prepare.sensitivity import PairingSample
from convert.prepare.sources import PARTS, Batch, LeftOut, Opener, Patient, Visit, of_record
from firmware_bridge.errors import InputError, UsageError

MAX_MINUTES = 720.0
"""Largest pairing window: results further from every ECG are not read."""


class MimicSource:
    """MIMIC-IV-ECG and MIMIC-IV.

    Args:
        place: Folders of the two data sets.
        leads: Leads to read; each gives a segment.
        plan: The label plan.

    Raises:
        InputError: A table is missing or damaged, or no ECG has a patient in MIMIC-IV.
        UsageError: The pairing window is too large.
    """

    def __init__(self, place: MimicPlace, leads: tuple[str, ...], plan: LabelPlan) -> None:
        _check_window(plan)
        if place.hosp is None:
            raise UsageError("no folder of MIMIC-IV", "give --mimic-iv DIR, the folder with hosp/")
        if not leads:
            raise UsageError("--lead names no lead", "give, for example, --lead I,II")
        self._data = MimicDataset(place, leads)
        self.name = f"MIMIC-IV-ECG with MIMIC-IV, lead {' and '.join(leads)}"
        self.simulated = self._data.simulated
        self.listing = ""
        self.origin: dict[str, Any] = {"kind": "mimic", "leads": list(leads)}
        if self._data.seed is not None:
            self.origin["seed"] = self._data.seed
        self.files: tuple[Path, ...] = self._data.tables
        # These ECGs belong to no visit, so they are counted under numbers that no visit has.
        self.elsewhere = {-k: why for k, why in enumerate(sorted(self._data.left_out.elements()), 1)}
        self.sample = PairingSample()
        self._patients = self._read_patients()
        self.opener: Opener = _MimicOpener(place, leads)

    def patients(self) -> list[Patient]:
        """Return the patients with an ECG, sorted by part and identifier."""
        return self._patients

    def rows(self) -> Iterator[RawLab]:
        """Yield the rows of ``labevents`` in file order, and keep a sample of them for the pairing report."""
        for row in self._data.labs():
            if row.lab is not None and row.order_time is not None and row.value is not None and not row.left_out:
                self.sample.add(row.csn, row.lab.key, row.order_time.timestamp(), row.value.number)
            yield raw_lab(row)

    def times(self) -> dict[int, list[float]]:
        """Return the times of the ECGs of each visit, seconds since 1970."""
        every = [v.visit for p in self._patients for v in p.visits]
        return {visit: [ecg.time.timestamp() for ecg in self._data.ecgs(visit)] for visit in every}

    def _read_patients(self) -> list[Patient]:
        visits: dict[int, list[Visit]] = {}
        for row in self._data.visits():
            age = float("nan") if row.age is None else row.age
            visits.setdefault(row.mrn, []).append(Visit(row.csn, str(row.csn), age, row.sex))
        if not visits:
            raise InputError(
                f"no ECG of {self._data.root} belongs to a patient of MIMIC-IV", "check that both copies are complete"
            )
        order = sorted(visits, key=lambda s: (PARTS.index(part_of_subject(s)), s))
        return [Patient(str(s), part_of_subject(s), tuple(visits[s])) for s in order]


def _check_window(plan: LabelPlan) -> None:
    asked = max([plan.pairing.window_min, *plan.heads.horizons_min])
    if asked > MAX_MINUTES:
        raise UsageError(f"the label plan asks for results {asked:g} minutes away", f"give at most {MAX_MINUTES:g}")


@lru_cache(maxsize=2)
def _dataset(place: MimicPlace, leads: tuple[str, ...]) -> MimicDataset:
    """Open a data set once in each process; the list of 800,000 ECGs is too large to travel with every shard."""
    return MimicDataset(place, leads)


@dataclass(frozen=True, slots=True)
class _MimicOpener:
    place: MimicPlace
    leads: tuple[str, ...]

    def __call__(self, visit: int, hop_s: float) -> Iterator[Batch | LeftOut]:
        """Yield the segments of a visit, one batch for each ECG and lead."""
        data = _dataset(self.place, self.leads)
        for ecg in data.ecgs(visit):
            file = header_of(data.root, ecg.path)
            if not file.is_file():
                yield LeftOut(ecg.path, "no_record", len(self.leads))
                continue
            header = read_header(file)
            for lead in self.leads:
                segment = Segment(visit, ecg.study, header, lead)
                yield of_record(segment, hop_s, f"{ecg.path} {lead}", ecg.time.timestamp())
