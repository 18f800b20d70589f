"""Polar H10: the bytes of real straps, and a virtual one for cases that no capture shows.

Captures are short excerpts of fstanis/polar-h10-web@783dcde:test/helpers/captured.ts (firmware 5.0.0) and of
phdiethelm/h10_ecg@88d1b0c:exploration/gatttool.md; layouts other than the H10's from
polarofficial/polar-ble-sdk@0aabf34:.../pmd/model/EcgDataTest.kt and @c492d74:.../pmd/BlePmdClientParsersTest.kt.
"""

from __future__ import annotations

import numpy as np
import pytest

from edge.grid.timeline import Gap, Timeline
from firmware_bridge.decoding import polar_pmd as pmd
from firmware_bridge.decoding.polar_delta import decode_delta
from firmware_bridge.devices import get
from firmware_bridge.devices.polar_h10 import RETRY_NS, PolarDecoder
from firmware_bridge.items import DATA_CHANNEL
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock
from firmware_bridge.virtual.polar import UNSET_CLOCK_NS, VirtualPolar

S = 10**9
FIRST_FRAME = bytes.fromhex(
    "00E416F868FF44520800F1FBFF49F1FFCAE8FF6FE9FF6FEBFF2BEBFFC2ECFF3CEFFFA6F0FF55F2FF82F4FF43F6FFDFF7FFB2F9FF65FB"
    "FFF0FCFF80FEFF0200006C0100C602001604005A0500910600BD0700D80800E60900F70A00F80B00E50C00CC0D00AF0E00880F005310"
    "00101100C211007A1200481300111400AF1400391500B815002316008E16000817007D1700E11700441800AF18000B1900551900B519"
    "007C1A00DC1B00941D00E21E00F81D00351A001B1800351A00E81B00731B00781B00FF1B00FA1B00EB1B00201C003F1C003F1C00531C"
    "00601C00601C006A1C006F1C00"
)
"""First of the 17 frames of captured.ts."""
FRAME_TIMES_NS = np.frombuffer(
    bytes.fromhex(
        "E416F868FF445208 48DE598AFF445208 0309BCABFF445208 42E41DCDFF445208 1EFB7FEEFF445208 FA11E20F00455208 "
        "DA28443100455208 B63FA65200455208 5CDF077400455208 38F6699500455208 140DCCB600455208 F4232ED800455208 "
        "D03A90F900455208 AC51F21A01455208 8868543C01455208 647FB65D01455208 4096187F01455208"
    ),
    dtype="<u8",
).tolist()
"""Timestamps of all 17."""
OTHER_STRAP_TIMES_NS = np.frombuffer(
    bytes.fromhex(
        "91F770AA30495208 7C3BDECB30495208 AD574BED30495208 54C3B80E31495208 012F263031495208 AA9A935131495208"
    ),
    dtype="<u8",
).tolist()
"""Timestamps of the six frames in gatttool.md."""


def event(kind: LinkEventKind, at_ns: int = 0) -> LinkEvent:
    return LinkEvent(kind, at_ns)


def connected(at_ns: int = 0) -> PolarDecoder:
    decoder = PolarDecoder()
    decoder.link(event(LinkEventKind.CONNECTED, at_ns))
    return decoder


def blocks(items: list[LinkItem]) -> list[SampleBlock]:
    return [item for item in items if isinstance(item, SampleBlock)]


def events(items: list[LinkItem], kind: LinkEventKind) -> list[LinkEvent]:
    return [item for item in items if isinstance(item, LinkEvent) and item.kind is kind]


def frame_at(time_ns: int, count: int = 73) -> bytes:
    return pmd.ecg_frame(time_ns, np.arange(count, dtype=np.int32))


