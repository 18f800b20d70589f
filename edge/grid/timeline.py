"""The timeline: blocks of any rate and clock become segments on one uniform grid, with named gaps between them.

The time axis is *signal time*: seconds since the first sample of the session, by the device clock or, without one, by
counting samples; across restarts and disconnections by the host clock. Nothing is interpolated across missing samples:
a gap ends the segment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.grid.clock import HostClock
from edge.grid.native import Native
from edge.grid.room import GapRoom
from edge.grid.segment import Segment
from firmware_bridge.errors import InputError
from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ, LinkEvent, LinkEventKind, LinkItem, SampleBlock

GapReason = Literal["gap", "lead_off"]

JUMP_S = 0.05
"""Without a sequence number, a device time this far from the expected one, s, means missing samples."""

JUMP_WITH_SEQ_S = 1.0
"""With a sequence number the decoder counts losses, and a device time this far off, s, means another clock."""

MAX_GAP_S = 7 * 86400.0
"""Longest gap measured by the device clock, s; a larger jump means another clock, and the host clock gives the gap."""


@dataclass(frozen=True, slots=True, eq=False)
class Uniform:
    """Uniform samples of one segment.

    Attributes:
        start_s: Signal time of the first sample, s.
        samples: Shape ``(n,)``, float64, mV, or counts if ``scale_known`` is false.
        first: Whether these samples begin a segment.
        scale_known: Whether the samples are in millivolts.
        native: The samples that the source gave since the last part, in order; empty if the grid has its own.
    """

    start_s: float
    samples: NDArray[np.float64]
    first: bool
    scale_known: bool
    native: tuple[Native, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing or unusable signal between two segments.

    Attributes:
        start_s: Signal time of its start, s.
        end_s: Signal time of its end, s, as far as known.
        reason: Reason of the gap.
        whole: Whether a missing piece is known from end to end; ``False`` for samples without a value, which arrive
            block by block.
    """

    start_s: float
    end_s: float
    reason: GapReason
    whole: bool = True


TimelineItem = Uniform | Gap


