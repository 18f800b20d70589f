"""Framing and messages in C and in Python: every frame both ways, the same result for any bytes. Under sanitizers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmware_bridge.wire.framing import BODY_MAX, FrameDecoder, encode_frame
from firmware_bridge.wire.messages import (
    HEADS_MAX,
    PROTOCOL,
    Ack,
    Data,
    EstimateReason,
    Flags,
    Header,
    HeadState,
    Hello,
    HelloRequest,
    HelloTag,
    Malformed,
    MessageType,
    PatchEstimate,
    PatchModel,
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
)
from helpers.c_side import CSide, PythonSide

U8, U16, U32 = st.integers(0, 255), st.integers(0, 65_535), st.integers(0, 2**32 - 1)
HEADERS = st.builds(Header, st.just(PROTOCOL), U8.map(Flags), U16, U32)


@pytest.fixture(scope="module")
def c():
    made = CSide()
    yield made
    made.close()


def in_words(result) -> str:
    """The harness's output for the same body."""
    match result:
        case Malformed():
            return "malformed"
        case WrongVersion(version):
            return f"version {version}"
        case UnknownType(kind):
            return f"unknown {kind}"
    header, m = result
    kind = {
        Hello: 0x01, Data: 0x02, Status: 0x03, Ack: 0x04, PatchEstimate: 0x05,
        HelloRequest: 0x81, Start: 0x82, Stop: 0x83, Resend: 0x84,
    }[type(m)]  # fmt: skip
    words = [kind, int(header.flags), header.seq, header.tick]
    match m:
        case Hello():
            words += [m.boot_id, m.tick_hz, m.fs_num, m.fs_den, m.nv_num, m.nv_den, m.band_low_mhz, m.band_high_mhz]
            words += [m.index, m.sample_bits, m.proto_min, m.proto_max, m.ring_samples]
            if m.model is not None:
                words += [m.model.identity.hex(), m.model.heads, m.model.hop_s, 0 if m.model.samples else 1]
        case Data():
            words += [m.index, m.boot, int(m.sample_format), *m.samples.tolist()]
        case Status():
            words += [255 if m.battery_percent is None else m.battery_percent, m.battery_mv, m.dropped, m.index]
        case Ack():
            words += [m.command, m.code, m.detail, *([] if m.index is None else [m.index])]
        case PatchEstimate():
            words += [m.index, m.boot, int(m.reason), m.windows, m.first]
            words += [int(number) for head in m.heads for number in head]
        case HelloRequest():
            words += [m.proto_min, m.proto_max]
        case Start():
            words += [m.version]
        case Resend():
            words += [m.index, m.count]
    return " ".join(map(str, words))


def without_texts(answer: str) -> str:
    return " ".join(word for word in answer.split() if "=" not in word)


def texts(answer: str) -> dict[HelloTag, str]:
    """The texts that C found, read as Python reads them."""
    out = {}
    for word in answer.split():
        tag, equals, raw = word.partition("=")
        if equals and raw:
            text = bytes.fromhex(raw).decode("utf-8", "replace")
            out[HelloTag(int(tag))] = "".join(ch if ch.isprintable() else "\ufffd" for ch in text)
    return out


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=BODY_MAX))
@example(bytes(BODY_MAX))
@example(b"\xff" * BODY_MAX)
@example(b"\x00")
def test_a_frame_is_the_same_from_both(c, body):
    assert c.encode(body) == encode_frame(body)


def test_a_body_of_a_wrong_size_makes_no_frame(c):
    assert c.encode(b"") == b""
    assert c.encode(bytes(BODY_MAX + 1)) == b""


def pieces(draw) -> bytes:
    """Frames, damaged frames, text and noise in any order."""
    parts = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.integers(0, 4))
        frame = encode_frame(draw(st.binary(min_size=1, max_size=BODY_MAX)))
        if kind == 0:
            parts.append(frame)
        elif kind == 1:
            at = draw(st.integers(0, len(frame) - 1))
            parts.append(frame[:at] + draw(st.binary(max_size=3)) + frame[at + 1 :])
        elif kind == 2:
            parts.append(draw(st.binary(max_size=600)))
        elif kind == 3:
            parts.append(b"x" * draw(st.sampled_from([253, 254, 255, 256, 4095, 4096, 4097, 8192, 8447])))
        else:
            parts.append(bytes(draw(st.integers(0, 3))))
    return b"".join(parts)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bytes_cut_anywhere_give_the_same_events(c, data):
    stream = data.draw(st.composite(pieces)())
    python = PythonSide()
    c.ask("n")
    at = 0
    while at < len(stream):
        step = data.draw(st.integers(1, 5000))
        assert c.feed(stream[at : at + step]) == python.feed(stream[at : at + step])
        at += step
        if data.draw(st.booleans()) and data.draw(st.booleans()):
            want = [f"{e.fault}:{e.size}:{int(e.synced)}" for e in python.decoder.reset()]
            got = c.ask("r").split()
            assert [word.rpartition(":")[0] for word in got] == [word.rpartition(":")[0] for word in want]
    counted = python.decoder
    assert c.ask("c") == f"{counted.frames} {counted.errors} {counted.error_bytes}"