class TestRealStraps:
    def test_first_frame_of_a_capture(self) -> None:
        (block,) = blocks(PolarDecoder().feed(FIRST_FRAME, 7))
        assert len(block) == 73
        # captured.ts, ECG_EXPECTED.first
        assert block.samples[:20].tolist() == [
            -1039, -3767, -5942, -5777, -5265, -5333, -4926, -4292, -3930, -3499,
            -2942, -2493, -2081, -1614, -1179, -784, -384, 2, 364, 710,
        ]  # fmt: skip
        assert int(block.samples.max()) == 7906
        assert block.device_time_ns == 599617564162135780
        assert (block.unit, block.lsb_mv, block.fs_hz, block.lost, block.arrival_ns) == ("counts", 0.001, 130.0, 0, 7)

    @pytest.mark.parametrize(
        ("times_ns", "rate_hz"), [(FRAME_TIMES_NS, 130.3402), (OTHER_STRAP_TIMES_NS, 130.1682)], ids=["5.0.0", "other"]
    )
    def test_real_timestamps_lose_nothing_and_give_the_true_rate(self, times_ns: list[int], rate_hz: float) -> None:
        decoder = PolarDecoder()
        out = [b for t in times_ns for b in blocks(decoder.feed(frame_at(t), t))]
        assert [b.lost for b in out] == [0] * len(times_ns)
        assert decoder._times.fs_hz == pytest.approx(rate_hz, abs=1e-3)

    @pytest.mark.parametrize("gone", [[1], [0, 1], [5], [3, 4, 5, 9], list(range(2, 15))])
    def test_a_lost_notification_of_the_capture_is_counted_exactly(self, gone: list[int]) -> None:
        decoder = PolarDecoder()
        kept = [t for i, t in enumerate(FRAME_TIMES_NS) if i not in gone]
        lost = sum(b.lost for t in kept for b in blocks(decoder.feed(frame_at(t), t)))
        assert lost == 73 * sum(0 < i < 16 and any(j not in gone for j in range(i)) for i in gone)

    def test_handshake_of_the_capture(self) -> None:
        decoder = connected()
        assert [(w.channel, w.data.hex()) for w in decoder.writes()] == [("control", "0100")]
        assert decoder.feed(bytes.fromhex("0F05000000000000000000000000000000"), 1, "control") == []
        (hello,) = decoder.feed(bytes.fromhex("F0010000000001820001010E00"), 2, "control")
        assert isinstance(hello, LinkEvent)
        assert hello.kind is LinkEventKind.HELLO
        assert (hello.data["fs_hz"], hello.data["sample_bits"], hello.data["lsb_mv"]) == (130.0, 14, 0.001)
        assert [w.data.hex() for w in decoder.writes()] == ["02000001820001010e00"]
        assert decoder.feed(bytes.fromhex("F00200000000"), 3, "control") == []
        assert decoder.feed(bytes.fromhex("F003000000"), 4, "control") == []
        assert decoder.writes() == []

    @pytest.mark.parametrize("answer", ["F0040201", "F0060001", "F0020902", "F0030902"])
    def test_sdk_mode_rejections_do_not_stop_the_ecg(self, answer: str) -> None:
        decoder = connected()
        decoder.feed(bytes.fromhex(answer), 1, "control")
        decoder.writes()
        decoder.feed(b"\x10\x4b", 2 * RETRY_NS, "heart_rate")
        assert [w.data for w in decoder.writes()] == [pmd.QUERY_ECG]

    def test_acceleration_settings_and_frames_of_the_capture_are_ignored(self) -> None:
        decoder = connected()
        answer = "F0010200000004190032006400C800010110000203020004000800"
        assert decoder.feed(bytes.fromhex(answer), 1, "control") == []
        assert decoder.feed(bytes.fromhex("02B697048C024552080106FE5BFF6803"), 2) == []
        assert decoder.counters() == {"other_answers": 1, "other_frames": 1}
        assert pmd.parse_settings(bytes.fromhex(answer)[5:]) == {
            pmd.RATE: (25, 50, 100, 200), pmd.RESOLUTION: (16,), pmd.RANGE: (2, 4, 8),
        }  # fmt: skip

    def test_heart_rate_of_the_capture(self) -> None:
        decoder = connected()
        (shown,) = decoder.feed(bytes.fromhex("104B3B035903"), 1, "heart_rate")
        assert isinstance(shown, LinkEvent)
        assert shown.data == {"heart_rate_bpm": 75, "rr_ms": [808, 837], "contact": None}
        for text in ("104B4903", "104BF602", "104CD1020903", "104C2E03", "104D5C03"):
            assert decoder.feed(bytes.fromhex(text), 2 * S, "heart_rate") == []
        assert len(decoder.feed(bytes.fromhex("104D26032903"), 62 * S, "heart_rate")) == 1

    def test_mtu_23_of_a_real_strap_explains_what_to_do(self) -> None:
        decoder = connected()
        decoder.writes()
        (refused,) = decoder.feed(bytes.fromhex("F000010A"), 1, "control")
        assert isinstance(refused, LinkEvent)
        assert refused.kind is LinkEventKind.REFUSED
        assert "MTU" in refused.detail
        assert "70" in refused.detail
        decoder.feed(b"\x10\x4b", 2 * RETRY_NS, "heart_rate")
        assert decoder.writes() == [], "a retry cannot fix a small MTU"

    def test_start_without_settings_of_a_real_strap(self) -> None:
        (refused,) = connected().feed(bytes.fromhex("F002000500"), 1, "control")
        assert isinstance(refused, LinkEvent)
        assert "invalid parameter" in refused.detail