class Timeline:
    """Places blocks in signal time.

    Args:
        grid_hz: Sampling rate of the uniform grid, Hz.
        gather: Grid samples that may wait for others, so that the stages behind are called less often; 0 for none. The
            samples are the same.
        room: Limit of gaps by the time of the host; ``None`` if arrival times are not real.

    Attributes:
        due: Number of grid samples of the segment that must not wait, because an answer depends on them.
        end_s: Signal time just after the last received sample, s.
        lost_samples: Number of samples known to be missing since the session began, at the rate of the device.
        impossible_samples: Number of samples stated to be missing for which no time had passed; not counted as lost.
        segments: Number of segments so far.
        host_clock: Mapping from device time to host time.
        fs_hz: Nominal sampling rate of the last block, Hz; ``None`` before the first.
    """

    def __init__(self, grid_hz: int, gather: int = 0, room: GapRoom | None = None) -> None:
        self.grid_hz = grid_hz
        self.due = 0
        self._room = room
        self._start_ns: int | None = None
        """Arrival of the first item, or the time of its first sample: nothing is older."""
        self._gather = gather
        self._native: list[Native] = []
        """Samples of the source whose grid samples have not been given yet."""
        self.end_s = 0.0
        self.lost_samples = self.impossible_samples = 0
        self.segments = 0
        self.host_clock = HostClock()
        self.fs_hz: float | None = None
        self._segment: Segment | None = None
        self._kind: tuple[str, float | None, float] | None = None
        self._last_arrival_ns: int | None = None
        self._anchor: tuple[int, float] | None = None
        self._link_lost = False

    @property
    def measured_hz(self) -> float | None:
        """True sampling rate of the device over the current segment, by device time, Hz."""
        return None if self._segment is None else self._segment.measured_hz

    def push(self, item: LinkItem) -> list[TimelineItem]:
        """Take the next block or link event.

        Returns:
            Uniform samples and gaps, in order of signal time.

        Raises:
            InputError: A sampling rate is outside the supported range.
        """
        if self._start_ns is None:
            before_s = len(item) / item.fs_hz if isinstance(item, SampleBlock) and item.fs_hz > 0 else 0.0
            self._start_ns = item.arrival_ns - round(before_s * 1e9)
        if isinstance(item, LinkEvent):
            waited = self.flush()
            if item.kind is LinkEventKind.RESTARTED:
                self._segment, self._anchor, self._link_lost = None, None, True
                self.host_clock.restart()
            elif item.kind in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED}:
                self._link_lost = True
            return waited
        if not MIN_FS_HZ <= item.fs_hz <= MAX_FS_HZ:
            raise InputError(
                f"a sampling rate of {item.fs_hz:g} Hz is not supported", f"use {MIN_FS_HZ:g} to {MAX_FS_HZ:g} Hz"
            )
        out: list[TimelineItem] = []
        first, *others = split_at_nan(item)
        without_value = first.lost - item.lost
        if item.lost and without_value:
            # Loss and samples without a value are two gaps, wherever the blocks were cut.
            self._push_block(_part(item, item.samples[:0], None, item.lost), out)
            first = replace(first, lost=without_value)
        self._push_block(first, out, whole=not without_value)
        for part in others:
            self._push_block(part, out, whole=False)
        self._last_arrival_ns = item.arrival_ns
        return out

    def flush(self) -> list[TimelineItem]:
        """Return the grid samples that wait for others."""
        if self._segment is None or self._kind is None:
            return []
        samples, start_s = self._segment.flush()
        if not (len(samples) or self._native):
            return []
        return [Uniform(start_s, samples, False, _scale(*self._kind[:2]) is not None, self._waiting_native())]

    def host_time_ns(self, signal_s: float) -> int:
        """Return the host monotonic time of a signal time near the newest sample, never before the session began."""
        mapped = None
        if self._anchor is not None:
            device_ns = self._anchor[0] + round((signal_s - self._anchor[1]) * 1e9)
            mapped = self.host_clock.to_host_ns(device_ns)
        if mapped is None:
            mapped = (self._last_arrival_ns or 0) - round((self.end_s - signal_s) * 1e9)
        return mapped if self._start_ns is None else max(mapped, self._start_ns)

    def _push_block(self, block: SampleBlock, out: list[TimelineItem], *, whole: bool = True) -> None:
        kind = (block.unit, block.lsb_mv, block.fs_hz)
        self.fs_hz = block.fs_hz
        lost = block.lost
        jump_s = self._jump_s(block)
        if lost == 0 and jump_s is not None:
            self._end_segment(out)
            if 0 < jump_s <= MAX_GAP_S:
                lost = round(jump_s * block.fs_hz)
            else:
                self._anchor = None  # another clock, which cannot measure the gap
        if lost or kind != self._kind or (self._link_lost and block.device_time_ns is None):
            self._end_segment(out)
        self._kind = kind
        room_s = None if self._room is None else self._room.limit_s(block.arrival_ns, len(block) / block.fs_hz)
        if block.device_time_ns is not None and not block.resent:
            self.host_clock.update(block.device_time_ns, block.arrival_ns)
        if self._segment is None:
            self.lost_samples += self._begin(block, lost, room_s, out, whole=whole)
        if len(block) == 0:
            return
        if block.lead_off:
            start_s = self.end_s
            self._end_segment(out)
            self.end_s += len(block) / block.fs_hz
            out.append(Gap(start_s, self.end_s, "lead_off"))
            return
        self._feed(block, out)

    def _waiting_native(self) -> tuple[Native, ...]:
        native, self._native = tuple(self._native), []
        return native

    def _end_segment(self, out: list[TimelineItem]) -> None:
        out += self.flush()
        self._segment = None

    def _jump_s(self, block: SampleBlock) -> float | None:
        if self._segment is None or block.device_time_ns is None or len(block) == 0:
            return None
        error_s = self._segment.clock_error_s(len(block), block.device_time_ns)
        limit_s = JUMP_S if block.seq is None else JUMP_WITH_SEQ_S
        return error_s if abs(error_s) > limit_s else None

    def _begin(
        self, block: SampleBlock, lost: int, room_s: float | None, out: list[TimelineItem], *, whole: bool
    ) -> int:
        """Report the time before a block as a gap; return how many of the ``lost`` samples fit into it."""
        start_s = max(self.end_s, self._start_of(block, lost))
        self._link_lost = False
        if self._room is not None and room_s is not None:
            most = round(room_s * block.fs_hz)
            if start_s > self.end_s + room_s:
                self.impossible_samples += 0 if lost else round((start_s - self.end_s - room_s) * block.fs_hz)
                start_s = self.end_s + room_s
                self._set_anchor(block, start_s)
            self.impossible_samples += max(0, lost - most)
            lost = min(lost, most)
            self._room.take(start_s - self.end_s)
        # A gap of no length, such as a change of scale, also counts: no window may span it.
        if self.segments or start_s > self.end_s:
            out.append(Gap(self.end_s, start_s, "gap", whole))
        self.end_s = start_s
        return lost

    def _start_of(self, block: SampleBlock, lost: int) -> float:
        """Return the signal time of the first sample of a block that begins a segment, s."""
        start_s = self.end_s + lost / block.fs_hz
        if block.device_time_ns is None or not len(block):
            return max(start_s, self._host_gap_end_s(block)) if self._link_lost else start_s
        if self._anchor is None:
            start_s = max(start_s, self._host_gap_end_s(block))
            self._set_anchor(block, start_s)
            return start_s
        device_s = self._anchor[1] + (block.device_time_ns - self._anchor[0]) * 1e-9
        start_s = device_s - (len(block) - 1) / block.fs_hz
        if not self.end_s - JUMP_S <= start_s <= self.end_s + MAX_GAP_S:
            start_s = max(self.end_s, self._host_gap_end_s(block))
            self._set_anchor(block, start_s)
        return start_s

    def _set_anchor(self, block: SampleBlock, start_s: float) -> None:
        if block.device_time_ns is not None and len(block):
            self._anchor = (block.device_time_ns, start_s + (len(block) - 1) / block.fs_hz)

    def _host_gap_end_s(self, block: SampleBlock) -> float:
        if self._last_arrival_ns is None:
            return self.end_s
        silent_s = (block.arrival_ns - self._last_arrival_ns) * 1e-9 - len(block) / block.fs_hz
        return self.end_s + min(max(silent_s, 0.0), MAX_GAP_S)

    def _feed(self, block: SampleBlock, out: list[TimelineItem]) -> None:
        first = self._segment is None
        if self._segment is None:
            clocked = block.device_time_ns is not None
            self._segment = Segment(block.fs_hz, self.grid_hz, self.end_s, clocked=clocked, gather=self._gather)
            self.segments += 1
        scale = _scale(block.unit, block.lsb_mv)
        values = block.samples.astype(np.float64)
        if scale is not None and scale != 1.0:
            values = values * scale
        samples, start_s = self._segment.push(values, block.device_time_ns, 0 if first else self.due)
        self.end_s = max(self.end_s, self._segment.end_s)
        native = Native(
            values,
            self._segment.start_s,
            self._segment.end_s,
            block.fs_hz,
            clocked=block.device_time_ns is not None,
            step=_step(block, scale),
            limits=_limits(block, scale),
        )
        self._native.append(native)
        if first or len(samples) or not self._gather:
            out.append(Uniform(start_s, samples, first, scale is not None, self._waiting_native()))


