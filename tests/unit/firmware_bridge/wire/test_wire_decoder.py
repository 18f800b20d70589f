"""The decoder of the kit's own patch: every message, and every invalid one."""

import numpy as np
import pytest

from firmware_bridge import devices
from firmware_bridge.devices import Write, decode_item
from firmware_bridge.devices.anyecg_patch import ASK_EVERY, HELD_MAX, OLD_RUN_MAX, PatchDecoder
from firmware_bridge.errors import UsageError
from firmware_bridge.items import RawChunk
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.wire.framing import FrameDecoder
from firmware_bridge.wire.messages import (
    Ack,
    AckCode,
    Data,
    Flags,
    Header,
    Hello,
    HelloRequest,
    HelloTag,
    MessageType,
    SampleFormat,
    Start,
    Status,
    Stop,
    decode,
    encode,
)

BOOT = 0x1234_5678
N = 25
TICKS = 32_768


def hello(boot=BOOT, **changes):
    values = {"tick_hz": TICKS, "fs_num": 250, "nv_num": 1000, "texts": {HelloTag.KIND: "test"}} | changes
    return encode(Hello(boot, **values))


def data(index, *, boot=BOOT, n=N, seq=0, tick=None, flags=Flags.NONE, fill=None):
    samples = np.full(n, index % 1000 if fill is None else fill, np.int32)
    at = round(index * TICKS / 250) if tick is None else tick
    return encode(Data(index, boot & 0xFF, samples), Header(flags=flags, seq=seq, tick=at))


def kinds(items):
    return [str(item.kind) for item in items if isinstance(item, LinkEvent)]


def blocks(items):
    return [item for item in items if isinstance(item, SampleBlock)]


def link(kind, at=0):
    return LinkEvent(kind, at)


def commands(decoder):
    out = []
    for write in decoder.writes():
        out += [decode(body)[1] for body in FrameDecoder().feed(write.data)]
    return out


@pytest.fixture
def decoder():
    made = PatchDecoder()
    made.link(link(LinkEventKind.CONNECTED))
    assert commands(made) == [HelloRequest()]
    return made


def test_hello_is_reported_once_per_connection_and_start_follows(decoder):
    items = decoder.feed(hello(), 5)
    assert kinds(items) == ["hello"]
    assert items[0].data["fs_hz"] == 250.0
    assert items[0].data["lsb_mv"] == pytest.approx(1e-3)
    assert items[0].data["kind"] == "test"
    assert commands(decoder) == [Start()]
    assert decoder.feed(hello(), 6) == []
    decoder.link(link(LinkEventKind.DISCONNECTED))
    decoder.link(link(LinkEventKind.CONNECTED))
    assert kinds(decoder.feed(hello(), 7)) == ["hello"]


def test_start_is_repeated_until_data_arrive(decoder):
    decoder.feed(hello(), 0)
    decoder.feed(hello(), 1)
    assert commands(decoder) == [Start(), Start()]
    decoder.feed(data(0) + hello(), 2)
    assert commands(decoder) == []


def test_a_block_describes_its_samples(decoder):
    decoder.feed(hello(), 0)
    (block,) = decoder.feed(data(0, n=10, tick=32_768, fill=-7, flags=Flags.LEAD_OFF), 99)
    assert block.samples.tolist() == [-7] * 10
    assert (block.unit, block.fs_hz, block.arrival_ns, block.lost, block.lead_off) == ("counts", 250.0, 99, 0, True)
    assert block.lsb_mv == pytest.approx(1e-3)
    assert block.device_time_ns == 1_000_000_000 + 9 * 4_000_000


def test_unknown_scale_stays_unknown(decoder):
    decoder.feed(hello(nv_num=0), 0)
    assert blocks(decoder.feed(data(0), 0))[0].lsb_mv is None


