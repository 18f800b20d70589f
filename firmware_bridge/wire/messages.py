"""The messages of the kit's own patch protocol, versions 1 and 2: the content of a frame. Sans-IO, little-endian.

Every message starts with the same nine bytes, and every layout is fixed, so that the C99 counterpart is a struct with
offsets and without allocation. Only HELLO ends with tag-length-value entries, for strings and later additions; a
receiver skips unknown tags. CBOR was considered and rejected: it needs a parser on both sides for twelve numbers.
``docs/wire-protocol.md`` is the specification; byte offsets there and the ``struct`` formats here are the same.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import LocalProtocolError
from firmware_bridge.wire.framing import BODY_MAX, encode_frame
from firmware_bridge.wire.message_types import (
    DEFAULT_HEADER,
    PROTOCOL,
    SUPPORTED,
    WITH_ESTIMATES,
    Ack,
    AckCode,
    Data,
    EstimateReason,
    Flags,
    Header,
    HeadState,
    Hello,
    HelloRequest,
    HelloTag,
    Malformed,
    Message,
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
)

__all__ = [
    "ACK_HEAD",
    "DATA_HEAD",
    "DEFAULT_HEADER",
    "ESTIMATE_HEAD",
    "HEADER",
    "HEADS_MAX",
    "HEAD_ENTRY",
    "HELLO_HEAD",
    "INDEX",
    "INT24_MIN",
    "MODEL_HEAD",
    "MODEL_TAG",
    "PROTOCOL",
    "RANGE_HEAD",
    "RING_TAG",
    "SCORE_STEP",
    "STATUS_HEAD",
    "SUPPORTED",
    "TEXT_MAX",
    "UNKNOWN_PERCENT",
    "WITH_ESTIMATES",
    "Ack",
    "AckCode",
    "Data",
    "EstimateReason",
    "Flags",
    "HeadState",
    "Header",
    "Hello",
    "HelloRequest",
    "HelloTag",
    "Malformed",
    "Message",
    "MessageType",
    "PatchEstimate",
    "PatchModel",
    "Resend",
    "SampleFormat",
    "Start",
    "Status",
    "Stop",
    "UnknownType",
    "WrongVersion",
    "decode",
    "encode",
    "pack_samples",
    "samples_max",
    "unpack_samples",
]

HEADER = struct.Struct("<BBBHI")
"""version u8, type u8, flags u8, seq u16, tick u32 (of the first sample, or of the moment of sending)."""
DATA_HEAD = struct.Struct("<IBBB")
"""index u32 (of the first sample since boot), boot u8 (low byte of the boot id), format u8, n u8."""
HELLO_HEAD = struct.Struct("<IIIIIIIIIBBBB")
"""boot_id, tick_hz, fs_num, fs_den, nv_num, nv_den, band_low_mhz, band_high_mhz, index: u32; bits, min, max, 0: u8."""
STATUS_HEAD = struct.Struct("<BBHII")
"""battery percent u8, 0 u8, battery mV u16, frames dropped by the firmware u32, index of the next sample u32."""
ACK_HEAD = struct.Struct("<BBH")
"""type of the command u8, code u8, detail u16."""
ESTIMATE_HEAD = struct.Struct("<IBBBHBB")
"""index u32 (after the last sample of the window), boot u8, reason u8, 0 u8, windows u16, first u8, n u8."""
HEAD_ENTRY = struct.Struct("<iB")
"""score i32 in ``SCORE_STEP``, state u8."""
SCORE_STEP = 2.0**-16
"""Step of a score: of a calibrated logit, or of a value in its unit."""
HEADS_MAX = (BODY_MAX - HEADER.size - ESTIMATE_HEAD.size) // HEAD_ENTRY.size
"""Outputs that one ESTIMATE can hold."""
INDEX = struct.Struct("<I")
"""index u32: after ACK_HEAD in the answer to RESEND."""
RANGE_HEAD = struct.Struct("<II")
"""index u32, count u32."""
UNKNOWN_PERCENT = 255
"""Battery percentage of a patch that cannot measure it."""
INT24_MIN, INT24_MAX = -(1 << 23), (1 << 23) - 1
RING_TAG = 5
"""Tag at the end of HELLO, a u32: number of newest samples that the patch keeps to resend."""
MODEL_TAG = 6
"""Tag at the end of HELLO, ``MODEL_HEAD``: the model with which the patch makes estimates."""
MODEL_HEAD = struct.Struct("<8sBBB")
"""identity 8 bytes, number of outputs u8, seconds between estimates u8, 1 u8 if no samples are sent."""
TEXT_MAX = 64
"""Bytes read of a text at the end of HELLO; a longer one is truncated."""
_TAGS = frozenset(int(tag) for tag in HelloTag)
_FORMATS = frozenset(int(code) for code in SampleFormat)
_REASONS = frozenset(int(reason) for reason in EstimateReason)


def samples_max(sample_format: SampleFormat) -> int:
    """Return the number of samples that one DATA frame can hold."""
    return (BODY_MAX - HEADER.size - DATA_HEAD.size) // sample_format.width


def pack_samples(samples: NDArray[np.int32], sample_format: SampleFormat) -> bytes:
    """Encode counts, shape ``(n,)``, for the wire."""
    if sample_format is SampleFormat.INT16:
        return samples.astype("<i2").tobytes()
    return samples.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def unpack_samples(data: bytes, sample_format: SampleFormat) -> NDArray[np.int32]:
    """Decode counts, shape ``(n,)`` int32, from the wire."""
    if sample_format is SampleFormat.INT16:
        return np.frombuffer(data, "<i2").astype(np.int32)
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    # Into the upper three bytes: the arithmetic shift back then extends the sign.
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return (wide.reshape(-1).view("<i4") >> 8).astype(np.int32)


def encode(message: Message, header: Header = DEFAULT_HEADER) -> bytes:
    """Encode one message as a frame ready to send, with its delimiter.

    Raises:
        LocalProtocolError: A value does not fit its field.
    """
    try:
        kind, payload = _PACKERS[type(message)](message)
        head = HEADER.pack(header.version, kind, header.flags, header.seq & 0xFFFF, header.tick & 0xFFFFFFFF)
    except (struct.error, ValueError) as error:
        raise LocalProtocolError(f"{type(message).__name__} holds a value outside its field: {error}") from error
    return encode_frame(head + payload)


def decode(body: bytes) -> tuple[Header, Message] | WrongVersion | UnknownType | Malformed:
    """Decode the message in the body of a frame. Never raises."""
    # Version 0 never existed: a run of zero bytes has a valid CRC (it starts at 0) and must not look like a version.
    if not body or not body[0]:
        return Malformed("without a version")
    if not _readable(body[0]):
        return WrongVersion(body[0])
    if len(body) < HEADER.size:
        return Malformed("shorter than its header")
    version, kind, flags, seq, tick = HEADER.unpack_from(body)
    unpacker = _UNPACKERS.get(kind)
    if unpacker is None:
        return UnknownType(kind)
    try:
        message = unpacker(body[HEADER.size :])
    except struct.error:
        return Malformed(f"{MessageType(kind).name} is too short")
    if isinstance(message, str):
        return Malformed(f"{MessageType(kind).name} {message}")
    return Header(version, Flags(flags), seq, tick), message


def _readable(version: int) -> bool:
    return version == PROTOCOL


def _pack_hello(m: Hello) -> bytes:
    tail = bytearray()
    for tag, text in sorted(m.texts.items()):
        raw = text.encode()[:TEXT_MAX]
        tail += bytes((tag, len(raw))) + raw
    if m.ring_samples:
        tail += bytes((RING_TAG, INDEX.size)) + INDEX.pack(m.ring_samples)
    if m.model is not None and m.model.heads:
        model = m.model
        packed = MODEL_HEAD.pack(model.identity, model.heads, model.hop_s, 0 if model.samples else 1)
        tail += bytes((MODEL_TAG, MODEL_HEAD.size)) + packed
    return (
        HELLO_HEAD.pack(
            m.boot_id, m.tick_hz, m.fs_num, m.fs_den, m.nv_num, m.nv_den, m.band_low_mhz, m.band_high_mhz,
            m.index, m.sample_bits, m.proto_min, m.proto_max, 0,
        )
        + tail
    )  # fmt: skip


def _unpack_hello(payload: bytes) -> Hello | str:
    *fixed, _reserved = HELLO_HEAD.unpack_from(payload)
    texts: dict[HelloTag, str] = {}
    ring_samples, model = 0, None
    at = HELLO_HEAD.size
    while at < len(payload):
        end = at + 2 + (payload[at + 1] if at + 1 < len(payload) else len(payload))
        if end > len(payload):
            return "has a tail that runs past its end"
        if payload[at] == RING_TAG and end - at == 2 + INDEX.size:
            (ring_samples,) = INDEX.unpack_from(payload, at + 2)
        elif payload[at] == MODEL_TAG and end - at == 2 + MODEL_HEAD.size:
            identity, heads, hop_s, silent = MODEL_HEAD.unpack_from(payload, at + 2)
            model = PatchModel(identity, heads, hop_s, samples=silent & 1 == 0) if heads else None
        elif payload[at] in _TAGS:
            text = payload[at + 2 : end][:TEXT_MAX].decode("utf-8", "replace")
            texts[HelloTag(payload[at])] = "".join(c if c.isprintable() else "�" for c in text)
        at = end
    boot_id, tick_hz, fs_num, fs_den, nv_num, nv_den, low, high, index, bits, lowest, highest = fixed
    if not (tick_hz and fs_num and fs_den and 0.1 <= fs_num / fs_den <= 1e6):
        return "gives no usable sampling or tick rate"
    frozen = MappingProxyType(texts)
    return Hello(
        boot_id, tick_hz, fs_num, fs_den, nv_num, nv_den, low, high, index, bits, lowest, highest, frozen, ring_samples,
        model,
    )  # fmt: skip


def _pack_data(m: Data) -> bytes:
    count, limit = len(m.samples), samples_max(m.sample_format)
    low, high = (-(1 << 15), (1 << 15) - 1) if m.sample_format is SampleFormat.INT16 else (INT24_MIN, INT24_MAX)
    if not 1 <= count <= limit:
        raise LocalProtocolError(f"DATA holds {count} samples: 1 to {limit} are allowed")
    if int(m.samples.min()) < low or int(m.samples.max()) > high:
        raise LocalProtocolError(f"DATA holds a sample outside {m.sample_format.name}: it would wrap around")
    return DATA_HEAD.pack(m.index & 0xFFFFFFFF, m.boot & 0xFF, m.sample_format, count) + pack_samples(
        m.samples, m.sample_format
    )


def _unpack_data(payload: bytes) -> Data | str:
    index, boot, code, count = DATA_HEAD.unpack_from(payload)
    if code not in _FORMATS:
        return f"uses sample format {code}, which version {PROTOCOL} does not have"
    sample_format = SampleFormat(code)
    if not count or len(payload) - DATA_HEAD.size != count * sample_format.width:
        return "has a length that contradicts its sample count"
    return Data(index, boot, unpack_samples(payload[DATA_HEAD.size :], sample_format), sample_format)


def _pack_status(m: Status) -> bytes:
    percent = UNKNOWN_PERCENT if m.battery_percent is None else m.battery_percent
    return STATUS_HEAD.pack(percent, 0, m.battery_mv, m.dropped & 0xFFFFFFFF, m.index & 0xFFFFFFFF)


def _unpack_status(payload: bytes) -> Status:
    percent, _reserved, millivolts, dropped, index = STATUS_HEAD.unpack_from(payload)
    return Status(percent if percent <= 100 else None, millivolts, dropped, index)


def _pack_ack(m: Ack) -> bytes:
    return ACK_HEAD.pack(m.command, m.code, m.detail) + (b"" if m.index is None else INDEX.pack(m.index & 0xFFFFFFFF))


def _unpack_ack(payload: bytes) -> Ack:
    command, code, detail = ACK_HEAD.unpack_from(payload)
    has_index = command == MessageType.RESEND and len(payload) >= ACK_HEAD.size + INDEX.size
    return Ack(command, code, detail, INDEX.unpack_from(payload, ACK_HEAD.size)[0] if has_index else None)


def _pack_estimate(m: PatchEstimate) -> bytes:
    if len(m.heads) > HEADS_MAX:
        raise LocalProtocolError(f"ESTIMATE holds {len(m.heads)} outputs: at most {HEADS_MAX} are allowed")
    head = ESTIMATE_HEAD.pack(m.index & 0xFFFFFFFF, m.boot & 0xFF, m.reason, 0, m.windows, m.first, len(m.heads))
    return head + b"".join(HEAD_ENTRY.pack(score, state) for score, state in m.heads)


def _unpack_estimate(payload: bytes) -> PatchEstimate | str:
    index, boot, reason, _reserved, windows, first, count = ESTIMATE_HEAD.unpack_from(payload)
    if reason not in _REASONS:
        return f"gives reason {reason}, which version 2 does not have"
    if len(payload) - ESTIMATE_HEAD.size < count * HEAD_ENTRY.size:
        return "is shorter than its number of outputs"
    if count and reason:
        return "abstains and holds outputs"
    end = ESTIMATE_HEAD.size + count * HEAD_ENTRY.size
    heads = tuple((s, HeadState(state)) for s, state in HEAD_ENTRY.iter_unpack(payload[ESTIMATE_HEAD.size : end]))
    return PatchEstimate(index, boot, EstimateReason(reason), windows, first, heads)


# Keyed by type: adding a message takes a class, a layout and one line in each table.
_PACKERS: dict[type, Callable[[Any], tuple[int, bytes]]] = {
    Hello: lambda m: (MessageType.HELLO, _pack_hello(m)),
    Data: lambda m: (MessageType.DATA, _pack_data(m)),
    Status: lambda m: (MessageType.STATUS, _pack_status(m)),
    Ack: lambda m: (MessageType.ACK, _pack_ack(m)),
    PatchEstimate: lambda m: (MessageType.ESTIMATE, _pack_estimate(m)),
    HelloRequest: lambda m: (MessageType.HELLO_REQUEST, bytes((m.proto_min, m.proto_max))),
    Start: lambda m: (MessageType.START, bytes((m.version,))),
    Stop: lambda _m: (MessageType.STOP, b""),
    Resend: lambda m: (MessageType.RESEND, RANGE_HEAD.pack(m.index & 0xFFFFFFFF, m.count)),
}
_UNPACKERS: dict[int, Callable[[bytes], Message | str]] = {
    MessageType.HELLO: _unpack_hello,
    MessageType.DATA: _unpack_data,
    MessageType.STATUS: _unpack_status,
    MessageType.ACK: _unpack_ack,
    MessageType.ESTIMATE: _unpack_estimate,
    MessageType.HELLO_REQUEST: lambda p: HelloRequest(*struct.unpack_from("<BB", p)),
    MessageType.START: lambda p: Start(*struct.unpack_from("<B", p)),
    MessageType.STOP: lambda _p: Stop(),
    MessageType.RESEND: lambda p: Resend(*RANGE_HEAD.unpack_from(p)),
}
