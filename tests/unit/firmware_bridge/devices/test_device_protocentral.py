"""HealthyPi v4, 5 and Move, ADS1292R, MAX30003 and HeartyPatch: every field and peculiarity of their packet format."""

import numpy as np
import pytest

from firmware_bridge import devices
from firmware_bridge.errors import UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from helpers.devices_frames import (
    ads1292r,
    healthypi5,
    healthypi_v4,
    heartypatch,
    i16,
    i32,
    lost,
    max30003,
    protocentral,
    samples,
    story,
)


def decoder(name, **options):
    return devices.get(name).decoder(**options)


def blocks(items):
    return [item for item in items if isinstance(item, SampleBlock)]


def events(items):
    return [(str(item.kind), item.data.get("bytes")) for item in items if isinstance(item, LinkEvent)]


def link(kind):
    return LinkEvent(kind, 0)


def test_healthypi_v4_byte_by_byte():
    frame = bytes.fromhex("0afa140002 39ff 0700 84030000 20030000 420e 0f 62 46 50 78 00 000b")
    (block,) = decoder("healthypi_v4").feed(frame, 5)
    assert (block.samples.tolist(), block.fs_hz, block.unit, block.lsb_mv) == ([-199], 125.0, "counts", None)
    assert (block.device_time_ns, block.arrival_ns, block.lost, block.lead_off) == (None, 5, 0, False)


@pytest.mark.parametrize(("status", "off"), [(0, False), (1, True), (2, False), (3, True), (4, True), (0x10, True)])
def test_healthypi_v4_lead_off(status, off):
    (block,) = decoder("healthypi_v4").feed(healthypi_v4(5, status), 0)
    assert block.lead_off is off


def test_one_feed_is_split_where_contact_changes():
    stream = b"".join(healthypi_v4(v, status) for v, status in [(1, 0), (2, 0), (0, 1), (0, 1), (5, 0)])
    d = decoder("healthypi_v4")
    assert [(b.samples.tolist(), b.lead_off) for b in d.feed(stream, 0)] == [
        ([1, 2], False),
        ([0, 0], True),
        ([5], False),
    ]
    assert d.counters() == {"frames": 5, "samples": 5, "lead_off_samples": 2}


def test_text_before_the_stream_is_reported_and_costs_nothing():
    text = b"Setting up Healthy pI V4...\r\nStarts in v3 mode\r\nInitialization is complete\r\n"
    items = decoder("healthypi_v4").feed(text + healthypi_v4(7), 0)
    assert events(items) == [("info", len(text))]
    assert "Initialization is complete" in items[0].data["text"]
    assert samples(items).tolist() == [7]
    assert lost(items) == 0


def test_a_sketch_that_prints_text_breaks_nothing():
    """A firmware for the TMP117 prints temperatures between frames."""
    d = decoder("healthypi_v4")
    stream = b"".join(healthypi_v4(k) + b"\r\nTemperature in Celsius: 36.5\r\n" for k in range(50))
    items = d.feed(stream, 0)
    assert (samples(items).tolist(), lost(items)) == (list(range(50)), 0)
    assert [str(i.kind) for i in items if isinstance(i, LinkEvent)] == ["info"] * 3


def test_empty_lines_between_frames_are_ignored():
    d = decoder("healthypi_v4")
    items = d.feed(b"\r\n".join([b"", *(healthypi_v4(k) for k in range(5)), b""]), 0)
    assert (samples(items).tolist(), lost(items), events(items)) == (list(range(5)), 0, [])
    assert d.link(link(LinkEventKind.END)) == []


def test_start_up_text_within_the_stream_is_a_restart():
    d = decoder("healthypi_v4")
    items = d.feed(healthypi_v4(1) + b"Setting up Healthy pI V4...\r\n" + healthypi_v4(2), 0)
    assert [str(i.kind) for i in items if isinstance(i, LinkEvent)] == ["info", "restarted"]
    assert (samples(items).tolist(), lost(items)) == ([1, 2], 0)


