"""Messages: each one survives a round trip, and no body makes the decoder raise."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.wire.framing import FrameDecoder
from firmware_bridge.wire.messages import (
    HEADS_MAX,
    INT24_MAX,
    INT24_MIN,
    PROTOCOL,
    Ack,
    Data,
    EstimateReason,
    Flags,
    Header,
    HeadState,
    Hello,
    HelloTag,
    PatchEstimate,
    PatchModel,
    SampleFormat,
    Status,
    Stop,
    decode,
    encode,
)

FEW = st.lists(st.sampled_from([0, 1, -1, 256]), min_size=1, max_size=40)
U8, U16, U32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
HEADERS = st.builds(Header, st.just(PROTOCOL), st.sampled_from(Flags), U16, U32)
TEXTS = st.dictionaries(st.sampled_from(HelloTag), st.text("abcXYZ019 -_ä", max_size=20))

MODELS = st.builds(PatchModel, st.binary(min_size=8, max_size=8), st.integers(1, 255), U8, samples=st.booleans())
SCORES = st.tuples(st.integers(-(2**31), 2**31 - 1), st.sampled_from(HeadState))
ESTIMATES = st.builds(
    PatchEstimate, U32, U8, st.just(EstimateReason.NONE), U16, U8, st.lists(SCORES, max_size=HEADS_MAX).map(tuple)
) | st.builds(PatchEstimate, U32, U8, st.sampled_from(EstimateReason), U16, U8)


def over_the_wire(message, header):
    (body,) = FrameDecoder().feed(encode(message, header))
    return decode(body)


@given(
    HEADERS,
    st.builds(
        Hello, U32, st.integers(1, 2**32 - 1), st.integers(1, 10**6), st.integers(1, 10), U32, U32, U32, U32, U32, U8,
        U8, U8, TEXTS, U32, st.none() | MODELS,
    ),
)  # fmt: skip
def test_hello(header, hello):
    assert over_the_wire(hello, header) == (header, hello)


@given(HEADERS, U32, U8, st.lists(st.integers(-(1 << 15), (1 << 15) - 1), min_size=1, max_size=117))
def test_int16(header, index, boot, values):
    got_header, got = over_the_wire(Data(index, boot, np.array(values, np.int32)), header)
    assert (got_header, got.index, got.boot, got.samples.tolist()) == (header, index, boot, values)


@given(st.lists(st.integers(INT24_MIN, INT24_MAX), min_size=1, max_size=78))
def test_int24(values):
    message = Data(1, 2, np.array(values, np.int32), SampleFormat.INT24)
    assert over_the_wire(message, Header())[1].samples.tolist() == values


@given(HEADERS, ESTIMATES)
def test_estimate(header, estimate):
    assert over_the_wire(estimate, header) == (header, estimate)


@given(st.binary(max_size=251))
def test_no_body_raises(body):
    decode(body)


@given(st.sampled_from([1, 2, 3, 4, 5, 0x81, 0x82, 0x83, 0x84]), st.binary(max_size=100))
def test_no_body_of_a_known_type_raises(kind, rest):
    decode(bytes((PROTOCOL, kind)) + rest)


@settings(deadline=None, max_examples=40)
@given(
    HEADERS,
    st.one_of(
        st.builds(Hello, U32, st.integers(1, 9), st.integers(1, 9), texts=TEXTS),
        st.builds(lambda i, v: Data(i, 0, np.array(v, np.int32)), U32, FEW),
        st.builds(Status, st.none() | st.integers(0, 100), U16, U32, U32),
        st.builds(Ack, U8, U8, U16),
        st.builds(PatchEstimate, U32, U8, heads=st.lists(SCORES, max_size=8).map(tuple)),
    ),
)  # fmt: skip
def test_every_single_bit_flipped_on_the_wire_never_makes_a_wrong_message(header, message):
    # On the wire a bit may hit a COBS code or the delimiter, and the CRC cannot detect zero bytes added or cut at the
    # end (its start is 0 and so is its remainder): there the lengths inside the messages must detect the error.
    whole, after = encode(message, header), encode(Stop())
    for bit in range(len(whole) * 8):
        frame = bytearray(whole)
        frame[bit // 8] ^= 1 << bit % 8
        bodies = [body for body in FrameDecoder().feed(bytes(frame) + b"\x00" + after) if isinstance(body, bytes)]
        decoded = [item for item in map(decode, bodies) if isinstance(item, tuple)]
        assert isinstance(decoded.pop()[1], Stop)
        assert [same(item) for item in decoded] in ([], [same((header, message))])


def same(item):
    header, message = item
    return (header, message.index, message.samples.tolist()) if isinstance(message, Data) else (header, message)
