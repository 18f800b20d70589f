"""Movesense: payloads in every form that firmware sends, answers explained, loss by time, and a virtual sensor."""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
import pytest

from firmware_bridge.decoding import movesense_gsp as gsp
from firmware_bridge.devices import get
from firmware_bridge.devices.movesense import ECG_REF, HELLO_REF, MovesenseDecoder
from firmware_bridge.errors import UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock
from firmware_bridge.virtual.movesense import VirtualMovesense

MS = 10**6
VALUES = np.array([-18, 0, 1, -1, 1000, -5000, 32767, -32768, 7, 8, 9, 10, 11, 12, 13, 14], dtype=np.int32)


def link(decoder: MovesenseDecoder, kind: LinkEventKind, at_ns: int = 0) -> list[LinkItem]:
    return decoder.link(LinkEvent(kind, at_ns))


def blocks(items: list[LinkItem]) -> list[SampleBlock]:
    return [item for item in items if isinstance(item, SampleBlock)]


def events(items: list[LinkItem], kind: LinkEventKind) -> list[LinkEvent]:
    return [item for item in items if isinstance(item, LinkEvent) and item.kind is kind]


def data(time_ms: int, values: np.ndarray = VALUES, *, ref: int = ECG_REF, millivolts: bool = True) -> bytes:
    return bytes((2, ref)) + gsp.ecg_payload(time_ms, values, millivolts=millivolts)


def run(times_ms: list[int], rate: str = "250", *, ref: int = ECG_REF) -> list[LinkItem]:
    decoder = MovesenseDecoder(rate)
    arrivals_ns = np.cumsum([MS * max(b - a, 64) for a, b in pairwise([times_ms[0], *times_ms])]).tolist()
    out = [x for t, at_ns in zip(times_ms, arrivals_ns, strict=True) for x in decoder.feed(data(t, ref=ref), at_ns)]
    return out + link(decoder, LinkEventKind.END)


class TestPayloads:
    def test_millivolt_path_is_sixteen_bits_of_microvolts(self) -> None:
        notification = data(123_456)
        assert len(notification) == 38
        (block,) = blocks(MovesenseDecoder().feed(notification, 9))
        np.testing.assert_array_equal(block.samples, VALUES)
        # movesense-py, src/movesense/protocol.py: int16 -18 is -0.018 mV
        assert block.samples[0] * (block.lsb_mv or 0) == pytest.approx(-0.018)
        assert (block.unit, block.fs_hz, block.arrival_ns, block.lost) == ("counts", 250.0, 9, 0)
        assert block.device_time_ns == 123_456 * MS + 60 * MS, "the time is the first sample's"

    def test_raw_path_is_thirty_two_bits_of_counts(self) -> None:
        notification = data(1000, VALUES * 3, millivolts=False)
        assert len(notification) == 70
        (block,) = blocks(MovesenseDecoder(format="raw").feed(notification, 0))
        np.testing.assert_array_equal(block.samples, VALUES * 3)
        assert block.lsb_mv == 0.000381469726563

    def test_floats_of_millivolts_are_recognised(self) -> None:
        values = np.linspace(-1.5, 2.0, 16, dtype="<f4")
        notification = bytes((2, ECG_REF)) + struct.pack("<I", 1000) + values.tobytes()
        (block,) = blocks(MovesenseDecoder().feed(notification, 0))
        np.testing.assert_array_equal(block.samples, values)
        assert (block.unit, block.lsb_mv, block.samples.dtype) == ("mV", None, np.float32)

    @pytest.mark.parametrize("cut", [4, 20, 35])
    def test_a_payload_in_two_parts_is_joined(self, cut: int) -> None:
        decoder, whole = MovesenseDecoder(), gsp.ecg_payload(1000, VALUES, millivolts=False)
        assert decoder.feed(bytes((2, ECG_REF)) + whole[:cut], 1) == []
        (block,) = blocks(decoder.feed(bytes((3, ECG_REF)) + whole[cut:], 2))
        np.testing.assert_array_equal(block.samples, VALUES)
        assert block.arrival_ns == 2

    def test_a_single_first_or_second_part_is_discarded(self) -> None:
        decoder, whole = MovesenseDecoder(), gsp.ecg_payload(1000, VALUES, millivolts=False)
        (alone,) = decoder.feed(bytes((3, ECG_REF)) + whole[20:], 1)
        assert isinstance(alone, LinkEvent)
        assert alone.kind is LinkEventKind.CORRUPT
        decoder.feed(bytes((2, ECG_REF)) + whole[:20], 2)
        corrupt, block = decoder.feed(data(1064), 3)
        assert isinstance(corrupt, LinkEvent)
        assert isinstance(block, SampleBlock)

    @pytest.mark.parametrize("junk", [b"", b"\x02", b"\x07\x02abc", bytes((2, ECG_REF)) + bytes(90)])
    def test_junk_is_discarded(self, junk: bytes) -> None:
        (corrupt,) = MovesenseDecoder().feed(junk, 1)
        assert isinstance(corrupt, LinkEvent)
        assert corrupt.kind is LinkEventKind.CORRUPT

    def test_other_sensors_are_ignored(self) -> None:
        decoder = MovesenseDecoder()
        acceleration = bytes((2, 99)) + struct.pack("<I12f", 5, *range(12))
        temperature = bytes((2, 98)) + struct.pack("<If", 5, 310.0)
        long = bytes((2, 97)) + bytes(150)
        for notification in (acceleration, temperature, temperature, long, bytes((3, 97)) + bytes(60)):
            assert decoder.feed(notification, 1) == []


