"""What decoders of byte streams share: blocks, the check of the rate, and events for what is no frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace

import numpy as np
import pytest

from firmware_bridge.decoding.cutter import Junk, Run
from firmware_bridge.decoding.stream import TEXTS_MAX, Blocks, RateCheck, StreamDecoder, junk_event
from firmware_bridge.devices import Write
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

S = 10**9


class TestBlocks:
    def test_one_block_carries_everything(self) -> None:
        samples = np.array([1, 2], np.int32)

        def fields(block: SampleBlock) -> tuple[object, ...]:
            assert block.samples is samples
            where = (block.device_time_ns, block.arrival_ns, block.seq)
            return (block.unit, block.lsb_mv, block.fs_hz, *where, block.lost, block.lead_off)

        made = Blocks(125.0, 0.5)
        assert fields(made.one(samples, 9)) == ("counts", 0.5, 125.0, None, 9, None, 0, False)
        full = made.one(samples, 9, 3, seq=7, lead_off=True, device_time_ns=11)
        assert fields(full) == ("counts", 0.5, 125.0, 11, 9, 7, 3, True)

    def test_blocks_are_cut_at_loss_and_where_contact_changes(self) -> None:
        samples = np.arange(7, dtype=np.int32)
        lost, off = np.array([2, 0, 1, 0, 0, 0, 0]), np.array([0, 0, 0, 0, 1, 1, 0], bool)
        made = Blocks(125.0, None).cut(samples, 4, lost, off, np.arange(100, 107))
        assert [b.samples.tolist() for b in made] == [[0, 1], [2, 3], [4, 5], [6]]
        assert [(b.lost, b.lead_off, b.seq) for b in made] == [
            (2, False, 100), (1, False, 102), (0, True, 104), (0, False, 106),
        ]  # fmt: skip
        assert {(b.unit, b.lsb_mv, b.fs_hz, b.arrival_ns, b.device_time_ns) for b in made} == {
            ("counts", None, 125.0, 4, None)
        }
        assert [b.seq for b in Blocks(125.0, None).cut(samples, 4, lost, off)] == [None] * 4


class TestRate:
    def test_another_rate_is_said_once_after_a_minute(self) -> None:
        check = RateCheck(100.0)
        assert check.push(500, 10 * S) == []  # what came with the first does not count
        assert check.push(3000, 40 * S) == []
        assert check.push(3239, 70 * S - 1) == []
        (said,) = check.push(1, 70 * S)
        assert said == LinkEvent(
            LinkEventKind.INFO,
            70 * S,
            "samples arrive at 104.0 Hz, not 100: add rate=104.0 to the URL",
            {"measured_hz": 104.0},
        )
        assert check.push(100_000, 90 * S) == []
        check.fresh()
        assert check.push(1, 100 * S) == []
        assert len(check.push(5000, 160 * S)) == 1

    @pytest.mark.parametrize(("samples", "said"), [(6120, False), (6121, True), (5881, False), (5879, True)])
    def test_two_percent_are_allowed(self, samples: int, said: bool) -> None:
        check = RateCheck(100.0)
        check.push(0, 0)
        assert bool(check.push(samples, 60 * S)) is said

    def test_a_rate_that_was_right_is_not_judged_again(self) -> None:
        check = RateCheck(100.0)
        check.push(0, 0)
        assert check.push(6000, 60 * S) == []
        assert check.push(6000, 61 * S) == []


class Decoder(StreamDecoder):
    """Gives what the test puts into the cutter's place."""

    def __init__(self) -> None:
        super().__init__(self)  # type: ignore[arg-type]
        self.cut: list[Run | Junk] = []
        self.forgotten = 0

    def feed_cut(self, *cut: Run | Junk, at_ns: int = 0) -> list[LinkItem]:
        return self._items(cut, at_ns)

    def reset(self) -> list[Run | Junk]:
        return self.cut

    def _frames(self, run: Run, arrival_ns: int) -> list[LinkItem]:
        samples = np.frombuffer(run.data, np.uint8).astype(np.int32)
        self._samples(len(samples), self._guess(run.size, run.size))
        return [Blocks(100.0, None).one(samples, arrival_ns)]

    def _forget(self) -> None:
        self.forgotten += 1

    def _hello(self) -> Iterable[Write]:
        return (Write(b"start"),)


