"""Bluetooth for real up to the radio: unmodified bleak, a real D-Bus, and a BlueZ of our own behind it."""

import asyncio
import tempfile
from pathlib import Path

import numpy as np
import pytest
from fake_bluez import DBUS_DAEMON, FakeBlueZ, Peripheral, PrivateBus
from fake_bluez.devices import PatchOnAir, Strap

from edge.sources import open_source
from firmware_bridge.devices._patch_profile import PROFILE as PATCH
from firmware_bridge.samples import LinkEvent, SampleBlock
from firmware_bridge.transports._link import Backoff
from firmware_bridge.transports.ble import scan_ble
from firmware_bridge.virtual import PatchConfig, VirtualPatch
from firmware_bridge.virtual_polar import VirtualPolar

pytestmark = pytest.mark.skipif(DBUS_DAEMON is None, reason="no dbus-daemon here: apt-get install dbus")

ADDRESS = "A0:9E:1A:00:00:01"


@pytest.fixture(scope="module")
def bus():
    with tempfile.TemporaryDirectory() as folder:
        bus = PrivateBus(Path(folder))
        yield bus.address
        bus.stop()


@pytest.fixture(autouse=True)
def system_bus(bus, monkeypatch, tmp_path):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


class Listener:
    """A source that is read in the background, with everything it gave."""

    def __init__(self, url, scan_s=0.5):
        self.source = open_source(url)
        self.source._transport._backoff = Backoff("test", 0.01, 0.05)
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
        async for item in self.source.items():
            self.items.append(item)
            self._changed.set()

    async def until(self, condition, timeout_s=30.0):
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
    """Noise in microvolts: every sample differs, so that none can be missing, doubled or out of order unnoticed."""
    return np.random.default_rng(seed).integers(-5000, 5000, int(seconds * fs_hz), dtype=np.int32)


