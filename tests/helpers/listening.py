"""A source read in the background, signals that are remembered, and the comparison of both."""

import asyncio

import numpy as np

from edge.sources import open_source
from firmware_bridge.decoding.patch_profile import PROFILE as PATCH
from firmware_bridge.samples import LinkEvent, SampleBlock
from firmware_bridge.transports._link import Backoff
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from helpers.fake_bluez.devices import PatchOnAir

STRAP = "A0:9E:1A:00:00:01"
"""Bluetooth address of the strap."""
POLAR = f"ble:polar_h10/{STRAP}"
PATCH_URL = "ble:anyecg_patch/C0:FF:EE:00:00:01"


class Listener:
    """A source that is read in the background; keeps everything it delivered."""

    def __init__(self, url, scan_s=0.5):
        self.source = open_source(url)
        self.source._transport._backoff = Backoff("test", 0.01, 0.05)
        if url.startswith("ble:"):
            self.source._transport._scan_s = scan_s
        self.items = []
        self._changed = asyncio.Event()

    async def __aenter__(self):
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_error):
        self._task.cancel()
        await asyncio.wait({self._task})
        await self.source.close()

    async def _read(self):
        try:
            async for item in self.source.items():
                self.items.append(item)
                self._changed.set()
        finally:
            self._changed.set()

    async def until(self, condition, timeout_s=120.0):
        async with asyncio.timeout(timeout_s):
            while not condition(self):
                if self._task.done():
                    self._task.result()
                self._changed.clear()
                await self._changed.wait()

    @property
    def blocks(self):
        return [item for item in self.items if isinstance(item, SampleBlock)]

    @property
    def samples(self):
        blocks = self.blocks
        return np.concatenate([block.samples for block in blocks]) if blocks else np.empty(0, np.int32)

    @property
    def lost(self):
        return sum(block.lost for block in self.blocks)

    def events(self, kind):
        return [item for item in self.items if isinstance(item, LinkEvent) and item.kind == kind]

    def count(self, kind):
        return len(self.events(kind))

    def said(self, text):
        return [e for e in self.items if isinstance(e, LinkEvent) and text in e.detail]


def heart(seconds, fs_hz=130, seed=5):
    """Noise in microvolts: all samples differ, so that a missing, repeated or misplaced one is noticed."""
    return np.random.default_rng(seed).integers(-5000, 5000, int(seconds * fs_hz), dtype=np.int32)


def whole(samples, frame=73):
    """The samples that a strap sends: whole frames only."""
    return samples[: len(samples) // frame * frame]


class Known:
    """A signal that remembers its samples, in counts of 1 µV."""

    def __init__(self, seed=9):
        self._rng = np.random.default_rng(seed)
        self.parts = []

    def generate(self, count, fs_hz):
        self.parts.append(self._rng.integers(-20_000, 20_000, count))
        return self.parts[-1] / 1000.0

    @property
    def all(self):
        return np.concatenate(self.parts)


def exact(blocks, truth, start=0):
    """Check that every sample is where the lost counts place it; return how many are accounted for."""
    at = start
    for block in blocks:
        at += block.lost
        assert np.array_equal(block.samples, truth[at : at + len(block)]), at
        at += len(block)
    return at - start


def known_patch(**options):
    """A virtual patch and the signal that it measures."""
    signal = Known()
    return signal, VirtualPatch(signal, PatchConfig(**options), seed=3)


def patch_on_air(mtu=247, **options):
    """The same patch on Bluetooth."""
    signal, patch = known_patch(**options)
    return signal, PatchOnAir(patch, PATCH.ble, "C0:FF:EE:00:00:01", mtu)