def _scale(unit: str, lsb_mv: float | None) -> float | None:
    """Return millivolts per unit of the samples; ``None`` if unknown."""
    return 1.0 if unit == "mV" else lsb_mv


def _step(block: SampleBlock, scale: float | None) -> float:
    """Return the step of integer samples on the grid; 0 for samples that the device scaled itself."""
    return 0.0 if block.samples.dtype.kind == "f" else abs(scale or 1.0)


def _limits(block: SampleBlock, scale: float | None) -> tuple[float, float] | None:
    """Return the limits of the converter on the grid, the lower one first whatever the polarity."""
    if block.limits is None:
        return None
    ends = [limit * (scale or 1.0) for limit in block.limits]
    return min(ends), max(ends)


def split_at_nan(block: SampleBlock) -> list[SampleBlock]:
    """Cut a block at runs of NaN or infinity, which count as lost samples.

    Args:
        block: Any block.

    Returns:
        Blocks without such values, in order; the last may be empty with a ``lost`` count. A block without such values
        is returned unchanged.
    """
    if block.samples.dtype.kind != "f":
        return [block]
    good = np.isfinite(block.samples)
    if bool(np.all(good)):
        return [block]
    edges = np.flatnonzero(np.diff(good.astype(np.int8))) + 1
    bounds = [0, *edges.tolist(), len(good)]
    out: list[SampleBlock] = []
    lost = block.lost
    for lo, hi in pairwise(bounds):
        if not good[lo]:
            lost += hi - lo
            continue
        time_ns = block.device_time_ns
        if time_ns is not None:
            time_ns -= round((len(good) - hi) * 1e9 / block.fs_hz)
        out.append(_part(block, block.samples[lo:hi], time_ns, lost))
        lost = 0
    if lost:
        out.append(_part(block, block.samples[:0], block.device_time_ns, lost))
    return out


def _part(
    block: SampleBlock, samples: NDArray[np.int32] | NDArray[np.float32], time_ns: int | None, lost: int
) -> SampleBlock:
    return SampleBlock(
        samples=samples,
        unit=block.unit,
        lsb_mv=block.lsb_mv,
        fs_hz=block.fs_hz,
        device_time_ns=time_ns,
        arrival_ns=block.arrival_ns,
        seq=block.seq,
        lost=lost,
        lead_off=block.lead_off,
        resent=block.resent,
        limits=block.limits,
    )
