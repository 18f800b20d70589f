"""Messages of the patch protocol: layouts byte by byte, limits, and values that do not fit."""

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
    RING_TAG,
    SUPPORTED,
    TEXT_MAX,
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


def test_int24_keeps_its_sign_and_limits():
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
def test_round_trip_of_the_short_messages(message):
    assert decode(body_of(encode(message, Header(seq=9))))[1] == message


def test_unknown_tags_are_skipped_and_texts_made_safe():
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
def test_a_value_that_does_not_fit_is_a_local_error(bad):
    with pytest.raises(LocalProtocolError):
        encode(bad)


def test_the_longest_message_still_fits():
    assert len(body_of(encode(Data(0, 0, np.ones(117, np.int32))))) <= BODY_MAX
    texts = dict.fromkeys(HelloTag, "ä" * 20)
    assert len(body_of(encode(Hello(1, 1, 1, texts=texts)))) <= BODY_MAX


SHORT_HEADER = Header(seq=2, tick=3)


@pytest.mark.parametrize(
    ("message", "kind", "payload"),
    [
        (Status(77, 0x0102, 0x0A0B0C0D, 0x01020304), "03", "4d00 0201 0d0c0b0a 04030201"),
        (Status(None, 0, 0, 0), "03", "ff00 0000 00000000 00000000"),
        (Ack(0x82, 4, 0x0102), "04", "8204 0201"),
        (Ack(0x84, 0, 0, 0x01020304), "04", "8400 0000 04030201"),
        (HelloRequest(1, 3), "81", "0103"),
        (Start(1), "82", "01"),
        (Stop(), "83", ""),
        (Resend(0x01020304, 0x05), "84", "04030201 05000000"),
    ],
)
def test_short_messages_to_the_byte(message, kind, payload):
    body = body_of(encode(message, SHORT_HEADER))
    assert body == bytes.fromhex("01" + kind + "00 0200 03000000" + payload)
    assert decode(body) == (SHORT_HEADER, message)


def test_counters_wrap_around_at_the_end_of_their_fields():
    body = body_of(encode(Data(2**32 + 5, 0x1FF, np.ones(1, np.int32)), Header(seq=0x1_0007, tick=2**32 + 9)))
    header, data = decode(body)
    assert (header.seq, header.tick, data.index, data.boot) == (7, 9, 5, 0xFF)
    _, status = decode(body_of(encode(Status(1, 2, 2**32 + 3, 2**32 + 4))))
    assert (status.dropped, status.index) == (3, 4)
    assert decode(body_of(encode(Resend(2**32 + 6, 1))))[1] == Resend(6, 1)
    assert decode(body_of(encode(Ack(0x84, 0, 0, 2**32 + 8))))[1].index == 8


def test_hello_in_every_field_to_the_byte():
    hello = Hello(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, {HelloTag.LEAD: "II", HelloTag.KIND: "k"}, 0x0102)
    body = body_of(encode(hello))
    fixed = b"".join(n.to_bytes(4, "little") for n in range(1, 10)) + bytes([10, 11, 12, 0])
    assert body[HEADER.size :] == fixed + b"\x01\x01k" + b"\x04\x02II" + b"\x05\x04\x02\x01\x00\x00"
    assert decode(body)[1] == hello
    assert (hello.fs_hz, hello.lsb_mv) == (0.75, pytest.approx(5 / 6 * 1e-6))


def test_optional_fields_have_defaults():
    hello = decode(body_of(encode(Hello(1, 32768, 250))))[1]
    assert (hello.fs_den, hello.nv_num, hello.nv_den, hello.band_low_mhz, hello.band_high_mhz) == (1, 0, 1, 0, 0)
    assert (hello.index, hello.sample_bits, hello.proto_min, hello.proto_max, hello.ring_samples) == (0, 16, 1, 1, 0)
    assert hello.texts == {}
    assert hello.model is None
    assert (HelloRequest(), Start(), SUPPORTED) == (HelloRequest(1, 2), Start(1), (1, 2))
    assert (Ack(1, 2).detail, Ack(1, 2).index) == (0, None)
    assert Header() == Header(1, Flags.NONE, 0, 0)


def hello_with(tail):
    return decode(body_of(encode(Hello(1, 32768, 250))) + tail)


@pytest.mark.parametrize("length", [TEXT_MAX, TEXT_MAX + 1])
def test_sender_and_receiver_truncate_a_text_at_64_bytes(length):
    assert TEXT_MAX == 64
    text = "x" * length
    assert decode(body_of(encode(Hello(1, 32768, 250, texts={HelloTag.KIND: text}))))[1].texts == {1: "x" * 64}
    assert hello_with(bytes([1, length]) + text.encode())[1].texts == {HelloTag.KIND: "x" * 64}


