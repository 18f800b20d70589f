"""OpenBCI Cyton (eight channels) behind its USB dongle. Sans-IO.

Sources: brainflow-dev/brainflow@1050c9e:src/board_controller/openbci/cyton.cpp (33 bytes: A0, number u8, 8 * i24
big-endian, 6 auxiliary bytes, C0 to C6), and OpenBCI/Documentation: website/docs/Cyton (commands; text up to ``$$$``
when the board is ready; 4.5 V / gain / (2^23 - 1) per count).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from firmware_bridge.decoding.cutter import MORE, NO, Cutter, Run
from firmware_bridge.decoding.numbered import Numbered
from firmware_bridge.decoding.options import choice
from firmware_bridge.decoding.stream import Blocks, StreamDecoder
from firmware_bridge.devices import Device, DeviceKind, Write
from firmware_bridge.items import DATA_CHANNEL
from firmware_bridge.samples import LinkItem

FS_HZ = 250.0
START = 0xA0
STOP_FIRST, STOP_LAST = 0xC0, 0xC6
SIZE = 33
NUMBERS = 256
CHANNELS = tuple(range(1, 9))
GAINS = (1, 2, 4, 6, 8, 12, 24)
"""Gains of the ADS1299, in the order of their codes."""
REFERENCE_MV = 4500.0
PROMPT = b"$$$"
"""Prompt that shows that the board is ready for a command."""


def _fit(buffer: bytes, at: int, trusted: bool, last: int) -> int:
    if at >= len(buffer):
        return MORE
    if buffer[at] != START:
        return NO
    end = at + SIZE
    if len(buffer) < end:
        return MORE
    stop = buffer[end - 1]
    if not STOP_FIRST <= stop <= STOP_LAST:
        return NO
    if trusted and last in {-1, stop}:
        return SIZE
    # One byte at each end is weak evidence: the next frame must be in its place, with the next number.
    if len(buffer) < end + 2:
        return MORE
    return SIZE if buffer[end] == START and buffer[end + 1] == (buffer[at + 1] + 1) % NUMBERS else NO


class CytonDecoder(StreamDecoder):
    """One session with one board.

    Args:
        channel: Channel with the electrode, 1 to 8, as text.
        gain: Gain of that channel, as text; it is also set on the board.
    """

    def __init__(self, channel: str = "1", gain: str = "24") -> None:
        super().__init__(Cutter(_fit, bytes((START,)), 1))
        self._channel = choice("channel", channel, CHANNELS)
        self._gain = choice("gain", gain, GAINS)
        self._blocks = Blocks(FS_HZ, REFERENCE_MV / self._gain / (2**23 - 1))
        self._numbered = Numbered(NUMBERS)
        self._seen: bytes | None = None
        """Last bytes received before the prompt is complete."""

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode received bytes; return blocks and events in order. Never raises."""
        if self._seen is not None and channel == DATA_CHANNEL:
            self._seen += data
            if PROMPT in self._seen:
                self._seen = None
                self._out += [Write(self._setting()), Write(b"b")]
            else:
                self._seen = self._seen[1 - len(PROMPT) :]
        return super().feed(data, arrival_ns, channel)

    def _hello(self) -> Iterable[Write]:
        self._seen = b""
        # A reset also ends a running stream, and sets every gain back to 24.
        return (Write(b"v"),)

    def _setting(self) -> bytes:
        """Return the command: channel on, gain, normal input, in the bias, SRB2 on, SRB1 off."""
        return f"x{self._channel}0{GAINS.index(self._gain)}0110X".encode()

    def _forget(self) -> None:
        self._numbered.forget()

    def _frames(self, run: Run, arrival_ns: int) -> list[LinkItem]:
        junk, self._junk_bytes = self._junk_bytes, 0
        at = 2 + 3 * (self._channel - 1)
        if len(run.data) == SIZE:
            # As on an idle machine, which reads each frame as it arrives.
            seq, gone = self._numbered.follow(run.data[1], 1, junk / SIZE)
            self._samples(1, gone)
            value = int.from_bytes(run.data[at : at + 3], "big", signed=True)
            return [self._blocks.one(np.array((value,), np.int32), arrival_ns, gone, seq=seq)]
        rows = np.frombuffer(run.data, np.uint8).reshape(-1, SIZE)
        number, lost = self._numbered.place(rows[:, 1], junk / SIZE)
        high = rows[:, at].astype(np.int8).astype(np.int32) << 16
        samples = high | (rows[:, at + 1].astype(np.int32) << 8) | rows[:, at + 2]
        missing = int(lost.sum())
        self._samples(len(samples), missing)
        if not missing:
            return [self._blocks.one(samples, arrival_ns, seq=int(number[0]))]
        return self._blocks.cut(samples, arrival_ns, lost, np.zeros(len(samples), np.bool_), number)


DEVICE = Device(
    profile=DeviceKind(
        name="openbci_cyton",
        title="OpenBCI Cyton (USB dongle)",
        transports=("serial",),
        fs_hz=(FS_HZ,),
        scale="fixed",
        band_hz=None,
        clock="none: samples are counted",
        loss_detection=(
            "eight-bit sample number: exact up to 255 samples (one second) in a row; beyond that, whole multiples of "
            "256 are noticed only if their bytes arrived damaged"
        ),
        start=(Write(b"b"),),
        stop=(Write(b"s"),),
        baud=115_200,
        usb=((0x0403, 0x6015),),
        options={
            "channel": "the channel with the electrode, 1 to 8 (default 1)",
            "gain": "gain of that channel: 1, 2, 4, 6, 8, 12 or 24 (default 24); it is set on the board",
        },
        notes=(
            "its converter passes from 0 Hz: the signal includes the electrodes' offset",
            "with a Daisy module the frames alternate between two boards: not supported",
            "use it on battery power only, never with a charger or a mains-powered computer on the same electrodes",
        ),
    ),
    decoder=CytonDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
