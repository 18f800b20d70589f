"""BITalino: CRC, packing of one to six inputs, frames without a start marker, and four-bit numbers."""

import numpy as np
import pytest

from firmware_bridge import devices
from firmware_bridge.devices import Write
from firmware_bridge.devices.bitalino import crc, frame_size
from firmware_bridge.errors import UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind
from helpers.devices_frames import bitalino_frame, lost, samples, slow_crc4

END = LinkEvent(LinkEventKind.END, 0)


def board(**options):
    return devices.get("bitalino").decoder(**options)


def stream(numbers, inputs=1):
    return [bitalino_frame(k, [(k * 7 + i) % 64 for i in range(inputs)]) for k in numbers]


def test_crc_is_that_of_the_makers_module():
    rng = np.random.default_rng(0)
    for size in (3, 4, 6, 7, 8):
        rows = rng.integers(0, 256, (200, size), np.uint8)
        assert crc(rows).tolist() == [slow_crc4(row.tobytes()) for row in rows]


def test_sizes():
    assert [frame_size(n) for n in range(1, 7)] == [3, 4, 6, 7, 8, 8]


def test_one_input_byte_by_byte():
    # Number 5, input 0x2A5 = 1010100101: 0x0A in the low nibble of the second byte from the end, 0x25 << 2 before it.
    frame = bytearray((0x25 << 2, 0x0A, 0x50))
    frame[-1] |= slow_crc4(bytes(frame))
    frames = [bytes(frame), *stream(range(6, 12))]
    items = board().feed(b"".join(frames), 4)
    assert samples(items).tolist()[0] == 0x2A5
    (block,) = items
    assert (block.fs_hz, block.unit, block.lsb_mv, block.seq, block.arrival_ns) == (1000.0, "counts", None, 5, 4)


@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 5, 6])
def test_every_input_of_every_size(inputs):
    rng = np.random.default_rng(inputs)
    values = [[int(rng.integers(0, 1024 if i < 4 else 64)) for i in range(inputs)] for _ in range(40)]
    data = b"".join(bitalino_frame(k, v, int(rng.integers(0, 16))) for k, v in enumerate(values))
    for which in range(1, inputs + 1):
        d = board(channel=str(which), channels="123456"[:inputs], rate="100")
        assert samples(d.feed(data, 0)).tolist() == [v[which - 1] for v in values]
        decoder = board(channel=str(which))
        if inputs != 5:
            # The stream shows its own size; the value of an input is known if all inputs before it are acquired.
            assert samples(decoder.feed(data, 0)).tolist() == [v[which - 1 if inputs > 1 else 0] for v in values]


def test_only_acquired_inputs_are_in_a_frame():
    data = b"".join(bitalino_frame(k, [k, 500 + k]) for k in range(20))
    assert samples(board(channel="5", channels="25").feed(data, 0)).tolist() == [500 + k for k in range(20)]


@pytest.mark.parametrize("missing", [0, 1, 5, 15])
def test_missing_frames_are_exact_up_to_a_round(missing):
    d = board()
    items = d.feed(b"".join(stream(range(20))), 0)
    items += d.feed(b"".join(stream(range(20 + missing, 40 + missing))), 0)
    assert (len(samples(items)), lost(items)) == (40, missing)


@pytest.mark.parametrize("spoiled", [1, 3, 16, 50])
def test_damaged_frames_are_counted_by_number_and_bytes(spoiled):
    frames = stream(range(200), inputs=3)
    for k in range(60, 60 + spoiled):
        frames[k] = frames[k][:-1] + bytes((frames[k][-1] ^ 5,))
    d = board(channels="123")
    items = d.feed(b"".join(frames), 0) + d.link(END)
    assert lost(items) == spoiled
    assert len(samples(items)) == 200 - spoiled
    assert d.counters()["corrupt_bytes"] == 6 * spoiled


@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 6])
def test_it_may_begin_anywhere(inputs):
    rng = np.random.default_rng(inputs)
    frames = [bitalino_frame(k, rng.integers(0, 64, inputs).tolist()) for k in range(100)]
    whole = b"".join(frames)
    want = samples(board().feed(whole, 0)).tolist()
    for cut in range(1, 2 * frame_size(inputs)):
        got = samples(board().feed(whole[cut:], 0)).tolist()
        assert got == want[-len(got) :]
        assert len(got) >= 97


def test_start_waits_for_the_boards_answer():
    d = board(channel="2", channels="126", rate="100")
    d.link(LinkEvent(LinkEventKind.CONNECTED, 0))
    assert d.writes() == [Write(b"\x00"), Write(b"\x83"), Write(b"\x07")]
    items = d.feed(b"\x11\x22BITal", 0) + d.feed(b"ino_v5.2", 0)
    assert (items, d.writes()) == ([], [])
    d.feed(b"\n", 0)
    assert d.writes() == [Write(bytes((0b1000_1101,)))]
    items = d.feed(b"".join(stream(range(20), 3)), 0)
    assert samples(items).tolist() == [(k * 7 + 1) % 64 for k in range(20)]


def test_a_short_end_of_valid_frames_counts():
    d = board(channels="1")
    assert d.feed(b"".join(stream(range(3))), 0) == []
    assert samples(d.link(END)).tolist() == [0, 7, 14]
    assert d.feed(b"".join(stream(range(2)))[:-1], 0) == []
    (said,) = d.link(END)
    assert said.data["bytes"] == 5


def test_noise_is_not_a_board():
    d = board()
    items = d.feed(np.random.default_rng(1).bytes(50_000), 0)
    assert len(samples(items)) < 12
    assert "baud" in items[0].detail


@pytest.mark.parametrize(
    "options",
    [{"channel": "7"}, {"rate": "500"}, {"channels": "11"}, {"channels": "789"}, {"channel": "3", "channels": "12"}],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(UsageError, match="not possible"):
        board(**options)
