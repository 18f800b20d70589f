"""Framing: round trips, any split, damaged bits, random bytes."""

import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.wire.framing import BODY_MAX, FRAME_MAX, FrameDecoder, cobs_decode, cobs_encode, encode_frame

BODIES = st.binary(min_size=1, max_size=BODY_MAX)


@given(st.binary(max_size=FRAME_MAX))
def test_cobs_round_trip_has_no_zero_and_one_byte_more(plain):
    coded = cobs_encode(plain)
    assert 0 not in coded
    assert len(coded) == len(plain) + 1
    assert cobs_decode(coded) == plain


@given(st.binary(max_size=300))
def test_decoding_anything_never_raises(coded):
    cobs_decode(coded)


@given(st.lists(BODIES, max_size=12), st.data())
def test_any_split_gives_the_same_frames(bodies, data):
    stream = b"\x00" + b"".join(encode_frame(body) for body in bodies)
    decoder, got, at = FrameDecoder(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, len(stream)))
        got += decoder.feed(stream[at : at + step])
        at += step
    assert got == bodies


@given(st.binary(max_size=9000), st.integers(1, 700))
def test_any_split_of_garbage_gives_the_same_errors(noise, step):
    whole = FrameDecoder().feed(noise)
    decoder, got = FrameDecoder(), []
    for at in range(0, len(noise), step):
        got += decoder.feed(noise[at : at + step])
    assert got == whole


@given(BODIES, st.data())
def test_a_burst_of_16_bits_is_always_found(body, data):
    frame = bytearray(encode_frame(body))[:-1]
    plain = bytearray(cobs_decode(frame))
    start = data.draw(st.integers(0, len(plain) * 8 - 16))
    pattern = data.draw(st.integers(1, 0xFFFF))
    for offset in range(16):
        if pattern >> offset & 1:
            bit = start + offset
            plain[bit // 8] ^= 0x80 >> bit % 8
    out = FrameDecoder().feed(cobs_encode(bytes(plain)) + b"\x00")
    assert not [item for item in out if isinstance(item, bytes)]


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_200k_random_bytes_in_bounded_memory(seed):
    noise = np.random.default_rng(seed).integers(0, 256, 200_000, np.uint8).tobytes()
    decoder = FrameDecoder()
    for at in range(0, len(noise), 997):
        decoder.feed(noise[at : at + 997])
    tracemalloc.start()
    for at in range(0, len(noise), 997):
        decoder.feed(noise[at : at + 997])
    grown, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 20_000
    assert decoder.errors > 100
    # Every 65536th wrong frame passes a 16-bit check; two among some 1600 would be suspicious.
    assert decoder.frames <= 2
