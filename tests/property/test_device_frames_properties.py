"""Frames of straps: encoded data decode unchanged, drops are counted, and no split or damage makes a sample."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from firmware_bridge.decoding import movesense_gsp as gsp
from firmware_bridge.decoding import polar_pmd as pmd
from firmware_bridge.decoding import zephyr
from firmware_bridge.decoding.polar_delta import decode_delta
from firmware_bridge.devices import get
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock
from firmware_bridge.virtual.movesense import VirtualMovesense
from firmware_bridge.virtual.polar import VirtualPolar


def encode_delta(samples: NDArray[np.int32], resolution_bits: int, blocks: list[tuple[int, int]]) -> bytes:
    """Pack samples bit by bit as a sensor does: reference sample, then blocks of ``(bits, count)``."""
    width = -(-resolution_bits // 8)
    out = b"".join(int(v).to_bytes(width, "little", signed=True) for v in samples[0])
    steps, at = np.diff(samples.astype(np.int64), axis=0), 0
    for bits, count in blocks:
        packed, position = 0, 0
        for value in steps[at : at + count].reshape(-1).tolist():
            packed |= (value & ((1 << bits) - 1)) << position
            position += bits
        out += bytes((bits, count)) + packed.to_bytes(-(-position // 8), "little")
        at += count
    return out


def blocks(items: list[LinkItem]) -> list[SampleBlock]:
    return [item for item in items if isinstance(item, SampleBlock)]


@st.composite
def delta_frames(draw: st.DrawFn) -> tuple[NDArray[np.int32], int, list[tuple[int, int]]]:
    channels = draw(st.integers(1, 4))
    resolution = draw(st.sampled_from([8, 14, 16, 22, 24, 32]))
    plan = draw(st.lists(st.tuples(st.integers(1, 32), st.integers(1, 20)), max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    whole = 8 * -(-resolution // 8)
    first = rng.integers(-(1 << (whole - 1)), 1 << (whole - 1), (1, channels))
    steps = [rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (count, channels)) for bits, count in plan]
    samples = np.cumsum(np.concatenate([first, *steps]), axis=0).astype(np.uint32).view(np.int32)
    return samples, resolution, plan


@given(delta_frames())
def test_delta_frames_of_any_width(frame: tuple[NDArray[np.int32], int, list[tuple[int, int]]]) -> None:
    samples, resolution, plan = frame
    content = encode_delta(samples, resolution, plan)
    decoded = decode_delta(content, samples.shape[1], resolution)
    assert decoded is not None
    np.testing.assert_array_equal(decoded, samples)
    for cut in range(1, len(content)):
        shorter = decode_delta(content[:cut], samples.shape[1], resolution)
        assert shorter is None or len(shorter) < len(samples)


@given(st.lists(st.integers(-(2**23), 2**23 - 1), min_size=1, max_size=80), st.integers(0, 2**63 - 1))
def test_plain_ecg_frames(values: list[int], time_ns: int) -> None:
    frame = pmd.parse_frame(pmd.ecg_frame(time_ns, np.array(values, dtype=np.int32)))
    assert frame is not None
    assert frame.time_ns == time_ns
    decoded = pmd.ecg_uv(frame)
    assert decoded is not None
    assert decoded.tolist() == values


@given(st.dictionaries(st.sampled_from(range(7)), st.lists(st.integers(0, 255), min_size=1, max_size=4), max_size=7))
def test_settings_of_the_control_point(chosen: dict[int, list[int]]) -> None:
    sizes = {pmd.RANGE_MILLI: 4, pmd.CHANNELS: 1, pmd.FACTOR: 4, pmd.SECURITY: 16}
    params = b"".join(
        bytes((kind, len(values))) + b"".join(v.to_bytes(sizes.get(kind, 2), "little") for v in values)
        for kind, values in chosen.items()
    )
    assert pmd.parse_settings(params) == {kind: tuple(values) for kind, values in chosen.items()}
    again = pmd.parse_settings(pmd.start_command(pmd.parse_settings(params) or {})[2:])
    kept = {kind: (max(values),) for kind, values in chosen.items() if kind not in {pmd.FACTOR, pmd.SECURITY}}
    assert again == kept


@settings(max_examples=40, deadline=None)
@given(
    device=st.sampled_from(["polar_h10", "movesense"]),
    drop=st.floats(0, 0.5),
    mtu=st.sampled_from([232, 161, 73]),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_drops_from_a_virtual_device_are_counted_exactly(device: str, drop: float, mtu: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    error = float(rng.uniform(-1e-4, 1e-4))
    strap: VirtualPolar | VirtualMovesense
    strap = VirtualPolar(mtu, 130.34 * (1 + error)) if device == "polar_h10" else VirtualMovesense(mtu, error)
    decoder = get(device).decoder()
    decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0))
    while writes := decoder.writes():
        for write in writes:
            for channel, answer in strap.write(write.channel, write.data):
                decoder.feed(answer, 0, channel)
    got: list[SampleBlock] = []
    heart = np.arange(16_000, dtype=np.int32) - 8000
    for channel, data in strap.notifications(heart):
        if rng.random() >= drop:
            got += blocks(decoder.feed(data, 0, channel))
    for item in decoder.link(LinkEvent(LinkEventKind.END, 0)):
        got += blocks([item])
    if not got:
        return
    at = int(got[0].samples[0])
    for block in got:
        at += block.lost
        np.testing.assert_array_equal(block.samples, np.arange(at, at + len(block)))
        at += len(block)


def zephyr_stream(count: int) -> list[bytes]:
    rng = np.random.default_rng(3)
    values = rng.integers(-512, 512, (count, 63)).astype(np.int32)
    return [
        zephyr.encode(zephyr.ECG, zephyr.ecg_payload(n, date(2012, 9, 26), 1000 + 252 * n, values[n]))
        for n in range(count)
    ]


FRAMES = zephyr_stream(12)


@settings(max_examples=60, deadline=None)
@given(
    junk=st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\x02", b"\x00")), min_size=12, max_size=12),
    cuts=st.lists(st.integers(0, 1500), max_size=30),
)
def test_a_stream_with_junk_between_frames_split_anywhere(junk: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(a + b for a, b in zip(junk, FRAMES, strict=True))
    borders = sorted({0, len(stream), *(c for c in cuts if c < len(stream))})
    one, many = get("bioharness").decoder(), get("bioharness").decoder()
    whole = one.feed(stream, 7)
    pieces = [x for a, b in pairwise(borders) for x in many.feed(stream[a:b], 7)]
    assert [repr(x) for x in pieces] == [repr(x) for x in whole]
    assert len(blocks(whole)) == 12
    assert one.counters().get("corrupt_bytes", 0) == sum(len(part) for part in junk)
    clean = blocks(get("bioharness").decoder().feed(b"".join(FRAMES), 7))
    for block, expected in zip(blocks(whole), clean, strict=True):
        np.testing.assert_array_equal(block.samples, expected.samples)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["polar_h10", "movesense", "bioharness"]),
    pieces=st.lists(
        st.tuples(
            st.one_of(
                st.binary(max_size=80),
                st.binary(max_size=9).map(lambda b: bytes((0,)) + b.ljust(9, b"\0") + bytes(21)),
                st.binary(max_size=60).map(lambda b: b"\xf0" + b),
                st.binary(min_size=4, max_size=4).map(lambda b: b"\x02\x02" + b + bytes(32)),
                st.binary(max_size=30).map(lambda b: zephyr.encode(0x22, b)),
                st.sampled_from(FRAMES),
            ),
            st.sampled_from(["data", "control", "heart_rate", "battery", "else"]),
            st.integers(0, 2**40),
        ),
        max_size=30,
    ),
)
def test_no_input_raises(name: str, pieces: list[tuple[bytes, str, int]]) -> None:
    decoder = get(name).decoder()
    for data, channel, at_ns in pieces:
        for item in decoder.feed(data, at_ns, channel):
            if isinstance(item, SampleBlock):
                assert len(item)
                assert item.lost >= 0
                assert -(2**63) <= (item.device_time_ns or 0) < 2**63
    for kind in LinkEventKind:
        decoder.link(LinkEvent(kind, 2**40))
    assert len(decoder.writes()) <= 16
    assert all(value >= 0 for value in decoder.counters().values())


@pytest.mark.parametrize("millivolts", [True, False])
@given(values=st.lists(st.integers(-32768, 32767), min_size=16, max_size=16), time_ms=st.integers(0, 2**32 - 1))
def test_movesense_payloads(millivolts: bool, values: list[int], time_ms: int) -> None:
    payload = gsp.parse_ecg(gsp.ecg_payload(time_ms, np.array(values, dtype=np.int32), millivolts=millivolts))
    assert payload is not None
    assert (payload.time_ms, payload.samples.tolist()) == (time_ms, values)
