"""Runs inside the guest: the Bluetooth source with a real kernel and bluetoothd; prints one line of JSON per check."""

import asyncio
import json
import os
import random
import signal
import time
import traceback
from pathlib import Path

import numpy as np
from controller import AirStrap, Radio

from firmware_bridge.samples import LinkEvent
from firmware_bridge.transports.ble import scan_ble
from firmware_bridge.virtual.polar import VirtualPolar
from helpers.listening import POLAR, STRAP, Listener, exact, heart, whole

BLUETOOTHD = ["/usr/libexec/bluetooth/bluetoothd", "--nodetach"]


class Ear(Listener):
    """A listener whose last events are printed when a check fails."""

    last = None

    def __init__(self, *args):
        super().__init__(*args)
        Ear.last = self


def say(**facts):
    print("RADIO " + json.dumps(facts), flush=True)


async def bluetoothctl(*words):
    """Run bluetoothctl without blocking the loop, on which the controller answers."""
    done = await asyncio.create_subprocess_exec("bluetoothctl", *words, stdout=-1, stderr=-1)
    return (await done.communicate())[0].decode()


async def powered_on():
    """Wait until bluetoothd has the adapter, and switch it on."""
    said = ""
    for _ in range(200):
        said = await bluetoothctl("power", "on")
        if "succeeded" in said:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"no adapter: {said}")


async def check_scan(strap):
    heard = await scan_ble(3.0)
    assert [(one.address, one.device, one.url) for one in heard] == [(STRAP, "polar_h10", POLAR)], heard
    return {"rssi": heard[0].rssi}


async def check_stream(strap):
    sent = heart(120)
    async with Ear(POLAR, 10.0) as heard:
        began = time.monotonic()
        await strap.streaming()
        connect_s = time.monotonic() - began
        began = time.monotonic()
        await strap.play(sent)
        await heard.until(lambda h: len(h.samples) + h.lost >= len(whole(sent)), 60)
        assert np.array_equal(heard.samples, whole(sent))
        assert heard.lost == 0
        mtu = heard.events("connected")[0].data["mtu"]
        assert mtu == strap.mtu > 70, mtu
        return {
            "mtu": mtu,
            "connect_s": round(connect_s, 2),
            "frames_hz": round(len(heard.blocks) / (time.monotonic() - began)),
        }


def accounted_for(heard):
    return sum(len(block) + block.lost for block in heard.blocks)


async def check_drops(strap):
    rng, rounds = random.Random(4), 15
    sent = heart(30 * rounds)
    at = 0
    async with Ear(POLAR, 10.0) as heard:
        for round_ in range(rounds):
            await heard.until(lambda h, n=round_: h.count("connected") == n + 1, 60)
            await strap.streaming()
            size = rng.randint(200, 1500)
            await strap.play(sent[at : at + size])
            at += size
            await heard.until(lambda h, n=at: accounted_for(h) >= n - 73, 30)
            # Frames on their way when the link breaks: some arrive, some do not.
            await strap.play(sent[at : at + 200])
            at += 200
            if round_ % 2:
                await strap.drop()
            else:
                strap.lose()
            while strap.virtual.streaming:
                await asyncio.sleep(0.01)
            away = rng.randint(0, 500)
            list(strap.virtual.notifications(sent[at : at + away]))
            at += away
        await heard.until(lambda h: h.count("connected") == rounds + 1, 60)
        await strap.streaming()
        await strap.play(sent[at : at + 1300])
        at += 1300
        await heard.until(lambda h: accounted_for(h) >= at - 73, 60)
        exact(heard.blocks, sent)
        doubled = heard.source.counters().get("repeated_frames", 0)
        assert doubled == 0, f"{doubled} frames were received twice"
        return {"rounds": rounds, "samples": len(heard.samples), "lost": heard.lost}


async def check_adapter(strap):
    async with Ear(POLAR, 10.0) as heard:
        await strap.streaming()
        assert "succeeded" in await bluetoothctl("power", "off")
        await heard.until(lambda h: h.said("the Bluetooth adapter is off"), 60)
        await powered_on()
        await heard.until(lambda h: h.count("connected") == 2, 60)
        await strap.streaming()
        return {"said": heard.said("adapter is off")[0].detail}


async def check_bluetoothd(strap):
    async with Ear(POLAR + "?stall=2", 10.0) as heard:
        await strap.streaming()
        await strap.play(heart(5))
        await heard.until(lambda h: h.blocks)
        os.kill(int(os.environ["BLUETOOTHD_PID"]), signal.SIGKILL)
        await heard.until(lambda h: h.count("stalled") or h.count("disconnected"), 60)
        how = "stalled" if heard.count("stalled") else "disconnected"
        await asyncio.sleep(1)
        await asyncio.create_subprocess_exec(*BLUETOOTHD, stdout=-3, stderr=-3)
        await powered_on()
        before = len(heard.blocks)
        await heard.until(lambda h: h.count("connected") >= 2, 90)
        await strap.streaming()
        await strap.play(heart(5))
        await heard.until(lambda h: len(h.blocks) > before, 60)
        return {"noticed": how}


async def main():
    radio = await Radio().start()
    strap = AirStrap(radio, VirtualPolar(), STRAP)
    await strap.start()
    await powered_on()
    say(check="boot", ok=True, uptime_s=float(Path("/proc/uptime").read_text().split()[0]), kernel=os.uname().release)
    # The virtual controller no longer accepts a reset once links were lost on it: that check comes last.
    for check in (check_scan, check_stream, check_adapter, check_bluetoothd, check_drops):
        began = time.monotonic()
        try:
            async with asyncio.timeout(150):
                facts = await check(strap)
        except Exception:
            events = [f"{e.kind}: {e.detail}" for e in Ear.last.items if isinstance(e, LinkEvent)] if Ear.last else []
            say(check=check.__name__, ok=False, error=traceback.format_exc()[-1500:], events=events[-10:])
        else:
            say(check=check.__name__, ok=True, took_s=round(time.monotonic() - began, 1), **facts)
        while strap.connection is not None:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
    say(check="end", ok=True)


asyncio.run(main())
