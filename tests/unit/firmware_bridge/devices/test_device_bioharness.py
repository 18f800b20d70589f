"""BioHarness: the public two-minute capture whole, damaged and split anywhere; numbers, midnight and a changed clock.

Short frames in this file are from jpaalasm/zephyr-bt@c7cae8a:test_data/120-second-bt-stream.dat (BSD).
"""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.decoding import zephyr
from firmware_bridge.devices import get
from firmware_bridge.devices.bioharness import BioHarnessDecoder
from firmware_bridge.errors import UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

ECG_FRAME = bytes.fromhex(
    "0222589cdc07091ae875d803fbf1c71f7ffcedb7df7efae9a79f7efae9a79f7efae9a79f7ef9e5975f7ef9e1871f7ef8e1871f7ef8e1875f7e"
    "faedc71f7ffcf5e79f7ffffd076080020e3820810412482081030e282080fef1971f0c03"
)
SUMMARY_FRAME = bytes.fromhex(
    "022b472fdc07091a5078d803023d00df0000802c000b0014005d0f375b00ffffff681fc80064ffff64fffff100aaffc4ff37004900e8fff1ff"
    "2b010002fe000c74019e01a101fb010000d903"
)
DAY = date(2012, 9, 26)
SECOND_NS = 10**9


def blocks(items: list[LinkItem]) -> list[SampleBlock]:
    return [item for item in items if isinstance(item, SampleBlock)]


def events(items: list[LinkItem], kind: LinkEventKind) -> list[LinkEvent]:
    return [item for item in items if isinstance(item, LinkEvent) and item.kind is kind]


def packet(number: int, *, start_ms: int = 1_000_000, day: date = DAY) -> bytes:
    """A packet of a stream that began at ``start_ms``; the date advances automatically."""
    days, ms = divmod(start_ms + 252 * number, zephyr.DAY_MS)
    samples = np.arange(63, dtype=np.int32) * 16 - 512
    today = date.fromordinal(day.toordinal() + days)
    return zephyr.encode(zephyr.ECG, zephyr.ecg_payload(number, today, ms, samples))


def run(numbers: list[int], start_ms: int = 1_000_000) -> list[LinkItem]:
    decoder = BioHarnessDecoder()
    return [x for n in numbers for x in decoder.feed(packet(n, start_ms=start_ms), n * 252_000_000)]


@pytest.fixture(scope="module")
def capture(shared_dir: Path) -> bytes:
    return (shared_dir / "vectors" / "zephyr_120-second-bt-stream.dat").read_bytes()


class TestCapture:
    def arrivals(self, shared_dir: Path, data: bytes) -> list[tuple[int, bytes]]:
        text = (shared_dir / "vectors" / "zephyr_120-second-bt-stream-timing.csv").read_text()
        rows = [(round(float(t) * 1e9), int(at)) for t, at in csv.reader(text.splitlines())]
        starts = [0, *(at for _t, at in rows)]
        ends = [*(at for _t, at in rows), len(data)]
        times = [rows[0][0], *(t for t, _at in rows)]
        return [(t, data[a:b]) for t, a, b in zip(times, starts, ends, strict=True)]

    def test_decodes_whole(self, capture: bytes, shared_dir: Path) -> None:
        decoder = BioHarnessDecoder()
        out: list[LinkItem] = []
        for at_ns, piece in self.arrivals(shared_dir, capture):
            out += decoder.feed(piece, at_ns)
        got = blocks(out)
        assert decoder.counters()["frames"] == 1479
        assert not events(out, LinkEventKind.CORRUPT)
        assert not events(out, LinkEventKind.RESTARTED)
        assert "corrupt_bytes" not in decoder.counters()
        assert len(got) == 597
        assert sum(b.lost for b in got) == 0
        assert [b.seq for b in got] == list(range(597)), "no gap in the numbers"
        first, last = got[0].device_time_ns or 0, got[-1].device_time_ns or 0
        assert 63 * 596 * 1e9 / (last - first) == pytest.approx(249.96, abs=0.005)

    def test_samples_of_the_first_packets(self, capture: bytes, shared_dir: Path) -> None:
        expected = json.loads((shared_dir / "vectors" / "zephyr_bioharness_ecg.json").read_text())["frames"]
        got = blocks(BioHarnessDecoder().feed(capture, 0))
        for frame, block in zip(expected, got, strict=False):
            assert block.samples.tolist() == frame["samples_adc_minus_512"]
            year, month, day, ms = frame["year_month_day_ms"]
            start_ms = (date(year, month, day) - date(2000, 1, 1)).days * zephyr.DAY_MS + ms
            assert block.device_time_ns == (start_ms + 248) * 10**6

    @pytest.mark.parametrize("size", [1, 2, 7, 93, 1000])
    def test_any_cut_gives_the_same(self, capture: bytes, size: int) -> None:
        part = capture[:12_000]
        whole, pieces = BioHarnessDecoder(), BioHarnessDecoder()
        one = whole.feed(part, 5)
        many = [x for at in range(0, len(part), size) for x in pieces.feed(part[at : at + size], 5)]
        assert [repr(x) for x in many] == [repr(x) for x in one]
        assert pieces.counters() == whole.counters()

    def test_damage_loses_only_what_it_hits(self, capture: bytes) -> None:
        rng = np.random.default_rng(4)
        data = bytearray(capture)
        for at in rng.choice(len(data), 60, replace=False):
            data[at] ^= int(rng.integers(1, 256))
        clean = {b.seq: b for b in blocks(BioHarnessDecoder().feed(capture, 0))}
        decoder = BioHarnessDecoder()
        out = decoder.feed(bytes(data), 0) + decoder.link(LinkEvent(LinkEventKind.END, 0))
        got = blocks(out)
        assert len(got) >= 597 - 60
        known = {b.device_time_ns: b.samples.tobytes() for b in clean.values()}
        assert all(known.get(b.device_time_ns) == b.samples.tobytes() for b in got), "no wrong sample"
        inside = sum(b.lost for b in got) + 63 * len(got)
        assert inside == 63 * ((got[-1].seq or 0) - (got[0].seq or 0) + 1)
        assert events(out, LinkEventKind.CORRUPT)


