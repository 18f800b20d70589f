"""What the messages of the kit's own patch protocol say; how they stand in a frame is in ``messages``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

PROTOCOL = 1
"""Version written by this code: the first byte of every message. Raised only for what an old receiver would misread."""
SUPPORTED = (1, 1)
"""Lowest and highest version read by this code."""


class MessageType(IntEnum):
    """Second byte of a message. Below 0x80 the patch speaks, from 0x80 the host."""

    HELLO = 0x01
    DATA = 0x02
    STATUS = 0x03
    ACK = 0x04
    HELLO_REQUEST = 0x81
    START = 0x82
    STOP = 0x83
    RESEND = 0x84
    """Asks for samples again. A patch that keeps none answers ACK with UNSUPPORTED."""


class Flags(IntFlag):
    """Third byte of a message, set by the patch on DATA."""

    NONE = 0
    LEAD_OFF = 0x01
    OVERRUN = 0x02
    """The firmware lost samples just before this frame; the index says how many."""
    SATURATED = 0x04
    RESENT = 0x08
    """An answer to RESEND."""


class SampleFormat(IntEnum):
    """How samples stand in DATA; two's complement, least significant byte first."""

    INT16 = 1
    INT24 = 2

    @property
    def width(self) -> int:
        """Bytes a sample."""
        return 2 if self is SampleFormat.INT16 else 3


class AckCode(IntEnum):
    """What became of a command."""

    OK = 0
    UNSUPPORTED = 1
    BAD_VERSION = 2
    BUSY = 3
    BAD_ARGUMENT = 4


class HelloTag(IntEnum):
    """Tags of the texts in HELLO's tail (UTF-8)."""

    KIND = 1
    DEVICE_ID = 2
    FIRMWARE = 3
    LEAD = 4


@dataclass(frozen=True, slots=True)
class Header:
    """The nine bytes that every message starts with (the type stands in the message's class)."""

    version: int = PROTOCOL
    flags: Flags = Flags.NONE
    seq: int = 0
    tick: int = 0


DEFAULT_HEADER = Header()
"""No flags, seq and tick 0: what the host sends."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The patch describes itself: at boot, on request, and about every 10 s while it streams.

    Attributes:
        boot_id: Random at each boot, so that a restart is certain.
        tick_hz: Rate of the tick counter.
        fs_num: Nominal sampling rate, numerator, Hz.
        fs_den: Its denominator.
        nv_num: Nanovolts per count, numerator; 0 where the scale is unknown. A fraction because whole nanovolts are
            up to 2 % off for a 24-bit converter.
        nv_den: Its denominator.
        band_low_mhz: Lower -3 dB corner of the front end in millihertz; 0 unknown.
        band_high_mhz: Upper -3 dB corner in millihertz; 0 unknown.
        index: Index of the first sample of the next DATA frame.
        sample_bits: Resolution of the converter.
        proto_min: Lowest protocol version that the patch speaks.
        proto_max: Highest.
        texts: By tag, see ``HelloTag``; unknown tags are left out.
        ring_samples: Newest samples that the patch keeps for RESEND; 0 where it keeps none.
    """

    boot_id: int
    tick_hz: int
    fs_num: int
    fs_den: int = 1
    nv_num: int = 0
    nv_den: int = 1
    band_low_mhz: int = 0
    band_high_mhz: int = 0
    index: int = 0
    sample_bits: int = 16
    proto_min: int = PROTOCOL
    proto_max: int = PROTOCOL
    texts: Mapping[HelloTag, str] = field(default_factory=lambda: MappingProxyType({}))
    ring_samples: int = 0

    @property
    def fs_hz(self) -> float:
        """Nominal sampling rate."""
        return self.fs_num / self.fs_den

    @property
    def lsb_mv(self) -> float | None:
        """Millivolts per count; ``None`` where the patch does not know its scale."""
        return self.nv_num / self.nv_den * 1e-6 if self.nv_num and self.nv_den else None


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Consecutive samples, counts, shape ``(n,)`` int32, 1 to 117 (int16) or 78 (int24) of them."""

    index: int
    boot: int
    samples: NDArray[np.int32]
    sample_format: SampleFormat = SampleFormat.INT16


@dataclass(frozen=True, slots=True)
class Status:
    """How the patch is; about once a minute. ``dropped`` counts frames that the firmware could not send."""

    battery_percent: int | None
    battery_mv: int
    dropped: int
    index: int


@dataclass(frozen=True, slots=True)
class Ack:
    """Answer to a command. ``index``, only to RESEND: the first sample that comes; what lies before it is gone."""

    command: int
    code: int
    detail: int = 0
    index: int | None = None


@dataclass(frozen=True, slots=True)
class HelloRequest:
    """The host asks for HELLO and says which versions it reads."""

    proto_min: int = SUPPORTED[0]
    proto_max: int = SUPPORTED[1]


@dataclass(frozen=True, slots=True)
class Start:
    """The host chooses a version and asks for DATA on this link."""

    version: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class Stop:
    """The host wants no more DATA."""


@dataclass(frozen=True, slots=True)
class Resend:
    """The host asks for samples again; a new request takes the place of one that is still being answered."""

    index: int
    count: int


Message = Hello | Data | Status | Ack | HelloRequest | Start | Stop | Resend


@dataclass(frozen=True, slots=True)
class WrongVersion:
    """A sound frame of a version that this code does not read."""

    version: int


@dataclass(frozen=True, slots=True)
class UnknownType:
    """A sound frame of a type that this version does not know; to be skipped and counted."""

    type: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A sound frame whose content contradicts itself."""

    reason: str