def link(kind: LinkEventKind) -> LinkEvent:
    return LinkEvent(kind, 8)


class TestDecoder:
    def test_frames_and_samples_are_counted(self) -> None:
        decoder = Decoder()
        (block,) = decoder.feed_cut(Run(b"abcdef", 2), at_ns=3)
        assert (block.samples.tolist(), block.arrival_ns) == (list(b"abcdef"), 3)
        assert decoder.counters() == {"frames": 3, "samples": 6}
        decoder.feed_cut(Junk(2, "", False), Run(b"ab", 2), Junk(4, "", False), Run(b"cdef", 2))
        assert decoder.counters() == {"frames": 6, "samples": 12, "lost_samples": 6, "corrupt_bytes": 6}

    def test_bytes_go_through_the_cutter_and_every_frame_is_given(self) -> None:
        decoder = Decoder()
        cutter = SimpleNamespace(feed=lambda data: [Run(data[:2], 1), Run(data[2:], 1)])
        decoder._cutter = cutter  # type: ignore[assignment]
        items = StreamDecoder.feed(decoder, b"abc", 6)
        assert [(i.samples.tolist(), i.arrival_ns) for i in items if isinstance(i, SampleBlock)] == [
            (list(b"ab"), 6),
            (list(b"c"), 6),
        ]

    def test_damage_tells_how_many_samples_it_may_have_held(self) -> None:
        decoder = Decoder()
        for damage, guess in ((5, 4), (7, 8), (1, 4), (10, 8)):  # frames of four bytes and four samples
            before = decoder.counters().get("lost_samples", 0)
            decoder.feed_cut(Junk(damage, "", False), Run(b"abcd", 4))
            assert decoder.counters()["lost_samples"] - before == guess
        decoder.feed_cut(Junk(900, "", True), Junk(9, "some text", False), Run(b"abcd", 4))
        assert decoder.counters()["lost_samples"] == 24

    def test_damage_does_not_outlive_the_connection(self) -> None:
        decoder = Decoder()
        decoder.feed_cut(Junk(50, "", False))
        decoder.link(link(LinkEventKind.DISCONNECTED))
        decoder.feed_cut(Run(b"abcd", 4))
        assert "lost_samples" not in decoder.counters()

    def test_short_texts_in_the_middle_are_damage_and_count_as_such(self) -> None:
        decoder = Decoder()
        for text, lost in (("seven..", True), ("eight...", False)):
            before = decoder.counters().get("lost_samples", 0)
            decoder.feed_cut(Junk(len(text), text, False), Run(b"abcd", 4))
            assert (decoder.counters().get("lost_samples", 0) > before) is lost

    def test_empty_lines_are_counted_and_not_said(self) -> None:
        decoder = Decoder()
        assert decoder.feed_cut(Junk(2, " ", False)) == []
        assert decoder.counters() == {"text_bytes": 2}

    def test_three_texts_are_said_and_later_ones_counted(self) -> None:
        assert TEXTS_MAX == 3
        decoder = Decoder()
        said = [bool(decoder.feed_cut(Junk(10, "battery 9%", False))) for _ in range(5)]
        assert said == [True, True, True, False, False]
        assert decoder.counters() == {"text_bytes": 50}
        assert decoder.feed_cut(Junk(10, "battery 9%", True)) != []  # before the first frame every text is said
        decoder.link(link(LinkEventKind.STALLED))
        assert decoder.feed_cut(Junk(10, "battery 9%", False)) != []

    def test_what_a_device_says_when_it_starts_is_a_restart_however_much_it_talks(self) -> None:
        decoder = Decoder()
        for _ in range(6):
            decoder.feed_cut(Junk(10, "battery 9%", False))
        text = "Firmware 1.2 " + "x" * 90
        info, restarted = decoder.feed_cut(Junk(103, text, False), at_ns=5)
        assert (info.kind, restarted.kind, restarted.arrival_ns) == (LinkEventKind.INFO, LinkEventKind.RESTARTED, 5)
        assert restarted.detail == f"the device printed its start-up text: {text[:80]!r}"
        assert restarted.data == {"text": text}
        assert (decoder.forgotten, decoder.counters()["restarts"]) == (1, 1)
        assert len(decoder.feed_cut(Junk(103, text, True))) == 1  # before the first frame it is where it belongs

    @pytest.mark.parametrize(
        "text",
        [
            "Boot 3.1", "FIRMWARE 2", "initialised", "Initilising", "it is ready", "rst:0x1 (POWERON)",
            "setting up the chip", "starts in 3 s",
        ],
    )  # fmt: skip
    def test_boards_say_many_things_when_they_start(self, text: str) -> None:
        items = Decoder().feed_cut(Junk(len(text), text, False))
        assert [i.kind for i in items if isinstance(i, LinkEvent)] == [LinkEventKind.INFO, LinkEventKind.RESTARTED]
        assert len(Decoder().feed_cut(Junk(12, "battery low!", False))) == 1

    @pytest.mark.parametrize("kind", [LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.END])
    def test_the_end_of_a_connection_throws_away_what_is_open(self, kind: LinkEventKind) -> None:
        decoder = Decoder()
        decoder.cut = [Junk(3, "", False)]
        (item,) = decoder.link(link(kind))
        assert (item.kind, item.arrival_ns, item.data) == (LinkEventKind.CORRUPT, 8, {"bytes": 3})
        assert decoder.forgotten == 1
        assert decoder.writes() == []

    def test_a_connection_begins_with_a_greeting_that_is_handed_out_once(self) -> None:
        decoder = Decoder()
        decoder.cut = [Junk(3, "", False)]
        assert decoder.link(link(LinkEventKind.CONNECTED)) == []
        assert (decoder.writes(), decoder.writes()) == ([Write(b"start")], [])
        assert decoder.link(link(LinkEventKind.INFO)) == []
        assert (decoder.forgotten, decoder.writes()) == (0, [])

    def test_bytes_of_another_channel_are_counted(self) -> None:
        decoder = Decoder()
        assert StreamDecoder.feed(decoder, b"abc", 0, "control") == []
        assert StreamDecoder.feed(decoder, b"de", 0, "control") == []
        assert decoder.counters() == {"foreign_channel_bytes": 5}


@pytest.mark.parametrize(
    ("junk", "kind", "detail", "counted"),
    [
        (Junk(9, "hello you", True), "info", "the device printed 'hello you'", {"text_bytes": 9}),
        (Junk(1023, "", True), "info", "1023 bytes before the first frame", {"corrupt_bytes": 1023}),
        (
            Junk(1024, "", True),
            "corrupt",
            "1024 bytes without a frame: another kind of device, or another baud rate?",
            {"corrupt_bytes": 1024},
        ),
        (Junk(5, "", False), "corrupt", "5 bytes discarded: not a frame", {"corrupt_bytes": 5}),
    ],
)
def test_events_of_what_is_thrown_away(junk: Junk, kind: str, detail: str, counted: dict[str, int]) -> None:
    count: Counter[str] = Counter()
    event = junk_event(junk, 6, count)
    data = {"bytes": junk.size, **({"text": junk.text} if junk.text else {})}
    assert (str(event.kind), event.arrival_ns, event.detail, event.data) == (kind, 6, detail, data)
    assert count == counted