class TestLayouts:
    @pytest.mark.parametrize(
        ("frame_type", "content", "expected"),
        [
            (0, "0280FF028000", [-32766, 32770]),
            (1, "0280FF800200", [2, 640]),
            (2, "8080FCFFFF03", [32896, 262143]),
            (3, "00120311100400 0280F0111004FF", [201216, -1015806]),
        ],
    )
    def test_ecg_types_of_the_sdk(self, frame_type: int, content: str, expected: list[int]) -> None:
        head = bytes.fromhex("000094357700000000") + bytes((frame_type,))
        (block,) = blocks(PolarDecoder().feed(head + bytes.fromhex(content), 1))
        assert block.samples.tolist() == expected
        assert block.samples.dtype == np.int32
        assert block.device_time_ns == 2_000_000_000

    @pytest.mark.parametrize(
        "data", [b"", FIRST_FRAME[:9], FIRST_FRAME[:10], FIRST_FRAME[:-1], FIRST_FRAME[:9] + b"\x04" + bytes(3)]
    )
    def test_a_truncated_or_unknown_frame_is_discarded_and_counts_as_lost(self, data: bytes) -> None:
        decoder = PolarDecoder()
        decoder.feed(frame_at(FRAME_TIMES_NS[1]), 1)
        (corrupt,) = decoder.feed(data, 2)
        assert isinstance(corrupt, LinkEvent)
        assert (corrupt.kind, corrupt.data["bytes"]) == (LinkEventKind.CORRUPT, len(data))
        (block,) = blocks(decoder.feed(frame_at(FRAME_TIMES_NS[3]), 3))
        assert block.lost == 73

    def test_delta_reference_of_the_sdk(self) -> None:
        assert decode_delta(bytes.fromhex("FFFF0000FF7F0080"), 4, 16).tolist() == [[-1, 0, 32767, -32768]]

    def test_delta_frame_of_28_bits_of_the_sdk(self) -> None:
        content = bytes.fromhex(
            "0000803F 00002041 0000A041 1C06 0000A001000008CDCCEC0D000008CDCCEC3D33331ACDCCEC3D33331A0000C03033331A0000"
            "C0A09999DA0000C0A09999DA6666A6A19999DA6666A60100000E"
        )
        values = decode_delta(content, 3, 32)
        assert values is not None
        assert values.shape == (7, 3)
        assert values[0].tolist() == [0x3F800000, 0x41200000, 0x41A00000]
        assert values[1].tolist() == [0x3F800000 + 0x1A00000, 0x41200000 + 0x0800000, 0x41A00000 - 0x2133333]
        # As floats they are a plain row of numbers: every bit is in its place.
        floats = values.view(np.float32)
        assert floats.reshape(-1)[:6].tolist() == pytest.approx([1.0, 10.0, 20.0, 10.0, 20.0, 1.1])
        np.testing.assert_array_equal(floats[1:, :2].reshape(-1)[2:], floats[:-1, 1:].reshape(-1)[2:])

    def test_a_compressed_ecg_frame_is_unpacked_with_its_factor(self) -> None:
        decoder = connected()
        factor = bytes((pmd.FACTOR, 1)) + np.float32(2.0).tobytes()
        decoder.feed(bytes.fromhex("F002000000") + factor, 1, "control")
        head = bytes.fromhex("00009435770000000080")
        (block,) = blocks(decoder.feed(head + bytes.fromhex("0A0004031F0E"), 1))
        assert block.samples.tolist() == [20, 18, 20, 16]

    @pytest.mark.parametrize("content", ["", "0A", "0A0004", "0A0004031F", "0A002101FFFFFFFFFF"])
    def test_a_truncated_delta_frame_is_discarded(self, content: str) -> None:
        head = bytes.fromhex("00009435770000000080")
        (corrupt,) = PolarDecoder().feed(head + bytes.fromhex(content), 1)
        assert isinstance(corrupt, LinkEvent)
        assert corrupt.kind is LinkEventKind.CORRUPT