def test_int24(decoder):
    decoder.feed(hello(sample_bits=24), 0)
    frame = encode(Data(0, BOOT & 0xFF, np.array([-8_000_000, 8_000_000], np.int32), SampleFormat.INT24))
    assert blocks(decoder.feed(frame, 0))[0].samples.tolist() == [-8_000_000, 8_000_000]


def test_loss_is_counted_from_the_first_hello_on(decoder):
    decoder.feed(hello(index=100), 0)
    got = blocks(decoder.feed(data(100 + 2 * N) + data(100 + 3 * N) + data(100 + 10 * N), 0))
    assert [block.lost for block in got] == [2 * N, 0, 6 * N]
    assert decoder.counters()["lost_samples"] == 8 * N


def test_loss_over_a_lost_connection_is_exact(decoder):
    decoder.feed(hello() + data(0), 0)
    decoder.link(link(LinkEventKind.DISCONNECTED))
    decoder.link(link(LinkEventKind.CONNECTED))
    got = blocks(decoder.feed(hello(index=500 * N) + data(500 * N), 10**9))
    assert [block.lost for block in got] == [499 * N]


def test_samples_before_hello_are_held_then_released_in_order(decoder):
    items = decoder.feed(data(50) + data(50 + N), 1)
    assert kinds(items) == ["info"]
    assert items[0].data["hello_missing"] is True
    assert commands(decoder) == [HelloRequest()]
    items = decoder.feed(hello(index=50 + 2 * N) + data(50 + 2 * N), 2)
    got = blocks(items)
    assert [block.samples[0] for block in got] == [50, 50 + N, 50 + 2 * N]
    assert [block.arrival_ns for block in got] == [1, 1, 2]
    assert [block.lost for block in got] == [0, 0, 0]
    assert kinds(items) == ["hello"]


