"""Simulated output of each device, the counterpart of every decoder, for tests that hold for all of them.

A new device is one more `Case` in `CASES`; a test checks that none is missing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from firmware_bridge import devices
from firmware_bridge.devices import bitalino
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.wire.messages import Data, Header, Hello, encode

BOOT = 0x1234_5678

Stream = list[tuple[bytes, list[int]]]
"""Pieces as they are sent, with the samples in each."""


@dataclass(frozen=True)
class Case:
    """The output of one device, and what its tests allow.

    Attributes:
        frames: ``frames(rng, n)``: ``n`` pieces of a valid stream from the start of a connection (a preamble may be a
            piece of its own) and the samples in each.
        notify: Whether the pieces are notifications, which are never split.
        options: Options of the decoder.
        channel: Channel of the samples.
        slack: Pieces of a valid stream that may be missing while the decoder resynchronises.
        fakes: Wrong samples that damage may leave in its place; 0 for a protocol that detects them.
        held: Pieces at the end of an interrupted stream that the decoder may hold back.
    """

    frames: Callable[[np.random.Generator, int], Stream]
    notify: bool = False
    options: dict[str, str] = field(default_factory=dict)
    channel: str = "data"
    slack: int = 0
    fakes: int = 0
    held: int = 0


def i16(value: int) -> bytes:
    return struct.pack("<h", value)


def i32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def wave(rng: np.random.Generator, n: int, high: int) -> list[int]:
    """Integers that look like a signal, positive and negative."""
    t = np.arange(n) + rng.integers(0, 1000)
    return np.rint(0.9 * high * np.sin(t / 7.0) * rng.uniform(0.3, 1.0) + rng.normal(0, 0.02 * high, n)).astype(
        int
    ).clip(-high, high).tolist()  # fmt: skip


def protocentral(kind: int, payload: bytes, f1: int = 0, length: int | None = None) -> bytes:
    said = len(payload) if length is None else length
    return b"\x0a\xfa" + struct.pack("<HB", said, kind) + payload + bytes((f1, 0x0B))


def healthypi_v4(value: int, status: int = 0) -> bytes:
    body = i16(value) + i16(7) + i32(900, 800) + struct.pack("<HBBBBBB", 3650, 15, 98, 70, 80, 120, status)
    return protocentral(2, body)


def healthypi5(eight: list[int], bioz: int = 4) -> bytes:
    return protocentral(3, i32(*eight) + i32(*range(bioz)) + bytes((70, 15)), length=50)


def ads1292r(value: int, *, off: bool = False) -> bytes:
    return protocentral(2, bytes(8) if off else i16(value) + i16(11) + i16(70) + i16(15))


def max30003(value: int) -> bytes:
    return protocentral(2, bytes(5) + i32(value) + struct.pack("<HHHH", 800, 0, 75, 0))


def heartypatch(number: int, eight: list[int], rate: int = 128, start_us: int = 5_000_000) -> bytes:
    us = start_us + number * 8 * 1_000_000 // rate
    return protocentral(3, struct.pack("<IIII", number, us // 1_000_000, us % 1_000_000, 800) + i32(*eight), f1=0xF0)


def cyton(number: int, channels: list[int], stop: int = 0xC0) -> bytes:
    body = b"".join(v.to_bytes(3, "big", signed=True) for v in channels)
    return bytes((0xA0, number % 256)) + body + bytes(6) + bytes((stop,))


def packed(number: int, values: list[int], bits: int) -> bytes:
    """Pack eight values of ``bits`` bits after an id, 20 bytes."""
    whole = 0
    for value in values:
        whole = whole << bits | value & ((1 << bits) - 1)
    return bytes((number,)) + whole.to_bytes(bits, "big") + bytes(19 - bits)


def ganglion(number: int, first: int, second: int) -> bytes:
    """A notification of firmware 3 with the same value on all channels."""
    bits = 18 if number < 100 else 19
    return packed(number, [first >> (24 - bits)] * 4 + [second >> (24 - bits)] * 4, bits)


def bitalino_frame(number: int, values: list[int], digital: int = 0) -> bytes:
    """A frame as the board packs it: ten-bit values (six-bit for the fifth and sixth), from the end backwards."""
    size = bitalino.frame_size(len(values))
    v = [*values, *[0] * (6 - len(values))]
    b = [0] * 9  # b[k] is the k-th byte from the end
    b[1] = (number % 16) << 4
    b[2] = digital << 4 | v[0] >> 6
    b[3] = (v[0] & 0x3F) << 2 | v[1] >> 8
    b[4] = v[1] & 0xFF
    b[5] = v[2] >> 2
    b[6] = (v[2] & 3) << 6 | v[3] >> 4
    b[7] = (v[3] & 15) << 4 | v[4] >> 2
    b[8] = (v[4] & 3) << 6 | v[5]
    out = bytearray(b[k] for k in range(size, 0, -1))
    out[-1] |= slow_crc4(bytes(out))
    return bytes(out)


def slow_crc4(frame: bytes) -> int:
    """CRC computed bit by bit, as in BITalino's own Python module."""
    x = 0
    for byte in (*frame[:-1], frame[-1] & 0xF0):
        for bit in range(7, -1, -1):
            x <<= 1
            if x & 0x10:
                x ^= 0x13
            x ^= byte >> bit & 1
    return x & 0x0F


def patch_stream(rng: np.random.Generator, n: int) -> Stream:
    out = [(encode(Hello(BOOT, tick_hz=32_768, fs_num=250, nv_num=1000)), [])]
    for index in range(n - 1):
        values = wave(rng, 25, 30_000)
        head = Header(seq=index % 65_536, tick=round(index * 25 * 32_768 / 250))
        out.append((encode(Data(index * 25, BOOT & 0xFF, np.array(values, np.int32)), head), values))
    return out