class TestControlPoint:
    def test_a_response_in_parts_is_joined(self) -> None:
        decoder = connected()
        assert decoder.feed(bytes.fromhex("F00100000100018200"), 1, "control") == []
        (hello,) = decoder.feed(bytes.fromhex("F00100000001010E00"), 2, "control")
        assert isinstance(hello, LinkEvent)
        assert [w.data.hex() for w in decoder.writes()][-1] == "02000001820001010e00"

    def test_an_unknown_setting_falls_back_to_the_h10s(self) -> None:
        decoder = connected()
        decoder.feed(bytes.fromhex("F001000000630101"), 1, "control")
        assert [w.data.hex() for w in decoder.writes()][-1] == "02000001820001010e00"
        assert decoder.counters()["malformed"] == 1

    @pytest.mark.parametrize("status", range(1, 256))
    def test_every_status_is_explained(self, status: int) -> None:
        for command in (1, 2):
            items = connected().feed(bytes((0xF0, command, 0, status, 0)), 1, "control")
            if status == pmd.ALREADY:
                assert not events(items, LinkEventKind.REFUSED)
                continue
            (refused,) = items
            assert isinstance(refused, LinkEvent)
            what, fix = pmd.STATUS.get(status, (str(status), "again"))
            assert what in refused.detail
            assert fix in refused.detail
            assert refused.data["code"] == status

    def test_a_device_without_ecg_is_reported(self) -> None:
        (refused,) = connected().feed(bytes((0x0F, 0x0E)), 1, "control")
        assert isinstance(refused, LinkEvent)
        assert "no ECG" in refused.detail

    def test_a_stream_ended_by_the_strap_is_restarted(self) -> None:
        decoder = connected()
        decoder.writes()
        (info,) = decoder.feed(bytes((1, 0)), 5 * S, "control")
        assert isinstance(info, LinkEvent)
        assert [w.data.hex() for w in decoder.writes()] == ["02000001820001010e00"]
        assert decoder.feed(bytes((1, 2)), 6 * S, "control") == [], "the end of an acceleration stream is ignored"
        assert decoder.writes() == []

    def test_a_silent_start_is_repeated_but_not_during_a_stream(self) -> None:
        decoder = connected()
        decoder.writes()
        decoder.feed(b"\x10\x4b", 40 * S, "heart_rate")
        assert decoder.writes() == []
        decoder.feed(b"\x10\x4b", 50 * S, "heart_rate")
        assert [w.data for w in decoder.writes()] == [pmd.QUERY_ECG]
        decoder.feed(FIRST_FRAME, 51 * S)
        decoder.feed(b"\x10\x4b", 500 * S, "heart_rate")
        assert decoder.writes() == []

    def test_writes_that_are_never_fetched_do_not_pile_up(self) -> None:
        decoder = connected()
        for i in range(1000):
            decoder.feed(bytes.fromhex("F0010000000001820001010E00"), i, "control")
            decoder.link(event(LinkEventKind.CONNECTED, i))
        assert len(decoder.writes()) <= 16


