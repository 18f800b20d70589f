"""OpenBCI Ganglion (four channels) on Bluetooth: packed notifications of 20 bytes. Sans-IO.

Sources: brainflow-dev/brainflow@015427e:src/board_controller/openbci/ganglion_native_v3.cpp, ``..._v2.cpp``,
``ganglion_native.cpp`` (characteristics) and utils/custom_cast.h; OpenBCI/Documentation, Ganglion data format (the sign
of a packed number is its lowest bit); openbci-archive/OpenBCI_NodeJS_Ganglion@605b59d:test (vectors).

Firmware 3 sends values: ids 0-99 of 18 bits (the upper of 24), 100-199 of 19. Firmware 2 sends differences from the
previous value, ids 1-100 and 101-200, and once per round (id 0) one whole sample, where decoding resumes after a loss.
Firmware 3 as shipped (OpenBCI/OpenBCI_Ganglion_Library pull request 31) counts to 100 and 200 as well: its first
notification of a round, id 0 or 100, repeats an old sample and carries one new one.
"""

from __future__ import annotations

from collections import Counter, deque

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
"""Samples of a round of firmware 2, or of firmware 3 as shipped."""
RAW_END = 13
"""Bytes of a whole sample of firmware 2, with its id; zeros follow."""
RECENT = 16
"""Notifications that are remembered, to recognise copies."""
LATE = 40
"""Samples by which a notification may be late."""


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
        self._narrow = False
        """Whether the numbers have 18 bits now."""
        self._long = False
        """Firmware 3: whether its rounds have 201 samples."""
        self._recent: deque[tuple[bytes, int]] = deque(maxlen=RECENT)
        self._doubts = 0
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
        if any(data == before for before, _arrival in self._recent):
            self._count["repeated_frames"] += 1
            return []
        self._count["frames"] += 1
        return self._differences(number, data, arrival_ns) if self._old else self._values(number, data, arrival_ns)

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport."""
        if event.kind is LinkEventKind.CONNECTED:
            self._out = [Write(b"b")]
        elif event.kind in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.END}:
            self._position = self._value = None
            self._missing, self._started, self._text = 0, False, ""
            self._last = -1
            self._recent.clear()
        return []

    def writes(self) -> list[Write]:
        """Return the pending writes and clear them."""
        out, self._out = self._out, []
        return out

    def counters(self) -> dict[str, int]:
        """Return the counters since the decoder was created; counters that are zero are absent."""
        return dict(self._count)

    def _values(self, number: int, data: bytes, arrival_ns: int) -> list[LinkItem]:
        # The last of a long round of 18 bits has the id of the first of one of 19 bits.
        self._narrow = number < IDS or (number == IDS and self._narrow and self._last >= IDS // 2)
        bits = 18 if self._narrow else 19
        at = number if self._narrow else number - IDS
        if at == IDS and not self._long:
            self._long = True
            self._position = None if self._position is None else (self._position or PAIR * IDS) - 1
        whole = ROUND if self._long else PAIR * IDS
        first = PAIR * at - 1 if self._long else PAIR * at
        pair = [value(packed, bits) for packed in unpack(data, bits, self._channel)]
        if first < 0:
            first, pair = 0, pair[1:]
        lost = 0 if self._position is None else (first - self._position) % whole
        if lost >= whole - LATE and self._arrives_too_soon(lost, arrival_ns):
            self._count["late_frames"] += 1
            return []
        out = self._firmware(number, data, arrival_ns)
        self._position = (first + len(pair)) % whole
        out.append(self._block(np.array(pair, np.int32), arrival_ns, lost, number))
        return out

    def _arrives_too_soon(self, lost: int, arrival_ns: int) -> bool:
        """Return whether so many samples cannot have been missed since the last notification arrived."""
        if len(self._recent) < RECENT:
            return False
        took_ns = self._recent[-1][1] - self._recent[0][1]
        real = took_ns > 0.5 * (RECENT - 1) * PAIR / FS_HZ * 1e9
        return real and arrival_ns - self._recent[-1][1] < 0.5 * lost / FS_HZ * 1e9

    def _firmware(self, number: int, data: bytes, arrival_ns: int) -> list[LinkItem]:
        """Suggest the other firmware if the ids run like its own."""
        last, self._last = self._last, number
        self._recent.append((data, arrival_ns))
        if self._old:
            # Firmware 2 sends id 0 between two rounds, and 100 before it.
            self._doubts += (number == IDS and last >= PAIR * IDS - 1) or (number == 0 and last == IDS - 1)
            sure = self._doubts > 1
        else:
            sure = number == 0 and (last == PAIR * IDS or (last == IDS and not any(data[RAW_END:])))
        if not sure or self._warned:
            return []
        self._warned = True
        other = FIRMWARES[self._old]
        detail = f"the board counts like firmware {other}: add firmware={other} to the URL"
        return [LinkEvent(LinkEventKind.INFO, arrival_ns, detail, {"firmware": other})]

    def _differences(self, number: int, data: bytes, arrival_ns: int) -> list[LinkItem]:
        out = self._firmware(number, data, arrival_ns)
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
            return out
        else:
            bits = 18 if number <= IDS else 19
            steps = unpack(data, bits, self._channel)
            first = _wrap(self._value - difference(steps[0], bits))
            samples = [first, _wrap(first - difference(steps[1], bits))]
        self._value = samples[-1]
        lost, self._missing = self._missing, 0
        return [*out, self._block(np.array(samples, np.int32), arrival_ns, lost, number)]

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
            "firmware": "2 or 3 (default 3); firmware 2 packs differences, which look alike; the ids show which it is",
        },
        notes=(
            "its converter passes from 0 Hz: the signal includes the electrodes' offset",
            "its samples have 18 or 19 bits; the lowest of them only repeats the sign",
        ),
    ),
    decoder=GanglionDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