class TestTimes:
    @pytest.mark.parametrize("rate", gsp.RATES_HZ)
    def test_no_loss_at_any_rate(self, rate: int) -> None:
        times = [int(5000 + i * 16_000 / rate) for i in range(300)]
        out = blocks(run(times, str(rate)))
        assert len(out) == 300
        assert {(b.lost, b.fs_hz) for b in out} == {(0, float(rate))}

    @pytest.mark.parametrize("rate", gsp.RATES_HZ)
    @pytest.mark.parametrize("gone", [[1], [0, 1], [2], [7, 8, 20], list(range(30, 70))])
    def test_lost_notifications_are_counted_exactly(self, rate: int, gone: list[int]) -> None:
        times = [int(5000 + i * 16_000 / rate) for i in range(100) if i not in gone]
        out = blocks(run(times, str(rate)))
        assert len(out) == len(times)
        first = min(set(range(100)) - set(gone))
        assert sum(b.lost for b in out) == 16 * sum(i > first for i in gone)
        assert {b.fs_hz for b in out} == {float(rate)}

    @pytest.mark.parametrize("rate", gsp.RATES_HZ)
    @pytest.mark.parametrize("asked", ["125", "250", "512"])
    def test_the_rate_of_a_recording_is_detected(self, rate: int, asked: str) -> None:
        times = [int(5000 + i * 16_000 / rate) for i in range(200)]
        out = blocks(run(times, asked, ref=100))
        assert len(out) == 200
        assert sum(b.lost for b in out) == 0
        assert out[-1].fs_hz == rate

    def test_the_clock_wraps_after_fifty_days(self) -> None:
        decoder = MovesenseDecoder()
        out = [b for i in range(100) for b in blocks(decoder.feed(data((2**32 - 3000 + 64 * i) % 2**32), i))]
        assert sum(b.lost for b in out) == 0
        assert np.all(np.diff([b.device_time_ns or 0 for b in out]) == 64 * MS)

    @pytest.mark.parametrize("uptime_ms", [60_000, 2_000_000_000, 4_000_000_000])
    def test_a_boot_is_a_restart(self, uptime_ms: int) -> None:
        items = run([uptime_ms, uptime_ms + 64, uptime_ms + 128, 900, 964])
        assert len(events(items, LinkEventKind.RESTARTED)) == 1
        assert sum(b.lost for b in blocks(items)) == 0

    def test_a_duplicate_notification_is_dropped(self) -> None:
        assert len(blocks(run([1000, 1064, 1064, 1128]))) == 3

    def test_an_overflow_of_part_of_a_frame_is_counted(self) -> None:
        times = [1000 + 64 * i for i in range(50)] + [1000 + 64 * 50 + 20 + 64 * i for i in range(50)]
        assert sum(b.lost for b in blocks(run(times))) == 5