class TestContactAndBattery:
    def test_no_contact_marks_the_samples(self) -> None:
        decoder = connected()
        items = decoder.feed(bytes.fromhex("044B"), 1, "heart_rate")
        assert events(items, LinkEventKind.INFO)[0].data["contact"] is False
        assert blocks(decoder.feed(frame_at(FRAME_TIMES_NS[0]), 2))[0].lead_off
        decoder.feed(bytes.fromhex("064B"), 3, "heart_rate")
        assert not blocks(decoder.feed(frame_at(FRAME_TIMES_NS[1]), 4))[0].lead_off

    def test_a_heart_rate_of_another_strap_that_reports_contact(self) -> None:
        # movisens/SmartGattLib: src/test/java/HeartRateMeasurementTest.java
        (shown,) = connected().feed(bytes.fromhex("16485401EC02"), 1, "heart_rate")
        assert isinstance(shown, LinkEvent)
        assert shown.data == {"heart_rate_bpm": 72, "rr_ms": [332, 730], "contact": True}

    def test_the_battery_level_is_reported_when_it_changes(self) -> None:
        decoder = connected()
        (info,) = decoder.feed(b"\x57", 1, "battery")
        assert isinstance(info, LinkEvent)
        assert info.data == {"battery_percent": 87}
        assert decoder.feed(b"\x57", 2, "battery") == []
        assert decoder.feed(b"\x65", 3, "battery") == []
        assert decoder.feed(b"", 3, "battery") == []

    @pytest.mark.parametrize("data", ["", "10", "11", "1101", "18 4B", "10 4B 01"])
    def test_short_heart_rates(self, data: str) -> None:
        connected().feed(bytes.fromhex(data), 1, "heart_rate")


class TestClock:
    def test_a_duplicate_frame_is_dropped(self) -> None:
        decoder = PolarDecoder()
        assert blocks(decoder.feed(FIRST_FRAME, 1))
        assert decoder.feed(FIRST_FRAME, 2) == []
        assert decoder.counters()["repeated_frames"] == 1

    def test_a_power_cycle_while_disconnected_is_detected_though_the_clock_is_ahead(self) -> None:
        decoder = connected()
        decoder.feed(frame_at(UNSET_CLOCK_NS + 10 * S), 10 * S)
        decoder.link(event(LinkEventKind.DISCONNECTED, 11 * S))
        items = decoder.feed(frame_at(UNSET_CLOCK_NS + 20 * S), 900 * S)
        assert events(items, LinkEventKind.RESTARTED)