def whole(samples, frame=73):
    """What a strap sends of them: whole frames."""
    return samples[: len(samples) // frame * frame]


def test_a_scan_names_what_it_heard(bus):
    async def go():
        far, near = Strap(VirtualPolar(), "A0:9E:1A:00:00:02"), Strap(VirtualPolar(), ADDRESS)
        far.peripheral.rssi = -90
        other = Peripheral("11:22:33:44:55:66", "lamp", {}, rssi=-70)
        _signal, patch = patch_on_air()
        patch.peripheral.name, patch.peripheral.rssi = "own name", -95
        async with FakeBlueZ(bus, far.peripheral, near.peripheral, other, patch.peripheral):
            return await scan_ble(0.3)

    heard = asyncio.run(go())
    assert [(one.address, one.rssi, one.device) for one in heard] == [
        (ADDRESS, -55, "polar_h10"),
        ("11:22:33:44:55:66", -70, None),
        ("A0:9E:1A:00:00:02", -90, "polar_h10"),
        ("C0:FF:EE:00:00:01", -95, "anyecg_patch"),
    ]
    assert [one.url for one in heard][:2] == [f"ble:polar_h10/{ADDRESS}", None]


class Known:
    """A signal that is remembered, in counts of 1 µV."""

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
    """Every sample is where the lost counts say; returns how many are accounted for."""
    at = start
    for block in blocks:
        at += block.lost
        assert np.array_equal(block.samples, truth[at : at + len(block)]), at
        at += len(block)
    return at - start


def patch_on_air(mtu=247, **options):
    signal = Known()
    return signal, PatchOnAir(VirtualPatch(signal, PatchConfig(**options), seed=3), PATCH.ble, "C0:FF:EE:00:00:01", mtu)


PATCH_URL = "ble:anyecg_patch/C0:FF:EE:00:00:01"


@pytest.mark.parametrize("url", [f"ble:polar_h10/{ADDRESS}", "ble:polar_h10?name=polar h10 8aa87d20", "ble:polar_h10"])
def test_five_minutes_of_a_polar_to_the_last_sample(bus, url):
    sent = heart(300)

    async def go():
        strap = Strap(VirtualPolar(), ADDRESS)
        async with FakeBlueZ(bus, strap.peripheral) as bluez, Listener(url) as heard:
            await strap.streaming()
            await strap.play(sent)
            await heard.until(lambda h: len(h.samples) >= len(whole(sent)))
            return heard, bluez, strap.peripheral

    heard, bluez, peripheral = asyncio.run(go())
    assert np.array_equal(heard.samples, whole(sent))
    assert heard.lost == 0
    assert heard.count("connected") == heard.count("hello") == 1
    assert heard.events("connected")[0].data["mtu"] == 232
    assert "AcquireNotify" not in {member for _path, member in bluez.calls}
    ble = VirtualPolar().gatt
    assert peripheral.subscriptions == list(ble.notify.values())
    assert not peripheral.connected, "the source was closed"


def test_lost_notifications_are_counted_exactly(bus):
    sent = heart(60)

    async def go():
        strap = Strap(VirtualPolar(), ADDRESS)
        strap.held_back = {5, 17, 18, 40, 41, 42, 43}
        async with FakeBlueZ(bus, strap.peripheral), Listener(f"ble:polar_h10/{ADDRESS}") as heard:
            await strap.streaming()
            await strap.play(sent)
            await heard.until(lambda h: len(h.samples) + h.lost >= len(whole(sent)))
            return heard

    heard = asyncio.run(go())
    assert heard.lost == 7 * 73
    assert exact(heard.blocks, sent) == len(whole(sent))
    assert heard.count("connected") == 1


def test_a_connection_that_ends_in_mid_frame(bus):
    async def go():
        signal, air = patch_on_air()
        async with FakeBlueZ(bus, air.peripheral), Listener(PATCH_URL) as heard:
            air.piece = 19
            for round_ in range(4):
                await heard.until(lambda h, n=round_: h.count("connected") == n + 1)
                while not air.patch._streaming:
                    await air.run(0.5)
                    await asyncio.sleep(0.01)
                await air.run(10.0)
                # One more slot of which only the first pieces leave.
                air.now_s += 0.1
                for piece in list(air.pieces(air.now_s))[:2]:
                    air.peripheral.notify(air.gatt.notify["data"], piece)
                air.peripheral.drop()
                air.patch.advance(air.now_s + 3.0)
                air.now_s += 3.0
            await heard.until(lambda h: h.count("connected") == 5)
            await air.run(2.0)
            await asyncio.sleep(0.05)
            await air.run(5.0)
            end = air.patch._index
            await heard.until(lambda h: sum(len(b) + b.lost for b in h.blocks) >= end)
            return heard, signal.all, end

    heard, truth, end = asyncio.run(go())
    assert exact(heard.blocks, truth) == end
    assert heard.count("disconnected") == 4
    assert heard.lost > 4 * 25
    assert [e.data["fault"] for e in heard.events("corrupt")] == ["cut"] * 4 or heard.count("corrupt") == 4


def test_a_packet_size_of_23_bytes(bus):
    async def polar():
        strap = Strap(VirtualPolar(mtu=23), ADDRESS)
        async with FakeBlueZ(bus, strap.peripheral), Listener(f"ble:polar_h10/{ADDRESS}") as heard:
            await heard.until(lambda h: h.count("refused"))
            return heard

    heard = asyncio.run(polar())
    assert heard.said("agreed on 23 bytes a packet (MTU), it needs 70")
    assert "MTU" in heard.events("refused")[0].detail

    async def patch():
        signal, air = patch_on_air(mtu=23, ring_s=60.0)
        async with FakeBlueZ(bus, air.peripheral), Listener(PATCH_URL) as heard:
            while not air.patch._streaming:
                await air.run(0.2)
                await asyncio.sleep(0.01)
            await air.run(60.0)
            await heard.until(lambda h: len(h.samples) >= air.patch._index)
            assert max(len(data) for _uuid, data in air.peripheral.writes) <= 20
            return heard, signal.all

    heard, truth = asyncio.run(patch())
    assert np.array_equal(heard.samples, truth[: len(heard.samples)])
    assert heard.lost == 0
    assert not heard.said("MTU"), "any packet size serves the kit's own protocol"


def test_the_adapter_goes_off_and_on(bus):
    sent = heart(60)

    async def go():
        strap = Strap(VirtualPolar(), ADDRESS)
        async with FakeBlueZ(bus, strap.peripheral) as bluez, Listener(f"ble:polar_h10/{ADDRESS}") as heard:
            await strap.streaming()
            await strap.play(sent[: 30 * 130])
            bluez.power(False)
            await heard.until(lambda h: h.said("the Bluetooth adapter is off"))
            list(strap.virtual.notifications(sent[30 * 130 : 40 * 130]))
            bluez.power(True)
            await strap.streaming()
            await strap.play(sent[40 * 130 :])
            await heard.until(lambda h: h.count("connected") == 2 and len(h.samples) + h.lost >= 59 * 130)
            return heard

    heard = asyncio.run(go())
    exact(heard.blocks, sent)
    assert 10 * 130 <= heard.lost <= 10 * 130 + 73
    assert "rfkill unblock bluetooth" in heard.said("the Bluetooth adapter is off")[0].detail


def test_the_adapter_is_unplugged_and_plugged(bus):
    async def go():
        strap = Strap(VirtualPolar(), ADDRESS)
        async with FakeBlueZ(bus, strap.peripheral) as bluez, Listener(f"ble:polar_h10/{ADDRESS}") as heard:
            await strap.streaming()
            bluez.unplug()
            await heard.until(lambda h: h.said("no Bluetooth adapter"))
            bluez.plug()
            await heard.until(lambda h: h.count("connected") == 2)
            return heard

    assert asyncio.run(go()).count("disconnected") == 1


def test_a_phone_holds_the_strap(bus):
    async def go():
        strap = Strap(VirtualPolar(), ADDRESS)
        strap.peripheral.advertising = False
        async with FakeBlueZ(bus, strap.peripheral), Listener(f"ble:polar_h10/{ADDRESS}", 0.1) as heard:
            await heard.until(lambda h: h.said("was not found"))
            assert heard.count("connected") == 0
            strap.peripheral.advertising = True
            await heard.until(lambda h: h.count("connected"))
            return heard

    said = asyncio.run(go()).said("was not found")
    assert len(said) == 1, "said once, not at every attempt"
    assert "while a phone, watch or other computer holds it" in said[0].detail


def test_another_program_holds_its_data(bus):
    async def go():
        strap = Strap(VirtualPolar(), ADDRESS)
        strap.peripheral.notify_errors = [("org.bluez.Error.NotPermitted", "Notify acquired")] * 2
        async with FakeBlueZ(bus, strap.peripheral), Listener(f"ble:polar_h10/{ADDRESS}") as heard:
            await heard.until(lambda h: h.count("connected"))
            return heard

    heard = asyncio.run(go())
    assert heard.said("another program on this computer holds the data")
    assert heard.count("disconnected") == 0


def test_a_connection_left_over_by_a_killed_program_is_taken(bus):
    sent = heart(10)

    async def go():
        strap = Strap(VirtualPolar(), ADDRESS)
        async with FakeBlueZ(bus, strap.peripheral) as bluez:
            bluez.advertise(strap.peripheral)
            await bluez.connect(strap.peripheral)
            async with Listener(f"ble:polar_h10/{ADDRESS}", 0.1) as heard:
                await strap.streaming()
                await strap.play(sent)
                await heard.until(lambda h: len(h.samples) >= len(whole(sent)))
            return heard

    heard = asyncio.run(go())
    assert np.array_equal(heard.samples, whole(sent))
    assert heard.said("it was connected already")


def test_bluetoothd_dies_and_comes_back(bus):
    sent = heart(60)

    async def go():
        strap = Strap(VirtualPolar(), ADDRESS)
        bluez = FakeBlueZ(bus, strap.peripheral)
        await bluez.start()
        async with Listener(f"ble:polar_h10/{ADDRESS}?stall=0.5") as heard:
            await strap.streaming()
            await strap.play(sent[: 20 * 130])
            await bluez.die()
            await heard.until(lambda h: h.said("BlueZ is not running"))
            list(strap.virtual.notifications(sent[20 * 130 : 30 * 130]))
            await bluez.start()
            await strap.streaming()
            await strap.play(sent[30 * 130 :])
            await heard.until(lambda h: len(h.samples) + h.lost >= 59 * 130)
        await bluez.die()
        return heard

    heard = asyncio.run(go())
    exact(heard.blocks, sent)
    assert heard.count("stalled") == 1
    assert heard.count("connected") == 2
    assert "systemctl enable --now bluetooth" in heard.said("BlueZ is not running")[0].detail