@st.composite
def messages(draw):
    kind = draw(st.sampled_from([Hello, Data, Data, Status, Ack, PatchEstimate, HelloRequest, Start, Stop, Resend]))
    if kind is Hello:
        tags = draw(st.lists(st.sampled_from(list(HelloTag)), unique=True, max_size=3))
        numbers = [draw(U32) for _ in range(9)]
        return Hello(
            *numbers, draw(U8), draw(U8), draw(U8),
            {tag: draw(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["C", "Z"]),
                               min_size=1, max_size=20)) for tag in tags},
            draw(U32),
            draw(st.none() | st.builds(PatchModel, st.binary(min_size=8, max_size=8), st.integers(1, 255), U8,
                                       samples=st.booleans())),
        )  # fmt: skip
    if kind is PatchEstimate:
        reason = draw(st.sampled_from(EstimateReason))
        scores = st.tuples(st.integers(-(2**31), 2**31 - 1), U8.map(HeadState))
        heads = draw(st.lists(scores, max_size=0 if reason else HEADS_MAX))
        return PatchEstimate(draw(U32), draw(U8), reason, draw(U16), draw(U8), tuple(heads))
    if kind is Data:
        sample_format = draw(st.sampled_from(list(SampleFormat)))
        count = draw(st.integers(1, samples_max(sample_format)))
        top = 1 << 8 * sample_format.width - 1
        seed = draw(st.integers(0, 2**32 - 1))
        samples = np.random.default_rng(seed).integers(-top, top, count).astype(np.int32)
        samples[0] = draw(st.sampled_from([-top, top - 1, 0, -1]))
        return Data(draw(U32), draw(U8), samples, sample_format)
    if kind is Status:
        return Status(draw(st.none() | st.integers(0, 100)), draw(U16), draw(U32), draw(U32))
    if kind is Ack:
        command = draw(U8 | st.just(int(MessageType.RESEND)))
        return Ack(command, draw(U8), draw(U16), draw(U32) if command == MessageType.RESEND else None)
    fields = {HelloRequest: (U8, U8), Start: (U8,), Stop: (), Resend: (U32, U32)}[kind]
    return kind(*map(draw, fields))


@settings(max_examples=300, deadline=None)
@given(messages(), HEADERS)
def test_every_message_is_decoded_and_encoded_alike(c, message, header):
    from_host = isinstance(message, HelloRequest | Start | Stop | Resend)
    wire = encode(message, Header() if from_host else header)
    (body,) = FrameDecoder().feed(wire)
    want = decode(body)
    got = c.read(body)
    assert without_texts(got) == in_words(want)
    if isinstance(want, Malformed):  # a HELLO without a rate
        return
    if isinstance(message, Hello):
        assert texts(got) == want[1].texts
    assert bytes.fromhex(c.ask(f"w {body.hex()}")) == wire


@settings(max_examples=400, deadline=None)
@given(
    st.binary(max_size=4)
    | st.builds(
        lambda kind, rest: bytes((PROTOCOL, kind)) + rest,
        st.sampled_from([1, 1, 2, 2, 3, 4, 5, 0x81, 0x82, 0x83, 0x84]),
        st.binary(max_size=120),
    )
)
@example(bytes((PROTOCOL, 2)) + bytes(7) + bytes((0, 0, 0, 0, 0, 1, 117)) + bytes(234))
@example(bytes((PROTOCOL, 4)) + bytes(7) + bytes((0x84, 0, 0, 0, 1, 2, 3)))
@example(bytes((PROTOCOL, 3)) + bytes(7) + bytes((101,)) + bytes(11))
@example(bytes((PROTOCOL, 5)) + bytes(7) + bytes((1, 2, 3, 4, 5, 0, 0, 1, 0, 0, 1)) + bytes(5))
@example(bytes((PROTOCOL, 5)) + bytes(7) + bytes((1, 2, 3, 4, 5, 0, 0, 1, 0, 0, 1)) + bytes(4))
@example(bytes((PROTOCOL, 5)) + bytes(7) + bytes((1, 2, 3, 4, 5, 7, 0, 1, 0, 0, 0)))
@example(bytes((PROTOCOL, 5)) + bytes(7) + bytes((1, 2, 3, 4, 5, 2, 0, 1, 0, 0, 1)) + bytes(5))
def test_any_body_gets_the_same_result(c, body):
    assert without_texts(c.read(body)) == in_words(decode(body))


@settings(max_examples=100, deadline=None)
@given(U32, U32, U32, st.binary(max_size=100))
@example(1, 10, 1, b"")
@example(1, 11, 1, b"")
@example(1_000_000, 1, 1, b"\x05\x04\x01\x00\x00\x00")
@example(1_000_001, 1, 1, b"\x05\x03abc")
@example(250, 1, 32_768, b"\x01\x02a\x9f\x09\x03abc\x01\x00")
@example(250, 1, 32_768, b"\x01")
@example(250, 1, 32_768, b"\x01\x03ab")
@example(250, 1, 32_768, b"\x05\x04abc")
@example(250, 1, 32_768, b"\x04" + bytes((90,)) + b"z" * 90)
@example(250, 1, 32_768, b"\x06\x0babcdefgh\x0c\x0a\x03")
@example(250, 1, 32_768, b"\x06\x0babcdefgh\x00\x0a\x01")
@example(250, 1, 32_768, b"\x06\x0aabcdefgh\x0c\x0a")
def test_any_hello_gets_the_same_result(c, num, den, tick_hz, tail):
    head = b"".join(v.to_bytes(4, "little") for v in (7, tick_hz, num, den, 1, 1, 0, 0, 5))
    body = bytes((PROTOCOL, 1)) + bytes(7) + head + bytes((16, 1, 1, 0)) + tail
    got, want = c.read(body), decode(body)
    assert without_texts(got) == in_words(want)
    if not isinstance(want, Malformed):
        assert texts(got) == {tag: text for tag, text in want[1].texts.items() if text}