def polar_stream(rng: np.random.Generator, n: int) -> Stream:
    out = []
    start = 599_616_000_000_000_000
    for index in range(n):
        values = wave(rng, 73, 20_000)
        time_ns = start + round((index + 1) * 73 * 1e9 / 130.0)
        body = b"".join(v.to_bytes(3, "little", signed=True) for v in values)
        out.append((b"\x00" + time_ns.to_bytes(8, "little") + b"\x00" + body, values))
    return out


def movesense_stream(rng: np.random.Generator, n: int) -> Stream:
    out = []
    for index in range(n):
        values = wave(rng, 16, 5000)
        out.append((b"\x02\x02" + struct.pack("<I", 1000 + index * 64) + struct.pack("<16h", *values), values))
    return out


def crc8(data: bytes) -> int:
    """CRC-8 with the reflected polynomial 0x8C, as BioHarness uses it."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


def bioharness_frame(number: int, values: list[int]) -> bytes:
    whole = 0
    for at, value in enumerate(values):
        whole |= (value + 512) << (10 * at)
    head = struct.pack("<BHBBI", number % 256, 2026, 11, 22, 3_600_000 + number * 252)
    body = head + whole.to_bytes(79, "little")
    return b"\x02" + bytes((0x22, len(body))) + body + bytes((crc8(body), 3))


def singles(frame: Callable[[int, int], bytes], high: int, offset: int = 0) -> Callable[..., Stream]:
    """A stream of frames with one sample each; ``frame(number, value)``."""

    def frames(rng: np.random.Generator, n: int) -> Stream:
        each = [value + offset for value in wave(rng, n, high)]
        return [(frame(number, value), [value]) for number, value in enumerate(each)]

    return frames


def groups(frame: Callable[[int, list[int]], bytes], size: int, high: int) -> Callable[..., Stream]:
    """A stream of frames with several samples each; ``frame(number, values)``."""

    def frames(rng: np.random.Generator, n: int) -> Stream:
        each = [wave(rng, size, high) for _ in range(n)]
        return [(frame(number, values), values) for number, values in enumerate(each)]

    return frames


def ganglion_stream(rng: np.random.Generator, n: int) -> Stream:
    values = [v << 6 for v in wave(rng, 2 * n, 100_000)]
    pairs = [values[k : k + 2] for k in range(0, 2 * n, 2)]
    return [(ganglion(k % 100, *pair), pair) for k, pair in enumerate(pairs)]


def text_stream(rng: np.random.Generator, n: int) -> Stream:
    values = [abs(v) for v in wave(rng, n - 1, 1023)]
    return [(b"12\r\n", []), *((b"%d\r\n" % v, [v]) for v in values)]


CASES: dict[str, Case] = {
    "ad8232_text": Case(text_stream, slack=1, fakes=200),
    "ads1292r": Case(singles(lambda _k, v: ads1292r(v), 30_000)),
    "anyecg_patch": Case(patch_stream, slack=1, held=30),
    "bioharness": Case(groups(bioharness_frame, 63, 500)),
    "bitalino": Case(singles(lambda k, v: bitalino_frame(k, [v]), 500, 512), slack=4, fakes=12, held=4),
    "healthypi5": Case(groups(lambda _k, v: healthypi5(v), 8, 2**30)),
    "healthypi_move": Case(groups(lambda _k, v: i32(*v), 8, 2**30), notify=True, fakes=200),
    "healthypi_v4": Case(singles(lambda _k, v: healthypi_v4(v), 30_000)),
    "heartypatch": Case(groups(heartypatch, 8, 2**30)),
    "max30003": Case(singles(lambda _k, v: max30003(v), 2**30)),
    "movesense": Case(movesense_stream, notify=True, fakes=16),
    "openbci_cyton": Case(singles(lambda k, v: cyton(k, [v, *range(7)]), 8_000_000), slack=1, fakes=1, held=1),
    "openbci_ganglion": Case(ganglion_stream, notify=True, fakes=2),
    "polar_h10": Case(polar_stream, notify=True, fakes=100),
}
"""Name of a device -> its case."""


def decode(name: str, pieces: list[bytes], case: Case | None = None) -> list:
    """Decode a whole session: connection, pieces as they are sent, end."""
    case = case or CASES[name]
    decoder = devices.get(name).decoder(**case.options)
    items = list(decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0)))
    for at, piece in enumerate(pieces):
        items += decoder.feed(piece, at, case.channel)
        decoder.writes()
    return items + decoder.link(LinkEvent(LinkEventKind.END, len(pieces)))


def samples(items: list) -> np.ndarray:
    """All samples in one array."""
    return np.concatenate([np.zeros(0, np.int32), *(i.samples for i in items if isinstance(i, SampleBlock))])


def lost(items: list) -> int:
    """Number of samples known to be missing."""
    return sum(i.lost for i in items if isinstance(i, SampleBlock))


def story(items: list) -> list[tuple]:
    """What happened, without the block borders, which alone depend on how the stream was split."""
    out: list[tuple] = []
    for item in items:
        if isinstance(item, LinkEvent):
            out.append((str(item.kind), item.detail, dict(item.data)))
            continue
        kind = ("samples", item.unit, item.lsb_mv, item.fs_hz, item.lead_off)
        values = item.samples.tolist()
        if out and out[-1][0] == kind and not item.lost and item.device_time_ns is None:
            out[-1] = (kind, out[-1][1], out[-1][2] + values, None)
        else:
            out.append((kind, item.lost, values, item.device_time_ns))
    return out
