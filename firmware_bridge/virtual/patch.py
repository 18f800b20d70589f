"""A virtual patch: the patch's side of the protocol, with faults on demand and an exact account of its work. Sans-IO.

``python -m firmware_bridge.virtual`` runs one behind a pseudo-terminal (``virtual/process.py``); ``sim:`` runs one in
the process. A slot is one DATA frame long (0.1 s by default), and everything happens at the end of a slot, so the bytes
depend only on the options and the seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import UsageError
from firmware_bridge.virtual.ecg import Signal
from firmware_bridge.virtual.faults import FaultSchedule
from firmware_bridge.virtual.ring import FrameRing, GroundTruth
from firmware_bridge.wire.framing import FrameDecoder
from firmware_bridge.wire.messages import (
    PROTOCOL,
    Ack,
    AckCode,
    Data,
    Flags,
    Header,
    Hello,
    HelloRequest,
    HelloTag,
    Message,
    MessageType,
    Resend,
    SampleFormat,
    Start,
    Status,
    Stop,
    decode,
    encode,
    samples_max,
)

__all__ = ["Emission", "GroundTruth", "PatchConfig", "VirtualPatch"]

IDLE_HELLO_S = 1.0
"""Time between two HELLO messages of an idle patch, in seconds."""
STREAM_HELLO_S = 10.0
"""Time between two of a streaming patch, in seconds, so that a host that missed a restart learns of it."""
STATUS_S = 60.0
"""Time between two STATUS messages, in seconds."""
RING_MAX_S = 86_400.0
"""Longest memory of a virtual patch, in seconds of samples."""
RESEND_BURST = 4
"""Frames resent per new frame: a minute is resent in 20 s, and a slow link still carries the new ones."""


@dataclass(frozen=True, slots=True)
class PatchConfig:
    """Properties of the patch.

    Attributes:
        fs_hz: Nominal sampling rate, Hz.
        frame_s: Duration of a DATA frame, seconds; shortened if it would not fit.
        sample_bits: Resolution and format of its samples, 16 or 24.
        nv_num: Nanovolts per count, numerator; 0 hides the scale (samples then have 1000 nV).
        nv_den: Its denominator.
        tick_hz: Rate of its clock, Hz.
        tick_start: Tick of its clock at the first boot, for tests of the wrap-around.
        index_start: Sample index at the first boot, for the same tests.
        device_id: Identifier that it sends.
        lead: Name of its lead.
        ring_s: Seconds of samples that it keeps to resend on request; 0 for none.
    """

    fs_hz: float = 250.0
    frame_s: float = 0.1
    sample_bits: int = 16
    nv_num: int = 1000
    nv_den: int = 1
    tick_hz: int = 32_768
    tick_start: int = 0
    index_start: int = 0
    device_id: str = "virtual-0001"
    lead: str = "II"
    ring_s: float = 0.0

    @property
    def frame_samples(self) -> int:
        """Return the number of samples in a DATA frame."""
        return min(max(round(self.fs_hz * self.frame_s), 1), samples_max(self.sample_format))

    @property
    def sample_format(self) -> SampleFormat:
        """Return the format of the samples on the wire."""
        return SampleFormat.INT16 if self.sample_bits <= 16 else SampleFormat.INT24

    @property
    def ring_frames(self) -> int:
        """Return the number of frames that it keeps."""
        return math.ceil(self.ring_s * self.fs_hz / self.frame_samples)


@dataclass(frozen=True, slots=True)
class Emission:
    """Bytes that leave the patch, or a link that goes down (``up`` False) or up (True), at a time since the start."""

    time_s: float
    data: bytes = b""
    up: bool | None = None


class VirtualPatch:
    """A patch that measures a signal and speaks the kit's protocol.

    Args:
        signal: Signal to measure.
        config: Properties of the patch.
        faults: Schedule of its faults.
        seed: Seed of all randomness: boot ids and faults.
    """

    def __init__(
        self,
        signal: Signal,
        config: PatchConfig | None = None,
        faults: FaultSchedule | None = None,
        seed: int = 1,
    ) -> None:
        self.config = config or PatchConfig()
        self.truth = GroundTruth()
        self.finished = False
        """Whether the signal has ended."""
        self._signal = signal
        self._faults = faults or FaultSchedule()
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([0x9A7C, seed])))
        if not 20.0 <= self.config.fs_hz <= 8000.0:
            raise UsageError(f"fs={self.config.fs_hz:g} is outside 20 to 8000 Hz")
        if not (0.0 < self.config.frame_s <= 10.0 and 0 <= self.config.nv_num < 1 << 32):
            raise UsageError("a frame must last more than 0 and at most 10 s, a count must be 0 to 4294967295 nV")
        if not 0.0 <= self.config.ring_s <= RING_MAX_S:
            raise UsageError(f"a patch keeps 0 to {RING_MAX_S:g} s of samples, not {self.config.ring_s:g}")
        true_fs_hz = self.config.fs_hz * (1.0 + self._faults.rate("rate") * 1e-6)
        self._ticks_per_sample = self.config.tick_hz / true_fs_hz
        drift = 1.0 + self._faults.rate("drift") * 1e-6
        self.slot_s = self.config.frame_samples / true_fs_hz / drift
        """Duration of a slot in host seconds."""
        self._ring = FrameRing(self.config.ring_frames)
        self._slot = 0
        self._plugged = self._powered = True
        self._host = FrameDecoder()
        self._out: list[Emission] = []
        self._late: tuple[bytes, Data] | None = None
        self._boot(self.config.index_start, self.config.tick_start)

    @property
    def time_s(self) -> float:
        """Return the end of the last slot, host seconds since the start."""
        return self._slot * self.slot_s

    def inject(self, text: str) -> None:
        """Add faults, with times counted from now.

        Raises:
            UsageError: The text is not valid.
        """
        self._faults = self._faults.joined(FaultSchedule.parse(text, self.time_s))

    def receive(self, data: bytes) -> None:
        """Handle bytes from the host; answers come with the next ``advance``."""
        self.truth.host_bytes += len(data)
        if not (self._plugged and self._powered):
            return
        for body in self._host.feed(data):
            result = decode(body) if isinstance(body, bytes) else None
            if isinstance(result, tuple):
                self._command(result[1])
            else:
                self.truth.host_errors += 1

    def link_lost(self) -> None:
        """End the connection: nothing is sent until the host asks again."""
        self._streaming = False
        self._late = None
        self._ring.stop()
        self._host.reset()

    def advance(self, until_s: float) -> list[Emission]:
        """Advance the time; return everything that leaves the patch until then, in order."""
        while not self.finished and (self._slot + 1) * self.slot_s <= until_s:
            self._slot += 1
            self._one_slot(self.time_s)
        out, self._out = self._out, []
        return out

    def account(self) -> dict[str, int]:
        """Return the ground truth so far, as JSON numbers."""
        return self.truth.account(self._index)

    def _boot(self, index: int, tick: int) -> None:
        old = getattr(self, "_boot_id", 0)
        boot_id = int(self._rng.integers(1, 1 << 32))
        # Every DATA frame carries the low byte: firmware that stores its last boot id makes it differ, as here.
        self._boot_id = boot_id ^ 1 if boot_id & 0xFF == old & 0xFF else boot_id
        self._index, self._tick0, self._index0 = index, tick, index
        self.truth.boot(index)
        self._ring.clear()
        self._said_hello = False
        self._seq = 0
        self._streaming = self._sampling = False
        self._next_hello_s = self._next_status_s = 0.0
        self._host.reset()

    def _one_slot(self, time_s: float) -> None:
        self._plug(time_s)
        self._power(time_s)
        count = self.config.frame_samples
        if not self._powered:
            # Time passes for the patient, but nothing measures.
            self.finished = len(self._signal.generate(count, self.config.fs_hz)) < count
            return
        if self._streaming and time_s >= self._next_status_s:
            self._send(Status(80, 3900, self.truth.frames_dropped, self._index))
            self._next_status_s = time_s + STATUS_S
        if time_s >= self._next_hello_s:
            self._send(self._hello())
            self._next_hello_s = time_s + (STREAM_HELLO_S if self._streaming else IDLE_HELLO_S)
        if self._sampling:
            self._measure(count, time_s)

    def _plug(self, time_s: float) -> None:
        plugged = not self._faults.active("unplug", time_s)
        if plugged != self._plugged:
            self._plugged = plugged
            self._out.append(Emission(time_s, up=plugged))
            self.truth.unplugs += not plugged
            self.link_lost()

    def _power(self, time_s: float) -> None:
        powered = not self._faults.active("restart", time_s)
        if powered and not self._powered:
            self.truth.power_off(self._index)
            self._late = None
            self._boot(0, 0)
            if self._plugged:
                # Text that a boot loader leaves on the line, and the delimiter that closes it.
                self._out.append(Emission(time_s, b"boot: anyecg virtual patch\r\n\x00"))
        self._powered = powered

    def _measure(self, count: int, time_s: float) -> None:
        mv = self._signal.generate(count, self.config.fs_hz)
        self.finished = len(mv) < count
        if not len(mv):
            return
        flags = Flags.NONE
        samples = self._counts(mv)
        if self._faults.active("leadoff", time_s):
            flags |= Flags.LEAD_OFF
            samples = np.zeros_like(samples)
            self.truth.leadoff_samples += len(mv)
        if self._faults.active("saturate", time_s):
            flags |= Flags.SATURATED
            samples = np.full_like(samples, (1 << self.config.sample_bits - 1) - 1)
        message = Data(self._index, self._boot_id, samples, self.config.sample_format)
        tick = self._tick0 + round((self._index - self._index0) * self._ticks_per_sample)
        self.truth.samples_made += len(mv)
        self._index += len(mv)
        self._ring.put(message, flags, tick)
        stalled = self._faults.active("stall", time_s)
        if self._plugged and self._streaming and not stalled:
            self._send(message, flags, tick)
            for again, its_flags, its_tick in self._ring.answer(RESEND_BURST):
                self.truth.frames_resent += 1
                self._send(again, its_flags | Flags.RESENT, its_tick)
        else:
            self.truth.frames_dropped += 1
            self._late = None

    def _counts(self, mv: NDArray[np.float64]) -> NDArray[np.int32]:
        nanovolts = self.config.nv_num / self.config.nv_den if self.config.nv_num else 1000.0
        top = (1 << self.config.sample_bits - 1) - 1
        return np.clip(np.rint(mv * (1e6 / nanovolts)), -top, top).astype(np.int32)

    def _hello(self) -> Hello:
        fs = Fraction(self.config.fs_hz).limit_denominator(1000)
        texts = {
            HelloTag.KIND: "AnyECG virtual patch",
            HelloTag.DEVICE_ID: self.config.device_id,
            HelloTag.FIRMWARE: "virtual 1",
            HelloTag.LEAD: self.config.lead,
        }
        return Hello(
            boot_id=self._boot_id,
            tick_hz=self.config.tick_hz,
            fs_num=fs.numerator,
            fs_den=fs.denominator,
            nv_num=self.config.nv_num,
            nv_den=self.config.nv_den,
            band_low_mhz=50,
            band_high_mhz=int(self.config.fs_hz * 400),
            index=self._index & 0xFFFFFFFF,
            sample_bits=self.config.sample_bits,
            texts=texts,
            ring_samples=self.config.ring_frames * self.config.frame_samples,
        )

    def _command(self, message: Message) -> None:
        match message:
            case HelloRequest():
                self._send(self._hello())
            case Start(version):
                accepted = version == PROTOCOL
                self._streaming = self._streaming or accepted
                self._sampling = self._sampling or accepted
                self._send(Ack(MessageType.START, AckCode.OK if accepted else AckCode.BAD_VERSION))
            case Stop():
                self._streaming = False
                self._ring.stop()
                self._send(Ack(MessageType.STOP, AckCode.OK))
            case Resend(index, count):
                self._send(self._ring.request(index, count, self._index, streaming=self._streaming))
            case _:
                self.truth.host_errors += 1

    def _send(self, message: Message, flags: Flags = Flags.NONE, tick: int | None = None) -> None:
        """Send a message through the faults, and update the account."""
        if not self._plugged or self._faults.active("stall", self.time_s):
            return
        now = tick if tick is not None else round(self.time_s * self.config.tick_hz)
        frame = encode(message, Header(flags=flags, seq=self._seq, tick=now))
        self._seq = (self._seq + 1) & 0xFFFF
        self.truth.frames_made += 1
        data = message if isinstance(message, Data) else None
        if self._happens("noise"):
            self._emit(self._rng.integers(0, 256, 40, np.uint8).tobytes() + b"\x00")
        if self._happens("drop"):
            self.truth.frames_dropped += 1
        elif self._happens("corrupt"):
            self.truth.frames_corrupted += 1
            self._emit(self._flipped(frame))
        elif data is not None and self._late is None and self._happens("late"):
            self.truth.frames_late += 1
            self._late = frame, data
            return
        else:
            self._emit(frame)
            self.truth.delivered(data, gaps_close=self.config.ring_frames > 0)
            if isinstance(message, Hello) and not self._said_hello:
                self._said_hello = True
                self.truth.boots_heard += 1
            if self._happens("double"):
                self.truth.frames_doubled += 1
                self._emit(frame)
        if data is not None and self._late is not None:
            frame, data = self._late
            self._late = None
            self._emit(frame)
            self.truth.delivered(data, gaps_close=self.config.ring_frames > 0)

    def _happens(self, name: str) -> bool:
        rate = self._faults.rate(name)
        return rate > 0 and float(self._rng.random()) < rate

    def _flipped(self, frame: bytes) -> bytes:
        out = bytearray(frame)
        # Not in the delimiter: the next frame would be lost as well, and the account would not be exact.
        bit = int(self._rng.integers(0, (len(frame) - 1) * 8))
        out[bit // 8] ^= 1 << bit % 8
        return bytes(out)

    def _emit(self, data: bytes) -> None:
        self._out.append(Emission(self.time_s, data))
