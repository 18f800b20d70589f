"""BITalino (r)evolution on a serial port or a Bluetooth serial link (RFCOMM). Sans-IO.

Source: BITalinoWorld/revolution-python-api@185af21:bitalino.py (``start``, ``read``, ``version``). A frame has no start
marker: its last byte holds a four-bit number and a four-bit CRC, and the values lie before it, read from the end.
Four valid frames in a row with consecutive numbers show the position and length of the frames.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decoding.cutter import Heap, Junk, Run
from firmware_bridge.decoding.numbered import Numbered
from firmware_bridge.decoding.options import LSB_MV_OPTION, choice, scale
from firmware_bridge.decoding.stream import Blocks, StreamDecoder
from firmware_bridge.devices import Device, DeviceKind, Write
from firmware_bridge.errors import UsageError
from firmware_bridge.items import DATA_CHANNEL
from firmware_bridge.samples import LinkItem

RATES = {1000: 3, 100: 2}
"""Sampling rates usable for an ECG -> their codes; the board also supports 10 and 1 Hz."""
INPUTS = (1, 2, 3, 4, 5, 6)
SIZES = {3: 1, 4: 2, 6: 3, 7: 4, 8: 6}
"""Bytes per frame -> values in it (eight bytes hold five or six, in the same places), smaller ones first."""
NUMBERS = 16
SURE = 4
"""Valid frames in a row that count as synchronised: 28 bits would have to match by chance."""
STOP, VERSION = b"\x00", b"\x07"
GREETING = b"BITalino"


def frame_size(values: int) -> int:
    """Return the bytes of a frame with that many values."""
    return -(-(12 + 10 * values) // 8) if values <= 4 else -(-(52 + 6 * (values - 4)) // 8)


def _remainders() -> NDArray[np.uint8]:
    """CRC of one byte followed by 0 to 7 others; shape ``(8, 256)``. A frame's CRC is their XOR (it is linear)."""
    table = np.zeros((max(SIZES), 256), np.uint8)
    for follow in range(max(SIZES)):
        for byte in range(256):
            x = 0
            for bit in [*(byte >> n & 1 for n in range(7, -1, -1)), *[0] * (8 * follow)]:
                x = (x << 1 ^ bit) ^ (0x13 if x & 8 else 0)
            table[follow, byte] = x
    return table


CRC = _remainders()
"""CRC polynomial ``x^4 + x + 1`` over the frame, with the CRC's own four bits as zero."""


_CRC_LISTS = [row.tolist() for row in CRC]


def crc_of(frame: bytes) -> int:
    """Return the CRC of one frame; the same as `crc`, without arrays."""
    size = len(frame)
    out: int = _CRC_LISTS[0][frame[-1] & 0xF0]
    for at in range(size - 1):
        out ^= _CRC_LISTS[size - 1 - at][frame[at]]
    return out


