"""OpenBCI Cyton and Ganglion: bytes, wrapping numbers, commands, and the packing of both firmwares."""

import numpy as np
import pytest

from firmware_bridge import devices
from firmware_bridge.devices import Write
from firmware_bridge.devices.openbci_ganglion import difference, unpack
from firmware_bridge.errors import UsageError
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from helpers.devices_frames import cyton, ganglion, lost, packed, samples

BOOT_TEXT = b"OpenBCI V3 8-16 channel\nOn Board ADS1299 Device ID: 0x3E\nLIS3DH Device ID: 0x33\nFirmware: v3.1.2\n$$$"


def board(**options):
    return devices.get("openbci_cyton").decoder(**options)


def brain(**options):
    return devices.get("openbci_ganglion").decoder(**options)


def events(items):
    return [(str(item.kind), item.data.get("bytes")) for item in items if isinstance(item, LinkEvent)]


def link(kind):
    return LinkEvent(kind, 0)


def test_cyton_byte_by_byte():
    frame = bytes.fromhex("a0 07 7fffff 800000 000001 ffffff 00ffff ff0000 123456 edcba9 000000000000 c0")
    want = [8388607, -8388608, 1, -1, 65535, -65536, 0x123456, -0x123457]
    for channel, value in enumerate(want, 1):
        (block,) = board(channel=str(channel)).feed(frame, 3)
        assert (block.samples.tolist(), block.seq, block.fs_hz) == ([value], 7, 250.0)
    # 4.5 V at gain 24 and 23 bits: 0.02235 microvolts a count.
    assert block.lsb_mv * 1000 == pytest.approx(0.02235174, rel=1e-6)
    assert (block.unit, block.device_time_ns, block.arrival_ns) == ("counts", None, 3)


@pytest.mark.parametrize("gain", [1, 2, 4, 6, 8, 12, 24])
def test_cyton_gain_scales_and_is_set(gain):
    d = board(channel="3", gain=str(gain))
    d.link(link(LinkEventKind.CONNECTED))
    assert d.writes() == [Write(b"v")]
    assert d.writes() == []
    for piece in (BOOT_TEXT[:-2], BOOT_TEXT[-2:]):
        d.feed(piece, 0)
    code = [1, 2, 4, 6, 8, 12, 24].index(gain)
    assert d.writes() == [Write(b"x30%d0110X" % code), Write(b"b")]
    (info, block) = d.feed(cyton(0, [0, 0, 5, 0, 0, 0, 0, 0]), 0)
    assert "v3.1.2" in info.data["text"]
    assert block.lsb_mv == pytest.approx(4500 / gain / (2**23 - 1))


