"""Samples of a source as plain arrays, the input of a device calibration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.grid.timeline import split_at_nan
from edge.sources import Source, SourceInfo
from firmware_bridge.errors import InputError, LinkError
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock, Unit

F64 = NDArray[np.float64]

SILENCE_S = 20.0
"""Seconds without samples after which a live source has failed."""

MIN_RATE_S = 10.0
"""Minimum duration for measuring the sampling rate against a clock, seconds."""


@dataclass(slots=True)
class Capture:
    """Samples of a source.

    Attributes:
        info: Description of the source.
        segments: Runs without a gap, each ``(n,)``, as the device sent them (no scale applied).
        unit: Unit of the samples.
        lsb_mv: Scale that the source claims, mV per count; ``None`` if it claims none.
        fs_nominal_hz: Sampling rate that the source claims, Hz.
        fs_hz: Sampling rate measured against a clock, Hz; ``None`` without a clock.
        fs_from: Name of that clock.
        device_id: Identifier that the device sends.
        lost: Number of samples known to be missing.
    """

    info: SourceInfo
    segments: list[F64]
    unit: Unit
    lsb_mv: float | None
    fs_nominal_hz: float
    fs_hz: float | None
    fs_from: str | None
    device_id: str | None
    lost: int

    @property
    def seconds(self) -> float:
        """Duration of all samples, seconds."""
        return sum(map(len, self.segments)) / self.fs_nominal_hz


@dataclass(slots=True)
class _Gathered:
    parts: list[list[F64]] = field(default_factory=list)
    kind: tuple[Unit, float | None, float] | None = None
    device_id: str | None = None
    lost: int = 0
    count: int = 0
    broken: bool = True
    stamps: list[tuple[int, int | None, int]] = field(default_factory=list)

    def take(self, item: LinkItem) -> None:
        if isinstance(item, LinkEvent):
            if item.kind is LinkEventKind.HELLO and "device_id" in item.data:
                self.device_id = str(item.data["device_id"])
            if item.kind in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.RESTARTED}:
                self.broken = True
                self.stamps.clear()
            return
        for block in split_at_nan(item):
            self._block(block)

    def _block(self, block: SampleBlock) -> None:
        kind = (block.unit, block.lsb_mv, block.fs_hz)
        if self.kind is not None and kind[0] != self.kind[0]:
            raise InputError("the unit of the source changed during the measurement", "measure again")
        if block.lost or kind != self.kind or block.lead_off:
            self.broken = True
            self.stamps.clear()
        self.lost += block.lost
        if block.lead_off or not len(block):
            return
        self.kind = kind
        if self.broken:
            self.parts.append([])
            self.broken = False
        self.parts[-1].append(block.samples.astype(np.float64))
        self.count += len(block)
        self.stamps.append((self.count, block.device_time_ns, block.arrival_ns))


def capture(source: Source, seconds: float, step: Callable[[float], None] = lambda _: None) -> Capture:
    """Read a source until there are enough samples or it ends.

    Args:
        source: The source; it is closed afterwards.
        seconds: Duration to read, seconds.
        step: Called with the duration read so far, seconds.

    Raises:
        InputError: The source gives no samples, or its unit changes.
        LinkError: A live source stays silent.
    """
    got = asyncio.run(_gather(source, seconds, step))
    if got.kind is None:
        raise InputError(f"{source.info.url} gave no samples", "check the source URL and the leads")
    unit, lsb_mv, fs_nominal_hz = got.kind
    fs_hz, fs_from = _rate(got.stamps, host=source.info.host_clock or source.info.arrival_timed)
    return Capture(
        source.info, [np.concatenate(p) for p in got.parts if p], unit, lsb_mv, fs_nominal_hz, fs_hz, fs_from,
        got.device_id, got.lost,
    )  # fmt: skip


async def _gather(source: Source, seconds: float, step: Callable[[float], None]) -> _Gathered:
    got = _Gathered()
    items = source.items()
    try:
        while got.kind is None or got.count < seconds * got.kind[2]:
            wait_s = SILENCE_S if source.info.live else None
            item = await asyncio.wait_for(_next_block(items, got), wait_s)
            if item is None:
                break
            step(0.0 if got.kind is None else got.count / got.kind[2])
    except TimeoutError:
        raise LinkError(
            f"{source.info.url} gave no samples for {SILENCE_S:g} s", "check that the device is on and near"
        ) from None
    finally:
        await source.close()
    return got


async def _next_block(items: object, got: _Gathered) -> SampleBlock | None:
    """Handle events up to the next block and return it; ``None`` at the end."""
    async for item in items:  # type: ignore[attr-defined]  # an AsyncIterator, shared between the calls
        got.take(item)
        if isinstance(item, SampleBlock):
            return item
        if item.kind is LinkEventKind.END:
            return None
    return None


def _rate(stamps: list[tuple[int, int | None, int]], *, host: bool) -> tuple[float | None, str | None]:
    """Measure the sampling rate against the clock of the device, or else of the host, over the last run without a gap.

    With the host clock only the earliest arrival of each half is used, because latency can only delay.
    """
    if len(stamps) < 4:
        return None, None
    counts = np.array([s[0] for s in stamps], dtype=np.float64)
    if all(s[1] is not None for s in stamps):
        ns, clock = np.array([s[1] for s in stamps], dtype=np.float64), "device clock"
    elif host:
        ns, clock = np.array([s[2] for s in stamps], dtype=np.float64), "host clock"
    else:
        return None, None
    t_s = (ns - ns[0]) * 1e-9
    if t_s[-1] < MIN_RATE_S:
        return None, None
    slope, at = np.polyfit(counts - counts[0], t_s, 1)
    late = t_s - (slope * (counts - counts[0]) + at)
    half = len(stamps) // 2
    a, b = int(np.argmin(late[:half])), half + int(np.argmin(late[half:]))
    if t_s[b] - t_s[a] < 0.3 * t_s[-1]:
        a, b = 0, len(stamps) - 1
    return float((counts[b] - counts[a]) / (t_s[b] - t_s[a])), clock
