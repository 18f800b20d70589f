"""OpenBCI Cyton (eight channels) behind its USB dongle. Sans-IO.

Sources: brainflow-dev/brainflow@1050c9e:src/board_controller/openbci/cyton.cpp (33 bytes: A0, number u8, 8 * i24
big-endian, 6 auxiliary bytes, C0 to C6), and OpenBCI/Documentation: website/docs/Cyton (commands; text up to ``$$$``
when the board is ready; 4.5 V / gain / (2^23 - 1) per count). With a Daisy module it has 16 channels at 125 Hz, see
``decoding/daisy.py``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decoding.cutter import MORE, NO, Cutter, Run
from firmware_bridge.decoding.daisy import BOARD_CHANNELS, DaisyCheck
from firmware_bridge.decoding.numbered import Numbered
from firmware_bridge.decoding.options import choice
from firmware_bridge.decoding.stream import Blocks, StreamDecoder
from firmware_bridge.devices import Device, DeviceKind, Write
from firmware_bridge.errors import UsageError
from firmware_bridge.items import DATA_CHANNEL
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem

FS_HZ = 250.0
START = 0xA0
STOP_FIRST, STOP_LAST = 0xC0, 0xC6
SIZE = 33
NUMBERS = 256
CHANNELS = tuple(range(1, 17))
COMMANDS = "12345678QWERTYUI"
"""Names of the channels in commands."""
DAISY = ("auto", "yes", "no")
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
        channel: Channel with the electrode, 1 to 8, or 9 to 16 on a Daisy module, as text.
        gain: Gain of that channel, as text; it is also set on the board.
        daisy: Whether a Daisy module is attached: ``"yes"``, ``"no"``, or ``"auto"`` to find out.
    """

    def __init__(self, channel: str = "1", gain: str = "24", daisy: str = "auto") -> None:
        super().__init__(Cutter(_fit, bytes((START,)), 1))
        self._channel = choice("channel", channel, CHANNELS)
        self._gain = choice("gain", gain, GAINS)
        if daisy.lower() not in DAISY:
            raise UsageError(f"daisy={daisy!r} is not possible", f"daisy is one of {', '.join(DAISY)}")
        self._on_daisy = self._channel > BOARD_CHANNELS
        if self._on_daisy and daisy.lower() == "no":
            raise UsageError(f"channel={channel} is on a Daisy module", "use channel 1 to 8, or daisy=auto")
        self._fixed = {"yes": True, "no": False}.get(daisy.lower(), True if self._on_daisy else None)
        self._check = DaisyCheck()
        self._daisy = bool(self._fixed)
        self._blocks = Blocks(FS_HZ / (2 if self._daisy else 1), REFERENCE_MV / self._gain / (2**23 - 1))
        self._numbered = Numbered(NUMBERS)
        self._half: int | None = None
        """With a Daisy: number of the last sample of the channel, counted on its board."""
        self._seen: bytes | None = None
        """Last bytes received before the prompt is complete."""

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode received bytes; return blocks and events in order. Never raises."""
        if self._seen is not None and channel == DATA_CHANNEL:
            self._check.text(data)
            self._seen += data
            if PROMPT in self._seen:
                self._seen = None
                self._out += [Write(self._setting()), Write(b"b")]
            else:
                self._seen = self._seen[1 - len(PROMPT) :]
        return super().feed(data, arrival_ns, channel)

    def _hello(self) -> Iterable[Write]:
        self._seen, self._check = b"", DaisyCheck()
        # A reset also ends a running stream, and sets every gain back to 24.
        return (Write(b"v"),)

    def _setting(self) -> bytes:
        """Return the command: channel on, gain, normal input, in the bias, SRB2 on, SRB1 off."""
        return f"x{COMMANDS[self._channel - 1]}0{GAINS.index(self._gain)}0110X".encode()

    def _forget(self) -> None:
        self._numbered.forget()
        self._half = None

    def _frames(self, run: Run, arrival_ns: int) -> list[LinkItem]:
        junk, self._junk_bytes = self._junk_bytes, 0
        at = 2 + 3 * ((self._channel - 1) % BOARD_CHANNELS)
        if len(run.data) == SIZE and not self._daisy and not self._check.found:
            # As on an idle machine, which reads each frame as it arrives.
            seq, gone = self._numbered.follow(run.data[1], 1, junk / SIZE)
            self._samples(1, gone)
            value = int.from_bytes(run.data[at : at + 3], "big", signed=True)
            block = self._blocks.one(np.array((value,), np.int32), arrival_ns, gone, seq=seq)
            if not self._known:
                self._check.frame(seq, run.data[2 : 2 + 3 * BOARD_CHANNELS])
            return [block]
        rows = np.frombuffer(run.data, np.uint8).reshape(-1, SIZE)
        number, lost = self._numbered.place(rows[:, 1], junk / SIZE)
        high = rows[:, at].astype(np.int8).astype(np.int32) << 16
        samples = high | (rows[:, at + 1].astype(np.int32) << 8) | rows[:, at + 2]
        out: list[LinkItem] = []
        first = 0
        while not self._known and first < len(samples):
            start = 2 + first * SIZE
            self._check.frame(int(number[first]), run.data[start : start + 3 * BOARD_CHANNELS])
            first += 1
        if self._check.found and self._fixed is None and not self._daisy:
            # What came before in this run is still read as one board's.
            out += self._values(samples[:first], number[:first], lost[:first], arrival_ns)
            out.append(self._two_boards(arrival_ns))
            samples, number, lost = samples[first:], number[first:], lost[first:]
        return out + self._values(samples, number, lost, arrival_ns)

    @property
    def _known(self) -> bool:
        return self._fixed is not None or self._check.found is not None

    def _two_boards(self, arrival_ns: int) -> LinkItem:
        self._daisy, self._half = True, None
        self._blocks = Blocks(FS_HZ / 2, self._blocks.lsb_mv)
        where = f"channel {self._channel} is on the Cyton itself"
        detail = f"a Daisy module is attached: 16 channels at {FS_HZ / 2:g} Hz; {where}"
        return LinkEvent(LinkEventKind.INFO, arrival_ns, detail, {"daisy": True, "fs_hz": FS_HZ / 2})

    def _values(
        self, samples: NDArray[np.int32], number: NDArray[np.int64], lost: NDArray[np.int64], arrival_ns: int
    ) -> list[LinkItem]:
        if self._daisy:
            # Frames with odd numbers hold the channels of the Cyton, the others those of the Daisy.
            mine = number % 2 != self._on_daisy
            samples, number = samples[mine], number[mine] // 2
            if len(number):
                before = number[0] - 1 if self._half is None else self._half
                lost = np.diff(number, prepend=before) - 1
                self._half = int(number[-1])
        if not len(samples):
            return []
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
        fs_hz=(FS_HZ, FS_HZ / 2),
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
            "channel": "the channel with the electrode, 1 to 8 (default 1), or 9 to 16 on a Daisy module",
            "gain": "gain of that channel: 1, 2, 4, 6, 8, 12 or 24 (default 24); it is set on the board",
            "daisy": "yes, no or auto (default): whether a Daisy module is attached; its samples and boot text show it",
        },
        notes=(
            "its converter passes from 0 Hz: the signal includes the electrodes' offset",
            "with a Daisy module it has 16 channels at 125 Hz, sent in turns: odd frames hold channels 1 to 8",
            "use it on battery power only, never with a charger or a mains-powered computer on the same electrodes",
        ),
    ),
    decoder=CytonDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
