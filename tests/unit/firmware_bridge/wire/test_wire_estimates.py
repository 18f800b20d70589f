"""Estimates of a patch on the wire: negotiated, placed, and skipped by a host that does not know them."""

from __future__ import annotations

import pytest

from firmware_bridge.devices.anyecg_patch import PatchDecoder
from firmware_bridge.errors import LocalProtocolError
from firmware_bridge.samples import LinkEventKind
from firmware_bridge.wire.framing import FrameDecoder
from firmware_bridge.wire.messages import (
    HEADS_MAX,
    EstimateReason,
    Header,
    HeadState,
    Hello,
    HelloRequest,
    MessageType,
    PatchEstimate,
    PatchModel,
    Start,
    UnknownType,
    decode,
    encode,
)

MODEL = PatchModel(bytes(range(8)), 2, 10)
ESTIMATE = PatchEstimate(2500, 1, EstimateReason.NONE, 3, 0, ((-65_536, HeadState.DECIDED), (32_768, HeadState(3))))


def body_of(frame):
    (body,) = FrameDecoder().feed(frame)
    return body


def hello(**options):
    return encode(Hello(1, 32_768, 250, **{"proto_max": 2, "model": MODEL, **options}))


def sent(decoder):
    return [decode(body_of(w.data.lstrip(b"\x00")))[1] for w in decoder.writes()]


def test_an_estimate_to_the_byte():
    body = body_of(encode(ESTIMATE, Header(seq=7, tick=9)))
    assert body.hex() == "010500070009000000" + "c409000001000003000002" + "0000ffff02" + "0080000003"
    assert decode(body)[1] == ESTIMATE


def test_a_model_in_hello_to_the_byte():
    body = body_of(hello())
    assert body.endswith(bytes.fromhex("060b" + "0001020304050607" + "020a00"))
    assert decode(body)[1].model == MODEL


@pytest.mark.parametrize(("patch", "chosen"), [(1, 1), (2, 2), (9, 2)])
def test_the_highest_common_version_is_chosen(patch, chosen):
    decoder = PatchDecoder()
    decoder.feed(hello(proto_max=patch), 0)
    assert sent(decoder) == [Start(chosen)]
    assert HelloRequest() == HelloRequest(1, 2)


def test_a_host_of_version_1_skips_an_estimate(monkeypatch):
    """As version 1 decodes: without this type in its table."""
    from firmware_bridge.wire import messages

    table = {kind: unpack for kind, unpack in messages._UNPACKERS.items() if kind != MessageType.ESTIMATE}
    monkeypatch.setattr(messages, "_UNPACKERS", table)
    assert decode(body_of(encode(ESTIMATE))) == UnknownType(5)
    decoder = PatchDecoder()
    decoder.feed(hello(), 0)
    assert decoder.feed(encode(ESTIMATE), 1) == []
    assert decoder.counters()["unknown_types"] == 1


def test_an_estimate_becomes_an_event():
    decoder = PatchDecoder()
    said = decoder.feed(hello(), 5)
    assert [event.kind for event in said] == [LinkEventKind.HELLO, LinkEventKind.INFO]
    assert "makes its own estimates every 10 s; --trust-patch shows them" in said[1].detail
    assert said[1].data == {"model": "0001020304050607", "heads": 2, "samples": True}
    (event,) = decoder.feed(encode(ESTIMATE), 6)
    assert (event.kind, event.arrival_ns) == (LinkEventKind.ESTIMATE, 6)
    assert event.data["heads"] == [[-65_536, 2], [32_768, 3]]
    assert (event.data["model"], event.data["windows"], event.data["reason"]) == ("0001020304050607", 3, None)
    assert (event.data["end_s"], event.data["hop_s"]) == (10.0, 10)
    assert decoder.counters()["estimates"] == 1


def test_a_patch_that_sends_no_samples_says_so():
    decoder = PatchDecoder()
    said = decoder.feed(hello(model=PatchModel(bytes(8), 2, 10, samples=False)), 0)
    assert "and sends no samples" in said[1].detail
    (event,) = decoder.feed(encode(ESTIMATE), 0)
    assert event.data["behind_s"] is None
    decoder.writes()
    decoder.feed(hello(model=PatchModel(bytes(8), 2, 10, samples=False)), 0)
    assert sent(decoder) == []  # it streams: no START is missing


@pytest.mark.parametrize("frames", [b"", encode(Hello(1, 32_768, 250))])
def test_an_estimate_of_nobody_is_counted(frames):
    decoder = PatchDecoder()
    decoder.feed(frames, 0)
    assert decoder.feed(encode(ESTIMATE), 0) == []
    assert decoder.counters()["unplaced_estimates"] == 1


def test_an_estimate_from_before_a_restart_is_not_used():
    decoder = PatchDecoder()
    decoder.feed(encode(Hello(2, 32_768, 250, proto_max=2, model=MODEL)), 0)
    assert decoder.feed(encode(ESTIMATE), 0) == []
    assert decoder.counters()["unplaced_estimates"] == 1


@pytest.mark.parametrize("reason", [r for r in EstimateReason if r])
def test_every_abstention_has_the_name_of_an_estimate(reason):
    decoder = PatchDecoder()
    decoder.feed(hello(), 0)
    (event,) = decoder.feed(encode(PatchEstimate(0, 1, reason)), 0)
    assert event.data["reason"] == reason.name.lower()


def test_too_many_outputs_do_not_fit():
    assert HEADS_MAX == 46
    with pytest.raises(LocalProtocolError, match="ESTIMATE holds 47 outputs"):
        encode(PatchEstimate(0, 1, heads=((0, HeadState.NONE),) * 47))