class TestPackets:
    def test_a_real_packet(self) -> None:
        hello, block = BioHarnessDecoder().feed(ECG_FRAME, 3)
        assert isinstance(hello, LinkEvent)
        assert isinstance(block, SampleBlock)
        assert block.samples[:10].tolist() == [-5, -4, -4, -4, -4, -5, -5, -5, -6, -6]
        assert (block.unit, block.lsb_mv, block.fs_hz, len(block)) == ("counts", None, 250.0, 63)

    def test_a_measured_scale_is_used(self) -> None:
        (block,) = blocks(get("bioharness").decoder(lsb_mv="0.0125").feed(ECG_FRAME, 3))
        assert block.lsb_mv == 0.0125
        with pytest.raises(UsageError):
            get("bioharness").decoder(lsb_mv="-1")

    def test_a_real_summary_is_shown_once_a_minute(self) -> None:
        decoder = BioHarnessDecoder()
        (info,) = decoder.feed(SUMMARY_FRAME, 0)
        assert isinstance(info, LinkEvent)
        assert info.data == {
            "heart_rate_bpm": 61, "respiration_bpm": 22.3, "battery_mv": 3933, "battery_percent": 55,
        }  # fmt: skip
        assert decoder.feed(SUMMARY_FRAME, SECOND_NS) == []
        assert len(decoder.feed(SUMMARY_FRAME, 61 * SECOND_NS)) == 1

    def test_it_asks_for_the_ecg_and_answers_signs_of_life(self) -> None:
        decoder = BioHarnessDecoder()
        decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0))
        assert [w.data.hex() for w in decoder.writes()] == ["021601015e03", "02bd020100c403"]
        assert decoder.feed(bytes.fromhex("0216000006"), 1) == []
        decoder.feed(bytes.fromhex("0223000003"), 1)
        assert [w.data.hex() for w in decoder.writes()] == ["0223000003"]
        decoder.feed(bytes.fromhex("0223000003"), 11 * SECOND_NS)
        assert len(decoder.writes()) == 3, "no ECG yet: requested again"

    def test_a_refusal_is_explained(self) -> None:
        (refused,) = BioHarnessDecoder().feed(bytes.fromhex("0216000015"), 1)
        assert isinstance(refused, LinkEvent)
        assert refused.kind is LinkEventKind.REFUSED
        assert "ECG" in refused.detail

    def test_a_wrong_baud_rate_is_suspected(self) -> None:
        decoder = BioHarnessDecoder()
        noise = np.random.default_rng(1).integers(0, 256, 6000, dtype=np.uint8).tobytes().replace(b"\x02", b"\x05")
        said = events(decoder.feed(noise, 0), LinkEventKind.CORRUPT)
        assert said
        assert "baud" in said[0].detail

    def test_an_incomplete_packet_at_the_end_is_discarded_but_whole_ones_in_it_are_not(self) -> None:
        decoder = BioHarnessDecoder()
        assert decoder.feed(b"\x02\x22\x80" + ECG_FRAME[:92], 0) == []
        assert decoder.feed(ECG_FRAME[92:], 0) == [], "it waits for what looks like a longer frame"
        out = decoder.link(LinkEvent(LinkEventKind.DISCONNECTED, 0))
        assert len(blocks(out)) == 1
        assert events(out, LinkEventKind.INFO)[0].data["bytes"] == 3

    @pytest.mark.parametrize("bad", [ECG_FRAME[3:90], b"\x00" * 88, ECG_FRAME[3:11] + b"\xff\xff\xff\xff" + bytes(76)])
    def test_an_impossible_ecg_packet_is_discarded(self, bad: bytes) -> None:
        out = BioHarnessDecoder().feed(zephyr.encode(zephyr.ECG, bad), 0)
        assert len(blocks(out)) == (bad == b"\x00" * 88), "a clock that was never set is not damage"