@pytest.mark.parametrize("stop", range(0xC0, 0xC7))
def test_cyton_stop_bytes(stop):
    stream = b"".join(cyton(k, [k] * 8, stop) for k in range(3))
    assert samples(board().feed(stream, 0)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("missing", [0, 1, 100, 255])
def test_cyton_missing_samples_are_exact_up_to_a_round(missing):
    d = board()
    d.feed(cyton(250, [1] * 8), 0)
    assert lost(d.feed(cyton(251 + missing, [2] * 8), 0)) == missing


def test_cyton_damage_of_more_than_a_round_is_counted_by_its_bytes():
    frames = [cyton(k, [k] * 8) for k in range(1000)]
    spoiled = b"".join(b"\xff" + frame[1:] for frame in frames[200:900])
    items = board().feed(b"".join(frames[:200]) + spoiled + b"".join(frames[900:]), 0)
    assert lost(items) == 700
    assert samples(items).tolist() == [*range(200), *range(900, 1000)]


def test_cyton_number_continues_in_blocks():
    items = board().feed(b"".join(cyton(k, [k] * 8) for k in (254, 255, 256, 257, 260, 261)), 0)
    assert [(b.seq, len(b), b.lost) for b in items] == [(254, 4, 0), (260, 2, 2)]


@pytest.mark.parametrize("keep", range(1, 33))
def test_cyton_a_truncated_frame_is_not_a_sample(keep):
    whole = [cyton(k, [1000 * k] * 8) for k in range(6)]
    items = board().feed(b"".join(whole[:2]) + whole[2][:keep] + b"".join(whole[3:]), 0)
    assert samples(items).tolist() == [0, 1000, 3000, 4000, 5000]
    assert lost(items) == 1


def test_cyton_begins_in_the_middle_of_a_frame():
    rng = np.random.default_rng(2)
    frames = [cyton(k, rng.integers(-(2**22), 2**22, 8).tolist()) for k in range(200)]
    want = [int.from_bytes(f[2:5], "big", signed=True) for f in frames]
    for cut in range(1, 33):
        got = samples(board().feed(b"".join(frames)[cut:], 0)).tolist()
        assert got == want[-len(got) :]
        assert len(got) >= 198


def test_cyton_new_connection_restarts_the_count():
    d = board()
    d.feed(cyton(9, [1] * 8), 0)
    d.link(link(LinkEventKind.DISCONNECTED))
    assert lost(d.feed(cyton(0, [1] * 8), 0)) == 0


@pytest.mark.parametrize("options", [{"channel": "0"}, {"channel": "17"}, {"channel": "x"}, {"gain": "3"}])
def test_cyton_refuses_wrong_options(options):
    with pytest.raises(UsageError, match="one of"):
        board(**options)


def test_ganglion_values_of_18_and_19_bits():
    pair = [0x1FFFF << 6, -(0x20000 << 6)]
    (block,) = brain().feed(ganglion(5, *pair), 0)
    assert (block.samples.tolist(), block.fs_hz, block.seq) == (pair, 200.0, 5)
    pair = [0x3FFFF << 5, -(0x40000 << 5)]
    (block,) = brain(channel="4").feed(ganglion(105, *pair), 0)
    assert block.samples.tolist() == pair
    assert block.lsb_mv * 1000 == pytest.approx(1.2e6 / (8388607 * 1.5 * 51))


def test_ganglion_channels_do_not_mix():
    frame = packed(0, [1, 2, 3, 4, -1, -2, -3, -4], 18)
    for channel in (1, 2, 3, 4):
        (block,) = brain(channel=str(channel)).feed(frame, 0)
        assert block.samples.tolist() == [channel * 64, -channel * 64]


@pytest.mark.parametrize(("before", "after", "missing"), [(99, 0, 0), (0, 1, 0), (98, 1, 4), (7, 7, 198), (3, 110, 12)])
def test_ganglion_missing_samples(before, after, missing):
    d = brain()
    d.feed(ganglion(before, 0, 0), 0)
    assert lost(d.feed(ganglion(after, 64, 64), 0)) == missing


# The numbers of openbci-archive/OpenBCI_NodeJS_Ganglion@605b59d:test/openBCIGanglionSample-test.js
POSITIVE_18 = bytes((0, 0, 0, 0, 32, 0, 40, 0, 4, 128, 0, 188, 0, 7, 0, 40, 192, 10))
NEGATIVE_18 = bytes((255, 255, 127, 255, 191, 255, 231, 255, 245, 0, 1, 79, 142, 48, 0, 31, 240, 1))
POSITIVE_19 = bytes((0, 0, 0, 0, 8, 0, 5, 0, 0, 72, 0, 9, 240, 1, 176, 0, 48, 0, 8))
NEGATIVE_19 = bytes((255, 255, 191, 255, 239, 255, 252, 255, 255, 88, 0, 11, 62, 56, 224, 0, 63, 240, 1))


@pytest.mark.parametrize(
    ("data", "bits", "want"),
    [
        (POSITIVE_18, 18, [0, 2, 10, 4, 131074, 245760, 114698, 49162]),
        (NEGATIVE_18, 18, [-3, -5, -7, -11, -262139, -198429, -262137, -4095]),
        (POSITIVE_19, 19, [0, 2, 10, 4, 262148, 507910, 393222, 8]),
        (NEGATIVE_19, 19, [-3, -5, -7, -11, -262139, -198429, -262137, -4095]),
    ],
)
def test_ganglion_published_vectors(data, bits, want):
    pairs = [unpack(b"\0" + data, bits, channel) for channel in range(4)]
    assert [difference(pair[sample], bits) for sample in (0, 1) for pair in pairs] == want


def raw(value):
    return b"\0" + value.to_bytes(3, "big", signed=True) * 4 + bytes(7)


def test_ganglion_firmware_2_adds_differences():
    d = brain(firmware="2")
    items = d.feed(raw(-5000), 0)
    items += d.feed(packed(1, [10, 0, 0, 0, -1, 0, 0, 0], 18), 0)
    items += d.feed(packed(102, [-3, 0, 0, 0, 2, 0, 0, 0], 19), 0)
    # The board sends the old value minus the new one, with the sign in the lowest bit.
    assert samples(items).tolist() == [-5000, -5010, -5009, -5006, -5008]
    assert lost(items) == 0


def test_ganglion_firmware_2_waits_for_a_whole_sample_after_a_loss():
    d = brain(firmware="2")
    delta = [2] * 8
    items = d.feed(packed(99, delta, 18), 0)
    assert items == []
    items = d.feed(raw(100), 0)
    for number in (1, 2, 4, 5):
        items += d.feed(packed(number, delta, 18), 0)
    assert samples(items).tolist() == [100, 98, 96, 94, 92]
    for number in range(6, 101):
        items += d.feed(packed(number, delta, 18), 0)
    items += d.feed(raw(7), 0)
    assert samples(items).tolist()[-1] == 7
    # Of a round of 201 samples five were decoded; the rest is missing, and nothing is counted twice.
    assert lost(items) == 201 - 5
    assert d.counters()["undecodable_samples"] == 2 + 2 * 97


def test_ganglion_reports_the_other_firmware():
    d = brain()
    items = [item for number in (98, 99, 100, 0) for item in d.feed(ganglion(number, 0, 0), 0)]
    (said,) = [item for item in items if isinstance(item, LinkEvent)]
    assert "firmware=2" in said.detail
    wide = brain()
    items = [i for frame in (packed(200, [0] * 8, 19), raw(7)) for i in wide.feed(frame, 0)]
    assert [i.data for i in items if isinstance(i, LinkEvent)] == [{"firmware": 2}]


def shipped_v3(rounds, first):
    """Firmware 3 as shipped: rounds of 201 samples, the first notification of which repeats the last sample."""
    bits, values = (18, []) if first == 0 else (19, [])
    frames, at = [], 0
    true = [(round(1000 * np.sin(k / 9.0)) + 5000) << (24 - bits) for k in range(201 * rounds)]
    for _ in range(rounds):
        for c in range(0, 201, 2):
            pair = [true[at - 1] if at else 77 << (24 - bits), true[at]] if c == 0 else true[at : at + 2]
            at += 1 if c == 0 else 2
            frames.append(packed(first + c // 2, [v >> (24 - bits) for v in pair for _ in range(4)], bits))
    return frames, [*values, *true]


@pytest.mark.parametrize("first", [0, 100])
def test_ganglion_firmware_3_as_shipped_is_read_whole(first):
    frames, true = shipped_v3(5, first)
    d = brain()
    items = [i for k, frame in enumerate(frames) for i in d.feed(frame, k * 10**7)]
    assert samples(items).tolist()[1:] == true
    assert lost(items) == 0
    assert not [i for i in items if isinstance(i, LinkEvent)]


@pytest.mark.parametrize("gone", [(5,), (100,), (101,), (202, 203), (150, 151, 152)])
def test_ganglion_firmware_3_as_shipped_counts_what_is_missing(gone):
    frames, true = shipped_v3(5, 100)
    d = brain()
    kept = [frame for k, frame in enumerate(frames) if k not in gone]
    items = [i for k, frame in enumerate(kept) for i in d.feed(frame, k * 10**7)]
    # Before the first id 200 shows the length of a round, its end counts one sample too few.
    assert abs(len(samples(items)) + lost(items) - 1 - len(true)) <= (1 if 100 in gone else 0)


def test_ganglion_firmware_2_that_was_asked_of_a_firmware_3_suggests_it():
    for first in (0, 100):
        d = brain(firmware="2")
        stream = [packed(first + k % 100, [9, 9, 9, 9, 8, 8, 8, 8 + k], 18 if first == 0 else 19) for k in range(400)]
        said = [i for k, f in enumerate(stream) for i in d.feed(f, k * 10**7) if isinstance(i, LinkEvent)]
        assert [i.data for i in said] == [{"firmware": 3}]


def test_ganglion_copies_and_late_notifications_are_dropped():
    frames = [ganglion(k % 100, 64 * k, 64 * k + 64) for k in range(300)]
    d = brain()
    items = [i for k, f in enumerate(frames) for _ in range(2) for i in d.feed(f, k * 10**7)]
    assert (len(samples(items)), lost(items), d.counters()["repeated_frames"]) == (600, 0, 300)
    d = brain()
    order = [*range(50), 51, 50, *range(52, 300)]
    items = [i for k, n in enumerate(order) for i in d.feed(frames[n], k * 10**7)]
    assert (len(samples(items)), lost(items), d.counters()["late_frames"]) == (598, 2, 1)


DAISY_TEXT = BOOT_TEXT.replace(b"LIS3DH", b"On Daisy ADS1299 Device ID: 0x3E\nLIS3DH")


def two_boards(n, rng=None):
    """Frames of a Cyton with a Daisy: values of channel 3 on the Cyton and of channel 11 on the Daisy."""
    rng = rng or np.random.default_rng(0)
    mine = np.rint(3000 * np.sin(np.arange(n) / 9.0) + 40_000 + rng.normal(0, 20, n)).astype(int)
    other = np.rint(2000 * np.sin(np.arange(n) / 5.0) - 90_000 + rng.normal(0, 20, n)).astype(int)
    frames = []
    for k in range(n):
        values = [int(mine[k]) if k % 2 else int(other[k])] * 8
        frames.append(cyton(k, values))
    return frames, mine[1::2], other[::2]


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_cyton_with_a_daisy_is_recognised_by_its_samples(size):
    frames, mine, _ = two_boards(600)
    d = board(channel="3")
    whole = b"".join(frames)
    step = 33 * size
    items = [i for at in range(0, len(whole), step) for i in d.feed(whole[at : at + step], at)]
    (said,) = [i for i in items if isinstance(i, LinkEvent)]
    assert "Daisy" in said.detail
    slow = [i for i in items if isinstance(i, SampleBlock) and i.fs_hz == 125.0]
    assert np.concatenate([b.samples for b in slow]).tolist() == mine[16:].tolist()
    assert lost(items) == 0


@pytest.mark.parametrize(("channel", "which"), [("3", 0), ("11", 1)])
def test_cyton_with_a_daisy_by_its_boot_text_or_option(channel, which):
    frames, *boards = two_boards(200)
    for options, text in (({}, DAISY_TEXT), ({"daisy": "yes"}, b"")):
        d = board(channel=channel, **options)
        d.link(link(LinkEventKind.CONNECTED))
        items = [i for at in range(0, len(text), 5) for i in d.feed(text[at : at + 5], 0)]
        if text:
            name = {"3": b"3", "11": b"E"}[channel]
            assert d.writes()[1].data[:2] == b"x" + name
        items += [i for f in frames for i in d.feed(f, 0)]
        assert samples(items).tolist() == boards[which].tolist()
        assert {i.fs_hz for i in items if isinstance(i, SampleBlock)} == {125.0}


def test_cyton_with_a_daisy_counts_missing_samples_of_its_board():
    frames, mine, _ = two_boards(200)
    d = board(channel="3", daisy="yes")
    kept = [f for k, f in enumerate(frames) if k not in {50, 60, 61, 71, 73}]
    items = [i for f in kept for i in d.feed(f, 0)]
    assert lost(items) == 3
    assert len(samples(items)) == len(mine) - 3


@pytest.mark.parametrize("hum_hz", [0.0, 50.0, 60.0, 100.0])
def test_cyton_without_a_daisy_is_not_taken_for_two_boards(hum_hz):
    rng = np.random.default_rng(1)
    t = np.arange(3000) / 250.0
    values = 40_000 + 4000 * np.sin(2 * np.pi * 1.3 * t) ** 21 + 20_000 * np.sin(2 * np.pi * hum_hz * t)
    values = np.rint(values[:, None] + rng.normal(0, 300, (3000, 8))).astype(int)
    d = board()
    items = [i for k in range(3000) for i in d.feed(cyton(k, values[k].tolist()), k)]
    assert {i.fs_hz for i in items} == {250.0}


def test_ganglion_text_impedance_and_other_notifications():
    d = brain()
    assert d.feed(b"\xce" + b"OpenBCI Gang", 0) == []
    (said,) = d.feed(b"\xcf" + b"lion v2.0.1\n", 0)
    assert said.data["text"] == "OpenBCI Ganglion v2.0.1"
    assert d.feed(b"\xc9" + b"12345Z", 0) == []
    assert events(d.feed(bytes(19), 0)) == [("corrupt", 19)]
    assert events(d.feed(b"", 0)) == [("corrupt", 0)]
    for _ in range(1000):
        d.feed(b"\xce" + b"A" * 19, 0)
    (said,) = d.feed(b"\xcf", 0)
    assert len(said.data["text"]) == 1000


def test_ganglion_starts_at_every_connection():
    d = brain()
    for _ in range(2):
        d.link(link(LinkEventKind.CONNECTED))
        assert d.writes() == [Write(b"b")]
        d.feed(ganglion(50, 0, 0), 0)
        d.link(link(LinkEventKind.DISCONNECTED))
    (block,) = d.feed(ganglion(0, 0, 0), 0)
    assert isinstance(block, SampleBlock)
    assert block.lost == 0


@pytest.mark.parametrize("options", [{"channel": "5"}, {"firmware": "1"}])
def test_ganglion_refuses_wrong_options(options):
    with pytest.raises(UsageError, match="one of"):
        brain(**options)