class TestVirtualStrap:
    def play(self, strap: VirtualPolar, decoder: PolarDecoder, samples: np.ndarray, at_ns: int) -> list[LinkItem]:
        out: list[LinkItem] = []
        for write in decoder.writes():
            for channel, data in strap.write(write.channel, write.data):
                out += decoder.feed(data, at_ns, channel)
        for write in decoder.writes():
            for channel, data in strap.write(write.channel, write.data):
                out += decoder.feed(data, at_ns, channel)
        for channel, data in strap.notifications(samples):
            out += decoder.feed(data, at_ns + strap.clock_ns - UNSET_CLOCK_NS, channel)
        return out

    @pytest.mark.parametrize(("mtu", "size"), [(232, 73), (517, 73), (70, 19)])
    def test_streams_what_it_is_given(self, mtu: int, size: int) -> None:
        strap, decoder = VirtualPolar(mtu=mtu), connected()
        samples = np.arange(-2000, 3000, dtype=np.int32) * 3
        got = blocks(self.play(strap, decoder, samples, S))
        assert {len(b) for b in got} == {size}
        assert {b.lost for b in got} == {0}
        joined = np.concatenate([b.samples for b in got])
        np.testing.assert_array_equal(joined, samples[: len(joined)])
        assert len(samples) - len(joined) < size

    def test_mtu_23_is_refused(self) -> None:
        items = self.play(VirtualPolar(mtu=23), connected(), np.zeros(500, dtype=np.int32), S)
        assert "MTU" in events(items, LinkEventKind.REFUSED)[0].detail
        assert not blocks(items)

    def test_reconnection_counts_what_was_not_sent(self) -> None:
        strap, decoder = VirtualPolar(), connected()
        heart = np.arange(200_000, dtype=np.int32)
        got = blocks(self.play(strap, decoder, heart[:20_000], S))
        strap.disconnect()
        decoder.link(event(LinkEventKind.DISCONNECTED, S))
        list(strap.notifications(heart[20_000:24_321]))
        decoder.link(event(LinkEventKind.CONNECTED, S))
        got += blocks(self.play(strap, decoder, heart[24_321:], S))
        assert sum(b.lost for b in got) + sum(len(b) for b in got) == int(got[-1].samples[-1]) + 1
        assert sum(b.lost > 0 for b in got) == 1

    def test_it_answers_like_the_captured_straps(self) -> None:
        strap = VirtualPolar()
        for command, answer in {
            "0100": "F0010000000001820001010E00",
            "0102": "F0010200000004190032006400C800010110000203020004000800",
            "0402": "F0040201",
            "06": "F0060001",
            "0209": "F0020902",
            "0309": "F0030902",
            "0200": "F002000500",
            "02000001820001010E00": "F00200000000",
            "0202000132000101100002010200": "F00202000001",
            "0300": "F003000000",
        }.items():
            assert strap.write("control", bytes.fromhex(command)) == [("control", bytes.fromhex(answer))], command
        assert VirtualPolar(mtu=23).write("control", b"\x01\x00") == [("control", bytes.fromhex("F000010A"))]
        assert strap.read("control").hex() == "0f05" + 15 * "00"


def test_the_timeline_sees_the_true_rate_and_every_gap() -> None:
    strap, decoder, timeline = VirtualPolar(rate_hz=130.34), connected(), Timeline(250)
    for write in decoder.writes():
        strap.write(write.channel, write.data)
    strap.write("control", pmd.start_command(pmd.DEFAULT_SETTINGS))
    gaps: list[Gap] = []
    for number, (channel, data) in enumerate(strap.notifications(np.zeros(80_000, dtype=np.int32))):
        if number in {200, 500, 501}:
            continue
        for item in decoder.feed(data, strap.clock_ns - UNSET_CLOCK_NS + 30_000_000, channel):
            gaps += [found for found in timeline.push(item) if isinstance(found, Gap)]
    assert timeline.lost_samples == 3 * 73
    assert [gap.end_s - gap.start_s for gap in gaps] == pytest.approx([73 / 130.34, 146 / 130.34], abs=0.01)
    assert timeline.measured_hz == pytest.approx(130.34, abs=0.01)


def test_the_profile_has_what_a_transport_needs() -> None:
    ble = get("polar-h10").profile.ble
    assert ble is not None
    assert list(ble.notify) == ["control", DATA_CHANNEL, "heart_rate", "battery"]
    assert ble.notify["control"] == ble.write["control"] == "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
    assert ble.min_mtu == 70