class TestNumbersAndClock:
    @pytest.mark.parametrize(
        "gone", [[5], [5, 6, 7], list(range(100, 400)), list(range(30, 286)), list(range(20, 2000))]
    )
    def test_lost_packets_are_counted_exactly_over_any_round(self, gone: list[int]) -> None:
        out = run([n for n in range(2100) if n not in set(gone)])
        assert sum(b.lost for b in blocks(out)) == 63 * len(gone)
        assert blocks(out)[-1].seq == 2099
        assert not events(out, LinkEventKind.RESTARTED)

    def test_midnight(self) -> None:
        out = run(list(range(40)), start_ms=zephyr.DAY_MS - 20 * 252 - 100)
        assert sum(b.lost for b in blocks(out)) == 0
        assert np.all(np.diff([b.device_time_ns or 0 for b in blocks(out)]) == 252_000_000)
        assert not events(out, LinkEventKind.RESTARTED)

    @pytest.mark.parametrize("late", [1, -1])
    def test_a_date_that_changes_a_packet_late_or_early(self, late: int) -> None:
        decoder, out = BioHarnessDecoder(), []
        for n in range(40):
            ms = zephyr.DAY_MS - 20 * 252 - 100 + 252 * n
            today = DAY.toordinal() + (n > 20 + late)
            body = zephyr.ecg_payload(n, date.fromordinal(today), ms % zephyr.DAY_MS, np.zeros(63, np.int32))
            out += decoder.feed(zephyr.encode(zephyr.ECG, body), n * 252_000_000)
        assert sum(b.lost for b in blocks(out)) == 0
        assert np.all(np.diff([b.device_time_ns or 0 for b in blocks(out)]) == 252_000_000)

    def test_a_duplicate_packet_is_dropped(self) -> None:
        assert len(blocks(run([0, 1, 1, 2]))) == 3

    @pytest.mark.parametrize("ms", [-5_000_000, 3_600_000, 777_000, 20_000, 256 * 252, -2 * 256 * 252])
    def test_setting_the_clock_is_neither_a_restart_nor_a_loss(self, ms: int) -> None:
        decoder = BioHarnessDecoder()
        out: list[LinkItem] = []
        for n in range(20):
            start_ms = 10_000_000 + (ms if n >= 10 else 0)
            out += decoder.feed(packet(n, start_ms=start_ms), n * 252_000_000)
        assert not events(out, LinkEventKind.RESTARTED)
        assert [e.data["set_s"] for e in events(out, LinkEventKind.INFO)] == [ms / 1000]
        assert sum(b.lost for b in blocks(out)) == 0
        assert np.all(np.diff([b.device_time_ns or 0 for b in blocks(out)]) == 252_000_000)

    def test_a_late_packet_is_dropped(self) -> None:
        decoder, out = BioHarnessDecoder(), []
        for k, n in enumerate([*range(10), 11, 10, *range(12, 20)]):
            out += decoder.feed(packet(n), k * 252_000_000)
        assert (decoder.counters()["late_frames"], sum(b.lost for b in blocks(out))) == (1, 63)
        assert not events(out, LinkEventKind.RESTARTED)

    def test_packets_missing_while_the_clock_was_set_are_counted(self) -> None:
        decoder, out = BioHarnessDecoder(), []
        for n in [*range(10), *range(15, 20)]:
            out += decoder.feed(packet(n, start_ms=10_000_000 + (90_000 if n >= 10 else 0)), n * 252_000_000)
        assert sum(b.lost for b in blocks(out)) == 5 * 63

    def test_numbers_that_restart_with_a_connection_leave_the_time(self) -> None:
        decoder = BioHarnessDecoder()
        out = [x for n in range(10) for x in decoder.feed(packet(n), n * 252_000_000)]
        decoder.link(LinkEvent(LinkEventKind.DISCONNECTED, 0))
        body = zephyr.ecg_payload(0, DAY, 1_000_000 + 252 * 9 + 10_000, np.zeros(63, np.int32))
        out += decoder.feed(zephyr.encode(zephyr.ECG, body), 9 * 252_000_000 + 10 * SECOND_NS)
        assert blocks(out)[-1].lost == 2500 - 63


def test_after_a_reset_bytes_without_a_frame_count_as_those_of_a_new_stream() -> None:
    finder = zephyr.FrameFinder()
    assert finder.feed(b"x" + packet(0))[0] == zephyr.Junk(1, synced=False)
    assert finder.feed(b"y" + packet(1))[0] == zephyr.Junk(1, synced=True)
    finder.reset()
    assert finder.feed(b"z" + packet(2))[0] == zephyr.Junk(1, synced=False)
