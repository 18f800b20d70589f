"""Simulated recordings for a distillation, which are generated each time they are read and never stored on disk."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.datasets.pairs import BLOCK_S, Recording
from convert.simulate.patient import FS_HZ, SIMULATOR_VERSION
from convert.simulate.varied import VARIED_VERSION
from firmware_bridge.samples import LinkItem, SampleBlock


@dataclass(frozen=True, slots=True)
class SimulatedItems:
    """The samples of one simulated recording.

    Attributes:
        kind: A patient of the cohort, or an ECG of varied shape.
        seed: Seed of the cohort or collection.
        index: Number in the cohort or collection.
        seconds: Length of the recording, seconds.
    """

    kind: Literal["patient", "varied"]
    seed: int
    index: int
    seconds: float

    def __call__(self) -> Iterator[LinkItem]:
        """Yield the blocks of the recording, as a source does."""
        yield from blocks_of(self._samples())

    def _samples(self) -> NDArray[np.float32]:
        if self.kind == "varied":
            from convert.simulate.varied import varied_ecg

            return varied_ecg(self.seed, self.index, self.seconds).astype(np.float32)
        from convert.simulate.patient import simulate_patient

        return simulate_patient(self.seed, self.index, self.seconds).ecg_mv


def blocks_of(samples_mv: NDArray[np.float32]) -> Iterator[SampleBlock]:
    """Yield a signal in mV at 500 Hz, ``(n,)``, as the blocks of a source."""
    step = round(BLOCK_S * FS_HZ)
    for i in range(0, len(samples_mv), step):
        part = samples_mv[i : i + step]
        yield SampleBlock(
            samples=part, unit="mV", lsb_mv=None, fs_hz=FS_HZ, device_time_ns=None,
            arrival_ns=round((i + len(part)) / FS_HZ * 1e9),
        )  # fmt: skip


def simulated_patients(seed: int, indices: Sequence[int], seconds: float) -> list[Recording]:
    """Return patients of a cohort, with one recording each."""
    mark = _mark(f"simulator {SIMULATOR_VERSION}, seed {seed}, {seconds:g} s")
    names = {i: f"patient-{i:06d}" for i in indices}
    return [Recording(n, n, None, mark, "", SimulatedItems("patient", seed, i, seconds)) for i, n in names.items()]


def varied_recordings(seed: int, count: int, seconds: float) -> list[Recording]:
    """Return ECGs of varied shapes, for training only."""
    mark = _mark(f"varied {VARIED_VERSION}, seed {seed}, {seconds:g} s")
    names = {i: f"varied-{i:06d}" for i in range(count)}
    return [Recording(n, n, None, mark, "", SimulatedItems("varied", seed, i, seconds), True) for i, n in names.items()]


def _mark(version: str) -> int:
    """Return a number in place of a file size, which tells apart recordings of the same name."""
    return zlib.crc32(version.encode())