@pytest.mark.parametrize("keep", range(1, 27))
def test_a_truncated_frame_is_not_a_sample(keep):
    """Bytes of a frame are lost: its head and the next frame's end must not make a sample together."""
    whole = [healthypi_v4(v) for v in (100, 200, 300, 400)]
    items = decoder("healthypi_v4").feed(whole[0] + whole[1][:keep] + whole[2] + whole[3], 0)
    assert samples(items).tolist() == [100, 300, 400]
    assert [b.lost for b in blocks(items)] == [0, 1]
    assert events(items) == [("corrupt", keep)]


def test_frames_of_another_kind_are_counted_and_skipped():
    d = decoder("healthypi_v4")
    items = d.feed(healthypi_v4(1) + protocentral(1, b"abc") + healthypi_v4(2), 0)
    assert story(items)[0][2] == [1, 2]
    assert d.counters()["unknown_frames"] == 1


def test_unknown_lengths_are_not_frames():
    long = b"\x0a\xfa" + bytes((65, 0, 2)) + bytes(66) + b"\x0b"
    items = decoder("healthypi_v4").feed(healthypi_v4(1) + long + healthypi_v4(2), 0)
    assert events(items) == [("corrupt", len(long))]
    assert lost(items) == round(len(long) / 27)


def test_a_wrong_baud_rate_is_reported():
    rng = np.random.default_rng(0)
    items = decoder("healthypi_v4").feed(rng.bytes(10_000), 0)
    assert events(items) == [("corrupt", 4096)] * 2
    assert "baud" in items[0].detail


def test_an_incomplete_frame_ends_with_the_connection():
    d = decoder("healthypi_v4")
    d.feed(healthypi_v4(1) + healthypi_v4(2)[:13], 0)
    assert events(d.link(link(LinkEventKind.DISCONNECTED))) == [("corrupt", 13)]
    assert d.link(link(LinkEventKind.CONNECTED)) == []
    items = d.feed(healthypi_v4(3), 0)
    assert (samples(items).tolist(), lost(items)) == ([3], 0)


def test_healthypi5_eight_samples_per_frame():
    values = [-(2**31), 2**31 - 1, 0, 1, -1, 256, -256, 123_456]
    (block,) = decoder("healthypi5").feed(healthypi5(values), 0)
    assert (block.samples.tolist(), block.fs_hz) == (values, 128.0)


@pytest.mark.parametrize("bioz", [0, 1, 2, 3])
def test_healthypi5_frames_shorter_than_stated(bioz):
    d = decoder("healthypi5")
    stream = healthypi5(list(range(8)), bioz) + healthypi5(list(range(8, 16)))
    items = d.feed(stream, 0)
    assert (samples(items).tolist(), lost(items), events(items)) == (list(range(16)), 0, [])


def test_healthypi5_other_lengths_are_not_guessed():
    short = protocentral(3, i32(1, 2, 3) + b"\0\0", length=50)
    items = decoder("healthypi5").feed(healthypi5([9] * 8) + short + healthypi5([5] * 8), 0)
    assert samples(items).tolist() == [9] * 8 + [5] * 8
    assert lost(items) == 8


def test_healthypi5_pulse_frames_between_do_not_hide_a_loss():
    pulse = protocentral(4, bytes(19))
    d = decoder("healthypi5")
    items = d.feed(healthypi5([1] * 8) + pulse + b"\xff" * 20 + pulse + healthypi5([2] * 8), 0)
    assert (len(samples(items)), lost(items)) == (16, 8)


def test_healthypi5_older_layout_one_sample_per_frame():
    frame = protocentral(2, i32(-70_000, 11) + b"\x00" + i32(1, 2) + i16(365) + bytes((98, 70, 15)))
    assert samples(decoder("healthypi5").feed(frame * 3, 0)).tolist() == [-70_000] * 3


