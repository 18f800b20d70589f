"""Text recordings that the tests write, and what the kit reads from them."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.sources import SourceInfo, open_source
from firmware_bridge.samples import LinkEvent, SampleBlock

FS_HZ = 250.0
N = 400
T_S = np.arange(N) / FS_HZ
ECG_MV = np.round(np.sin(2 * np.pi * 1.2 * T_S) ** 31 + 0.05 * np.random.default_rng(1).standard_normal(N), 4)
"""Pulses with noise, mV."""

MV = [f"{v:.4f}" for v in ECG_MV]
UV = [f"{1000 * v:.1f}" for v in ECG_MV]
COUNTS = [str(int(512 + 200 * v)) for v in ECG_MV]
SECONDS = [f"{t:.3f}" for t in T_S]
BEGIN = dt.datetime(2023, 5, 2, 23, 59, 59, tzinfo=dt.UTC)
"""A second before midnight, so that clocks without a date wrap."""


def stamp(seconds: float) -> dt.datetime:
    """The wall clock at a time of the recording."""
    return BEGIN.replace(tzinfo=None) + dt.timedelta(seconds=float(seconds))


def comma(cells: list[str]) -> list[str]:
    """Numbers with a decimal comma."""
    return [cell.replace(".", ",") for cell in cells]


def table(header: str, *columns: list[str], sep: str = ",", end: str = "\n") -> str:
    """A header and rows."""
    return (header + end if header else "") + "".join(sep.join(row) + end for row in zip(*columns, strict=True))


@dataclass(frozen=True)
class Played:
    """What a replay gave."""

    info: SourceInfo
    blocks: list[SampleBlock]
    events: list[LinkEvent]

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate([b.samples for b in self.blocks]) if self.blocks else np.zeros(0)

    @property
    def lost(self) -> int:
        return sum(b.lost for b in self.blocks)

    @property
    def decided(self) -> dict:
        found: dict = {}
        for event in self.events:
            found |= event.data.get("decided", {})
        return self.info.decided.as_dict() | found

    @property
    def found(self) -> str:
        return " ".join(e.detail for e in self.events if "decided" in e.data)


def play(folder: Path, data: str | bytes, query: str = "", name: str = "ecg.csv") -> Played:
    """Write a recording and replay it without waiting."""
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())

    async def collect() -> Played:
        source = open_source(f"replay:{path}?speed=max{'&' if query else ''}{query}")
        items = [item async for item in source.items()]
        await source.close()
        return Played(
            source.info,
            [i for i in items if isinstance(i, SampleBlock)],
            [i for i in items if isinstance(i, LinkEvent)],
        )

    return asyncio.run(collect())


def is_whole(played: Played, *, unit: str = "mV", fs_hz: float = FS_HZ) -> bool:
    """Whether every sample of `ECG_MV` came, at its rate, and nothing else."""
    block = played.blocks[0]
    return (
        played.lost == 0
        and block.unit == unit
        and abs(block.fs_hz - fs_hz) < 1e-3 * fs_hz
        and len(played.samples) == N
        and bool(np.allclose(played.samples, ECG_MV, atol=2e-3))
    )
