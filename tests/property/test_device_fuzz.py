"""Properties of every device: splits change nothing, no bytes raise, damage affects only the frames it touches."""

import gc
import sys
import tracemalloc
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import devices
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from helpers.devices_frames import CASES, decode, samples, story

STREAMS = [name for name, case in CASES.items() if not case.notify]
PIECES = 60
BOUND = 300_000
"""Bytes by which a decoder's memory may grow, whatever arrives."""


def made(name, seed=1, pieces=PIECES):
    return CASES[name].frames(np.random.default_rng(seed), pieces)


def cut(stream, rng, longest):
    """Split the stream into pieces of 1 to ``longest`` bytes."""
    steps = rng.integers(1, longest + 1, len(stream))
    ends = np.cumsum(steps)
    return [
        stream[max(0, e - s) : e] for s, e in zip(steps.tolist(), ends.tolist(), strict=True) if e - s < len(stream)
    ]


def damaged(stream, rng):
    """Change, remove, insert and repeat some bytes."""
    data = bytearray(stream)
    for _ in range(int(rng.integers(1, 12))):
        at = int(rng.integers(0, len(data) + 1))
        size = int(rng.choice([1, 1, 2, 5, 30, 120]))
        kind = rng.integers(0, 4)
        if kind == 0:
            data[at : at + 1] = rng.bytes(1)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = rng.bytes(size)
        else:
            data[at:at] = data[at : at + size]
    return bytes(data)


def test_every_device_is_tried():
    assert set(CASES) == set(devices.names())


@pytest.mark.parametrize("name", CASES)
def test_a_valid_stream_is_decoded_completely(name):
    stream = made(name)
    items = decode(name, [piece for piece, _values in stream])
    want = [v for _piece, values in stream for v in values]
    assert samples(items).tolist() == want
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    assert sum(block.lost for block in blocks) == 0
    assert not [i for i in items if isinstance(i, LinkEvent) and i.kind is LinkEventKind.CORRUPT]
    assert all(block.samples.dtype == np.int32 for block in blocks)
    profile = devices.get(name).profile
    assert all(block.fs_hz in profile.fs_hz for block in blocks) or not profile.fs_hz
    if profile.scale == "unknown":
        assert {block.lsb_mv for block in blocks} == {None}
    else:
        assert all(block.lsb_mv for block in blocks)


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), longest=st.sampled_from([1, 3, 20, 60, 400, 3000]), spoil=st.booleans())
def test_any_cut_tells_the_same_story(name, seed, longest, spoil):
    rng = np.random.default_rng(seed)
    stream = b"".join(piece for piece, _values in made(name, seed % 5))
    if spoil:
        stream = damaged(stream, rng)
    assert story(decode(name, cut(stream, rng, longest))) == story(decode(name, [stream]))


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), data=st.lists(st.binary(max_size=300), max_size=8))
def test_no_bytes_raise(name, seed, data):
    rng = np.random.default_rng(seed)
    pieces = [*data, *(damaged(piece, rng) for piece, _values in made(name, pieces=20)), b""]
    items = decode(name, [*pieces, *data])
    assert all(isinstance(item, SampleBlock | LinkEvent) for item in items)
    assert all(len(item) and item.lost >= 0 for item in items if isinstance(item, SampleBlock))
    decoder = devices.get(name).decoder()
    decoder.feed(bytes(range(256)), 0, "no such channel")


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    noise=st.one_of(st.binary(min_size=1, max_size=300), st.integers(1, 200).map(bytes)),
    where=st.integers(1, PIECES - 15),
    part=st.floats(0, 0.99),
)
def test_after_garbage_the_samples_are_those_of_the_stream(name, noise, where, part):
    case, stream = CASES[name], made(name)
    where = max(where, 2)
    before, after = stream[:where], stream[where:]
    broken = b"" if case.notify else before[-1][0][: int(part * len(before[-1][0]))]
    if broken:
        before = before[:-1]
    pieces = [*(p for p, _v in before), broken + noise, *(p for p, _v in after)]
    got = samples(decode(name, pieces)).tolist()
    first = [v for _p, values in before for v in values]
    sure = [v for _p, values in after[case.slack :] for v in values]
    assert got[-len(sure) :] == sure
    at_most = len(first) + case.fakes + sum(len(v) for _p, v in after)
    assert len(got) <= at_most
    if not case.fakes and not case.held:
        assert got[: len(first)] == first


@pytest.mark.parametrize("name", CASES)
def test_memory_stays_bounded(name):
    rng = np.random.default_rng(3)
    sound = b"".join(piece for piece, _values in made(name, pieces=200))
    pieces = [rng.bytes(997) for _ in range(80)] + [damaged(sound, rng) for _ in range(4)]
    if CASES[name].notify:
        pieces = [p for p, _v in made(name, pieces=200)] + [rng.bytes(int(rng.integers(1, 250))) for _ in range(800)]
    decoder = devices.get(name).decoder(**CASES[name].options)
    for piece in pieces[:40]:
        decoder.feed(piece, 0, CASES[name].channel)
    tracemalloc.start()
    try:
        for at, piece in enumerate(pieces):
            decoder.feed(piece, at, CASES[name].channel)
            decoder.writes()
        grown, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < BOUND


def size_of(thing, seen=None):
    """Bytes that an object holds, with everything that only it references (without classes and modules)."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type | types.ModuleType | types.FunctionType):
        return 0
    seen.add(id(thing))
    return sys.getsizeof(thing) + sum(size_of(inner, seen) for inner in gc.get_referents(thing))


def fuzz(name, rng, total):
    """Feed a decoder random bytes and damaged valid ones; yield it at intervals."""
    case, fed = CASES[name], 0
    decoder = devices.get(name).decoder(**case.options)
    frames = [piece for piece, _values in made(name, pieces=2000)]
    sound = b"".join(frames)
    while fed < total:
        pick = int(rng.integers(0, 4))
        if pick == 0:
            pieces = [rng.bytes(int(rng.integers(1, 300))) for _ in range(100)]
        elif case.notify:
            at = int(rng.integers(0, len(frames) - 100))
            pieces = [damaged(p, rng) if pick == 1 else p for p in frames[at : at + 100]]
        else:
            at = int(rng.integers(0, max(1, len(sound) - 20_000)))
            pieces = cut(damaged(sound[at : at + 20_000], rng), rng, int(rng.choice([7, 90, 4000])))
        for piece in pieces:
            for item in decoder.feed(piece, fed, case.channel):
                assert not isinstance(item, SampleBlock) or (len(item) and item.lost >= 0)
            decoder.writes()
            fed += len(piece)
        if rng.integers(0, 50) == 0:
            kind = [LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.END][fed % 3]
            decoder.link(LinkEvent(kind, fed))
            decoder.link(LinkEvent(LinkEventKind.CONNECTED, fed))
        yield decoder


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", CASES)
def test_ten_million_bytes(name):
    for turn, decoder in enumerate(fuzz(name, np.random.default_rng(11), 10_000_000)):
        if turn % 20 == 0:
            assert size_of(decoder) < BOUND
