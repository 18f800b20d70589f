"""Messages of the patch protocol: layouts to the byte, limits, and what does not fit."""

import numpy as np
import pytest

from firmware_bridge.errors import LocalProtocolError
from firmware_bridge.wire.framing import BODY_MAX, FrameDecoder
from firmware_bridge.wire.messages import (
    DATA_HEAD,
    HEADER,
    HELLO_HEAD,
    INT24_MAX,
    INT24_MIN,
    Ack,
    AckCode,
    Data,
    Flags,
    Header,
    Hello,
    HelloRequest,
    HelloTag,
    Malformed,
    MessageType,
    Resend,
    SampleFormat,
    Start,
    Status,
    Stop,
    UnknownType,
    WrongVersion,
    decode,
    encode,
    samples_max,
    unpack_samples,
)


def body_of(frame):
    (body,) = FrameDecoder().feed(frame)
    return body


def test_layout_sizes_that_the_c_side_relies_on():
    assert (HEADER.size, DATA_HEAD.size, HELLO_HEAD.size) == (9, 7, 40)
    assert (samples_max(SampleFormat.INT16), samples_max(SampleFormat.INT24)) == (117, 78)


def test_data_to_the_byte():
    message = Data(0x04030201, 0x99, np.array([1, -2, 300], np.int32))
    body = body_of(encode(message, Header(flags=Flags.LEAD_OFF, seq=0x1234, tick=0xAABBCCDD)))
    assert body.hex() == "0102013412ddccbbaa010203049901030100feff2c01"
    header, back = decode(body)
    assert header == Header(1, Flags.LEAD_OFF, 0x1234, 0xAABBCCDD)
    assert back.samples.dtype == np.int32
    assert back.samples.tolist() == [1, -2, 300]


def test_int24_keeps_its_sign_and_ends():
    message = Data(0, 0, np.array([INT24_MIN, -1, 0, 1, INT24_MAX], np.int32), SampleFormat.INT24)
    _header, back = decode(body_of(encode(message)))
    assert back.samples.tolist() == [INT24_MIN, -1, 0, 1, INT24_MAX]
    assert unpack_samples(b"\x00\x00\x80", SampleFormat.INT24).tolist() == [INT24_MIN]


def test_hello_to_the_byte():
    hello = Hello(0xDEADBEEF, 32768, 250, 1, 1000, 1, 50, 40_000, 7, 16, 1, 1, {HelloTag.KIND: "x"})
    body = body_of(encode(hello))
    assert body[9:13].hex() == "efbeadde"
    assert body[9 + 36 : 9 + 40].hex() == "10010100"
    assert body[-3:] == b"\x01\x01x"
    assert decode(body)[1] == hello


def test_scale_is_a_fraction_because_whole_nanovolts_are_too_coarse():
    hello = Hello(1, 32768, 500, nv_num=2_420_000_000, nv_den=8_388_607 * 6, sample_bits=24)
    assert hello.lsb_mv == pytest.approx(2420 / 8_388_607 / 6, rel=1e-12)
    assert Hello(1, 32768, 250).lsb_mv is None
    assert Hello(1, 32768, 250, nv_num=5, nv_den=0).lsb_mv is None


@pytest.mark.parametrize(
    "message",
    [
        Status(77, 3900, 12, 1000),
        Status(None, 0, 0, 0),
        Ack(MessageType.START, AckCode.OK, 3),
        HelloRequest(),
        Start(1),
        Stop(),
        Resend(5, 6),
    ],
)
def test_round_trip_of_the_short_ones(message):
    assert decode(body_of(encode(message, Header(seq=9))))[1] == message


def test_unknown_tags_are_skipped_and_texts_made_harmless():
    body = body_of(encode(Hello(1, 32768, 250)))
    _header, hello = decode(body + b"\x7f\x02ab" + b"\x02\x05A\x1b[2J" + b"\x04\x02II")
    assert hello.texts == {HelloTag.DEVICE_ID: "A�[2J", HelloTag.LEAD: "II"}


@pytest.mark.parametrize("tail", [b"\x01", b"\x01\x05abc"])
def test_a_tail_that_runs_past_its_end(tail):
    assert isinstance(decode(body_of(encode(Hello(1, 32768, 250))) + tail), Malformed)


@pytest.mark.parametrize("bad", [Hello(1, 0, 250), Hello(1, 32768, 0), Hello(1, 32768, 250, 0), Hello(1, 9, 2**32 - 1)])
def test_hello_without_a_rate_is_malformed(bad):
    assert isinstance(decode(body_of(encode(bad))), Malformed)


def test_other_versions_and_types():
    assert decode(bytes([2]) + bytes(8)) == WrongVersion(2)
    assert decode(bytes([2])) == WrongVersion(2)
    assert decode(bytes([1, 0x33]) + bytes(7)) == UnknownType(0x33)
    assert isinstance(decode(b"\x01\x02"), Malformed)
    assert isinstance(decode(b""), Malformed)
    assert isinstance(decode(bytes(20)), Malformed)


def test_data_that_contradicts_itself():
    body = body_of(encode(Data(0, 0, np.arange(5, dtype=np.int32))))
    assert isinstance(decode(body[:-1]), Malformed)
    assert isinstance(decode(body + b"\x00"), Malformed)
    no_samples = bytearray(body[:16])
    no_samples[15] = 0
    assert isinstance(decode(bytes(no_samples)), Malformed)
    other_format = bytearray(body)
    other_format[14] = 9
    assert "format 9" in decode(bytes(other_format)).reason


def test_a_later_version_may_lengthen_a_fixed_message():
    assert decode(body_of(encode(Status(1, 2, 3, 4))) + b"\x01\x02")[1] == Status(1, 2, 3, 4)


@pytest.mark.parametrize(
    "bad",
    [
        Data(0, 0, np.array([], np.int32)),
        Data(0, 0, np.zeros(118, np.int32)),
        Data(0, 0, np.array([40_000], np.int32)),
        Data(0, 0, np.array([INT24_MAX + 1], np.int32), SampleFormat.INT24),
        Hello(2**32, 1, 1),
        Status(5, -1, 0, 0),
        Start(300),
    ],
)
def test_what_cannot_be_sent_is_a_local_error(bad):
    with pytest.raises(LocalProtocolError):
        encode(bad)


def test_the_longest_message_still_fits():
    assert len(body_of(encode(Data(0, 0, np.ones(117, np.int32))))) <= BODY_MAX
    texts = dict.fromkeys(HelloTag, "ä" * 20)
    assert len(body_of(encode(Hello(1, 1, 1, texts=texts)))) <= BODY_MAX