def test_healthypi5_on_bluetooth():
    d = decoder("healthypi5")
    (block,) = d.feed(i32(*range(8)), 0, "ecg")
    assert block.samples.tolist() == list(range(8))
    assert events(d.feed(b"abc", 0, "ecg")) == [("corrupt", 3)]
    assert d.counters() == {"frames": 1, "samples": 8, "corrupt_bytes": 3}


def test_healthypi_move():
    d = decoder("healthypi_move", lsb_mv="7.45e-7")
    (block,) = d.feed(i32(-5, 6, 7), 0)
    assert (block.samples.tolist(), block.fs_hz, block.lsb_mv) == ([-5, 6, 7], 128.0, 7.45e-7)
    assert events(d.feed(b"", 0)) == [("corrupt", 0)]
    assert d.feed(b"x", 0, "other") == []
    assert d.link(link(LinkEventKind.END)) == []
    assert d.writes() == []
    assert d.counters() == {"frames": 1, "samples": 3, "foreign_channel_bytes": 1, "corrupt_bytes": 0}


def test_ads1292r_all_zero_is_lead_off():
    items = decoder("ads1292r").feed(ads1292r(-300) + ads1292r(0, off=True) + ads1292r(0), 0)
    assert [(b.samples.tolist(), b.lead_off) for b in blocks(items)] == [
        ([-300], False),
        ([0], True),
        ([0], False),
    ]


def test_ads1292r_older_sketch():
    old = protocentral(2, i16(-77) + i16(5) + bytes(16))
    items = decoder("ads1292r").feed(b"Initiliziation is done\r\n" + old * 2, 0)
    assert (samples(items).tolist(), blocks(items)[0].lead_off) == ([-77, -77], False)


def test_max30003_and_its_rate():
    frame = bytes.fromhex("0afa110002 0000000000 00000180 20030000 4b000000 000b")
    (block,) = decoder("max30003", rate="118.5").feed(frame, 0)
    assert (block.samples.tolist(), block.fs_hz) == ([-(2**31) + 0x010000], 118.5)
    assert samples(decoder("max30003").feed(b"Initialising the chip ...\r\n" + max30003(9), 0)).tolist() == [9]


HP_US = 8 * 1_000_000 // 128


def test_heartypatch_byte_by_byte():
    frame = bytes.fromhex("0afa300003 02000000 05000000 a0860100 20030000") + i32(*range(8)) + b"\xf0\x0b"
    (block,) = decoder("heartypatch").feed(frame, 0)
    assert (block.samples.tolist(), block.fs_hz, block.seq) == (list(range(8)), 128.0, 2)
    assert block.device_time_ns == 5_100_000_000


def test_heartypatch_counts_missing_packets_exactly():
    d = decoder("heartypatch")
    items = [i for k in (0, 1, 5, 6, 106) for i in d.feed(heartypatch(k, [k] * 8), 0)]
    assert [b.lost for b in blocks(items)] == [0, 0, 24, 0, 99 * 8]
    assert d.counters()["lost_samples"] == 24 + 99 * 8


def test_heartypatch_number_wraps():
    d = decoder("heartypatch")
    d.feed(heartypatch(2**32 - 1, [1] * 8, start_us=-(2**32 - 1) * HP_US + 10**6), 0)
    items = d.feed(heartypatch(0, [2] * 8, start_us=10**6 + HP_US), 0)
    assert (lost(items), len(items)) == (0, 1)


def test_heartypatch_overrun_is_counted_by_its_clock():
    d = decoder("heartypatch")
    d.feed(heartypatch(400, [1] * 8), 0)
    # The time of 17 packets passed, and the number begins at 0 again: 16 packets are missing.
    items = d.feed(heartypatch(0, [2] * 8, start_us=5_000_000 + 417 * HP_US), 0)
    assert lost(items) == 16 * 8
    assert d.counters()["overruns"] == 1
    assert lost(d.feed(heartypatch(1, [3] * 8, start_us=5_000_000 + 417 * HP_US), 0)) == 0


