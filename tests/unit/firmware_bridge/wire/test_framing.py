"""Frames on a byte stream: known vectors, limits, and the handling of garbage."""

import pytest

from firmware_bridge.errors import LocalProtocolError
from firmware_bridge.wire.framing import (
    BODY_MAX,
    ENCODED_MAX,
    FRAME_MAX,
    SKIP_REPORT_BYTES,
    FrameDecoder,
    FrameError,
    FrameFault,
    cobs_decode,
    cobs_encode,
    crc16,
    encode_frame,
)


def test_crc_check_value():
    assert crc16(b"123456789") == 0x31C3


@pytest.mark.parametrize(
    ("plain", "coded"),
    [
        (b"\x00", b"\x01\x01"),
        (b"\x00\x00", b"\x01\x01\x01"),
        (b"\x11\x22\x00\x33", b"\x03\x11\x22\x02\x33"),
        (b"\x11\x22\x33\x44", b"\x05\x11\x22\x33\x44"),
        (b"\x11\x00\x00\x00", b"\x02\x11\x01\x01\x01"),
        (b"", b"\x01"),
    ],
)
def test_cobs_vectors_of_the_paper(plain, coded):
    assert cobs_encode(plain) == coded
    assert cobs_decode(coded) == plain


@pytest.mark.parametrize("coded", [b"\x03\x01", b"\xff\x01", b"\x00\x02", b"\x02"])
def test_cobs_that_contradicts_itself(coded):
    assert cobs_decode(coded) is None


def test_the_longest_frame_fits_and_one_byte_more_does_not():
    coded = encode_frame(b"\xaa" * BODY_MAX)
    assert len(coded) == ENCODED_MAX + 1
    assert FrameDecoder().feed(coded) == [b"\xaa" * BODY_MAX]
    with pytest.raises(LocalProtocolError, match="too long"):
        encode_frame(b"\xaa" * (BODY_MAX + 1))
    with pytest.raises(LocalProtocolError):
        cobs_encode(bytes(FRAME_MAX + 1))
    with pytest.raises(LocalProtocolError, match="empty"):
        encode_frame(b"")


def test_boot_text_is_distinguished_from_later_damage():
    decoder = FrameDecoder()
    text = b"ets Jul 29 2019 12:21:46\r\nrst:0x1\r\n"
    out = decoder.feed(text + b"\x00" + encode_frame(b"one") + b"\x09garbage\x00" + encode_frame(b"two"))
    assert out[0] == FrameError(FrameFault.COBS, len(text), synced=False)
    assert out[1] == b"one"
    assert isinstance(out[2], FrameError)
    assert out[2].synced
    assert out[3] == b"two"


def test_without_a_leading_delimiter_text_costs_one_frame_only():
    out = FrameDecoder().feed(b"boot" + encode_frame(b"one") + encode_frame(b"two"))
    assert [item for item in out if isinstance(item, bytes)] == [b"two"]


def test_stream_without_delimiters_is_reported_and_held_in_bounded_memory():
    decoder = FrameDecoder()
    out = []
    for _ in range(1000):
        out += decoder.feed(b"1023\r\n" * 17)
    assert out == [FrameError(FrameFault.TOO_LONG, SKIP_REPORT_BYTES, synced=False)] * (102_000 // SKIP_REPORT_BYTES)
    assert len(decoder._held) <= ENCODED_MAX
    assert decoder.feed(b"\x00") == [FrameError(FrameFault.TOO_LONG, 102_000 % SKIP_REPORT_BYTES, synced=False)]


def test_reset_counts_the_incomplete_frame():
    decoder = FrameDecoder()
    frame = encode_frame(b"hello")
    assert decoder.feed(frame[:4]) == []
    assert decoder.reset() == [FrameError(FrameFault.SHORT, 4, synced=False)]
    assert decoder.feed(frame) == [b"hello"]
    assert decoder.reset() == []


def test_empty_frames_mean_nothing():
    assert FrameDecoder().feed(b"\x00\x00\x00") == []


def test_a_line_that_is_stuck_at_zero_is_reported_in_any_split():
    found = []
    for size in (1, 100, 4096, 20_000):
        decoder = FrameDecoder()
        zeros = bytes(10_000)
        errors = [e for at in range(0, len(zeros), size) for e in decoder.feed(zeros[at : at + size])]
        found.append((errors, decoder.error_bytes))
        assert decoder.feed(encode_frame(b"abc")) == [b"abc"]
        assert decoder.feed(bytes(SKIP_REPORT_BYTES - 1)) == []
    assert found == [([FrameError(FrameFault.EMPTY, SKIP_REPORT_BYTES, False)] * 2, 2 * SKIP_REPORT_BYTES)] * 4


def test_counters():
    decoder = FrameDecoder()
    decoder.feed(encode_frame(b"a") + b"\x02\x02\x00" + encode_frame(b"b"))
    assert (decoder.frames, decoder.errors, decoder.error_bytes) == (2, 1, 2)


def test_after_a_reset_text_counts_as_boot_text_again():
    decoder = FrameDecoder()
    decoder.feed(encode_frame(b"one"))
    decoder.reset()
    text = b"rst:0x1\r\n"
    assert decoder.feed(text + b"\x00") == [FrameError(FrameFault.COBS, len(text), synced=False)]


def test_a_stream_without_delimiters_is_reported_as_soon_as_the_limit_is_reached():
    decoder = FrameDecoder()
    assert decoder.feed(b"U" * (SKIP_REPORT_BYTES - 1)) == []
    assert decoder.feed(b"U") == [FrameError(FrameFault.TOO_LONG, SKIP_REPORT_BYTES, synced=False)]
    assert decoder.feed(b"\x00") == []


@pytest.mark.parametrize(
    ("coded", "fault"),
    [
        (b"\x01", FrameFault.SHORT),
        (b"\x03\x11\x22", FrameFault.SHORT),
        (b"\x04\x11\x22\x33", FrameFault.CRC),
        (b"\x04\x11\x22", FrameFault.COBS),
        (b"\x11" * ENCODED_MAX, FrameFault.COBS),
        (b"\x11" * (ENCODED_MAX + 1), FrameFault.TOO_LONG),
    ],
)
def test_each_fault_has_its_name_and_its_size(coded, fault):
    assert FrameDecoder().feed(coded + b"\x00") == [FrameError(fault, len(coded), synced=False)]


def test_reset_in_a_stream_without_delimiters_reports_what_was_skipped():
    decoder = FrameDecoder()
    assert decoder.feed(b"U" * 300) == []
    assert decoder.reset() == [FrameError(FrameFault.TOO_LONG, 300, synced=False)]
    assert decoder.feed(encode_frame(b"one")) == [b"one"]


def test_errors_and_their_bytes_add_up():
    decoder = FrameDecoder()
    decoder.feed(b"\x05zz\x00" + b"\x01\x00")
    decoder.feed(b"\x09abc\x00")
    assert (decoder.errors, decoder.error_bytes, decoder.frames) == (3, 3 + 1 + 4, 0)
