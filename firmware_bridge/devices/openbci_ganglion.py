"""OpenBCI Ganglion (four channels) on Bluetooth: packed notifications of 20 bytes. Sans-IO.

Sources: brainflow-dev/brainflow@015427e:src/board_controller/openbci/ganglion_native_v3.cpp, ``..._v2.cpp``,
``ganglion_native.cpp`` (characteristics) and utils/custom_cast.h; OpenBCI/Documentation, Ganglion data format (the sign
of a packed number is its lowest bit); openbci-archive/OpenBCI_NodeJS_Ganglion@605b59d:test (vectors).

Firmware 3 sends values: ids 0-99 of 18 bits (the upper of 24), 100-199 of 19. Firmware 2 sends differences from the
previous value, ids 1-100 and 101-200, and once per round (id 0) one whole sample, where decoding resumes after a loss.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decoding.options import choice
from firmware_bridge.decoding.stream import Blocks
from firmware_bridge.devices import BleProfile, Device, DeviceKind, Write
from firmware_bridge.items import DATA_CHANNEL
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem

FS_HZ = 200.0
SIZE = 20
PAIR = 2
"""Samples per packed notification."""
IDS = 100
"""Packed ids of one width."""
CHANNELS = (1, 2, 3, 4)
FIRMWARES = (2, 3)
LSB_MV = 1.2e3 / (8388607.0 * 1.5 * 51.0)
"""1.2 V reference, gains 1.5 and 51, 24 bits (brainflow: ``eeg_scale``)."""
IMPEDANCE, TEXT_PART, TEXT_END = range(201, 206), 206, 207
TEXT_MAX = 1000
"""Characters of a message that are kept, at most."""
ROUND = 1 + PAIR * IDS
"""Samples of firmware 2 between two whole samples."""


def unpack(data: bytes, bits: int, channel: int) -> tuple[int, int]:
    """Unpack one channel's two numbers of the eight in a notification, most significant bit first.

    Args:
        data: Notification; after its first byte channels 1 to 4 of the first sample, then of the second.
        bits: Width of each number, 18 or 19.
        channel: Index of the channel, from 0.

    Returns:
        Both numbers, unsigned.
    """
    whole = int.from_bytes(data[1 : 1 + bits], "big")
    mask = (1 << bits) - 1
    return (whole >> (7 - channel) * bits) & mask, (whole >> (3 - channel) * bits) & mask


def difference(number: int, bits: int) -> int:
    """Decode a difference of firmware 2: the lowest bit is the sign, the highest belongs to the value.

    Vectors: openbci-archive/OpenBCI_NodeJS_Ganglion@605b59d:test/openBCIGanglionSample-test.js.
    """
    return number - (1 << bits) if number & 1 else number


def value(number: int, bits: int) -> int:
    """Decode a value of firmware 3: the upper bits of a 24-bit two's complement.

    Its lowest bit repeats the sign and carries no information: 0.12 microvolts at 18 bits.
    """
    return (number - (1 << bits) if number >> (bits - 1) else number) << (24 - bits)


class GanglionDecoder:
    """One session with one board. A notification is one block of one or two samples.

    Args:
        channel: Channel with the electrode, 1 to 4, as text.
        firmware: Firmware version, 2 or 3, as text.
    """

    def __init__(self, channel: str = "1", firmware: str = "3") -> None:
        self._channel = choice("channel", channel, CHANNELS) - 1
        self._old = choice("firmware", firmware, FIRMWARES) == FIRMWARES[0]
        self._blocks = Blocks(FS_HZ, LSB_MV)
        self._count: Counter[str] = Counter()
        self._out: list[Write] = []
        self._position: int | None = None
        """Sample index, since the first sample, at which the next notification should begin."""
        self._value: int | None = None
        """Firmware 2: the sample before; ``None`` while there is no value to add differences to."""
        self._missing = 0
        self._started = False
        """Whether a sample has arrived on this connection."""
        self._text = ""
        self._last = -1
        self._warned = False

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode one notification. Never raises."""
        if channel != DATA_CHANNEL:
            self._count["foreign_channel_bytes"] += len(data)
            return []
        number = data[0] if data else 256
        if number in {TEXT_PART, TEXT_END}:
            return self._message(data, arrival_ns)
        if number in IMPEDANCE:
            self._count["impedance_frames"] += 1
            return []
        if len(data) != SIZE or number > PAIR * IDS:
            self._count["corrupt_bytes"] += len(data)
            detail = f"a notification of {len(data)} bytes is not one of a Ganglion"
            return [LinkEvent(LinkEventKind.CORRUPT, arrival_ns, detail, {"bytes": len(data)})]
        self._count["frames"] += 1
        return self._differences(number, data, arrival_ns) if self._old else self._values(number, data, arrival_ns)

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport."""
        if event.kind is LinkEventKind.CONNECTED:
            self._out = [Write(b"b")]
        elif event.kind in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.END}:
            self._position = self._value = None
            self._missing, self._started, self._text = 0, False, ""
        return []

    def writes(self) -> list[Write]:
        """Return the pending writes and clear them."""
        out, self._out = self._out, []
        return out

    def counters(self) -> dict[str, int]:
        """Return the counters since the decoder was created; counters that are zero are absent."""
        return dict(self._count)

    def _values(self, number: int, data: bytes, arrival_ns: int) -> list[LinkItem]:
        out = self._firmware(number, arrival_ns)
        if number >= PAIR * IDS:
            return out
        place = PAIR * (number % IDS)
        lost = 0 if self._position is None else (place - self._position) % (PAIR * IDS)
        bits = 18 if number < IDS else 19
        pair = [value(packed, bits) for packed in unpack(data, bits, self._channel)]
        self._position = (place + PAIR) % (PAIR * IDS)
        out.append(self._block(np.array(pair, np.int32), arrival_ns, lost, number))
        return out

    def _firmware(self, number: int, arrival_ns: int) -> list[LinkItem]:
        """Detect firmware 2: firmware 3 goes from 99 to 0 and from 199 to 100; firmware 2 counts to 100 and 200."""
        old = number == PAIR * IDS or (number == IDS and self._last == IDS - 1)
        self._last = number
        if not old or self._warned:
            return []
        self._warned = True
        detail = "the board counts like firmware 2: add firmware=2 to the URL"
        return [LinkEvent(LinkEventKind.INFO, arrival_ns, detail, {"firmware": 2})]

    def _differences(self, number: int, data: bytes, arrival_ns: int) -> list[LinkItem]:
        place = 0 if number == 0 else 1 + PAIR * ((number - 1) % IDS)
        count = 1 if number == 0 else PAIR
        if self._position is not None:
            gone = (place - self._position) % ROUND
            if gone:
                self._missing += gone if self._started else 0
                self._value = None
        self._position = (place + count) % ROUND
        if number == 0:
            at = 1 + 3 * self._channel
            samples = [int.from_bytes(data[at : at + 3], "big", signed=True)]
        elif self._value is None:
            # Differences from a value that never arrived. Before the first whole sample nothing is missing yet.
            self._count["undecodable_samples"] += count
            self._missing += count if self._started else 0
            return []
        else:
            bits = 18 if number <= IDS else 19
            steps = unpack(data, bits, self._channel)
            first = _wrap(self._value - difference(steps[0], bits))
            samples = [first, _wrap(first - difference(steps[1], bits))]
        self._value = samples[-1]
        lost, self._missing = self._missing, 0
        return [self._block(np.array(samples, np.int32), arrival_ns, lost, number)]

    def _block(self, samples: NDArray[np.int32], arrival_ns: int, lost: int, number: int) -> LinkItem:
        self._started = True
        self._count["samples"] += len(samples)
        if lost:
            self._count["lost_samples"] += lost
        return self._blocks.one(samples, arrival_ns, lost, seq=number)

    def _message(self, data: bytes, arrival_ns: int) -> list[LinkItem]:
        part = "".join(chr(b) if 32 <= b < 127 else " " for b in data[1:])
        self._text = (self._text + part)[:TEXT_MAX]
        if data[0] == TEXT_PART:
            return []
        text, self._text = " ".join(self._text.split()), ""
        return [LinkEvent(LinkEventKind.INFO, arrival_ns, f"the device printed {text[:80]!r}", {"text": text})]


def _wrap(value: int) -> int:
    """Wrap a sum of differences to 32 bits, whatever arrives."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