def test_heartypatch_restart_and_duplicate_packets():
    d = decoder("heartypatch")
    d.feed(heartypatch(400, [1] * 8), 0)
    assert d.feed(heartypatch(400, [1] * 8), 0) == []
    items = d.feed(heartypatch(0, [2] * 8, start_us=100), 0)
    assert [str(i.kind) for i in items if isinstance(i, LinkEvent)] == ["restarted"]
    assert lost(items) == 0


@pytest.mark.parametrize("set_s", [20.0, 3.0, 5 * 365 * 86_400.0, -3.0, -20.0, -4000.0])
def test_heartypatch_clock_set_while_streaming(set_s):
    d, items = decoder("heartypatch"), []
    for k in range(40):
        shift_us = round(set_s * 1e6) if k >= 20 else 0
        items += d.feed(heartypatch(k, [k] * 8, start_us=10**10 + shift_us), k * HP_US * 1000)
    assert lost(items) == 0
    assert samples(items).tolist() == [k for k in range(40) for _ in range(8)]
    (said,) = [i for i in items if isinstance(i, LinkEvent)]
    assert (said.kind, round(said.data["set_s"], 3)) == (LinkEventKind.INFO, set_s)
    times = [i.device_time_ns for i in items if isinstance(i, SampleBlock)]
    assert np.abs(np.diff(times) - HP_US * 1000).max() < 2000


def test_heartypatch_packets_missing_while_the_clock_was_set():
    d, items = decoder("heartypatch"), []
    for k in [*range(20), *range(25, 40)]:
        start_us = 10**10 + (20_000_000 if k >= 20 else 0)
        items += d.feed(heartypatch(k, [k] * 8, start_us=start_us), k * HP_US * 1000)
    assert lost(items) == 5 * 8


def test_heartypatch_late_packets_are_dropped():
    d, items = decoder("heartypatch"), []
    for n in [*range(10), 11, 10, *range(12, 20), 15]:
        items += d.feed(heartypatch(n, [n] * 8), 0)
    assert (lost(items), d.counters()["late_frames"]) == (8, 2)
    assert not [i for i in items if isinstance(i, LinkEvent)]


def test_heartypatch_new_connection_begins_at_zero():
    d = decoder("heartypatch")
    d.feed(heartypatch(400, [1] * 8), 0)
    d.link(link(LinkEventKind.DISCONNECTED))
    assert len(d.feed(heartypatch(0, [2] * 8, start_us=90_000_000), 0)) == 1


def test_heartypatch_of_another_rate_is_noticed():
    d = decoder("heartypatch")
    items = [i for k in range(100) for i in d.feed(heartypatch(k, [0] * 8, rate=256), 0)]
    (said,) = [i for i in items if isinstance(i, LinkEvent)]
    assert "rate=256" in said.detail
    assert decoder("heartypatch", rate="256").feed(heartypatch(0, [0] * 8, 256), 0)[0].fs_hz == 256.0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("heartypatch", {"rate": "250"}),
        ("heartypatch", {"rate": "zwölf"}),
        ("max30003", {"rate": "nan"}),
        ("max30003", {"rate": "20"}),
        ("healthypi5", {"lsb_mv": "-1"}),
        ("healthypi_v4", {"lsb_mv": "0"}),
        ("ads1292r", {"lsb_mv": "big"}),
    ],
)
def test_wrong_options_are_refused_with_a_message(name, options):
    (key,) = options
    with pytest.raises(UsageError, match=key):
        decoder(name, **options)


def test_a_measured_scale_makes_millivolts():
    (block,) = decoder("healthypi_v4", lsb_mv="0.002").feed(healthypi_v4(500), 0)
    assert block.lsb_mv == 0.002
