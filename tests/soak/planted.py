"""A virtual patch with every fault and with floods, as a source ``planted:`` that ``anyecg run`` can open.

It delivers as fast as the kit takes, counts what the kit gets, and reports memory and files while it runs.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from virtual_time import VirtualClock

from edge.process.budget import rss_mib
from edge.sources import Source, SourceInfo, SourceUrl
from edge.sources.sim import DEVICE, SimTransport
from edge.sources.wire import WireSource
from firmware_bridge import devices
from firmware_bridge.items import DATA_CHANNEL, RawChunk, TransportItem
from firmware_bridge.samples import LinkItem, SampleBlock
from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal, RecordingSignal
from firmware_bridge.virtual.faults import FaultSchedule
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from firmware_bridge.wire.messages import Ack, AckCode, Header, MessageType, Status, encode

RATES = "drop=0.0003;corrupt=0.0003;double=0.0003;late=0.0003;noise=0.0003;drift=60"
SPANS = "restart@1500/14400;leadoff@2100:20/7200;saturate@2700:5/7200;stall@3300:40/7200"
UNPLUGGED_S = 20.0
FRAME_S = 0.4
"""Longer than usual: a quarter of the frames for the same signal."""
FLOOD_EVERY_S = 3600.0
FLOOD_FRAMES = 10_000
FLOOD_BYTES = 1 << 18
WINDOWS = 24
"""Parts of the run whose lowest memory is noted: the allocator keeps or returns a megabyte or two at a time."""
LOOK_EVERY = 500
"""Items between two looks at memory and files."""


@dataclass
class Seen:
    """What the run got and needed, so far.

    Attributes:
        time_s: Virtual time since the start, s.
        samples: Samples that the kit got.
        crc32: CRC-32 over them, as in the patch's account.
        floods: Floods so far.
        lowest_mib: Lowest resident memory in each part of the run, MiB.
        folder_bytes: Largest size of the session folder.
        grown: Largest size of each file that was ever in the session folder, by name.
    """

    time_s: float = 0.0
    samples: int = 0
    crc32: int = 0
    floods: int = 0
    lowest_mib: list[float] = field(default_factory=list)
    folder_bytes: int = 0
    grown: dict[str, int] = field(default_factory=dict)


def patch(seconds: float, reconnections: int, seed: int) -> VirtualPatch:
    """A patch with every fault, on a repeated ten minutes of a simulated patient."""
    period_s = seconds / max(reconnections, 1)
    unplugs = f"unplug@{period_s / 2:g}:{min(UNPLUGGED_S, period_s / 4):g}/{period_s:g}"
    faults = FaultSchedule.parse(f"{RATES};{SPANS};{unplugs}" if reconnections else f"{RATES};{SPANS}")
    ecg_mv = PatientSignal(PatientOptions(), seed).generate(150_000, 250.0)
    return VirtualPatch(RecordingSignal(ecg_mv, loop=True), PatchConfig(frame_s=FRAME_S), faults, seed)


def floods(seed: int) -> Iterator[bytes]:
    """Hostile bytes without end: valid messages nobody needs, answers nobody asked for, and noise."""
    random = np.random.default_rng(seed)
    numbers = range(FLOOD_FRAMES)
    while True:
        yield b"".join(encode(Status(None, 3700, 0, 0), Header(seq=n & 0xFFFF)) for n in numbers)
        yield random.integers(0, 256, FLOOD_BYTES, np.uint8).tobytes() + b"\x00"
        yield b"".join(encode(Ack(MessageType.RESEND, AckCode.OK, index=n * 7919), Header(seq=n)) for n in numbers)
        # Each of another protocol version, behind its own delimiter.
        yield b"".join(encode(Status(None, 3700, 0, 0), Header(version=3 + n % 250)) for n in numbers)


class FloodedTransport(SimTransport):
    """A link to a virtual patch in this process, with a flood every hour, that moves the clock."""

    def __init__(self, virtual: VirtualPatch, seconds: float, clock: VirtualClock, seen: Seen) -> None:
        super().__init__(virtual, float("inf"), seconds)
        self._clock, self._seen, self._floods = clock, seen, floods(1)

    async def stream(self) -> AsyncIterator[TransportItem]:
        """Yield everything that arrives until the time is over."""
        start_ns = None
        flood_s = FLOOD_EVERY_S / 2
        async for item in super().stream():
            start_ns = item.arrival_ns if start_ns is None else start_ns
            self._clock.now_ns = item.arrival_ns
            self._seen.time_s = (item.arrival_ns - start_ns) * 1e-9
            yield item
            if self._seen.time_s >= flood_s and self._plugged:
                flood_s += FLOOD_EVERY_S
                self._seen.floods += 1
                data = next(self._floods)
                for at in range(0, len(data), 1 << 16):
                    yield RawChunk(item.arrival_ns, DATA_CHANNEL, data[at : at + (1 << 16)])


class PlantedSource(WireSource):
    """The source ``planted:``, which keeps an account of what the kit gets."""

    def __init__(
        self, transport: FloodedTransport, info: SourceInfo, seconds: float, folder: Path, progress: Path, seen: Seen
    ) -> None:
        super().__init__(transport, devices.get(DEVICE), info)
        self._seconds, self._folder, self._progress, self._delivered = seconds, folder, progress, seen
        self._delivered.lowest_mib = [float("inf")] * WINDOWS

    async def items(self) -> AsyncIterator[LinkItem]:
        """Yield all items in order."""
        count = 0
        async for item in super().items():
            if isinstance(item, SampleBlock):
                self._delivered.samples += len(item)
                self._delivered.crc32 = zlib.crc32(item.samples.astype("<i4").tobytes(), self._delivered.crc32)
            count += 1
            if count % LOOK_EVERY == 0:
                self._look()
            yield item
        self._look()

    def _look(self) -> None:
        part = min(int(self._delivered.time_s / self._seconds * WINDOWS), WINDOWS - 1)
        self._delivered.lowest_mib[part] = min(self._delivered.lowest_mib[part], rss_mib())
        sizes = sizes_of(self._folder)
        self._delivered.folder_bytes = max(self._delivered.folder_bytes, sum(sizes.values()))
        for name, size in sizes.items():
            self._delivered.grown[name] = max(size, self._delivered.grown.get(name, 0))
        partial = self._progress.with_suffix(".part")
        partial.write_text(json.dumps(asdict(self._delivered)))
        partial.replace(self._progress)


def sizes_of(folder: Path) -> dict[str, int]:
    """Sizes of the files in a folder from which a run may remove some at any time, bytes."""
    found = {}
    try:
        for entry in os.scandir(folder):
            found[entry.name] = entry.stat().st_size
    except OSError:
        pass
    return found


def planted(
    virtual: VirtualPatch, seconds: float, clock: VirtualClock, folder: Path, progress: Path, seen: Seen
) -> Source:
    """The source for one run."""
    info = SourceInfo(
        url="planted:",
        device=DEVICE,
        live=False,  # waits for the engine instead of dropping blocks
        host_clock=False,
        arrival_timed=True,
        fs_hz=virtual.config.fs_hz,
    )
    return PlantedSource(FloodedTransport(virtual, seconds, clock, seen), info, seconds, folder, progress, seen)


def opener(source: Source) -> object:
    """The function that a scheme names."""

    def open_planted(url: SourceUrl) -> Source:
        url.only()
        return source

    return open_planted