DEVICE = Device(
    profile=DeviceKind(
        name="openbci_ganglion",
        title="OpenBCI Ganglion (Bluetooth)",
        transports=("ble",),
        fs_hz=(FS_HZ,),
        scale="fixed",
        band_hz=None,
        clock="none: samples are counted",
        loss_detection=(
            "packet number: exact up to 199 samples (one second) in a row, further whole seconds are not noticed; with "
            "firmware 2 everything after a loss is missing up to the next whole sample, at most one second"
        ),
        start=(Write(b"b"),),
        stop=(Write(b"s"),),
        ble=BleProfile(
            service="0000fe84-0000-1000-8000-00805f9b34fb",
            notify={DATA_CHANNEL: "2d30c082-f39f-4ce6-923f-3484ea480596"},
            write={DATA_CHANNEL: "2d30c083-f39f-4ce6-923f-3484ea480596"},
            advertised=("0000fe84-0000-1000-8000-00805f9b34fb",),
            name_prefixes=("Ganglion", "Simblee"),
            write_response=False,
        ),
        options={
            "channel": "the channel with the electrode, 1 to 4 (default 1)",
            "firmware": "2 or 3 (default 3); firmware 2 packs differences, which look alike",
        },
        notes=(
            "its converter passes from 0 Hz: the signal includes the electrodes' offset",
            "its samples have 18 or 19 bits; the lowest of them only repeats the sign",
        ),
    ),
    decoder=GanglionDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
