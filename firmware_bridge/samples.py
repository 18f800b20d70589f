"""The output of a device decoder: blocks of samples and link events.

These two types are all that passes from ``firmware_bridge`` to ``edge``. A block states everything about its samples
(unit, scale, clock, loss), so that no later stage has to guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.text import printable

Unit = Literal["mV", "counts"]

MIN_FS_HZ = 60.0
MAX_FS_HZ = 4000.0
"""Sampling rates outside these limits are refused: a lower rate loses the QRS complex, a higher one is not an ECG."""

NO_DATA: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """A run of consecutive samples of one lead, as the device sent it.

    Attributes:
        samples: Samples, shape ``(n,)``; ``int32`` for counts or ``float32`` for values that the device scaled itself.
        unit: ``"mV"`` or ``"counts"``. Counts become millivolts only through ``lsb_mv``.
        lsb_mv: Millivolts per count; ``None`` if the scale is unknown (such a block never feeds a model that reads
            amplitude).
        fs_hz: Nominal sampling rate, Hz. The true rate is measured from ``device_time_ns``.
        device_time_ns: Device clock at the **last** sample of the block; ``None`` for a device without a clock.
        arrival_ns: Host monotonic clock when the last byte of the block arrived.
        seq: The device's own frame number, unwrapped if the decoder can; ``None`` if there is none.
        lost: Samples known to be missing just before this block.
        lead_off: Whether the device reports an electrode without contact.
        resent: Whether the block was sent again on request, long after it was measured, so that its arrival time says
            nothing about the device's clock.
        limits: Lowest and highest value of the converter, in the unit of ``samples``; ``None`` if unknown.
    """

    samples: NDArray[np.int32] | NDArray[np.float32]
    unit: Unit
    lsb_mv: float | None
    fs_hz: float
    device_time_ns: int | None
    arrival_ns: int
    seq: int | None = None
    lost: int = 0
    lead_off: bool = False
    resent: bool = False
    limits: tuple[float, float] | None = None

    def __len__(self) -> int:
        return int(self.samples.shape[0])


class LinkEventKind(StrEnum):
    """What happened on the link, apart from samples arriving."""

    CONNECTED = "connected"
    """The transport is open; nothing has been decoded yet."""
    HELLO = "hello"
    """The device described itself; ``data`` holds the description."""
    DISCONNECTED = "disconnected"
    """The transport is gone; ``detail`` says why. A live source reconnects automatically."""
    STALLED = "stalled"
    """The link is open but no data arrived for longer than the stall limit."""
    RESTARTED = "restarted"
    """The device rebooted: its clock and counters restarted. A segment ends here."""
    CORRUPT = "corrupt"
    """Bytes were discarded (bad checksum, impossible length); ``data["bytes"]`` counts them."""
    REFUSED = "refused"
    """The device answered a command with an error; ``detail`` explains it."""
    INFO = "info"
    """Information for the user, without effect on the data (battery, firmware text)."""
    ESTIMATE = "estimate"
    """The device made an estimate itself; ``data`` holds it (``firmware_bridge/decoding/patch_events.py``)."""
    END = "end"
    """A finite source (a recording) has no more data."""


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """Something that happened on the link.

    Attributes:
        kind: What happened.
        arrival_ns: Host monotonic clock.
        detail: One sentence for the user.
        data: Named facts for code (JSON values only).
    """

    kind: LinkEventKind
    arrival_ns: int
    detail: str = ""
    data: Mapping[str, object] = field(default_factory=lambda: NO_DATA)

    def __post_init__(self) -> None:
        # Devices put their own text into both, and both go to terminals, logs and pages.
        if not self.detail.isprintable():
            object.__setattr__(self, "detail", printable(self.detail))
        if any(isinstance(value, str) and not value.isprintable() for value in self.data.values()):
            cleaned = {key: printable(v) if isinstance(v, str) else v for key, v in self.data.items()}
            object.__setattr__(self, "data", cleaned)


LinkItem = SampleBlock | LinkEvent