def crc(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the CRC of each frame; ``rows`` has shape ``(n, size)``."""
    size = rows.shape[1]
    out = CRC[0][rows[:, -1] & 0xF0]
    for at in range(size - 1):
        out ^= CRC[size - 1 - at][rows[:, at]]
    return np.asarray(out)


_PLACES = ((-2, 6, 0x0F, -3, 2), (-3, 8, 0x03, -4, 0), (-5, 2, 0xFF, -6, 6), (-6, 4, 0x3F, -7, 4), (-7, 2, 0x0F, -8, 6))
"""For the first five values: byte with the upper bits, their shift and mask, byte with the lower bits, their shift."""


def value(frame: bytes, which: int) -> int:
    """Return one value of a frame, unsigned: ten bits, or six for the fifth and sixth.

    Args:
        frame: The bytes of the frame.
        which: Index of the value, 0 to 5.
    """
    if which == len(_PLACES):
        return frame[-8] & 0x3F
    high, left, mask, low, right = _PLACES[which]
    return (frame[high] & mask) << left | frame[low] >> right


def values(rows: NDArray[np.uint8], which: int) -> NDArray[np.int32]:
    """Return one value of each frame; `value` for arrays of shape ``(n, size)``."""
    if which == len(_PLACES):
        return (rows[:, -8] & 0x3F).astype(np.int32)
    high, left, mask, low, right = _PLACES[which]
    upper = (rows[:, high] & mask).astype(np.int32) << left
    return np.asarray(upper | rows[:, low].astype(np.int32) >> right, np.int32)


def _chain(whole: NDArray[np.uint8], size: int) -> int:
    """Return the first position of `SURE` consecutive frames of that size; -1 if there is none."""
    places = len(whole) - SURE * size + 1
    if places <= 0:
        return -1
    rows = np.lib.stride_tricks.sliding_window_view(whole, size)
    good = crc(rows) == rows[:, -1] & 0x0F
    number = rows[:, -1] >> 4
    chained = good[:places].copy()
    for step in range(1, SURE):
        at = step * size
        chained &= good[at : at + places] & (number[at : at + places] == (number[:places] + step) % NUMBERS)
    first = int(chained.argmax())
    return first if chained[first] else -1


class _ChainCutter:
    """Finds frames without a start marker by CRC and number.

    Args:
        size: Bytes per frame; ``None`` to find the size from the stream.
    """

    def __init__(self, size: int | None) -> None:
        self._sizes = tuple(SIZES) if size is None else (size,)
        self._held = b""
        self._locked = 0
        self._expected = 0
        self._heap = Heap()

    def feed(self, data: bytes) -> list[Run | Junk]:
        """Implement `firmware_bridge.decoding.stream.FrameCutter`."""
        buffer, out = self._held + data, list[Run | Junk]()
        at = 0
        while True:
            if not self._locked:
                at = self._search(buffer, at, out)
            if not self._locked:
                break
            at = self._follow(buffer, at, out)
            if self._locked:
                break
        self._held = buffer[at:]
        return out

    def reset(self) -> list[Run | Junk]:
        """Implement `firmware_bridge.decoding.stream.FrameCutter`; a short end of valid frames only is decoded."""
        out: list[Run | Junk] = []
        left = self._held
        for size in self._sizes:
            count, rest = divmod(len(left), size)
            if not self._locked and not rest and count > 1:
                rows = np.frombuffer(left, np.uint8).reshape(count, size)
                if self._sound(rows, int(rows[0, -1]) >> 4).all():
                    out += [*self._heap.take(), Run(left, size)]
                    left = b""
                    break
        out += [*self._heap.discard(left), *self._heap.take()]
        self._held, self._locked = b"", 0
        self._heap.fresh()
        return out

    def skip(self, size: int) -> list[Run | Junk]:
        """Implement `firmware_bridge.decoding.stream.FrameCutter`."""
        out: list[Run | Junk] = [*self._heap.discard(self._held)]
        self._heap.miss(size)
        self._held, self._locked = b"", 0
        return out

    def _follow(self, buffer: bytes, at: int, out: list[Run | Junk]) -> int:
        """Read frames at their expected positions as long as they are valid."""
        size = self._locked
        count = (len(buffer) - at) // size
        if count == 1:
            return self._next(buffer, at, out)
        if not count:
            return at
        rows = np.frombuffer(buffer, np.uint8, count * size, at).reshape(count, size)
        good = self._sound(rows, self._expected)
        if not good.all():
            self._locked = 0
            count = int(good.argmin())
        if count:
            out += [*self._heap.take(), Run(buffer[at : at + count * size], size)]
            self._expected = (self._expected + count) % NUMBERS
            self._heap.frame()
        return at + count * size

    def _next(self, buffer: bytes, at: int, out: list[Run | Junk]) -> int:
        """Implement `_follow` for a single frame, the usual case on an idle machine, without arrays."""
        frame = buffer[at : at + self._locked]
        if frame[-1] != (self._expected << 4 | crc_of(frame)):
            self._locked = 0
            return at
        out += [*self._heap.take(), Run(frame, len(frame))]
        self._expected = (self._expected + 1) % NUMBERS
        self._heap.frame()
        return at + len(frame)

    def _search(self, buffer: bytes, at: int, out: list[Run | Junk]) -> int:
        """Find the position where valid frames begin.

        The sizes are tried in turn at each position, smaller ones first, so that the result does not depend on later
        bytes: a stream gives the same frames however it is split.
        """
        whole = np.frombuffer(buffer, np.uint8, offset=at)
        found = {size: first for size in self._sizes if (first := _chain(whole, size)) >= 0}
        judged = max(0, len(whole) - SURE * self._sizes[-1] + 1)
        first = min(found.values(), default=judged)
        if first > judged:
            first, found = judged, {}
        out += self._heap.discard(buffer[at : at + first])
        at += first
        if found:
            self._locked = next(size for size in self._sizes if found.get(size) == first)
            self._expected = buffer[at + self._locked - 1] >> 4
        return at

    @staticmethod
    def _sound(rows: NDArray[np.uint8], expected: int) -> NDArray[np.bool_]:
        last = rows[:, -1]
        number = (np.arange(len(rows)) + expected) % NUMBERS
        return np.asarray((crc(rows) == last & 0x0F) & (last >> 4 == number))


class BitalinoDecoder(StreamDecoder):
    """One session with one board.

    Args:
        channel: Analog input with the electrode, 1 to 6, as text.
        channels: All inputs that are acquired, such as ``"123"``; ``None`` for ``channel`` only.
        rate: Sampling rate, Hz, as text.
        lsb_mv: Millivolts per count, as text.
    """

    def __init__(
        self, channel: str = "1", channels: str | None = None, rate: str = "1000", lsb_mv: str | None = None
    ) -> None:
        self._input = choice("channel", channel, INPUTS)
        self._inputs = _inputs(channels, self._input)
        super().__init__(_ChainCutter(None if channels is None else frame_size(len(self._inputs))))
        self._rate = choice("rate", rate, tuple(RATES))
        self._blocks = Blocks(float(self._rate), scale(lsb_mv))
        self._numbered = Numbered(NUMBERS)
        self._seen: bytes | None = None
        """Last bytes received before the greeting is complete."""

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode received bytes; return blocks and events in order. Never raises."""
        if self._seen is not None and channel == DATA_CHANNEL:
            self._seen += data
            if b"\n" in self._seen.partition(GREETING)[2]:
                self._seen = None
                self._out.append(Write(bytes((1 | sum(1 << (1 + i) for i in self._inputs),))))
            else:
                self._seen = self._seen[-64:]
        return super().feed(data, arrival_ns, channel)

    def _hello(self) -> Iterable[Write]:
        self._seen = b""
        # The board processes commands slowly; its answer to the last of these shows that it is ready to start.
        return (Write(STOP), Write(bytes((RATES[self._rate] << 6 | 3,))), Write(VERSION))

    def _forget(self) -> None:
        self._numbered.forget()

    def _frames(self, run: Run, arrival_ns: int) -> list[LinkItem]:
        junk, self._junk_bytes = self._junk_bytes, 0
        if len(run.data) == run.size:
            seq, gone = self._numbered.follow(run.data[-1] >> 4, 1, junk / run.size)
            self._samples(1, gone)
            sample = np.array((value(run.data, self._place(run.size)),), np.int32)
            return [self._blocks.one(sample, arrival_ns, gone, seq=seq)]
        rows = np.frombuffer(run.data, np.uint8).reshape(-1, run.size)
        number, lost = self._numbered.place(rows[:, -1] >> 4, junk / run.size)
        samples = values(rows, self._place(run.size))
        missing = int(lost.sum())
        self._samples(len(samples), missing)
        if not missing:
            return [self._blocks.one(samples, arrival_ns, seq=int(number[0]))]
        return self._blocks.cut(samples, arrival_ns, lost, np.zeros(len(samples), np.bool_), number)

    def _place(self, size: int) -> int:
        """Return which value of a frame is the electrode's."""
        if size == frame_size(len(self._inputs)):
            return self._inputs.index(self._input)
        return min(self._input, SIZES[size]) - 1


def _inputs(text: str | None, wanted: int) -> tuple[int, ...]:
    if text is None:
        return (wanted,)
    inputs = tuple(sorted({int(c) for c in text if c in "123456"}))
    if len(inputs) != len(text) or wanted not in inputs:
        raise UsageError(f"channels={text!r} is not possible", f"use some of the digits 1 to 6, including {wanted}")
    return inputs


DEVICE = Device(
    profile=DeviceKind(
        name="bitalino",
        title="BITalino (r)evolution",
        transports=("serial", "tcp"),
        fs_hz=tuple(float(r) for r in RATES),
        scale="unknown",
        band_hz=None,
        clock="none: samples are counted",
        loss_detection=(
            "four-bit frame number and four-bit CRC: exact up to 15 frames in a row (15 ms at 1000 Hz); beyond that, "
            "whole multiples of 16 are noticed only if their bytes arrived damaged"
        ),
        stop=(Write(STOP),),
        baud=115_200,
        options={
            "channel": "analog input with the electrode, 1 to 6 (default 1; the ECG sensor of the Board kit is on 2)",
            "channels": "all inputs that are acquired, such as 123 (default: only channel; a recording shows its own)",
            "rate": "samples per second: 1000 (default) or 100",
            "lsb_mv": LSB_MV_OPTION,
        },
        notes=(
            "bind its Bluetooth serial port first (rfcomm bind 0 ADDRESS), then read serial:/dev/rfcomm0",
            "millivolts depend on the connected sensor: the unit is counts until it is calibrated (option lsb_mv)",
            "the fifth and sixth of the acquired inputs have only six bits: too coarse for an ECG",
        ),
    ),
    decoder=BitalinoDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
