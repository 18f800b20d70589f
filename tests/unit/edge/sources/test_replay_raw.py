"""Raw recordings: a replay gives the same items as the live decoder, even if the end of the file is damaged."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from edge.sources import open_source
from edge.sources.replay import blocks as replay_blocks
from firmware_bridge import devices
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.items import RawChunk
from firmware_bridge.rawlog import RawLogHeader, RawLogWriter
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.wire.messages import Data, Header, Hello, encode


def chunks():
    """Bytes of a connection: the description, then ten frames of 50 samples without the fifth, in uneven chunks."""
    stream = encode(Hello(1, 32768, 250, nv_num=5000, sample_bits=16))
    for i in range(10):
        data = encode(Data(50 * i, 1, np.arange(50 * i, 50 * i + 50, dtype=np.int32)), Header(seq=i + 1, tick=i * 6554))
        stream += b"" if i == 4 else data
    yield LinkEvent(LinkEventKind.CONNECTED, 1_000, "open")
    for n, at in enumerate(range(0, len(stream), 37)):
        yield RawChunk(2_000 + n * 1_000_000, "data", stream[at : at + 37])


def record(path, device="anyecg_patch"):
    writer = RawLogWriter(path, RawLogHeader(device, "serial:/dev/x", "s1", 1_700_000_000_000_000_000, 0))
    for item in chunks():
        writer.item(item)
    writer.close()
    return path


def replay(path, query="speed=max"):
    async def collect():
        return [item async for item in open_source(f"replay:{path}?{query}").items()]

    return asyncio.run(collect())


class SleptClock:
    """A clock that advances only with sleep."""

    def __init__(self):
        self.now_s = 0.0

    def monotonic(self):
        return self.now_s

    async def sleep(self, seconds):
        self.now_s += seconds


def plain(items):
    return [
        (i.samples.tobytes(), i.arrival_ns, i.device_time_ns, i.lost, i.lsb_mv)
        if isinstance(i, SampleBlock)
        else (i.kind, i.arrival_ns)
        for i in items
    ]


def test_a_replay_gives_what_the_decoder_gave(tmp_path):
    decoder = devices.get("anyecg_patch").decoder()
    first = [out for item in chunks() for out in devices.decode_item(decoder, item)]
    items = replay(record(tmp_path / "raw.aer"))
    assert plain(items[: len(first)]) == plain(first)
    assert items[-1].kind is LinkEventKind.END
    found = [i for i in items if isinstance(i, SampleBlock)]
    assert sum(b.lost for b in found) == 50
    assert sum(len(b) for b in found) == 450


def test_the_content_selects_the_reader(tmp_path):
    path = record(tmp_path / "raw.aer").rename(tmp_path / "renamed.csv")
    info = open_source(f"replay:{path}").info
    assert (info.session, info.device, info.live) == ("s1", "anyecg_patch", False)
    assert replay(path)[-1].kind is LinkEventKind.END


def test_a_recording_truncated_anywhere_is_read_to_its_end(tmp_path):
    path = record(tmp_path / "raw.aer")
    whole = path.read_bytes()
    before = -1
    for cut in range(len(whole) - 900, len(whole), 113):
        path.write_bytes(whole[:cut])
        items = replay(path)
        samples = sum(len(i) for i in items if isinstance(i, SampleBlock))
        assert before <= samples <= 450
        before = samples
        assert items[-1].kind is LinkEventKind.END


def test_bad_raw_recordings(tmp_path):
    path = record(tmp_path / "raw.aer")
    whole = path.read_bytes()
    for bad in (b"", whole[:20], b"AECGRAW9" + whole[8:], b"x" * 100, whole[:30] + b"!" + whole[31:]):
        path.write_bytes(bad)
        with pytest.raises(InputError):
            replay(path)
    with pytest.raises(InputError, match="unknown device"):
        replay(record(tmp_path / "other.aer", device="nonesuch"))
    with pytest.raises(InputError):
        replay(tmp_path / "no.aer")
    path.write_bytes(whole)
    with pytest.raises(UsageError, match="known keys"):
        replay(path, "fs=250")


def test_speed_changes_only_the_pace(tmp_path, monkeypatch):
    path = tmp_path / "e.csv"
    path.write_text("1\n" * 100)
    for speed, took_s in (("1", 0.4), ("4", 0.1), ("max", 0.0)):
        clock = SleptClock()
        monkeypatch.setattr(replay_blocks, "time", clock)
        monkeypatch.setattr(replay_blocks, "asyncio", clock)
        items = replay(path, f"fs=250&speed={speed}&block_s=0.1")
        assert clock.monotonic() == pytest.approx(took_s)
        assert [i.arrival_ns for i in items] == [0, 100_000_000, 200_000_000, 300_000_000, 400_000_000, 400_000_000]
    assert not open_source(f"replay:{path}?fs=250").info.host_clock


def test_a_raw_recording_keeps_its_times(tmp_path):
    info = open_source(f"replay:{record(tmp_path / 'raw.aer')}").info
    assert not info.host_clock
    assert (info.arrival_timed, info.start_host_ns, info.start_unix_ns) == (True, 0, 1_700_000_000_000_000_000)


def damaged(path, byte):
    whole = bytearray(path.read_bytes())
    whole[byte] ^= 0x10
    path.write_bytes(whole)
    return path


def test_damage_is_told_with_the_samples_that_it_cost(tmp_path):
    path = record(tmp_path / "raw.aer")
    whole = replay(path)
    assert not [i for i in whole if isinstance(i, LinkEvent) and "decided" in i.data]
    size = len(path.read_bytes())
    planted = sum(len(i) for i in whole if isinstance(i, SampleBlock))
    seen = set()
    for byte in range(size // 3, size * 2 // 3, 41):
        items = replay(damaged(record(tmp_path / f"{byte}.aer"), byte))
        (told,) = [i for i in items if isinstance(i, LinkEvent) and "decided" in i.data]
        damage = told.data["decided"]["damage"]
        got = sum(len(i) for i in items if isinstance(i, SampleBlock))
        lost = sum(i.lost for i in items if isinstance(i, SampleBlock))
        assert got + lost == 500
        # One frame was missing before; if the damage touches its neighbour, both are missing in one place.
        assert damage["samples"] in {planted - got, planted - got + 50}
        assert damage["bytes"] > 0
        assert f"{damage['samples']} samples are lost by this" in told.detail
        seen.add(damage["samples"])
    assert len(seen) > 1


def test_the_damage_is_on_stderr_in_the_summary_and_in_the_session(tmp_path, capsys):
    from edge.cli.main import main

    path = record(tmp_path / "raw.aer")
    damaged(path, len(path.read_bytes()) // 2)
    folder = tmp_path / "session"
    assert main(["run", "--source", f"replay:{path}?speed=max", "--session-dir", str(folder), "--view", "none"]) == 0
    out, err = capsys.readouterr()
    about = json.loads((folder / "session.json").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    damage = about["decided"]["damage"]
    assert damage["samples"] in {50, 100}
    assert summary["thrown_away"]["recording_samples"] == damage["samples"]
    assert summary["thrown_away"]["recording_bytes"] == damage["bytes"] > 0
    assert summary["lost_samples"] >= damage["samples"]
    assert f"{damage['samples']} samples are lost by this" in err
    assert f"{damage['samples']} samples lost by them" in out