class TestAnswers:
    def test_it_sends_hello_and_subscribes_at_every_connection(self) -> None:
        decoder = MovesenseDecoder(rate="500", format="raw")
        for _ in range(2):
            link(decoder, LinkEventKind.CONNECTED)
            assert [w.data for w in decoder.writes()] == [b"\x00\x01", b"\x01\x02/Meas/ECG/500"]
            link(decoder, LinkEventKind.DISCONNECTED)

    @pytest.mark.parametrize("kind", [1, 2])
    def test_hello_of_current_firmware(self, kind: int) -> None:
        answer = bytes((kind, HELLO_REF, 1)) + b"214530000123\0Movesense MD\x000C8CDC000001\0GattApp\x002.3.1\0"
        (hello,) = MovesenseDecoder().feed(answer, 1)
        assert isinstance(hello, LinkEvent)
        assert hello.kind is LinkEventKind.HELLO
        assert hello.data["device_id"] == "214530000123"
        assert hello.data["firmware"] == "2.3.1"
        assert hello.data["protocol"] == 1

    def test_hello_of_old_sample_firmware(self) -> None:
        (hello,) = MovesenseDecoder().feed(bytes((1, HELLO_REF)) + b"Hello", 1)
        assert isinstance(hello, LinkEvent)
        assert hello.kind is LinkEventKind.HELLO

    def test_old_firmware_falls_back_to_counts(self) -> None:
        decoder = MovesenseDecoder()
        link(decoder, LinkEventKind.CONNECTED)
        assert decoder.writes()[-1].data == b"\x01\x02/Meas/ECG/250/mV"
        (info,) = decoder.feed(bytes((1, ECG_REF)) + (404).to_bytes(2, "little"), 1)
        assert isinstance(info, LinkEvent)
        assert info.kind is LinkEventKind.INFO
        assert [w.data for w in decoder.writes()] == [b"\x01\x02/Meas/ECG/250"]
        (refused,) = decoder.feed(bytes((1, ECG_REF)) + (404).to_bytes(2, "little"), 2)
        assert isinstance(refused, LinkEvent)
        assert refused.kind is LinkEventKind.REFUSED

    def test_silence_tries_the_other_path_at_the_next_connection(self) -> None:
        decoder = MovesenseDecoder()
        link(decoder, LinkEventKind.CONNECTED)
        link(decoder, LinkEventKind.STALLED)
        decoder.writes()
        link(decoder, LinkEventKind.CONNECTED)
        assert decoder.writes()[-1].data == b"\x01\x02/Meas/ECG/250"

    @pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 415, 423, 500, 501, 503, 507, 599])
    @pytest.mark.parametrize("order", ["little", "big"])
    def test_every_refusal_is_explained(self, status: int, order: str) -> None:
        answer = bytes((1, ECG_REF)) + status.to_bytes(2, "big" if order == "big" else "little")
        (refused,) = MovesenseDecoder(format="mv").feed(answer, 1)
        assert isinstance(refused, LinkEvent)
        assert refused.kind is LinkEventKind.REFUSED
        assert refused.data["code"] == status
        assert gsp.STATUS.get(status, ("", "update"))[1] in refused.detail

    @pytest.mark.parametrize("answer", ["0102C800", "0102C8", "0102", "01026400", "01639401"])
    def test_other_answers_are_quiet(self, answer: str) -> None:
        assert MovesenseDecoder().feed(bytes.fromhex(answer), 1) == []

    @pytest.mark.parametrize("options", [{"rate": "100"}, {"rate": "x"}, {"format": "uv"}])
    def test_wrong_options_list_the_allowed_ones(self, options: dict[str, str]) -> None:
        with pytest.raises(UsageError) as caught:
            get("movesense").decoder(**options)
        assert "512" in str(caught.value.fix) or "raw" in str(caught.value.fix)


class TestVirtualSensor:
    def converse(self, sensor: VirtualMovesense, decoder: MovesenseDecoder) -> list[LinkItem]:
        out: list[LinkItem] = []
        while writes := decoder.writes():
            for write in writes:
                for channel, answer in sensor.write(write.channel, write.data):
                    out += decoder.feed(answer, 1, channel)
        return out

    @pytest.mark.parametrize("mtu", [161, 73, 50, 23])
    @pytest.mark.parametrize("has_millivolts", [True, False])
    def test_streams_what_it_is_given(self, mtu: int, has_millivolts: bool) -> None:
        sensor, decoder = VirtualMovesense(mtu, 3e-5, has_millivolts=has_millivolts), MovesenseDecoder()
        link(decoder, LinkEventKind.CONNECTED)
        assert events(self.converse(sensor, decoder), LinkEventKind.HELLO)
        heart = np.arange(-800, 800, dtype=np.int32) * 3
        got = blocks([x for c, d in sensor.notifications(heart) for x in decoder.feed(d, 1, c)])
        np.testing.assert_array_equal(np.concatenate([b.samples for b in got]), heart)
        assert {(b.lsb_mv, b.lost) for b in got} == {(sensor.lsb_mv, 0)}
        assert (sensor.lsb_mv == 0.001) is has_millivolts

    def test_a_conflict_is_refused_with_advice(self) -> None:
        sensor, decoder = VirtualMovesense(busy_hz=125), MovesenseDecoder()
        link(decoder, LinkEventKind.CONNECTED)
        (refused,) = events(self.converse(sensor, decoder), LinkEventKind.REFUSED)
        assert refused.data["code"] == 409

    def test_a_reconnection_counts_the_gap_and_a_boot_restarts(self) -> None:
        sensor, decoder = VirtualMovesense(), MovesenseDecoder()
        heart = np.zeros(1600, dtype=np.int32)
        out: list[LinkItem] = []
        for gap in (0, 1000, 0):
            sensor.disconnect()
            link(decoder, LinkEventKind.DISCONNECTED)
            list(sensor.notifications(heart[:gap]))
            if gap == 0 and out:
                sensor.reboot()
            link(decoder, LinkEventKind.CONNECTED)
            out += self.converse(sensor, decoder)
            out += [x for c, d in sensor.notifications(heart) for x in decoder.feed(d, 1, c)]
        assert sum(b.lost for b in blocks(out)) == 1000
        assert len(events(out, LinkEventKind.RESTARTED)) == 1
