"""Every event of the patch's decoder to the letter: its kind, time, words and data; and every counter."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.devices.anyecg_patch import ASK_EVERY, HELD_MAX, OLD_RUN_MAX, OLD_WINDOW, PatchDecoder
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock
from firmware_bridge.wire.framing import FrameDecoder, encode_frame
from firmware_bridge.wire.messages import (
    Ack,
    AckCode,
    Data,
    Flags,
    Header,
    Hello,
    HelloRequest,
    HelloTag,
    Message,
    MessageType,
    Resend,
    Start,
    Status,
    Stop,
    decode,
    encode,
)

BOOT, N, TICKS, S = 0x1234_5678, 25, 25_000, 10**9
"""25 samples at 250 Hz are 0.1 s, 2500 ticks."""
HELLO_DATA = {
    "kind": "anyecg patch", "device_id": "", "firmware": "", "lead": "", "boot_id": BOOT, "fs_hz": 250.0,
    "lsb_mv": 0.001, "sample_bits": 16, "tick_hz": TICKS, "ring_s": 0.0, "band_hz": None,
}  # fmt: skip


def hello(**changes: object) -> bytes:
    given = {"boot_id": BOOT, "tick_hz": TICKS, "fs_num": 250, "nv_num": 1000, **changes}
    return encode(Hello(**given))  # type: ignore[arg-type]


def data(index: int, *, n: int = N, boot: int = BOOT, **header: object) -> bytes:
    given = {"tick": index * 100 % 2**32, **header}
    return encode(Data(index % 2**32, boot & 0xFF, np.full(n, 7, np.int32)), Header(**given))  # type: ignore[arg-type]


def said(items: list[LinkItem]) -> list[tuple[str, int, str, dict[str, object]]]:
    return [(str(i.kind), i.arrival_ns, i.detail, dict(i.data)) for i in items if isinstance(i, LinkEvent)]


def lost(items: list[LinkItem]) -> list[int]:
    return [i.lost for i in items if isinstance(i, SampleBlock)]


def sent(decoder: PatchDecoder) -> list[Message]:
    out = []
    for write in decoder.writes():
        for body in FrameDecoder().feed(write.data):
            assert isinstance(body, bytes)
            message = decode(body)
            assert isinstance(message, tuple)
            out.append(message[1])
    return out


@pytest.fixture
def decoder() -> PatchDecoder:
    made = PatchDecoder()
    made.feed(hello(), 1)
    made.writes()
    return made


def test_a_patch_describes_itself() -> None:
    decoder = PatchDecoder()
    assert said(decoder.feed(hello(), 3)) == [("hello", 3, "anyecg patch, 250 Hz, 1 µV per count", HELLO_DATA)]
    texts = {HelloTag.KIND: "test", HelloTag.DEVICE_ID: "12", HelloTag.FIRMWARE: "1.2", HelloTag.LEAD: "I"}
    changes = {"texts": texts, "ring_samples": 500, "band_low_mhz": 50, "band_high_mhz": 40_000, "nv_num": 0}
    rich = {
        **HELLO_DATA, "kind": "test", "device_id": "12", "firmware": "1.2", "lead": "I", "lsb_mv": None, "ring_s": 2.0,
        "band_hz": [0.05, 40.0],
    }  # fmt: skip
    assert said(PatchDecoder().feed(hello(**changes), 4)) == [("hello", 4, "test 12, 250 Hz, scale unknown", rich)]


def test_every_counter_of_a_session(decoder: PatchDecoder) -> None:
    assert decoder.counters() == {"frames": 1, "corrupt_frames": 0, "corrupt_bytes": 0}
    flags = Flags.OVERRUN | Flags.SATURATED
    decoder.feed(data(0, seq=1) + data(3 * N, seq=4, flags=flags) + data(4 * N, seq=5, flags=Flags.OVERRUN), 2)
    decoder.feed(data(0, seq=6) + b"\x05zz\x00", 3)
    expected = {
        "frames": 5, "corrupt_frames": 1, "corrupt_bytes": 3, "data_frames": 3, "samples": 75, "lost_samples": 50,
        "resent_samples": 0, "overruns": 2, "saturated_frames": 1, "lost_frames": 2, "old_frames": 1,
    }  # fmt: skip
    assert decoder.counters() == expected
    assert said(decoder.feed(encode(HelloRequest()) + encode(Stop()), 4)) == []
    assert decoder.feed(b"ab", 4, "control") == decoder.feed(b"c", 4, "other") == []
    assert decoder.counters() == {**expected, "frames": 7, "echoed": 2, "foreign_channel_bytes": 3}


def test_resent_samples_are_marked_and_counted() -> None:
    decoder = PatchDecoder()
    decoder.feed(hello(ring_samples=5000) + data(0), 1)
    sent(decoder)
    assert decoder.feed(data(2 * N), 2) == []
    assert sent(decoder) == [Resend(N, N)]
    blocks = decoder.feed(data(N, flags=Flags.RESENT), 3)
    assert [(b.resent, b.arrival_ns) for b in blocks if isinstance(b, SampleBlock)] == [(True, 3), (False, 2)]
    counted = decoder.counters()
    assert (counted["resent_samples"], counted["resend_requests"], counted["data_frames"]) == (25, 1, 3)
    without = PatchDecoder()
    without.feed(hello() + data(0), 1)
    (block,) = without.feed(data(N, flags=Flags.RESENT), 2)
    assert isinstance(block, SampleBlock)
    assert block.resent
    assert without.counters()["resent_samples"] == 25


def test_damage_is_said_with_its_size(decoder: PatchDecoder) -> None:
    ((kind, at, detail, content),) = said(decoder.feed(b"\x05zz\x00", 9))
    assert (kind, at, content["bytes"]) == ("corrupt", 9, 3)
    assert detail == f"3 bytes discarded: {content['fault']}"
    decoder.feed(data(0)[:9], 10)
    ((kind, at, detail, content),) = said(decoder.link(LinkEvent(LinkEventKind.STALLED, 11)))
    assert (kind, at, detail, content["bytes"]) == ("corrupt", 11, "9 bytes discarded: connection ended", 9)
    (early,) = said(PatchDecoder().feed(b"boot!\x00", 5))
    assert early[:3] == ("info", 5, "5 bytes before the first frame (boot text?)")


def test_a_sound_frame_that_holds_no_message_is_damage(decoder: PatchDecoder) -> None:
    body = next(b for b in FrameDecoder().feed(data(0)) if isinstance(b, bytes))
    ((kind, at, detail, content),) = said(decoder.feed(encode_frame(body[:-1]), 6))
    assert (kind, at, content) == ("corrupt", 6, {"bytes": len(body) - 1, "fault": "malformed"})
    assert detail.startswith("a message ")
    assert decoder.counters()["malformed"] == 1
    unknown = encode_frame(bytes([body[0], 0x6F]) + body[2:])
    before = decoder.counters()
    assert said(decoder.feed(unknown, 7)) == []
    counted = {key: n - before.get(key, 0) for key, n in decoder.counters().items()}
    assert {key: n for key, n in counted.items() if n} == {"frames": 1, "unknown_types": 1}


def test_another_version_is_refused_once_a_connection() -> None:
    decoder = PatchDecoder()
    frame = encode(Stop(), Header(version=3))
    said_once = said(decoder.feed(frame + frame, 3))
    detail = "the patch speaks protocol version 3, this program 1 to 2: update anyecg-edge or the firmware"
    assert said_once == [("refused", 3, detail, {"version": 3})]
    decoder.link(LinkEvent(LinkEventKind.CONNECTED, 4))
    assert len(said(decoder.feed(frame, 5))) == 1
    assert decoder.counters()["other_version"] == 3
    only_newer = PatchDecoder().feed(hello(proto_min=3, proto_max=4), 6)
    assert said(only_newer) == [("refused", 6, detail, {"version": 3})]


def test_battery_and_refusals(decoder: PatchDecoder) -> None:
    frames = encode(Status(55, 3700, 4, 0), Header(seq=3)) + encode(Status(None, 1, 2, 0), Header(seq=4))
    assert said(decoder.feed(frames, 8)) == [
        ("info", 8, "battery 55 %", {"battery_percent": 55, "battery_mv": 3700, "firmware_dropped_frames": 4}),
        ("info", 8, "battery unknown", {"battery_percent": None, "battery_mv": 1, "firmware_dropped_frames": 2}),
    ]
    acks = encode(Ack(MessageType.START, AckCode.BUSY, detail=3), Header(seq=6)) + encode(Ack(0x77, 200))
    assert said(decoder.feed(acks, 9)) == [
        (
            "refused",
            9,
            "the patch refused START: busy",
            {"command": MessageType.START, "code": AckCode.BUSY, "detail": 3},
        ),
        ("refused", 9, "the patch refused 119: code 200", {"command": 0x77, "code": 200, "detail": 0}),
    ]
    assert decoder.counters()["lost_frames"] == 3  # 1, 2 and 5


class TestRestarts:
    def test_a_new_boot(self, decoder: PatchDecoder) -> None:
        decoder.feed(data(0, seq=40_000), 2)
        items = decoder.feed(hello(boot_id=BOOT + 1) + data(2 * N, boot=BOOT + 1, seq=7), 5)
        assert [e[:3] for e in said(items)] == [
            ("restarted", 5, "the patch restarted"),
            ("hello", 5, "anyecg patch, 250 Hz, 1 µV per count"),
        ]
        (block,) = [i for i in items if isinstance(i, SampleBlock)]
        assert (block.lost, block.seq) == (2 * N, 7)
        assert decoder.counters()["restarts"] == 1
        assert sent(decoder) == [Start()]

    def test_new_settings(self, decoder: PatchDecoder) -> None:
        decoder.feed(data(0), 2)
        for changes in ({"nv_num": 500}, {"nv_num": 500, "tick_hz": 50_000}):
            items = decoder.feed(hello(**changes), 5)
            assert [e[:2] for e in said(items)] == [("restarted", 5), ("hello", 5)]
            assert said(items)[0][2] == "the patch changed its settings"
        assert decoder.counters()["restarts"] == 2
        assert said(decoder.feed(hello(nv_num=500, tick_hz=50_000), 6)) == []

    def test_a_clock_that_jumped(self, decoder: PatchDecoder) -> None:
        decoder.feed(data(0), 2)
        items = decoder.feed(data(N, tick=10**8), 7)
        assert said(items) == [("restarted", 7, "the clock of the patch jumped", {})]
        assert lost(items) == [0]
        (block,) = [i for i in items if isinstance(i, SampleBlock)]
        assert block.device_time_ns == 10**8 * 40_000 + 24 * 4_000_000
        assert said(decoder.feed(data(2 * N, tick=10**8 + 2500), 8)) == []

    @pytest.mark.parametrize(
        ("tick", "jumped"), [(12_500, False), (12_501, True), (2**32 - 12_500, False), (2**32 - 12_501, True)]
    )
    def test_half_a_second_and_two_percent_are_no_jump(self, decoder: PatchDecoder, tick: int, jumped: bool) -> None:
        """The next frame follows after 2500 ticks: two percent of them are 50."""
        decoder.feed(data(0, tick=0), 2)
        shift = 50 if tick < 2**31 else -50
        items = decoder.feed(data(N, tick=(2500 + tick + shift) % 2**32), 3)
        assert bool(said(items)) is jumped

    @pytest.mark.parametrize(("behind", "restarted"), [(OLD_WINDOW, False), (OLD_WINDOW + 1, True)])
    def test_an_index_far_behind(self, decoder: PatchDecoder, behind: int, restarted: bool) -> None:
        decoder.feed(data(100_000 - N), 2)
        items = decoder.feed(data(100_000 - behind), 6)
        expected = [("restarted", 6, "the patch restarted its sample count", {})] if restarted else []
        assert said(items) == expected
        assert lost(items) == ([0] if restarted else [])
        assert decoder.counters().get("old_frames", 0) == (not restarted)

    def test_frames_behind_that_do_not_follow_each_other_are_late_ones(self, decoder: PatchDecoder) -> None:
        decoder.feed(data(100 * N), 2)
        for k in range(3 * OLD_RUN_MAX):
            assert decoder.feed(data(90 * N + (k % 2) * 3 * N), 3) == []
        assert decoder.counters()["old_frames"] == 3 * OLD_RUN_MAX


class TestWithoutHello:
    def test_it_is_asked_for_and_the_samples_wait(self) -> None:
        decoder = PatchDecoder()
        detail = "the patch has not described itself yet: samples are held back and HELLO was requested"
        assert said(decoder.feed(data(0), 4)) == [("info", 4, detail, {"hello_missing": True})]
        asked = [len(sent(decoder))]
        for k in range(1, ASK_EVERY + 1):
            assert decoder.feed(data(k * N), 5) == []
            asked.append(len(sent(decoder)))
        assert [k for k, n in enumerate(asked) if n] == [0, ASK_EVERY]
        assert lost(decoder.feed(hello(), 6)) == [0] * (ASK_EVERY + 1)
        assert said(decoder.feed(data(0, boot=BOOT + 5), 7))[0][0] == "info"  # asked for again

    def test_held_samples_of_another_boot_are_counted(self) -> None:
        decoder = PatchDecoder()
        decoder.feed(data(0, n=7, boot=BOOT + 1) + data(N) + data(2 * N), 4)
        assert lost(decoder.feed(hello(index=900), 5)) == [0, 0]
        assert decoder.counters()["unplaced_samples"] == 7

    def test_the_oldest_give_way_and_the_end_tells_of_the_rest(self) -> None:
        decoder = PatchDecoder()
        for k in range(HELD_MAX + 1):
            decoder.feed(data(k * N), 4)
        assert decoder.counters()["unplaced_samples"] == N
        detail = f"{HELD_MAX * N} samples arrived without a description of the patch (HELLO) and could not be used"
        expected = [("corrupt", 9, detail, {"samples": HELD_MAX * N, "bytes": 0})]
        assert said(decoder.link(LinkEvent(LinkEventKind.END, 9))) == expected
        assert said(decoder.link(LinkEvent(LinkEventKind.END, 10))) == []


class TestConnection:
    def test_it_begins_with_a_delimiter_and_a_question(self) -> None:
        decoder = PatchDecoder()
        assert decoder.link(LinkEvent(LinkEventKind.CONNECTED, 1)) == []
        (write,) = decoder.writes()
        assert write.data == b"\x00" + encode(HelloRequest())
        assert decoder.writes() == []

    def test_start_is_said_again_after_a_reconnection(self, decoder: PatchDecoder) -> None:
        decoder.feed(data(0), 2)
        assert sent(decoder) == []
        decoder.feed(hello(), 3)
        assert sent(decoder) == []
        decoder.link(LinkEvent(LinkEventKind.DISCONNECTED, 4))
        decoder.link(LinkEvent(LinkEventKind.CONNECTED, 5))
        sent(decoder)
        decoder.feed(hello(), 6)
        assert sent(decoder) == [Start()]

    def test_the_end_releases_what_waits_in_its_own_time(self) -> None:
        decoder = PatchDecoder()
        decoder.feed(hello(ring_samples=5000) + data(0), 1)
        decoder.feed(data(4 * N), 2)
        for kind in (LinkEventKind.DISCONNECTED, LinkEventKind.STALLED):
            assert decoder.link(LinkEvent(kind, 3)) == []
        (block,) = decoder.link(LinkEvent(LinkEventKind.END, 4))
        assert isinstance(block, SampleBlock)
        assert (block.lost, block.arrival_ns) == (3 * N, 2)


def test_an_answer_before_any_description_is_nothing() -> None:
    decoder = PatchDecoder()
    ack = Ack(MessageType.RESEND, AckCode.OK, index=50)
    assert decoder.feed(encode(ack), 1) == []
    decoder.feed(data(0), 2)
    assert said(decoder.feed(encode(Ack(MessageType.RESEND, AckCode.UNSUPPORTED)), 3))[0][0] == "refused"
    ring = PatchDecoder()
    ring.feed(hello(ring_samples=5000) + data(0) + data(4 * N), 1)
    assert ring.feed(encode(Ack(MessageType.STOP, AckCode.OK, index=4 * N)), 2) == []
    assert lost(ring.feed(encode(Ack(MessageType.RESEND, AckCode.OK, index=4 * N)), 3)) == [3 * N]


def test_sequence_numbers_go_round_and_late_ones_do_not_count() -> None:
    decoder = PatchDecoder()
    decoder.feed(encode(Hello(BOOT, TICKS, 250), Header(seq=65_533)), 1)
    numbers = [65_534, 65_535, 0, 3, 1, 4]
    items = [i for k, seq in enumerate(numbers) for i in decoder.feed(data(k * N, seq=seq), 2)]
    unwrapped = [i.seq for i in items if isinstance(i, SampleBlock)]
    assert unwrapped == [65_534, 65_535, 65_536, 65_539, 65_539, 65_540]
    assert decoder.counters()["lost_frames"] == 2


def test_a_plain_description_and_header() -> None:
    plain = Hello(1, 2, 3)
    assert plain == Hello(1, 2, 3, 1, 0, 1, 0, 0, 0, 16, 1, 1, {}, 0)
    assert (plain.fs_hz, plain.lsb_mv, plain.texts) == (3.0, None, {})
    assert Header() == Header(1, Flags.NONE, 0, 0)


@pytest.mark.parametrize("began_s", [0, 10**6])
def test_a_pause_of_many_wraps_is_measured_by_the_hosts_clock(began_s: int) -> None:
    """At a megahertz the tick goes round in 71 minutes; the pause takes twelve days."""
    decoder = PatchDecoder()
    decoder.feed(hello(tick_hz=10**6) + data(0, tick=0), began_s * S)
    pause_s = 10**6
    items = decoder.feed(data(250 * pause_s, tick=pause_s * 10**6 % 2**32), (began_s + pause_s) * S)
    assert said(items) == []
    (block,) = [i for i in items if isinstance(i, SampleBlock)]
    assert block.device_time_ns == pause_s * S + 24 * 4_000_000
    assert block.lost == 250 * pause_s - N