def test_a_text_with_invalid_utf8_has_replacement_marks():
    assert hello_with(b"\x01\x03a\xffb")[1].texts == {HelloTag.KIND: "a\ufffdb"}


@pytest.mark.parametrize(
    ("tail", "ring"),
    [
        (bytes([RING_TAG, 4, 0, 1, 0, 0]), 256),
        (bytes([RING_TAG, 3, 0, 1, 0]), 0),  # another length belongs to another version
        (bytes([RING_TAG, 5, 0, 1, 0, 0, 0]), 0),
        (bytes([RING_TAG, 4, 0, 1, 0, 0, RING_TAG, 4, 9, 0, 0, 0]), 9),
        (bytes([2, 0, RING_TAG, 4, 7, 0, 0, 0]), 7),  # after an empty text
    ],
)
def test_the_ring_size_in_hello(tail, ring):
    assert hello_with(tail)[1].ring_samples == ring


@pytest.mark.parametrize(
    ("numerator", "denominator", "usable"),
    [(1, 10, True), (1, 11, False), (10**6, 1, True), (10**6 + 1, 1, False), (0, 5, False), (5, 0, False)],
)
def test_rates_from_a_tenth_to_a_million_are_usable(numerator, denominator, usable):
    found = decode(body_of(encode(Hello(1, 32768, numerator, denominator))))
    assert (found == Malformed("HELLO gives no usable sampling or tick rate")) is not usable


@pytest.mark.parametrize("percent", [0, 100, 101, 254])
def test_a_battery_level_above_100_percent_is_unknown(percent):
    assert decode(body_of(encode(Status(percent, 1, 2, 3))))[1].battery_percent == (percent if percent <= 100 else None)


@pytest.mark.parametrize(
    ("command", "tail", "index"),
    [(0x84, "01000000", 1), (0x84, "0100000002", 1), (0x84, "010000", None), (0x82, "01000000", None)],
)
def test_only_the_answer_to_resend_has_an_index(command, tail, index):
    body = body_of(encode(Ack(command, 0, 5))) + bytes.fromhex(tail)
    assert decode(body)[1] == Ack(command, 0, 5, index)


@pytest.mark.parametrize(
    ("sample_format", "low", "high", "most"),
    [(SampleFormat.INT16, -32768, 32767, 117), (SampleFormat.INT24, INT24_MIN, INT24_MAX, 78)],
)
def test_the_limits_of_data_are_allowed_and_nothing_beyond(sample_format, low, high, most):
    assert (INT24_MIN, INT24_MAX) == (-8_388_608, 8_388_607)
    samples = np.resize(np.array([low, high], np.int32), most)
    back = decode(body_of(encode(Data(1, 2, samples, sample_format))))[1]
    assert (back.samples.tolist(), back.sample_format) == (samples.tolist(), sample_format)
    for bad, words in (
        (np.array([low - 1]), "outside"),
        (np.array([high + 1]), "outside"),
        (np.zeros(most + 1), f"{most + 1} samples"),
        (np.zeros(0), "0 samples"),
    ):
        with pytest.raises(LocalProtocolError, match=words):
            encode(Data(1, 2, bad.astype(np.int32), sample_format))


def test_a_value_outside_its_field_is_named():
    with pytest.raises(LocalProtocolError, match="Start holds a value outside its field"):
        encode(Start(300))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "without a version"),
        ("00" * 12, "without a version"),
        ("0102", "shorter than its header"),
        ("0102000000000000", "shorter than its header"),
        ("010200000000000000 0102", "DATA is too short"),
        ("010300000000000000 0102", "STATUS is too short"),
        ("018400000000000000 01020304050607", "RESEND is too short"),
        ("018200000000000000", "START is too short"),
        ("018100000000000000 01", "HELLO_REQUEST is too short"),
        ("010200000000000000 00000000 00 01 00", "DATA has a length that contradicts its sample count"),
        ("010200000000000000 00000000 00 07 01 0000", "DATA uses sample format 7, which version 1 does not have"),
    ],
)
def test_every_reason_of_a_malformed_message(body, reason):
    assert decode(bytes.fromhex(body)) == Malformed(reason)


def test_a_tail_that_runs_past_its_end_is_named():
    assert hello_with(b"\x01\x05abc") == Malformed("HELLO has a tail that runs past its end")
    assert hello_with(b"\x01\x03abc")[1].texts == {HelloTag.KIND: "abc"}


@pytest.mark.parametrize(
    ("first", "found"), [(2, WrongVersion(2)), (255, WrongVersion(255)), (0, Malformed("without a version"))]
)
def test_versions_that_are_not_read(first, found):
    assert decode(bytes([first])) == found
