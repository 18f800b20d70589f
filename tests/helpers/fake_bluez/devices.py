"""The project's virtual devices as peripherals of the fake BlueZ."""

import asyncio

from helpers.fake_bluez.peripheral import Char, Peripheral

BURST = 32
"""Notifications between two waits for the daemon."""


def peripheral(address, name, gatt, mtu, **hooks):
    """Create a peripheral with all characteristics of a ``BleProfile``."""
    flags = {}
    for uuid in gatt.notify.values():
        flags.setdefault(uuid, []).append("notify")
    for uuid in gatt.write.values():
        flags.setdefault(uuid, []).extend(["write", "write-without-response"])
    chars = [Char(uuid, tuple(names)) for uuid, names in flags.items()]
    return Peripheral(address, name, {gatt.service: chars}, advertised=gatt.advertised, mtu=mtu, **hooks)


class Strap:
    """A virtual device that sends whole notifications (Polar, Movesense)."""

    def __init__(self, virtual, address):
        self.virtual = virtual
        self.held_back = set()
        """Numbers of data notifications that are lost on the air."""
        self.made = self.samples_lost = 0
        self.delivered = []
        self.peripheral = peripheral(
            address,
            virtual.name,
            virtual.gatt,
            virtual.mtu,
            on_write=self._write,
            on_disconnected=virtual.disconnect,
        )
        self._channels = {uuid: name for name, uuid in virtual.gatt.write.items()}

    def _write(self, uuid, data):
        self.send(self.virtual.write(self._channels[uuid], data))

    def send(self, notifications):
        for channel, data in notifications:
            self.peripheral.notify(self.virtual.gatt.notify[channel], data)

    async def streaming(self, timeout_s=120.0):
        """Wait until a client has started the stream."""
        async with asyncio.timeout(timeout_s):
            while not getattr(self.virtual, "streaming", getattr(self.virtual, "rate_hz", None)):
                await asyncio.sleep(0.005)

    async def play(self, samples):
        """Measure samples, send full notifications and record what was sent."""
        for channel, data in self.virtual.notifications(samples):
            self.made += 1
            if self.made - 1 in self.held_back:
                continue
            self.peripheral.notify(self.virtual.gatt.notify[channel], data)
            if self.made % BURST == 0:
                await self.peripheral.bluez.settle()
        await self.peripheral.bluez.settle()


class PatchOnAir:
    """The kit's own virtual patch behind its GATT service; its bytes are split into pieces of ``piece`` bytes."""

    def __init__(self, patch, gatt, address, mtu=247, piece=None):
        self.patch, self.gatt = patch, gatt
        self.piece = piece or mtu - 3
        self.now_s = 0.0
        self.peripheral = peripheral(
            address,
            "AnyECG patch",
            gatt,
            mtu,
            on_write=lambda _uuid, data: patch.receive(data),
            on_disconnected=patch.link_lost,
        )

    def pieces(self, until_s):
        """Return what leaves the patch until then, split."""
        for emission in self.patch.advance(until_s):
            for at in range(0, len(emission.data), self.piece):
                yield emission.data[at : at + self.piece]

    async def run(self, seconds, step_s=0.1):
        """Let that many seconds pass, as fast as the bus allows."""
        end_s = self.now_s + seconds
        while self.now_s < end_s and not self.patch.finished:
            self.now_s += step_s
            for piece in self.pieces(self.now_s):
                self.peripheral.notify(self.gatt.notify["data"], piece)
            await self.peripheral.bluez.settle()
