"""The messages of the kit's own patch protocol; ``messages`` defines their encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

PROTOCOL = 1
"""Version written by this code: the first byte of every message. Raised only for what an old receiver would misread."""
SUPPORTED = (1, 2)
"""Lowest and highest version that this code speaks. Version 2 adds ESTIMATE, whose layout an old receiver skips; so its
messages, too, begin with 1, and the version in START says which of them the host wants."""
WITH_ESTIMATES = 2
"""Lowest version in which a patch sends ESTIMATE."""


class MessageType(IntEnum):
    """Second byte of a message: below 0x80 from the patch, from 0x80 on from the host."""

    HELLO = 0x01
    DATA = 0x02
    STATUS = 0x03
    ACK = 0x04
    ESTIMATE = 0x05
    """Estimates that the patch made itself; since version 2."""
    HELLO_REQUEST = 0x81
    START = 0x82
    STOP = 0x83
    RESEND = 0x84
    """Requests samples again. A patch that keeps none answers ACK with UNSUPPORTED."""


class Flags(IntFlag):
    """Third byte of a message, set by the patch on DATA."""

    NONE = 0
    LEAD_OFF = 0x01
    OVERRUN = 0x02
    """The firmware lost samples just before this frame; the index shows how many."""
    SATURATED = 0x04
    RESENT = 0x08
    """The frame answers a RESEND."""


class SampleFormat(IntEnum):
    """Encoding of the samples in DATA; two's complement, least significant byte first."""

    INT16 = 1
    INT24 = 2

    @property
    def width(self) -> int:
        """Return the bytes per sample."""
        return 2 if self is SampleFormat.INT16 else 3


class AckCode(IntEnum):
    """Result of a command."""

    OK = 0
    UNSUPPORTED = 1
    BAD_VERSION = 2
    BUSY = 3
    BAD_ARGUMENT = 4


class HelloTag(IntEnum):
    """Tags of the texts at the end of HELLO (UTF-8)."""

    KIND = 1
    DEVICE_ID = 2
    FIRMWARE = 3
    LEAD = 4


class EstimateReason(IntEnum):
    """Why a patch abstains; 0 if it does not."""

    NONE = 0
    WARMING_UP = 1
    GAP = 2
    POOR_SIGNAL = 3
    FLAT = 4
    SATURATED = 5
    LEAD_OFF = 6


class HeadState(IntFlag):
    """State of one output in ESTIMATE."""

    NONE = 0
    FLAG = 0x01
    """The value reaches its threshold."""
    DECIDED = 0x02
    """There is a threshold, and the evidence allows a flag."""


@dataclass(frozen=True, slots=True)
class Header:
    """The nine bytes at the start of every message (the class of the message gives the type)."""

    version: int = PROTOCOL
    flags: Flags = Flags.NONE
    seq: int = 0
    tick: int = 0


DEFAULT_HEADER = Header()
"""Header of the host's messages: no flags, seq and tick 0."""


@dataclass(frozen=True, slots=True)
class PatchModel:
    """The model with which a patch makes its own estimates.

    Attributes:
        identity: First eight bytes of the SHA-256 over model and calibration (``edge.onpatch.identity``).
        heads: Number of its outputs.
        hop_s: Seconds between two estimates; 0 if unknown.
        samples: Whether the patch also sends its samples.
    """

    identity: bytes
    heads: int
    hop_s: int = 0
    samples: bool = True


@dataclass(frozen=True, slots=True)
class Hello:
    """Description of the patch: sent at boot, on request, and about every 10 s while it streams.

    Attributes:
        boot_id: Random number drawn at each boot, so that a restart is certain.
        tick_hz: Rate of the tick counter, Hz.
        fs_num: Nominal sampling rate, numerator, Hz.
        fs_den: Its denominator.
        nv_num: Nanovolts per count, numerator; 0 if the scale is unknown. A fraction, because whole nanovolts are up
            to 2 % off for a 24-bit converter.
        nv_den: Its denominator.
        band_low_mhz: Lower -3 dB corner of the analog front end, millihertz; 0 if unknown.
        band_high_mhz: Upper -3 dB corner, millihertz; 0 if unknown.
        index: Index of the first sample of the next DATA frame.
        sample_bits: Resolution of the converter, bits.
        proto_min: Lowest protocol version that the patch supports.
        proto_max: Highest protocol version that the patch supports.
        texts: Texts by tag, see ``HelloTag``; unknown tags are left out.
        ring_samples: Number of newest samples that the patch keeps for RESEND; 0 if it keeps none.
        model: The model of a patch that makes estimates itself; ``None`` for other patches.
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
    model: PatchModel | None = None

    @property
    def fs_hz(self) -> float:
        """Return the nominal sampling rate, Hz."""
        return self.fs_num / self.fs_den

    @property
    def lsb_mv(self) -> float | None:
        """Return the millivolts per count; ``None`` if the patch does not know its scale."""
        return self.nv_num / self.nv_den * 1e-6 if self.nv_num and self.nv_den else None


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Consecutive samples, counts, shape ``(n,)`` int32; 1 to 117 (int16) or 78 (int24) of them."""

    index: int
    boot: int
    samples: NDArray[np.int32]
    sample_format: SampleFormat = SampleFormat.INT16


@dataclass(frozen=True, slots=True)
class Status:
    """State of the patch, about once a minute; ``dropped`` counts frames that the firmware could not send."""

    battery_percent: int | None
    battery_mv: int
    dropped: int
    index: int


@dataclass(frozen=True, slots=True)
class Ack:
    """Answer to a command. ``index``, for RESEND only: the first sample that follows; earlier ones are gone."""

    command: int
    code: int
    detail: int = 0
    index: int | None = None


@dataclass(frozen=True, slots=True)
class PatchEstimate:
    """Estimates that the patch made itself, or its reason for making none. More outputs than fit follow in another.

    Attributes:
        index: Index of the sample after the last one that the window depends on.
        boot: Low byte of the boot id.
        reason: Why the patch abstains.
        windows: Number of accepted windows in the values.
        first: Number of the first of ``heads`` among the outputs of the model.
        heads: Per output the calibrated logit or value, in steps of ``SCORE_STEP``, and its state.
    """

    index: int
    boot: int
    reason: EstimateReason = EstimateReason.NONE
    windows: int = 0
    first: int = 0
    heads: tuple[tuple[int, HeadState], ...] = ()


@dataclass(frozen=True, slots=True)
class HelloRequest:
    """Request of the host for HELLO, with the versions that it reads."""

    proto_min: int = SUPPORTED[0]
    proto_max: int = SUPPORTED[1]


@dataclass(frozen=True, slots=True)
class Start:
    """Command of the host that chooses a version and requests DATA on this link."""

    version: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class Stop:
    """Command of the host that ends DATA."""


@dataclass(frozen=True, slots=True)
class Resend:
    """Request of the host for samples again; a new request replaces one that is still being answered."""

    index: int
    count: int


Message = Hello | Data | Status | Ack | PatchEstimate | HelloRequest | Start | Stop | Resend


@dataclass(frozen=True, slots=True)
class WrongVersion:
    """A valid frame of a version that this code does not read."""

    version: int


@dataclass(frozen=True, slots=True)
class UnknownType:
    """A valid frame of a type that this version does not know; the receiver skips and counts it."""

    type: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A valid frame whose content contradicts itself."""

    reason: str
