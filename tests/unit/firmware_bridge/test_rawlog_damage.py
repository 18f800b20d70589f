"""A damaged record costs that record, whatever the device: no wrong sample, and what is missing is counted."""

import random
from itertools import pairwise

import numpy as np
import pytest

from firmware_bridge import devices
from firmware_bridge.items import RawChunk
from firmware_bridge.rawlog import RawLogHeader, RawLogReader, RawLogWriter
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.wire.messages import Data, Header, Hello, encode
from helpers.device_streams import MAKERS

SAMPLES = 640


def decoded(path):
    reader = RawLogReader(path)
    decoder = devices.get(reader.header.device).decoder()
    blocks = []
    for item in reader.items():
        blocks += [i for i in devices.decode_item(decoder, item) if isinstance(i, SampleBlock)]
    blocks += [i for i in decoder.link(LinkEvent(LinkEventKind.END, 0)) if isinstance(i, SampleBlock)]
    return blocks, reader


@pytest.fixture(params=MAKERS)
def recording(request, tmp_path):
    """A recording of a ramp, in which every sample tells its place: the path, and the ends of its records."""
    name = request.param
    fs_hz, _scale, make = MAKERS[name]
    # Ganglion sends steps of 32 counts, BITalino ten bits; text has three digits, so that its length tells the loss.
    step, low = {"openbci_ganglion": (64, 0), "ad8232_text": (1, -200)}.get(name, (1, -SAMPLES // 2))
    frames = make((np.arange(SAMPLES) + low) * step)
    r = random.Random(1)
    path = tmp_path / "raw.aer"
    writer = RawLogWriter(path, RawLogHeader(name, "test", "s", 1_700_000_000_000_000_000, 0))
    ends = [path.stat().st_size]
    if devices.get(name).profile.ble and name != "healthypi5":
        pieces = frames
    else:
        stream, pieces = b"".join(frames), []
        while stream:
            size = r.choice((60, 100, 200))
            pieces.append(stream[:size])
            stream = stream[size:]
    for k, piece in enumerate(pieces):
        writer.item(RawChunk(round((k + 1) / len(pieces) * SAMPLES / fs_hz * 1e9), "data", piece))
        ends.append(path.stat().st_size)
    writer.close()
    return path, ends


def places(blocks):
    """Return the place of each sample by counting, and by its value."""
    at, counted = 0, []
    for block in blocks:
        at += block.lost
        counted.append(at + np.arange(len(block)))
        at += len(block)
    values = np.concatenate([b.samples for b in blocks]).astype(np.int64)
    return np.concatenate(counted), values


def test_a_flip_costs_its_record_and_is_counted(recording):
    path, ends = recording
    blocks, _reader = decoded(path)
    _counted, whole = places(blocks)
    assert len(whole) >= SAMPLES - 8
    place = {int(v): k for k, v in enumerate(whole)}
    data = path.read_bytes()
    r = random.Random(2)
    for start, end in list(pairwise(ends))[1:-1]:
        at = r.randrange(start, end)
        path.write_bytes(data[:at] + bytes((data[at] ^ 1 << r.randrange(8),)) + data[at + 1 :])
        blocks, reader = decoded(path)
        counted, values = places(blocks)
        assert reader.damage
        assert [place[int(v)] for v in values] == counted.tolist()
        assert len(values) < len(whole)


@pytest.mark.parametrize("step", [997, pytest.param(13, marks=pytest.mark.slow)])
def test_a_minute_of_the_patch_of_the_kit(tmp_path, step):
    """A flip at many bytes: what came before the first description is held, so even that record may be lost."""
    boot, each = 0x1234_5678, 25
    path = tmp_path / "raw.aer"
    writer = RawLogWriter(path, RawLogHeader("anyecg_patch", "test", "s", 1_700_000_000_000_000_000, 0))
    total = 60 * 250
    ends = [path.stat().st_size]
    for index in range(0, total, each):
        frame = b""
        if index % 2500 == 0:
            frame = encode(Hello(boot, tick_hz=25_000, fs_num=250, nv_num=1000))
        frame += encode(
            Data(index, boot & 0xFF, np.arange(index, index + each, dtype=np.int32)), Header(tick=index * 100)
        )
        writer.item(RawChunk((index + each) * 4_000_000, "data", frame))
        ends.append(path.stat().st_size)
    writer.close()
    data = path.read_bytes()
    r = random.Random(3)
    for at in range(ends[0], ends[-1], step):
        path.write_bytes(data[:at] + bytes((data[at] ^ 1 << r.randrange(8),)) + data[at + 1 :])
        blocks, _reader = decoded(path)
        counted, values = places(blocks)
        # Nothing tells what came before the first frame and after the last one.
        assert values.tolist() == (counted + (each if at < ends[1] else 0)).tolist()
        assert len(values) == total - each
