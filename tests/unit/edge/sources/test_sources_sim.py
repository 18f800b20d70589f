"""``sim:`` and the source URLs: bit-identical runs, exact counters, clear errors."""

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.sources import SCHEMES, SourceUrl, open_source, sim
from firmware_bridge.devices import decode_item
from firmware_bridge.devices.anyecg_patch import PatchDecoder
from firmware_bridge.errors import UsageError
from firmware_bridge.rawlog import RawLogReader
from firmware_bridge.samples import LinkEvent, SampleBlock

ROOT = Path(__file__).resolve().parents[4]


def take(url):
    async def scenario():
        source = open_source(url)
        items = [item async for item in source.items()]
        await source.close()
        return source, items

    return asyncio.run(scenario())


def simple(item):
    if isinstance(item, SampleBlock):
        return (item.samples.tobytes(), item.arrival_ns, item.device_time_ns, item.seq, item.lost, item.lead_off)
    return (item.kind, item.arrival_ns, item.detail, dict(item.data))


def test_one_minute_at_full_speed():
    source, items = take("sim:?seconds=60&speed=max&hr=72")
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    samples = np.concatenate([block.samples for block in blocks])
    assert len(samples) == pytest.approx(60 * 250, abs=100)
    assert {block.fs_hz for block in blocks} == {250.0}
    assert [block.lsb_mv for block in blocks] == pytest.approx([1e-3] * len(blocks))
    assert 0.5 < np.ptp(samples) * 1e-3 < 5
    assert str(items[-1].kind) == "end"
    assert source.info.fs_hz == 250.0
    assert not source.info.host_clock
    assert source.counters()["samples"] == len(samples)


def test_the_same_url_gives_a_bit_identical_run():
    url = "sim:?seconds=30&speed=max&seed=9&faults=drop=0.1;corrupt=0.1;unplug@5:2;restart@12"
    _source, first = take(url)
    _source, second = take(url)
    assert [simple(item) for item in first] == [simple(item) for item in second]
    _source, other = take(url.replace("seed=9", "seed=8"))
    assert [simple(item) for item in first] != [simple(item) for item in other]


def test_faults_are_counted():
    source, items = take("sim:?seconds=90&speed=max&faults=drop=0.1;unplug@20:5;restart@50;leadoff@70:3;late=0.05")
    truth = source.patch.account()
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    assert sum(block.lost for block in blocks) == truth["lost_samples"]
    assert sum(len(block) for block in blocks) == truth["delivered_samples"]


def test_recording_a_simulation_and_replaying_it(tmp_path):
    path = tmp_path / "s.aer"
    source, items = take(f"record:{path},sim:?seconds=20&speed=max&faults=drop=0.1;unplug@5:2;corrupt=0.1")
    reader, decoder = RawLogReader(path), PatchDecoder()
    again = [one for item in reader.items() for one in decode_item(decoder, item)]
    assert [simple(item) for item in again] == [simple(item) for item in items]
    assert reader.header.device == source.info.device == "anyecg_patch"
    assert reader.header.session == source.info.session
    assert not reader.header.host_clock


class SleptClock:
    """A clock that advances only with sleep."""

    def __init__(self):
        self.now_s = 0.0

    def monotonic_ns(self):
        return round(self.now_s * 1e9)

    async def sleep(self, seconds):
        self.now_s += seconds


def test_paced_runs_take_their_time(monkeypatch):
    clock = SleptClock()
    monkeypatch.setattr(sim, "time", clock)
    monkeypatch.setattr(sim, "asyncio", clock)
    _source, items = take("sim:?seconds=20&speed=20&noise=0")
    assert 1.0 <= clock.now_s <= 1.0 + 2 * sim.STEP_S
    assert sum(len(item) for item in items if isinstance(item, SampleBlock)) > 4500


def test_parameters_reach_the_patient():
    def peak(url):
        _source, items = take(url)
        return max(np.max(item.samples) for item in items if isinstance(item, SampleBlock))

    assert peak("sim:?seconds=10&speed=max&noise=0&r_mv=2") > 1.5 * peak("sim:?seconds=10&speed=max&noise=0&r_mv=1")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sim:?hr=fast", "is not a number"),
        ("sim:?hr=nan", "is not a number"),
        ("sim:?hr=999", "outside"),
        ("sim:?potassium=99", "potassium"),
        ("sim:?toast=1", "unknown parameter"),
        ("sim:?fs=1", "outside"),
        ("sim:?bits=17", "neither 16 nor 24"),
        ("sim:?seed=1.5", "whole number"),
        ("sim:?faults=toast@1:2", "unknown fault"),
        ("sim:?speed=fast", "is not a number"),
        ("sim:?hr=70&hr=80", "has the key 'hr' twice"),
        ("sim:file", "takes no path"),
        ("simulate:", "known schemes"),
        ("a.csv", "replay:a.csv"),
        ("", "known schemes"),
        ("sim:" + "x" * 5000, "longer than"),
    ],
)
def test_wrong_urls(url, words):
    with pytest.raises(UsageError, match=words):
        open_source(url)


def test_url_parts():
    url = SourceUrl.parse("replay:/a/100%25.csv?lead=MLII&speed=MAX&x=a%26b&flag&no=0")
    assert (url.scheme, url.path, url.rest[:3]) == ("replay", "/a/100%25.csv", "/a/")
    assert url.params == {"lead": "MLII", "speed": "MAX", "x": "a&b", "flag": "1", "no": "0"}
    assert url.speed(1.0) == float("inf")
    assert url.flag("flag", default=False)
    assert not url.flag("no", default=True)
    assert url.flag("absent", default=True)
    with pytest.raises(UsageError, match="neither 1 nor 0"):
        url.flag("lead", default=True)
    with pytest.raises(UsageError, match="does not know 'flag'"):
        url.only("lead", "speed", "x")


def test_schemes_load_nothing_until_they_are_used():
    code = (
        "import sys, edge.sources, firmware_bridge.devices, firmware_bridge.transports\n"
        "bad = {'serial', 'bleak', 'scipy', 'tensorflow', 'asyncio'} & set(sys.modules)\n"
        "assert not bad, bad\n"
        "from firmware_bridge.devices import anyecg_patch\n"
        "assert 'asyncio' not in sys.modules and 'serial' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert set(SCHEMES) >= {"serial", "sim", "record", "replay"}


def test_closing_early_is_clean():
    async def scenario():
        source = open_source("sim:?speed=5")
        async for item in source.items():
            if not isinstance(item, LinkEvent):
                break
        await source.close()
        await source.close()

    asyncio.run(scenario())