def test_without_hello_memory_is_bounded_and_everything_is_counted(decoder):
    for number in range(HELD_MAX + 100):
        decoder.feed(data(number * N), number)
    assert len(commands(decoder)) == -(-(HELD_MAX + 100) // ASK_EVERY)
    assert decoder.counters()["unplaced_samples"] == 100 * N
    items = decoder.link(link(LinkEventKind.END, 9))
    assert items[0].data["samples"] == HELD_MAX * N
    assert decoder.counters()["unplaced_samples"] == (HELD_MAX + 100) * N


def test_restart_with_hello(decoder):
    decoder.feed(hello() + data(0) + data(N), 0)
    commands(decoder)
    items = decoder.feed(hello(boot=0xABCD_EF01) + data(3 * N, boot=0xABCD_EF01), 1)
    assert kinds(items) == ["restarted", "hello"]
    assert blocks(items)[0].lost == 3 * N
    assert commands(decoder) == [Start()]


def test_restart_with_a_lost_hello(decoder):
    decoder.feed(hello() + data(0) + data(N), 0)
    commands(decoder)
    items = decoder.feed(data(0, boot=0x99) + data(N, boot=0x99), 1)
    assert (blocks(items), kinds(items)) == ([], ["info"])
    assert commands(decoder) == [HelloRequest()]
    items = decoder.feed(hello(boot=0x4444_4499, index=2 * N), 2)
    assert kinds(items) == ["restarted", "hello"]
    assert [(block.lost, len(block)) for block in blocks(items)] == [(0, N), (0, N)]


def test_restart_with_the_same_low_byte_is_seen_by_the_index_and_counted_once(decoder):
    twin = BOOT ^ 0xFF00
    decoder.feed(hello() + data(1_000_000), 0)
    items = decoder.feed(data(0, boot=twin) + data(N, boot=twin), 1)
    assert kinds(items) == ["restarted"]
    assert [block.lost for block in blocks(items)] == [0, 0]
    items = decoder.feed(hello(boot=twin, index=2 * N) + data(2 * N, boot=twin), 2)
    assert kinds(items) == []
    assert [block.lost for block in blocks(items)] == [0]


def test_a_run_of_frames_behind_is_a_restart(decoder):
    decoder.feed(hello() + b"".join(data(k * N) for k in range(20)), 0)
    items = decoder.feed(b"".join(data(k * N) for k in range(12)), 1)
    assert kinds(items) == ["restarted"]
    assert decoder.counters()["old_frames"] == OLD_RUN_MAX - 1
    assert len(blocks(items)) == 12 - (OLD_RUN_MAX - 1)


def test_late_and_duplicate_frames_are_dropped_and_counted(decoder):
    decoder.feed(hello(), 0)
    got = blocks(decoder.feed(data(0) + data(2 * N) + data(N) + data(2 * N) + data(3 * N), 0))
    assert [(block.samples[0], block.lost) for block in got] == [(0, 0), (2 * N, N), (3 * N, 0)]
    assert decoder.counters()["old_frames"] == 2


def test_index_and_tick_wrap(decoder):
    start = 2**32 - 3 * N
    decoder.feed(hello(index=start), 0)
    ticks = [(2**32 - 5000 + round(k * N * TICKS / 250)) % 2**32 for k in range(8)]
    stream = b"".join(data((start + k * N) % 2**32, tick=ticks[k]) for k in range(8) if k != 4)
    got = blocks(decoder.feed(stream, 0))
    assert [block.lost for block in got] == [0, 0, 0, 0, N, 0, 0]
    steps = np.diff([block.device_time_ns for block in got])
    assert np.allclose(steps, [1e8, 1e8, 1e8, 2e8, 1e8, 1e8], atol=62_000)


@pytest.mark.parametrize(("tick_hz", "gap_s"), [(32_768, 7.3e5), (1_000_000, 3.6e3), (1_000_000, 1.5e6)])
def test_tick_is_unwrapped_over_long_gaps(decoder, tick_hz, gap_s):
    decoder.feed(hello(tick_hz=tick_hz) + data(0, tick=77), 10**9)
    true_hz = 250 * 1.001
    index = round(gap_s * true_hz)
    tick = (77 + round(index / true_hz * tick_hz)) % 2**32
    items = decoder.feed(data(index, tick=tick), round((gap_s + 1.02) * 1e9))
    assert kinds(items) == []
    last_s = 77 / tick_hz + index / true_hz + (N - 1) / 250
    assert blocks(items)[0].device_time_ns == pytest.approx(last_s * 1e9, abs=1e9 / tick_hz + 1000)


def test_a_clock_that_jumps_ends_the_segment(decoder):
    decoder.feed(hello() + data(0), 0)
    items = decoder.feed(data(N, tick=10**8), 0)
    assert kinds(items) == ["restarted"]
    assert blocks(items)[0].lost == 0


def test_changed_settings_end_the_segment_and_lose_nothing(decoder):
    decoder.feed(hello() + data(0), 0)
    items = decoder.feed(hello(fs_num=500) + data(2 * N, tick=0), 0)
    assert kinds(items) == ["restarted", "hello"]
    assert (blocks(items)[0].fs_hz, blocks(items)[0].lost) == (500.0, N)


def test_a_newer_protocol_is_refused_once(decoder):
    frame = encode(Stop(), Header(version=2))
    items = decoder.feed(frame + frame, 0)
    assert kinds(items) == ["refused"]
    assert "speaks protocol version 2" in items[0].detail
    assert decoder.counters()["other_version"] == 2


def test_hello_of_a_patch_that_supports_only_newer_versions(decoder):
    items = decoder.feed(hello(proto_min=3, proto_max=4), 0)
    assert kinds(items) == ["refused"]
    assert commands(decoder) == []


def test_refused_command(decoder):
    items = decoder.feed(encode(Ack(MessageType.START, AckCode.BUSY)) + encode(Ack(MessageType.STOP, AckCode.OK)), 0)
    assert [item.detail for item in items] == ["the patch refused START: busy"]
    assert kinds(decoder.feed(encode(Ack(0x77, 200)), 0)) == ["refused"]


def test_status_and_unknown_types_and_echo(decoder):
    items = decoder.feed(encode(Status(55, 3700, 4, 0)) + encode(Status(None, 0, 0, 0)), 0)
    assert [item.data["battery_percent"] for item in items] == [55, None]
    decoder.feed(encode(HelloRequest()), 0)
    assert decoder.counters()["echoed"] == 1


def test_an_incomplete_frame_ends_with_the_connection(decoder):
    decoder.feed(hello() + data(0)[:9], 0)
    assert kinds(decoder.link(link(LinkEventKind.DISCONNECTED))) == ["corrupt"]
    decoder.link(link(LinkEventKind.CONNECTED))
    assert [block.lost for block in blocks(decoder.feed(hello() + data(N), 0))] == [N]


def test_boot_text_is_information_and_later_garbage_is_damage(decoder):
    items = decoder.feed(b"rst:0x1 (POWERON)\r\n\x00" + hello() + b"\x05zz\x00", 0)
    assert kinds(items) == ["info", "hello", "corrupt"]


def test_flags_are_counted(decoder):
    decoder.feed(hello() + data(0, flags=Flags.OVERRUN | Flags.SATURATED), 0)
    counted = decoder.counters()
    assert (counted["overruns"], counted["saturated_frames"]) == (1, 1)


def test_frames_are_counted_as_lost_by_their_sequence(decoder):
    decoder.feed(encode(Hello(BOOT, TICKS, 250), Header(seq=65_534)), 0)
    got = blocks(decoder.feed(data(0, seq=65_535) + data(N, seq=3), 0))
    assert [block.seq for block in got] == [65_535, 65_539]
    assert decoder.counters()["lost_frames"] == 3


def test_other_channels_are_not_data(decoder):
    assert decoder.feed(b"abc", 0, "control") == []
    assert decoder.counters()["foreign_channel_bytes"] == 3


def test_live_and_replay_use_the_same_decoding(decoder):
    event = link(LinkEventKind.STALLED)
    assert decode_item(decoder, event) == [event]
    assert kinds(decode_item(decoder, RawChunk(3, "data", hello()))) == ["hello"]


def test_registry():
    assert "anyecg_patch" in devices.names()
    assert devices.get("AnyECG-Patch") is devices.get("anyecg_patch")
    with pytest.raises(UsageError, match="known devices: "):
        devices.get("toaster")
    profile = devices.get("anyecg_patch").profile
    assert profile.baud == 115_200
    assert all(isinstance(write, Write) for write in profile.start + profile.stop)


@pytest.mark.parametrize(
    "rate", [(1, 1), (59, 1), (4001, 1), (4_294_967_195, 4300), (250_000, 1), (0xFFFF_FF06, 70_000)]
)
def test_hello_with_an_impossible_rate_is_refused_and_the_session_goes_on(decoder, rate):
    decoder.feed(hello() + data(0), 0)
    items = decoder.feed(hello(fs_num=rate[0], fs_den=rate[1]) + data(N), 1)
    assert kinds(items)[0] == "refused"
    assert "60 to 4000 Hz" in items[0].detail
    assert [b.fs_hz for b in blocks(items)] == [250.0]
    assert kinds(decoder.feed(hello(fs_num=rate[0], fs_den=rate[1]), 2)) == []
    assert decoder.counters()["refused_hellos"] == 2


def test_samples_wait_for_a_hello_with_a_possible_rate(decoder):
    items = decoder.feed(hello(fs_num=7) + data(0), 0)
    assert kinds(items) == ["refused", "info"]
    items = decoder.feed(hello(), 1)
    assert [len(b) for b in blocks(items)] == [N]


@pytest.mark.parametrize("changes", [{"fs_num": 0}, {"fs_den": 0}, {"tick_hz": 0}, {"fs_num": 0xFFFF_FFFF}])
def test_hello_without_a_rate_is_an_event_and_no_more(decoder, changes):
    items = decoder.feed(hello() + data(0) + hello(**changes) + data(N), 0)
    assert "corrupt" in kinds(items)
    assert len(blocks(items)) == 2
