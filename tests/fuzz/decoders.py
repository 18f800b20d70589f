"""A target for every device: the bytes of a session, cut anywhere, with connections and commands between them."""

from __future__ import annotations

from functools import partial

import numpy as np

from firmware_bridge import devices
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from fuzz.target import LARGEST_CLOCK_NS, Target, check_texts
from helpers.devices_frames import CASES, story

MAX_PIECES = 400
LINK_EVENTS = (LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.END, LinkEventKind.CONNECTED)
ITEMS_PER_BYTE, FIXED_ITEMS = 2, 50
"""Most blocks and events that bytes may become."""


def session(data: bytes) -> list[bytes | LinkEventKind]:
    """Return the pieces of an input: a length byte before each; 0 and a second byte are an event of the link."""
    pieces: list[bytes | LinkEventKind] = []
    at = 0
    while at < len(data) and len(pieces) < MAX_PIECES:
        size = data[at]
        if size == 0:
            kind = data[at + 1] if at + 1 < len(data) else 0
            pieces.append(LINK_EVENTS[kind % len(LINK_EVENTS)])
            at += 2
            continue
        pieces.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    if at < len(data):
        pieces.append(data[at:])
    return pieces


def as_input(pieces: list[bytes]) -> bytes:
    """Return the input that is read as these pieces."""
    return b"".join(bytes([len(part)]) + part for piece in pieces for part in _parts(piece))


def _parts(piece: bytes) -> list[bytes]:
    return [piece[i : i + 255] for i in range(0, len(piece), 255)]


def decode(name: str, pieces: list[bytes | LinkEventKind], step_ns: int = 1_000_000) -> list[SampleBlock | LinkEvent]:
    """Decode a session; pieces arrive ``step_ns`` apart."""
    case = CASES[name]
    decoder = devices.get(name).decoder(**case.options)
    items = list(decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0)))
    arrival_ns = 0
    for piece in pieces:
        arrival_ns += step_ns
        if isinstance(piece, LinkEventKind):
            items += decoder.link(LinkEvent(piece, arrival_ns))
        else:
            items += decoder.feed(piece, arrival_ns, case.channel)
            assert len(decoder.writes()) < 20
    items += decoder.link(LinkEvent(LinkEventKind.END, arrival_ns))
    assert all(isinstance(v, int) and 0 <= v < 1 << 62 for v in decoder.counters().values())
    return items


def check(name: str, data: bytes) -> None:
    """Decode a session and check every block and event; for a stream, check that its cut changes nothing."""
    pieces = session(data)
    items = decode(name, pieces)
    assert len(items) <= FIXED_ITEMS + ITEMS_PER_BYTE * len(data)
    for item in items:
        if isinstance(item, LinkEvent):
            check_texts([item.detail, *(value for value in item.data.values() if isinstance(value, str))])
        else:
            _check_block(item)
    if not CASES[name].notify:
        # At one time, because arrival times may decide whether samples are missing.
        assert story(decode(name, _joined(pieces), 0)) == story(decode(name, pieces, 0))


def _check_block(block: SampleBlock) -> None:
    assert len(block) > 0
    assert block.samples.dtype in (np.int32, np.float32)
    # A device that sends floats may send NaN; the timeline takes it for a missing sample.
    assert 0 <= block.lost < 1 << 40
    assert 60.0 <= block.fs_hz <= 4000.0
    assert block.lsb_mv is None or 1e-9 <= block.lsb_mv <= 1e3
    assert block.device_time_ns is None or abs(block.device_time_ns) < LARGEST_CLOCK_NS
    assert block.seq is None or 0 <= block.seq < 1 << 63


def _joined(pieces: list[bytes | LinkEventKind]) -> list[bytes | LinkEventKind]:
    """Return the same session with all bytes between two events in one piece."""
    out: list[bytes | LinkEventKind] = []
    for piece in pieces:
        if out and isinstance(piece, bytes) and isinstance(out[-1], bytes):
            out[-1] += piece
        else:
            out.append(piece)
    return out


def seeds(name: str) -> list[bytes]:
    """Return a short session as the device sends it, and one with a lost connection."""
    sent = [piece for piece, _values in CASES[name].frames(np.random.default_rng(1), 12)]
    return [as_input(sent), as_input(sent[:6]) + b"\x00\x00\x00\x03" + as_input(sent[6:])]


TARGETS = tuple(Target(f"decoder-{name}", partial(seeds, name), partial(check, name)) for name in CASES)
