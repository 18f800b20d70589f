"""Recordings in binary formats, written as their specifications say and otherwise; and their replay."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge.sources import open_source
from firmware_bridge.samples import LinkEvent, SampleBlock


@dataclass
class Played:
    """What the replay of a recording gave."""

    info: Any
    blocks: list[SampleBlock]
    events: list[LinkEvent]

    @property
    def values(self) -> np.ndarray:
        """Samples as delivered."""
        return np.concatenate([b.samples for b in self.blocks]) if self.blocks else np.zeros(0)

    @property
    def millivolts(self) -> np.ndarray:
        """Samples in mV."""
        parts = [b.samples * (b.lsb_mv if b.unit == "counts" else 1.0) for b in self.blocks]
        return np.concatenate(parts) if parts else np.zeros(0)

    @property
    def lsb_mv(self) -> float | None:
        """The scale, the same in all blocks."""
        (lsb_mv,) = {b.lsb_mv for b in self.blocks}
        return lsb_mv

    @property
    def lost(self) -> int:
        """All missing samples."""
        return sum(b.lost for b in self.blocks)

    @property
    def notes(self) -> str:
        """All notes."""
        return "\n".join(self.info.notes)

    @property
    def kinds(self) -> list[str]:
        """Kinds of the events but the first and the last."""
        return [e.kind.name for e in self.events if e.kind.name not in {"CONNECTED", "END"}]


def play(path: Path | str, query: str = "") -> Played:
    """Replay a whole recording without waiting."""
    source = open_source(f"replay:{path}?speed=max{'&' if query else ''}{query}")
    blocks: list[SampleBlock] = []
    events: list[LinkEvent] = []

    async def collect() -> None:
        async for item in source.items():
            (blocks if isinstance(item, SampleBlock) else events).append(item)  # type: ignore[arg-type]

    asyncio.run(collect())
    return Played(source.info, blocks, events)


@dataclass
class Edf:
    """A file in EDF or BDF. Every field of the header can be given any text.

    Attributes:
        signals: Each with ``label``, ``data`` of shape (records, samples), and what differs from the defaults.
    """

    signals: list[dict[str, Any]] = field(default_factory=list)
    records: int = 20
    record_s: Any = 1
    reserved: str = ""
    announced: Any = None
    patient: Any = "X X X X"
    recording: Any = "Startdate 01-JAN-2020 X X X"
    date: str = "01.01.20"
    time: str = "10.00.00"
    onsets: Sequence[float] | None = None
    bdf: bool = False
    version: bytes | None = None
    header_bytes: Any = None
    count: Any = None

    def write(self, path: Path) -> Path:
        """Write the file."""
        signals = [_defaults() | s for s in self.signals]
        if self.reserved[3:4] == "+":
            signals.append(self._annotations())
        ns = len(signals)
        head = (self.version or (b"\xffBIOSEMI" if self.bdf else b"0       ")) + _text(self.patient, 80)
        head += _text(self.recording, 80) + _text(self.date, 8) + _text(self.time, 8)
        head += _text(256 * (ns + 1) if self.header_bytes is None else self.header_bytes, 8) + _text(self.reserved, 44)
        head += _text(self.records if self.announced is None else self.announced, 8) + _text(self.record_s, 8)
        head += _text(ns if self.count is None else self.count, 4)
        for key, width in (("label", 16), ("transducer", 80), ("dim", 8), ("pmin", 8), ("pmax", 8), ("dmin", 8),
                           ("dmax", 8), ("filter", 80), ("spr", 8), ("end", 32)):  # fmt: skip
            head += b"".join(_text(self._samples(s) if key == "spr" else s.get(key, ""), width) for s in signals)
        body = b"".join(self._stored(s, record) for record in range(self.records) for s in signals)
        path.write_bytes(head + body)
        return path

    def _samples(self, signal: dict[str, Any]) -> Any:
        return signal["spr"] if "spr" in signal else signal["data"].shape[1]

    def _stored(self, signal: dict[str, Any], record: int) -> bytes:
        if "raw" in signal:
            return signal["raw"][record]
        values = signal["data"][record]
        if self.bdf:
            return values.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        return values.astype("<i2").tobytes()

    def _annotations(self) -> dict[str, Any]:
        at = self.onsets if self.onsets is not None else [i * float(self.record_s) for i in range(self.records)]
        width = 3 if self.bdf else 2
        raw = [f"{o:+.10g}\x14\x14\x00".encode().ljust(30 * width, b"\0") for o in at]
        label = f"{self.reserved[:3]} Annotations"
        return {"label": label, "dim": "", "pmin": -1, "pmax": 1, "dmin": -32768, "dmax": 32767, "spr": 30, "raw": raw}


def _defaults() -> dict[str, Any]:
    return {"label": "ECG", "dim": "uV", "pmin": -32768, "pmax": 32767, "dmin": -32768, "dmax": 32767}


def _text(value: Any, width: int) -> bytes:
    raw = value if isinstance(value, bytes) else str(value).encode("latin-1")
    return raw[:width].ljust(width)


def sine(records: int = 20, samples: int = 250) -> np.ndarray:
    """1 mV in steps of 1 uV, shape (records, samples), one period per record."""
    t = np.arange(records * samples) / samples
    return np.round(1000 * np.sin(2 * np.pi * t)).astype(int).reshape(records, samples)


def stored(fmt: int, counts: np.ndarray) -> bytes:
    """Samples in a WFDB format, as signal-5 describes it; written apart from the reader."""
    v = np.asarray(counts, np.int64)
    if fmt in _WORDS:
        dtype, bias = _WORDS[fmt]
        return (v + bias).astype(dtype).tobytes()
    if fmt == 24:
        return v.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    out = bytearray()
    if fmt == 212:
        for a, b in _groups(v, 2):
            out += bytes((a & 255, (a >> 8 & 15) | (b >> 4 & 0xF0), b & 255))
        return bytes(out[: -(-len(v) * 3 // 2)])
    for a, b, c in _groups(v & 1023, 3):
        if fmt == 310:
            out += struct.pack("<HH", a << 1 | (c & 31) << 11, b << 1 | (c >> 5) << 11)
        else:
            out += struct.pack("<I", a | b << 10 | c << 20)
    return bytes(out)


_WORDS = {8: ("i1", 0), 16: ("<i2", 0), 32: ("<i4", 0), 61: (">i2", 0), 80: ("u1", 128), 160: ("<u2", 32768)}


def _groups(values: np.ndarray, size: int) -> list[list[int]]:
    padded = [int(v) for v in values] + [0] * (-len(values) % size)
    return [padded[i : i + size] for i in range(0, len(padded), size)]


def wfdb_files(folder: Path, name: str, header: str | bytes, **files: bytes) -> Path:
    """Write ``name.hea`` and signal files ``KEY.dat``; returns the record's path."""
    (folder / f"{name}.hea").write_bytes(header if isinstance(header, bytes) else header.encode())
    for key, data in files.items():
        (folder / f"{key}.dat").write_bytes(data)
    return folder / name


def checksum(counts: np.ndarray) -> int:
    """Checksum of a signal as headers state it, signed."""
    total = int(np.asarray(counts, np.int64).sum()) % 65536
    return total - 65536 if total > 32767 else total
