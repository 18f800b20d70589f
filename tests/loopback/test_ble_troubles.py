"""How Bluetooth errors look to a user: one line that says what to do, and never a traceback."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from edge.records import from_json
from firmware_bridge.errors import LinkError
from firmware_bridge.rawlog import RawLogReader
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.transports import ble
from firmware_bridge.virtual.polar import VirtualPolar
from helpers.fake_bluez import FakeBlueZ
from helpers.fake_bluez.devices import Strap
from helpers.listening import POLAR, STRAP, Listener, patch_on_air

ANYECG = [sys.executable, "-m", "edge.cli", "run", "--view", "none"]
ABORTED = ("org.bluez.Error.Failed", "le-connection-abort-by-local")


def listening(bus, until, *, url=POLAR, scan_s=0.1, before=None, after=None, powered=True):
    """Read one strap until a condition holds."""

    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        bluez = FakeBlueZ(bus, strap.peripheral)
        bluez.powered = powered
        if before:
            before(bluez, strap.peripheral)
        async with bluez, Listener(url, scan_s) as heard:
            await heard.until(until)
            if after:
                await after(bluez, heard)
            return heard, bluez, strap.peripheral

    return asyncio.run(go())


def test_a_device_that_asks_for_pairing(bus):
    def before(_bluez, peripheral):
        peripheral.write_errors = [("org.bluez.Error.Failed", "Operation failed with ATT error: 0x05 (auth)")]

    heard, *_ = listening(bus, lambda h: h.count("refused"), before=before)
    assert "must be paired first" in heard.events("refused")[0].detail
    assert "pair=1" in heard.events("refused")[0].detail


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (("org.bluez.Error.Failed", "Software caused connection abort"), "2.4 GHz|5 GHz Wi-Fi"),
        (("org.bluez.Error.InProgress", "Operation already in progress"), "busy with another scan"),
        (("org.bluez.Error.AuthenticationFailed", ""), "must be paired"),
        (("org.bluez.Error.Failed", "br-connection-unknown"), "cannot be connected: Failed br-connection-unknown"),
    ],
)
def test_failed_connections_are_retried(bus, error, words):
    def before(_bluez, peripheral):
        peripheral.connect_errors = [error] * 2

    heard, *_ = listening(bus, lambda h: h.count("connected"), before=before)
    assert any(heard.said(word) for word in words.split("|"))
    assert heard.count("disconnected") == 0


def test_a_stuck_adapter_gives_further_advice(bus):
    def before(bluez, _peripheral):
        bluez.scan_errors = [("org.bluez.Error.InProgress", "Operation already in progress")] * 25

    heard, *_ = listening(bus, lambda h: h.count("connected"), before=before)
    stuck = heard.said("may be stuck")
    assert [event.data["failures"] for event in stuck] == [5, 10, 20]
    assert "sudo systemctl restart bluetooth" in stuck[0].detail
    assert "rfkill block bluetooth; rfkill unblock bluetooth" in stuck[0].detail
    assert len(heard.said("busy")) == 4, "not reported at every attempt"


def test_a_bluetoothd_that_does_not_answer(bus, monkeypatch):
    async def after(bluez, heard):
        bluez.mute = True
        with monkeypatch.context() as quick:
            quick.setattr(ble, "CONNECT_S", 0.3)
            quick.setattr(ble, "LEAVE_S", 0.3)
            await heard.until(lambda h: h.said("did not answer in time"))
        bluez.mute = False
        await heard.until(lambda h: h.count("connected") == 2)

    heard, *_ = listening(bus, lambda h: h.count("connected"), url=POLAR + "?stall=0.2", after=after)
    assert heard.count("stalled") >= 1


def test_services_of_an_older_firmware_are_rediscovered_once(bus):
    def before(_bluez, peripheral):
        service, chars = next(iter(peripheral.services.items()))
        peripheral.services = {service: [c for c in chars if not c.uuid.startswith("fb005c82")]}

    heard, bluez, _peripheral = listening(bus, lambda h: len(h.events("info")) and h.items, before=before)
    assert heard.said("has no characteristic fb005c82")
    assert [member for _path, member in bluez.calls].count("RemoveDevice") == 1


def test_two_devices_take_turns_at_one_adapter(bus):
    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        _signal, air = patch_on_air()
        async with FakeBlueZ(bus, strap.peripheral, air.peripheral) as bluez:
            async with Listener(POLAR) as one, Listener("ble:anyecg_patch") as other:
                for _round in range(5):
                    await one.until(lambda h, n=_round: h.count("connected") == n + 1)
                    await other.until(lambda h, n=_round: h.count("connected") == n + 1)
                    strap.peripheral.drop()
                    air.peripheral.drop()
            return one, other, bluez

    one, other, bluez = asyncio.run(go())
    assert not one.said("busy")
    assert not other.said("busy")
    assert bluez.scans >= 10


def test_two_processes_take_turns_at_one_adapter(bus, tmp_path):
    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        async with FakeBlueZ(bus, strap.peripheral) as bluez:
            with (tmp_path / "anyecg-ble-hci0.lock").open("w") as other:
                fcntl.flock(other, fcntl.LOCK_EX)
                scan = asyncio.create_task(ble.scan_ble(0.1))
                await asyncio.sleep(0.4)
                assert not scan.done()
                assert bluez.scans == 0
            return await scan

    assert [one.address for one in asyncio.run(go())] == [STRAP]


def test_pairing_only_on_request(bus):
    for url, pairs in ((POLAR, 0), (POLAR + "?pair=1", 1)):
        _heard, bluez, _peripheral = listening(bus, lambda h: h.count("connected"), url=url)
        assert [member for _path, member in bluez.calls].count("Pair") == pairs


def test_the_first_strap_of_a_session_is_its_only_one(bus):
    async def go():
        mine, other = Strap(VirtualPolar(), STRAP), Strap(VirtualPolar(), "A0:9E:1A:00:00:02")
        other.peripheral.advertising = False
        async with FakeBlueZ(bus, mine.peripheral, other.peripheral), Listener("ble:polar_h10", 0.1) as heard:
            await heard.until(lambda h: h.count("connected"))
            other.peripheral.advertising, mine.peripheral.advertising = True, False
            mine.peripheral.drop()
            await heard.until(lambda h: h.said("was not found"))
            mine.peripheral.advertising = True
            await heard.until(lambda h: h.count("connected") == 2)
            return heard, other.peripheral.connects

    heard, others = asyncio.run(go())
    assert others == 0
    assert {event.data["address"] for event in heard.events("connected")} == {STRAP}


def test_without_waiting_a_missing_strap_is_an_error(bus):
    def before(_bluez, peripheral):
        peripheral.advertising = False

    with pytest.raises(LinkError, match=r"was not found \(check that it is worn, charged and near"):
        listening(bus, lambda h: False, url=POLAR + "?wait=0", before=before)
    with pytest.raises(LinkError, match=r"the Bluetooth adapter is off \(rfkill unblock"):
        listening(bus, lambda h: False, url=POLAR + "?wait=0", powered=False)


def one_line(done):
    lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("note:")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("anyecg: ")
    return lines[0]


def run(*args, **env):
    return subprocess.run([*ANYECG, *args], capture_output=True, text=True, timeout=120, env={**os.environ, **env})


def test_no_d_bus(tmp_path):
    done = run("--source", POLAR, DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={tmp_path}/nothing")
    assert done.returncode == 5
    assert "no D-Bus system bus is running here" in one_line(done)


def test_no_bluez(bus):
    done = run("--source", POLAR)
    assert done.returncode == 5
    assert "BlueZ is not running (sudo apt-get install bluez" in one_line(done)


def test_no_adapter(bus):
    async def go(*args):
        bluez = FakeBlueZ(bus)
        bluez.present = False
        async with bluez:
            return await asyncio.to_thread(run, *args)

    done = asyncio.run(go("--source", POLAR))
    assert done.returncode == 5
    assert "this computer has no Bluetooth adapter" in one_line(done)
    done = asyncio.run(go("--source", POLAR + "?adapter=hci7"))
    assert done.returncode == 5
    assert "this computer has no Bluetooth adapter 'hci7' (bluetoothctl list shows all)" in one_line(done)


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("ble:", 2, "ble: names no device (write ble:DEVICE or ble:DEVICE/ADDRESS; devices: anyecg_patch"),
        ("ble:polar_h10/1234", 2, "'1234' is not a Bluetooth address"),
        ("ble:toaster", 2, "unknown device 'toaster'"),
        ("ble:polar_h10/A0:9E:1A:00:00:01?name=x", 2, "has an address and a name"),
        ("ble:polar_h10?rate=5", 2, "ble: does not know 'rate'"),
        ("ble:polar_h10?adapter=../x", 2, "is not an adapter name"),
        ("tcp:host", 2, "names no host and port"),
        ("tcp:host:0", 2, "names no host and port"),
        ("tcp:127.0.0.1:1?device=polar_h10", 2, "is not on the network"),
        ("tcp:127.0.0.1:1?wait=0", 5, "nothing listens at 127.0.0.1:1"),
    ],
)
def test_wrong_urls(url, code, words, capsys):
    from edge.cli.main import main

    assert main(["run", "--view", "none", "--source", url]) == code
    err = capsys.readouterr().err
    assert words in err
    assert len(err.strip().splitlines()) == 1


def test_without_bleak_one_line_names_what_to_install(tmp_path):
    (tmp_path / "bleak.py").write_text("raise ImportError('blocked')")
    done = run("--source", POLAR, PYTHONPATH=str(tmp_path))
    assert done.returncode == 6
    assert one_line(done) == "anyecg: Bluetooth needs the 'ble' extra (pip install 'anyecg-edge[ble]')"


@pytest.mark.parametrize(
    ("blocked", "url", "words"),
    [
        ("serial", POLAR, "BlueZ is not running"),
        ("serial", "tcp:127.0.0.1:1?wait=0", "nothing listens at 127.0.0.1:1"),
        ("bleak", "tcp:127.0.0.1:1?wait=0", "nothing listens at 127.0.0.1:1"),
        ("bleak", "serial:/dev/no-such-port?wait=0", "/dev/no-such-port"),
    ],
)
def test_each_transport_works_without_the_others(bus, tmp_path, blocked, url, words):
    (tmp_path / f"{blocked}.py").write_text("raise ImportError('blocked')")
    done = run("--source", url, PYTHONPATH=str(tmp_path))
    assert done.returncode == 5
    assert words in one_line(done)


def test_a_signal_leaves_the_strap_stopped_and_free(bus):
    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        async with FakeBlueZ(bus, strap.peripheral):
            process = await asyncio.create_subprocess_exec(*ANYECG, "--source", POLAR, stdout=-1, stderr=-1)
            await strap.streaming()
            process.send_signal(signal.SIGTERM)
            _out, err = await asyncio.wait_for(process.communicate(), 120)
            return process.returncode, err.decode(), strap.peripheral

    code, err, peripheral = asyncio.run(go())
    assert code == 143
    assert "Traceback" not in err
    assert peripheral.writes[-1][1] == bytes.fromhex("0300"), "the stop command was sent"
    assert not peripheral.connected


def test_from_a_strap_to_estimates_with_its_recording(bus, tmp_path):
    """The command as users run it, a strap that disconnects once, and the same estimates from its recording."""
    ecg_uv = np.rint(EcgSynth(EcgParams(), 4).generate(130 * 60, 130.0) * 1000).astype(np.int32)
    live, again, raw = tmp_path / "live.jsonl", tmp_path / "again.jsonl", tmp_path / "raw.aer"

    async def go():
        strap = Strap(VirtualPolar(), STRAP)
        async with FakeBlueZ(bus, strap.peripheral):
            args = ["--source", POLAR, "--record", str(raw), "--out", str(live), "--seconds", "55"]
            process = await asyncio.create_subprocess_exec(*ANYECG, *args, stdout=-1, stderr=-1)
            await strap.streaming()
            for second in range(60):
                if second == 20:
                    strap.peripheral.drop()
                    await strap.streaming()
                await strap.play(ecg_uv[second * 130 : (second + 1) * 130])
                await asyncio.sleep(0.02)
            out, err = await asyncio.wait_for(process.communicate(), 120)
            return process.returncode, out.decode(), err.decode()

    code, out, err = asyncio.run(go())
    assert code == 0, err
    assert "1 reconnections" in out
    done = run("--source", f"replay:{raw}", "--out", str(again), "--seconds", "55")
    assert done.returncode == 0, done.stderr
    estimates = [from_json(line) for line in live.read_text().splitlines()]
    assert estimates[-1].abstained is None
    assert estimates[-1].device == "polar_h10"
    assert sum(e.abstained is None for e in estimates) > 20
    strip = lambda e: (e.window, e.abstained, e.labs, e.heart_rate_bpm, e.lost_samples, e.session)  # noqa: E731
    assert [strip(e) for e in estimates] == [strip(from_json(line)) for line in again.read_text().splitlines()]
    assert RawLogReader(raw).header.device == "polar_h10"
