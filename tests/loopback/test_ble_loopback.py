"""Bluetooth up to the radio: unmodified bleak, a real D-Bus, and a simulated BlueZ."""

import asyncio

import numpy as np
import pytest

from firmware_bridge.transports.ble import scan_ble
from firmware_bridge.virtual.movesense import VirtualMovesense
from firmware_bridge.virtual.polar import VirtualPolar
from helpers.fake_bluez import FakeBlueZ, Peripheral
from helpers.fake_bluez.devices import Strap
from helpers.listening import PATCH_URL, POLAR, STRAP, Listener, exact, heart, patch_on_air, whole


def test_a_scan_lists_the_devices(bus):
    async def go():
        far, near = Strap(VirtualPolar(), "A0:9E:1A:00:00:02"), Strap(VirtualPolar(), STRAP)
        far.peripheral.rssi = -90
        other = Peripheral("11:22:33:44:55:66", "lamp", {}, rssi=-70)
        _signal, patch = patch_on_air()
        patch.peripheral.name, patch.peripheral.rssi = "own name", -95
        async with FakeBlueZ(bus, far.peripheral, near.peripheral, other, patch.peripheral):
            return await scan_ble(0.3)

    heard = asyncio.run(go())
    assert [(one.address, one.rssi, one.device) for one in heard] == [
        (STRAP, -55, "polar_h10"),
        ("11:22:33:44:55:66", -70, None),
        ("A0:9E:1A:00:00:02", -90, "polar_h10"),
        ("C0:FF:EE:00:00:01", -95, "anyecg_patch"),
    ]
    assert [one.url for one in heard][:2] == [POLAR, None]


@pytest.mark.parametrize("url", [POLAR, "ble:polar_h10?name=polar h10 8aa87d20", "ble:polar_h10"])
def test_five_minutes_of_a_polar_are_exact(bus, url):
    sent = heart(300)

    async def go():
        strap = Strap(VirtualPolar(), STRAP)
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
    assert peripheral.writes[-1] == (ble.write["control"], bytes.fromhex("0300")), "the stop command was sent"
    assert not peripheral.connected, "the source was closed"


def test_lost_notifications_are_counted_exactly(bus):
    sent = heart(60)

    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        strap.held_back = {5, 17, 18, 40, 41, 42, 43}
        async with FakeBlueZ(bus, strap.peripheral), Listener(POLAR) as heard:
            await strap.streaming()
            await strap.play(sent)
            await heard.until(lambda h: len(h.samples) + h.lost >= len(whole(sent)))
            return heard

    heard = asyncio.run(go())
    assert heard.lost == 7 * 73
    assert exact(heard.blocks, sent) == len(whole(sent))
    assert heard.count("connected") == 1


def test_a_connection_that_ends_within_a_frame(bus):
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
                # One more slot, of which only the first pieces are sent.
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
        strap = Strap(VirtualPolar(mtu=23), STRAP)
        async with FakeBlueZ(bus, strap.peripheral), Listener(POLAR) as heard:
            await heard.until(lambda h: h.count("refused"))
            return heard

    heard = asyncio.run(polar())
    assert heard.said("agreed on an MTU of 23 bytes but needs 70")
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
    assert not heard.said("MTU"), "any packet size works for the kit's own protocol"


def test_the_adapter_goes_off_and_on(bus):
    sent = heart(60)

    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        async with FakeBlueZ(bus, strap.peripheral) as bluez, Listener(POLAR) as heard:
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
        strap = Strap(VirtualPolar(), STRAP)
        async with FakeBlueZ(bus, strap.peripheral) as bluez, Listener(POLAR) as heard:
            await strap.streaming()
            bluez.unplug()
            await heard.until(lambda h: h.said("no Bluetooth adapter"))
            bluez.plug()
            await heard.until(lambda h: h.count("connected") == 2)
            return heard

    assert asyncio.run(go()).count("disconnected") == 1


def test_a_strap_connected_to_a_phone_is_reported_once(bus):
    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        strap.peripheral.advertising = False
        async with FakeBlueZ(bus, strap.peripheral), Listener(POLAR, 0.1) as heard:
            await heard.until(lambda h: h.said("was not found"))
            assert heard.count("connected") == 0
            strap.peripheral.advertising = True
            await heard.until(lambda h: h.count("connected"))
            return heard

    said = asyncio.run(go()).said("was not found")
    assert len(said) == 1, "reported once, not at every attempt"
    assert "not connected to a phone, watch or other computer" in said[0].detail


def test_another_program_that_uses_its_data_is_reported(bus):
    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        strap.peripheral.notify_errors = [("org.bluez.Error.NotPermitted", "Notify acquired")] * 2
        async with FakeBlueZ(bus, strap.peripheral), Listener(POLAR) as heard:
            await heard.until(lambda h: h.count("connected"))
            return heard

    heard = asyncio.run(go())
    assert heard.said("another program on this computer uses the data")
    assert heard.count("disconnected") == 0


def test_a_connection_left_by_a_killed_program_is_reused(bus):
    sent = heart(10)

    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        async with FakeBlueZ(bus, strap.peripheral) as bluez:
            bluez.advertise(strap.peripheral)
            await bluez.connect(strap.peripheral)
            async with Listener(POLAR, 0.1) as heard:
                await strap.streaming()
                await strap.play(sent)
                await heard.until(lambda h: len(h.samples) >= len(whole(sent)))
            return heard

    heard = asyncio.run(go())
    assert np.array_equal(heard.samples, whole(sent))
    assert heard.said("it was already connected")


def test_bluetoothd_dies_and_comes_back(bus):
    sent = heart(60)

    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        bluez = FakeBlueZ(bus, strap.peripheral)
        await bluez.start()
        async with Listener(f"ble:polar_h10/{STRAP}?stall=0.5") as heard:
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
    assert heard.count("stalled") >= 1
    assert heard.count("connected") >= 2
    assert "systemctl enable --now bluetooth" in heard.said("BlueZ is not running")[0].detail


@pytest.mark.parametrize("rate", [128, 512])
def test_five_minutes_of_a_movesense_are_exact(bus, rate):
    sent = heart(300, rate)

    async def go():
        strap = Strap(VirtualMovesense(), STRAP)
        async with FakeBlueZ(bus, strap.peripheral), Listener(f"ble:movesense/{STRAP}?rate={rate}") as heard:
            await strap.streaming()
            await strap.play(sent)
            await heard.until(lambda h: len(h.samples) >= len(whole(sent, 16)))
            return heard

    heard = asyncio.run(go())
    assert np.array_equal(heard.samples, whole(sent, 16))
    assert heard.lost == 0
    assert heard.blocks[-1].fs_hz == rate
    assert heard.count("connected") == heard.count("hello") == 1


def test_a_movesense_that_is_lost_and_found(bus):
    sent = heart(60, 250)

    async def go():
        strap = Strap(VirtualMovesense(), STRAP)
        strap.held_back = {7, 8, 40}
        async with FakeBlueZ(bus, strap.peripheral), Listener("ble:movesense") as heard:
            await strap.streaming()
            await strap.play(sent[: 250 * 20])
            strap.peripheral.drop()
            list(strap.virtual.notifications(sent[250 * 20 : 250 * 24]))
            await strap.streaming()
            await strap.play(sent[250 * 24 :])
            await heard.until(lambda h: len(h.samples) + h.lost >= 59 * 250)
            return heard

    heard = asyncio.run(go())
    exact(heard.blocks, sent)
    assert 3 * 16 + 4 * 250 <= heard.lost <= 3 * 16 + 4 * 250 + 16
