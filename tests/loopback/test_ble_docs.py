"""The page on Bluetooth: its commands run, against the devices that it names, and its messages exist."""

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np

from edge.sources.ble import KEYS
from firmware_bridge.decoding.patch_profile import PROFILE
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal
from firmware_bridge.virtual.movesense import VirtualMovesense
from firmware_bridge.virtual.patch import VirtualPatch
from firmware_bridge.virtual.polar import VirtualPolar
from helpers.fake_bluez import FakeBlueZ
from helpers.fake_bluez.devices import PatchOnAir, Strap

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "bluetooth.md").read_text(encoding="utf-8")


async def running(words, folder, env):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge.cli", *words, cwd=folder, env=env, stdout=-1, stderr=-1
    )


async def heart_of(device, fs_hz):
    """Measure fifty times faster than real time while a client listens."""
    ecg = EcgSynth(EcgParams(), 4)
    while True:
        if isinstance(device, PatchOnAir):
            if device.peripheral.connected:
                await device.run(1.0)
        elif device.peripheral.connected:
            await device.play(np.rint(ecg.generate(fs_hz, float(fs_hz)) * 1000).astype(np.int32))
        await asyncio.sleep(0.02)


def test_the_commands_of_the_page_run(bus, tmp_path):
    commands = [shlex.split(line)[1:] for line in PAGE.splitlines() if line.startswith("anyecg run")]
    assert len(commands) == 4
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    async def go():
        strap = Strap(VirtualPolar(), "A0:9E:1A:00:00:01")
        sensor = Strap(VirtualMovesense(), "0C:8C:DC:00:00:01")
        patch = PatchOnAir(VirtualPatch(PatientSignal(PatientOptions(), 3), seed=3), PROFILE.ble, "C0:FF:EE:00:00:01")
        async with FakeBlueZ(bus, strap.peripheral, sensor.peripheral, patch.peripheral):
            hearts = [asyncio.create_task(heart_of(d, fs)) for d, fs in ((strap, 130), (sensor, 256), (patch, 250))]
            try:
                for command in commands:
                    process = await running(command, tmp_path, env)
                    out, err = await asyncio.wait_for(process.communicate(), 120)
                    assert process.returncode == 0, f"{command}\n{out.decode()}\n{err.decode()}"
                    assert re.search(r"estimates   [1-9]\d* of [12]\d hops", out.decode()), out.decode()
            finally:
                for heart in hearts:
                    heart.cancel()

    asyncio.run(go())


def test_every_message_and_key_on_the_page_exists():
    sources = "".join(
        path.read_text(encoding="utf-8").replace('"\n            "', "").replace('"\n            f"', "")
        for path in sorted((ROOT / "firmware_bridge" / "transports").glob("*.py"))
    )
    messages = re.findall(r"^\| `([a-zA-Z][^`]+)` \|", PAGE.split("## What the messages mean")[1], re.MULTILINE)
    assert len(messages) >= 15
    for message in messages:
        assert message in sources, message
    for key in KEYS:
        assert f"`{key}=" in PAGE, key
