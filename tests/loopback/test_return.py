"""A device that returns is noticed at once: in these tests the pause between two attempts is an hour."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tty
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from firmware_bridge.transports import ble, serial
from firmware_bridge.transports._link import SOON_S, WATCH_S, Backoff
from firmware_bridge.virtual.polar import VirtualPolar
from firmware_bridge.virtual.process import PtyPort
from helpers.fake_bluez import FakeBlueZ
from helpers.fake_bluez.devices import Strap
from helpers.listening import POLAR, STRAP, Listener, patch_on_air
from helpers.patch_on_net import PatchOnNet

HOUR_S = 3600.0


class Patient(Listener):
    """A source with pauses of an hour, except where something shows that its device is back."""

    def __init__(self, url: str, scan_s: float = 0.1) -> None:
        super().__init__(url, scan_s)
        self.source._transport._backoff = Backoff("test", HOUR_S, HOUR_S)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[PtyPort]:
    made = PtyPort(tmp_path / "tty")
    yield made
    made.unplug()


def test_what_is_looked_at_is_looked_at_often() -> None:
    assert 2 * WATCH_S <= ble.WATCH_S <= SOON_S / 2 <= 0.5
    assert serial.BACKOFF_S[0] <= ble.BACKOFF_S[0] <= 0.5


def test_a_port_that_is_plugged_in_later_and_again(port: PtyPort, tmp_path: Path) -> None:
    async def go() -> Patient:
        async with Patient(f"serial:{tmp_path}/tty") as heard:
            await heard.until(lambda h: h.said("no such device"))
            for time in (1, 2, 3):
                port.plug()
                await heard.until(lambda h, n=time: h.count("connected") == n)
                port.unplug()
                await heard.until(lambda h, n=time: h.count("disconnected") == n)
            return heard

    heard = asyncio.run(go())
    waits = [event for event in heard.events("info") if "reason" in event.data]
    assert {(event.data["where"], event.data["reason"]) for event in waits} == {(f"{tmp_path}/tty", "no such device")}
    assert all(event.data["fix"] for event in waits)


def test_a_port_that_becomes_one_after_it_was_something_else(tmp_path: Path) -> None:
    """As with a permission that udev grants a moment later: the name is there, and its file changes."""
    path = tmp_path / "tty"

    async def go() -> None:
        async with Patient(f"serial:{path}") as heard:
            await heard.until(lambda h: h.said("no such device"))
            path.write_text("")
            await heard.until(lambda h: h.said("is not a serial port"))
            path.unlink()
            made = PtyPort(path)
            made.plug()
            await heard.until(lambda h: h.count("connected"))
            made.unplug()

    asyncio.run(go())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every port")
def test_a_permission_that_comes_later(port: PtyPort, tmp_path: Path) -> None:
    async def go() -> None:
        async with Patient(f"serial:{tmp_path}/tty?wait=always") as heard:
            port.plug()
            os.chmod(tmp_path / "tty", 0)
            await heard.until(lambda h: h.said("no permission to open"))
            os.chmod(tmp_path / "tty", 0o600)
            await heard.until(lambda h: h.count("connected"))

    asyncio.run(go())


def test_a_port_that_another_program_releases(port: PtyPort, tmp_path: Path) -> None:
    port.plug()
    other = os.open(tmp_path / "tty", os.O_RDWR | os.O_NOCTTY)
    tty.setraw(other)
    fcntl.flock(other, fcntl.LOCK_EX)

    async def go() -> None:
        async with Patient(f"serial:{tmp_path}/tty?wait=always") as heard:
            await heard.until(lambda h: h.said("is in use by"))
            fcntl.flock(other, fcntl.LOCK_UN)
            await heard.until(lambda h: h.count("connected"))

    try:
        asyncio.run(go())
    finally:
        os.close(other)


def test_a_silent_port_is_opened_again_soon(port: PtyPort, tmp_path: Path) -> None:
    port.plug()

    async def go() -> None:
        async with Patient(f"serial:{tmp_path}/tty?stall=0.2") as heard:
            await heard.until(lambda h: h.count("connected") == 3)
            assert heard.count("stalled") == 2

    asyncio.run(go())


def test_a_peer_on_the_network_that_is_there_again(unused_port: int) -> None:
    async def go() -> None:
        _signal, air = patch_on_air()
        async with Patient(f"tcp:127.0.0.1:{unused_port}") as heard:
            await heard.until(lambda h: h.said("nothing listens at"))
            async with PatchOnNet(air.patch, unused_port):
                await heard.until(lambda h: h.count("connected"))
        (wait,) = [event for event in heard.events("info") if "reason" in event.data]
        assert wait.data["where"] == f"127.0.0.1:{unused_port}"
        assert wait.data["reason"] == "nothing listens there"

    asyncio.run(go())


def strap_returns(
    bus: str, away: Callable[[FakeBlueZ, Strap], None], words: str, back: Callable[[FakeBlueZ, Strap], Awaitable[None]]
) -> None:
    async def go() -> None:
        strap = Strap(VirtualPolar(), STRAP)
        bluez = FakeBlueZ(bus, strap.peripheral)
        async with bluez:
            away(bluez, strap)
            async with Patient(f"{POLAR}?wait=always") as heard:
                await heard.until(lambda h: h.said(words))
                await back(bluez, strap)
                await heard.until(lambda h: h.count("connected"))

    asyncio.run(go())


def test_a_strap_that_is_put_on(bus: str) -> None:
    def away(_bluez: FakeBlueZ, strap: Strap) -> None:
        strap.peripheral.advertising = False

    async def back(_bluez: FakeBlueZ, strap: Strap) -> None:
        strap.peripheral.advertising = True

    strap_returns(bus, away, "was not found", back)


def test_an_adapter_that_is_switched_on(bus: str) -> None:
    async def back(bluez: FakeBlueZ, _strap: Strap) -> None:
        bluez.power(True)

    strap_returns(bus, lambda bluez, _strap: bluez.power(False), "the Bluetooth adapter is off", back)


def test_an_adapter_that_is_plugged_in(bus: str) -> None:
    async def back(bluez: FakeBlueZ, _strap: Strap) -> None:
        bluez.plug()

    strap_returns(bus, lambda bluez, _strap: bluez.unplug(), "this computer has no Bluetooth adapter", back)


def test_a_bluetoothd_that_is_started(bus: str) -> None:
    async def go() -> None:
        strap = Strap(VirtualPolar(), STRAP)
        async with contextlib.AsyncExitStack() as stack, Patient(f"{POLAR}?wait=always") as heard:
            await heard.until(lambda h: h.said("BlueZ is not running"))
            await stack.enter_async_context(FakeBlueZ(bus, strap.peripheral))
            await heard.until(lambda h: h.count("connected"))

    asyncio.run(go())
