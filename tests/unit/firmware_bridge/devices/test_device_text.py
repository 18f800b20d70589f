"""Boards that print text: lines, columns, times, electrodes off, and other output of a sketch."""

import pytest

from firmware_bridge import devices
from firmware_bridge.errors import UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from helpers.devices_frames import lost, samples

HALF = b"99\r\n"
"""The beginning of a stream may be half a line: it never counts."""


def board(**options):
    return devices.get("ad8232_text").decoder(**options)


def blocks(items):
    return [item for item in items if isinstance(item, SampleBlock)]


def said(items):
    return [str(item.kind) for item in items if isinstance(item, LinkEvent)]


def test_the_sparkfun_sketch():
    items = board().feed(HALF + b"512\r\n530\r\n!\r\n!\r\n498\r\n5", 7)
    assert [(b.samples.tolist(), b.lead_off) for b in blocks(items)] == [
        ([512, 530], False),
        ([0, 0], True),
        ([498], False),
    ]
    assert (blocks(items)[0].unit, blocks(items)[0].lsb_mv, blocks(items)[0].fs_hz) == ("counts", None, 190.0)
    assert blocks(items)[0].device_time_ns is None


def test_the_first_line_is_dropped_at_every_connection():
    d = board()
    assert samples(d.feed(b"12\r\n500\r\n50", 0)).tolist() == [500]
    d.link(LinkEvent(LinkEventKind.DISCONNECTED, 0))
    assert samples(d.feed(b"1\r\n502\r\n", 0)).tolist() == [502]


@pytest.mark.parametrize(
    ("line", "column", "want"),
    [
        (b"1,2,3", "2", 2),
        (b"1;-2;3", "2", -2),
        (b" 1\t2  3", "3", 3),
        (b"1, 2, 3", "1", 1),
        (b"ECG:700,LO:0", "1", 700),
        (b"512.0", "1", 512),
        (b"+7", "1", 7),
        (b"1e3", "1", 1000),
    ],
)
def test_columns(line, column, want):
    assert samples(board(column=column).feed(HALF + line + b"\n", 0)).tolist() == [want]


@pytest.mark.parametrize("line", [b"!", b"!,5", b"12,!", b"leads off!", b"Lead-Off detected"])
def test_electrode_off(line):
    (block,) = blocks(board(column="2").feed(HALF + line + b"\n", 0))
    assert (block.samples.tolist(), block.lead_off) == ([0], True)


def test_words_are_shown_and_cost_no_sample():
    items = board().feed(HALF + b"500\nHello, I measure\n501\n", 0)
    assert (samples(items).tolist(), lost(items)) == ([500, 501], 0)
    assert said(items)[-1] == "info"


@pytest.mark.parametrize("bad", [b"5\xff1\n", b"\x00\n", b"9" * 201 + b"\n", b"9" * 5000 + b"\n", b"5\r3\r\x80\n"])
def test_a_damaged_line_is_a_missing_sample(bad):
    items = board().feed(HALF + b"500\n" + bad + b"501\n", 0)
    assert (samples(items).tolist(), [b.lost for b in blocks(items)]) == ([500, 501], [0, 1])
    assert "corrupt" in said(items) or "info" in said(items)


def test_a_line_that_never_ends():
    d = board()
    d.feed(HALF, 0)
    items = [item for _ in range(30) for item in d.feed(b"\xfe" * 1000, 0)]
    assert said(items) == ["corrupt"] * 7
    assert "baud" in items[0].detail


def test_a_time_column_in_milliseconds_shows_missing_samples():
    d = board(rate="250", column="2", time="1")
    items = d.feed(HALF + b"1000,5\n1004,6\n1008,7\n1032,8\n", 0)
    assert [(b.samples.tolist(), b.lost, b.device_time_ns) for b in blocks(items)] == [
        ([5], 0, 1_000_000_000),
        ([6], 0, 1_004_000_000),
        ([7], 0, 1_008_000_000),
        ([8], 5, 1_032_000_000),
    ]


def test_a_time_column_that_wraps_and_one_that_restarts():
    d = board(rate="250", column="2", time="1", time_unit="us")
    items = d.feed(HALF + b"4294965296,1\n2000,2\n6000,3\n", 0)
    assert [b.lost for b in blocks(items)] == [0, 0, 0]
    assert blocks(items)[1].device_time_ns == (2**32 + 2000) * 1000
    items = d.feed(b"10,4\n", 0)
    assert said(items) == ["restarted"]
    assert lost(items) == 0


def test_times_in_seconds():
    d = board(rate="100", column="1", time="2", time_unit="s")
    items = d.feed(HALF + b"7 12.50\n8 12.51\n9 12.54\n", 0)
    assert [b.lost for b in blocks(items)] == [0, 0, 2]
    assert blocks(items)[0].device_time_ns == 12_500_000_000


def test_a_line_without_its_time_is_not_a_sample():
    d = board(rate="250", column="1", time="2")
    items = d.feed(HALF + b"5,1000\n6\n7,1008\n", 0)
    assert [(b.samples.tolist(), b.lost) for b in blocks(items)] == [([5], 0), ([7], 1)]


@pytest.mark.parametrize(
    "options",
    [{"rate": "5"}, {"column": "0"}, {"column": "first"}, {"time": "99"}, {"time_unit": "h"}, {"lsb_mv": "x"}],
)
def test_wrong_options_are_refused(options):
    (key,) = options
    with pytest.raises(UsageError, match=key):
        board(**options)


def test_a_given_scale_makes_millivolts():
    (block,) = blocks(board(lsb_mv="0.0033").feed(HALF + b"512\n", 0))
    assert block.lsb_mv == 0.0033


def test_a_wrong_given_rate_is_noticed():
    for rate, expected in (("190", "rate=212"), ("211", "")):
        d = board(rate=rate)
        d.feed(HALF, 0)
        items = [item for k in range(700) for item in d.feed(b"500\r\n" * 21 + b"!\n" * (k % 5 == 0), k * 100_000_000)]
        text = [i.detail for i in items if isinstance(i, LinkEvent) and "measured_hz" in i.data]
        assert [expected in t for t in text] == [True] * bool(expected)
