"""A real TCP connection: a virtual patch behind a socket that breaks, stalls, refuses and returns."""

import asyncio

import numpy as np

from edge.cli.main import main
from edge.records import from_json
from helpers.listening import Listener, exact, known_patch
from helpers.patch_on_net import PatchOnNet


def test_minutes_of_a_patch_over_tcp(monkeypatch):
    async def go():
        signal, patch = known_patch()
        async with PatchOnNet(patch) as net, Listener(f"tcp:127.0.0.1:{net.port}") as heard:
            await net.streaming()
            await net.run(300.0)
            await heard.until(lambda h: len(h.samples) >= patch._index)
            return heard, signal.all

    heard, truth = asyncio.run(go())
    assert np.array_equal(heard.samples, truth[: len(heard.samples)])
    assert len(heard.samples) >= 300 * 250
    assert heard.lost == 0
    assert heard.count("connected") == 1


def test_it_reconnects_to_a_silent_peer():
    async def go():
        signal, patch = known_patch()
        async with PatchOnNet(patch) as net, Listener(f"tcp:127.0.0.1:{net.port}?stall=0.5") as heard:
            await net.streaming()
            await net.run(5.0)
            await heard.until(lambda h: h.count("stalled"))
            await heard.until(lambda h: h.count("connected") == 2)
            await net.streaming()
            await net.run(5.0)
            await heard.until(lambda h: sum(len(b) + b.lost for b in h.blocks) >= patch._index)
            return heard, signal.all

    heard, truth = asyncio.run(go())
    exact(heard.blocks, truth)
    assert "no data from 127.0.0.1" in heard.events("stalled")[0].detail


def test_a_server_that_starts_later_and_ends(unused_port):
    async def go():
        _signal, patch = known_patch()
        async with Listener(f"tcp:127.0.0.1:{unused_port}") as heard:
            await heard.until(lambda h: h.said("nothing listens"))
            async with PatchOnNet(patch, unused_port) as net:
                await net.streaming()
                await net.run(2.0)
                await heard.until(lambda h: h.blocks)
                await net.drop(abort=True)
                await heard.until(lambda h: h.count("connected") == 2)
            await heard.until(lambda h: h.count("disconnected") == 2)
            return heard

    heard = asyncio.run(go())
    assert len(heard.said("nothing listens")) == 1


def test_the_command_reads_a_patch_over_tcp(tmp_path):
    import threading

    from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal
    from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch

    ports, over = [], threading.Event()

    async def serve():
        patch = VirtualPatch(PatientSignal(PatientOptions(), 3), PatchConfig(), seed=3)
        async with PatchOnNet(patch) as net:
            ports.append(net.port)
            while not over.is_set():
                if net.writer is not None:
                    await net.run(0.5)
                await asyncio.sleep(0.01)

    server = threading.Thread(target=asyncio.run, args=(serve(),))
    server.start()
    while not ports:
        over.wait(0.01)
    out = tmp_path / "o.jsonl"
    try:
        url = f"tcp:127.0.0.1:{ports[0]}?device=anyecg_patch"
        assert main(["run", "--view", "none", "--source", url, "--out", str(out), "--seconds", "20"]) == 0
    finally:
        over.set()
        server.join()
    assert from_json(out.read_text().splitlines()[-1]).abstained is None
