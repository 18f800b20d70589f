"""Messages: every one survives the wire, and no body makes the decoder raise."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.framing import FrameDecoder
from firmware_bridge.messages import (
    INT24_MAX,
    INT24_MIN,
    PROTOCOL,
    Data,
    Flags,
    Header,
    Hello,
    HelloTag,
    SampleFormat,
    decode,
    encode,
)

U8, U16, U32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
HEADERS = st.builds(Header, st.just(PROTOCOL), st.sampled_from(Flags), U16, U32)
TEXTS = st.dictionaries(st.sampled_from(HelloTag), st.text("abcXYZ019 -_ä", max_size=20))


def over_the_wire(message, header):
    (body,) = FrameDecoder().feed(encode(message, header))
    return decode(body)


@given(
    HEADERS,
    st.builds(
        Hello, U32, st.integers(1, 2**32 - 1), st.integers(1, 10**6), st.integers(1, 10), U32, U32, U32, U32, U32, U8,
        U8, U8, TEXTS,
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


@given(st.binary(max_size=251))
def test_no_body_raises(body):
    decode(body)


@given(st.sampled_from([1, 2, 3, 4, 0x81, 0x82, 0x83, 0x84]), st.binary(max_size=100))
def test_no_body_of_a_known_type_raises(kind, rest):
    decode(bytes((PROTOCOL, kind)) + rest)
