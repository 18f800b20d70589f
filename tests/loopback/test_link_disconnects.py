"""A thousand random disconnections: one session, every missing sample counted, no window across a gap, no leak."""

import asyncio
import gc
import os
import random
from pathlib import Path

import numpy as np
import pytest

from edge.frontend.stream import StreamFilter
from edge.grid.timeline import Gap, Timeline
from edge.sources import open_source
from edge.window import Window, Windower
from firmware_bridge.decoding.patch_profile import PROFILE
from firmware_bridge.samples import LinkEvent, SampleBlock
from firmware_bridge.transports._link import Backoff
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from helpers.fake_bluez import FakeBlueZ
from helpers.fake_bluez.devices import PatchOnAir
from helpers.listening import PATCH_URL
from helpers.patch_on_net import PatchOnNet

LONG_EVERY = 40
"""One connection of this many is long enough for whole windows."""


def counts(index):
    """The sample with that index: neighbours always differ, and nothing needs to be stored."""
    return (index * 2_654_435_761 >> 7) % 40_001 - 20_000


class Numbered:
    """A signal whose samples are computed from their index."""

    def __init__(self):
        self.made = 0

    def generate(self, count, _fs_hz):
        index = np.arange(self.made, self.made + count, dtype=np.int64)
        self.made += count
        return counts(index) / 1000.0


class Auditor:
    """Reads a source without storing its items: checks every sample and every window."""

    def __init__(self, url):
        self.source = open_source(url)
        transport = self.source._transport
        transport._backoff = Backoff("test", 0.0005, 0.001)
        if url.startswith("ble:"):
            transport._scan_s = 1.0
        self.at = self.lost = self.blocks = self.windows = self.gaps = 0
        self.seen = {}
        self._timeline, self._filter, self._windower = Timeline(250), StreamFilter(250), Windower(250)
        self._gap_ends = [0.0]
        self._changed = asyncio.Event()

    async def __aenter__(self):
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_error):
        self._task.cancel()
        await asyncio.wait({self._task})
        await self.source.close()

    async def until(self, condition):
        async with asyncio.timeout(120):
            while not condition(self):
                if self._task.done():
                    self._task.result()
                self._changed.clear()
                await self._changed.wait()

    async def _read(self):
        try:
            async for item in self.source.items():
                self._take(item)
                self._changed.set()
        finally:
            self._changed.set()

    def _take(self, item):
        if isinstance(item, LinkEvent):
            self.seen[item.kind] = self.seen.get(item.kind, 0) + 1
        elif isinstance(item, SampleBlock):
            self.at, self.lost, self.blocks = self.at + item.lost, self.lost + item.lost, self.blocks + 1
            assert np.array_equal(item.samples, counts(np.arange(self.at, self.at + len(item), dtype=np.int64))), (
                self.at
            )
            self.at += len(item)
        for part in self._timeline.push(item):
            if isinstance(part, Gap):
                self.gaps += 1
                self._gap_ends = [*self._gap_ends[-4:], part.end_s]
                self._windower.gap(part)
            else:
                self._uniform(part)

    def _uniform(self, part):
        if part.first:
            self._filter.reset()
            self._windower.begin(part.start_s, scale_known=True)
        self._windower.push_raw(part.samples)
        stream = self._filter.push(part.samples)
        while len(stream):
            cut = self._windower.cut()
            for window in self._windower.push(stream[:cut], []):
                if isinstance(window, Window):
                    self.windows += 1
                    assert window.start_s >= self._gap_ends[-1], "a window spans a gap"
            stream = stream[cut:]


def resident_kib():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def held():
    """Open descriptors, tasks and threads of this process."""
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()), len(os.listdir("/proc/self/task"))


async def torment(audit, patch, link, rounds, seed):
    """Break the link at random moments, mostly in the middle of a frame."""
    rng = random.Random(seed)
    before = None
    for round_ in range(rounds):
        await audit.until(lambda a, n=round_: a.seen.get("connected", 0) > n)
        await link.streaming()
        await link.run(20.0 if round_ % LONG_EVERY == 0 else rng.uniform(0.1, 1.0), cut=rng.choice((0, 1, 9, 30)))
        if round_ % 3:
            # Let everything on its way arrive: otherwise a break would always precede the last frame.
            await audit.until(lambda a: a.at >= patch._index - 40 or a.lost > a.at)
        await link.drop()
        away_s = rng.uniform(0.0, 3.0)
        link.now_s += away_s
        patch.advance(link.now_s)
        if round_ == rounds // 5:
            before = held(), resident_kib()
    await audit.until(lambda a: a.seen.get("connected", 0) > rounds)
    await link.streaming()
    await link.run(3.0)
    end = patch._index
    await audit.until(lambda a: a.at >= end)
    return end, before, (held(), resident_kib())


class OnAir(PatchOnAir):
    """A patch on Bluetooth with the same interface as one on the network."""

    async def streaming(self):
        async with asyncio.timeout(120):
            while not (self.peripheral.subscribed and self.patch._streaming):
                await self.run(0.1)
                await asyncio.sleep(0.001)

    async def run(self, seconds, cut=0):
        self.piece = 97
        await super().run(seconds)
        if cut:
            self.now_s += 0.1
            sent = b"".join(self.pieces(self.now_s))
            self.peripheral.notify(self.gatt.notify["data"], sent[:-cut] or b"\x01")

    async def drop(self):
        self.peripheral.drop()


def verdict(audit, patch, rounds, end, before, after):
    assert audit.at == end == patch._index
    assert audit.seen["connected"] == rounds + 1
    assert audit.seen["disconnected"] + audit.seen.get("stalled", 0) == rounds
    assert audit.seen["hello"] >= 1
    assert "restarted" not in audit.seen, "it is one session"
    assert audit.lost > rounds * 20
    assert audit.gaps >= rounds * 0.9
    assert audit.windows > rounds // LONG_EVERY * 5
    (files, tasks, threads), kib = before
    (files_after, tasks_after, threads_after), kib_after = after
    assert files_after <= files + 2
    assert tasks_after <= tasks + 2
    assert threads_after <= threads
    if rounds >= 1000:
        assert kib_after - kib < 3072, f"{kib_after - kib} KiB more after {rounds} connections"


@pytest.mark.parametrize("rounds", [50, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_random_disconnections_over_tcp(rounds):
    async def go():
        patch = VirtualPatch(Numbered(), PatchConfig(), seed=3)
        async with PatchOnNet(patch) as net, Auditor(f"tcp:127.0.0.1:{net.port}") as audit:
            return audit, patch, rounds, *await torment(audit, patch, net, rounds, 1)

    verdict(*asyncio.run(go()))


@pytest.mark.parametrize("rounds", [50, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_random_disconnections_over_bluetooth(bus, rounds):
    async def go():
        patch = VirtualPatch(Numbered(), PatchConfig(), seed=3)
        air = OnAir(patch, PROFILE.ble, "C0:FF:EE:00:00:01")
        async with FakeBlueZ(bus, air.peripheral) as bluez, Auditor(PATCH_URL) as audit:
            result = await torment(audit, patch, air, rounds, 2)
            bluez.calls.clear()
            return audit, patch, rounds, *result

    verdict(*asyncio.run(go()))
