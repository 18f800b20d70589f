"""Bluetooth for real up to the radio: unmodified bleak, a real D-Bus, and a BlueZ of our own behind it."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from fake_bluez import DBUS_DAEMON, Char, FakeBlueZ, Peripheral, PrivateBus

from firmware_bridge.transports.ble import scan_ble

pytestmark = pytest.mark.skipif(DBUS_DAEMON is None, reason="no dbus-daemon here: apt-get install dbus")


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


def polar(address="A0:9E:1A:00:00:01", name="Polar H10 12345678"):
    return Peripheral(
        address,
        name,
        {
            "fb005c80-02e7-f387-1cad-8acd2d8df0c8": [
                Char("fb005c81-02e7-f387-1cad-8acd2d8df0c8", ("read", "write", "indicate")),
                Char("fb005c82-02e7-f387-1cad-8acd2d8df0c8", ("notify",)),
            ]
        },
    )


def test_a_scan_names_what_it_heard(bus):
    async def go():
        far = polar("A0:9E:1A:00:00:02", "Polar H10 99999999")
        far.rssi = -90
        other = Peripheral("11:22:33:44:55:66", "lamp", {}, rssi=-70)
        async with FakeBlueZ(bus, far, polar(), other):
            return await scan_ble(0.3)

    heard = asyncio.run(go())
    assert [(one.name, one.rssi, one.device) for one in heard][0::2] == [
        ("Polar H10 12345678", -55, "polar_h10"),
        ("Polar H10 99999999", -90, "polar_h10"),
    ]
    assert heard[0].url == "ble:polar_h10/A0:9E:1A:00:00:01"
    assert heard[1].device is heard[1].url is None
