"""``anyecg doctor`` and ``anyecg scan`` as processes, against a simulated BlueZ on a real D-Bus."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from edge.doctor import bluetooth as doctor_bluetooth
from edge.doctor.probe import Finding, Probe, State
from firmware_bridge.virtual.polar import VirtualPolar
from helpers.fake_bluez import FakeBlueZ
from helpers.fake_bluez.devices import Strap

STRAP = "A0:9E:1A:8A:A8:7D"


async def anyecg(*args: str, code: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "edge.cli",
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert b"Traceback" not in err
    assert process.returncode == code, err.decode()
    return out.decode()


def test_the_doctor_asks_the_same_bus_as_bleak(bus: str, tmp_path: Path) -> None:
    async def found() -> dict[str, Finding]:
        # A root of its own, because this computer may have a radio.
        probe = Probe(root=tmp_path)
        return {finding.check: finding for finding in await asyncio.to_thread(doctor_bluetooth.check, probe)}

    async def scenario() -> None:
        assert (await found())["adapter"].state is State.SKIPPED
        async with FakeBlueZ(bus) as bluez:
            here = await found()
            assert {here[check].state for check in ("D-Bus", "BlueZ", "hci0 state")} == {State.OK}
            bluez.power(False)
            off = (await found())["hci0 state"]
            assert (off.state, off.detail) == (State.WRONG, "the adapter is off")
            assert off.fix.startswith("bluetoothctl power on")
            bluez.mute = True
            # bluetoothd hangs: reported after a few seconds, nothing waits longer.
            assert (await found())["BlueZ"].fix == "sudo systemctl restart bluetooth"

    asyncio.run(scenario())


def test_scan_finds_a_strap_and_nothing_is_an_exit_code(bus: str) -> None:
    async def scenario() -> None:
        strap = Strap(VirtualPolar(), STRAP)
        async with FakeBlueZ(bus, strap.peripheral):
            data = json.loads(await anyecg("scan", "--json", "--seconds", "1"))
            (row,) = [row for row in data["found"] if row["transport"] == "ble"]
            assert (row["kinds"], row["url"]) == (["polar_h10"], f"ble:polar_h10/{STRAP}")
            assert data["ble_problem"] is None
            out = await anyecg("scan", "--seconds", "1")
            assert f"ble:polar_h10/{STRAP}" in out
            assert " dBm" in out

    asyncio.run(scenario())


@pytest.mark.usefixtures("bus")
def test_scan_without_a_bluez_says_why() -> None:
    async def scenario() -> None:
        out = await anyecg("scan", "--json", "--seconds", "1", code=5)
        assert json.loads(out)["ble_problem"]

    asyncio.run(scenario())
