"""Serial ports on real pseudo-terminals: unplugged, replugged, in use, missing, silent, flooded."""

import asyncio
import os
import subprocess
import sys
import time
import tty
import zlib
from pathlib import Path

import pytest

from edge.sources import open_source
from firmware_bridge.devices import decode_item
from firmware_bridge.devices.anyecg_patch import PatchDecoder
from firmware_bridge.errors import LinkError, OutputError, UsageError
from firmware_bridge.items import RawChunk
from firmware_bridge.rawlog import RawLogReader
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.transports.serial import STALL_S, SerialTransport
from firmware_bridge.virtual.process import PtyPort, VirtualProcess
from firmware_bridge.wire.messages import Hello, encode

ROOT = Path(__file__).resolve().parents[2]
FAST = (0.02, 0.1)


class Heard:
    """The items of a source, and their comparison with the patch's own account."""

    def __init__(self):
        self.items = []

    def add(self, item):
        self.items.append(item)

    @property
    def blocks(self):
        return [item for item in self.items if isinstance(item, SampleBlock)]

    @property
    def kinds(self):
        return [str(item.kind) for item in self.items if isinstance(item, LinkEvent)]

    def account(self):
        crc = 0
        for block in self.blocks:
            crc = zlib.crc32(block.samples.astype("<i4").tobytes(), crc)
        return {
            "delivered_frames": len(self.blocks),
            "delivered_samples": sum(len(block) for block in self.blocks),
            "delivered_crc32": crc,
            "lost_samples": sum(block.lost for block in self.blocks),
        }


async def listen(source, heard, until, timeout_s=120.0):
    """Read items until ``until(heard)`` holds or the time is over, then close."""
    try:
        async with asyncio.timeout(timeout_s):
            async for item in source.items():
                heard.add(item)
                if until(heard):
                    break
    finally:
        await source.close()


def agree(heard, truth):
    got = heard.account()
    assert {key: truth[key] for key in got} == got


def test_every_sample_of_a_patch_behind_a_port_arrives(tmp_path):
    heard = Heard()
    with VirtualProcess(tmp_path / "tty", "--speed", "20", "--seconds", "60", "--seed", "3") as patch:
        source = open_source(f"serial:{tmp_path}/tty?stall=1")
        asyncio.run(listen(source, heard, lambda h: "stalled" in h.kinds or "disconnected" in h.kinds))
        truth = patch.wait()
    assert heard.kinds[:3] == ["connected", "hello", "info"]
    assert truth["delivered_samples"] > 14_000
    agree(heard, truth)


@pytest.mark.alone
def test_every_fault_at_once_is_accounted_for(tmp_path):
    faults = "drop=0.05;corrupt=0.05;late=0.02;double=0.02;noise=0.05;unplug@15:6;restart@30;leadoff@40:3;unplug@50:2"
    heard = Heard()
    arguments = ("--speed", "10", "--seconds", "70", "--faults", faults)
    with VirtualProcess(tmp_path / "tty", *arguments) as patch:
        source = open_source(f"serial:{tmp_path}/tty")
        source._transport._backoff._longest_s = 0.2
        done = lambda h: h.kinds.count("disconnected") == 3  # noqa: E731
        asyncio.run(listen(source, heard, done))
        truth = patch.wait()
    assert truth["unplugs"] == 2
    assert heard.kinds.count("connected") == 3
    assert heard.kinds.count("restarted") == truth["boots_heard"] - 1 == 1
    assert any(block.lead_off for block in heard.blocks)
    agree(heard, truth)


@pytest.mark.alone
def test_flood_is_read_without_loss(tmp_path):
    heard = Heard()
    arguments = ("--fs", "1000", "--speed", "150", "--seconds", "300", "--noise", "0")
    with VirtualProcess(tmp_path / "tty", *arguments) as patch:
        source = open_source(f"serial:{tmp_path}/tty")
        asyncio.run(listen(source, heard, lambda h: "disconnected" in h.kinds))
        truth = patch.wait()
    assert truth["lost_samples"] == 0
    agree(heard, truth)
    assert truth["delivered_samples"] > 290_000


def test_faults_on_demand(tmp_path):
    heard = Heard()
    with VirtualProcess(tmp_path / "tty", "--speed", "5") as patch:
        source = open_source(f"serial:{tmp_path}/tty")

        def until(h):
            if len(h.blocks) == 10:
                patch.command("leadoff@0:1")
            return h.blocks and any(b.lead_off for b in h.blocks)

        asyncio.run(listen(source, heard, until))
    assert heard.blocks[-1].lead_off


def test_start_with_a_missing_device_is_normal(tmp_path):
    async def scenario():
        transport = SerialTransport(str(tmp_path / "tty"), 115_200, backoff_s=FAST)
        port = PtyPort(tmp_path / "tty")
        stream = transport.stream()
        first = await anext(stream)
        port.plug()
        second = await anext(stream)
        port.write(b"abc")
        third = await anext(stream)
        port.unplug()
        fourth = await anext(stream)
        fifth = await anext(stream)
        await transport.close()
        rest = [item async for item in stream]
        return first, second, third, fourth, fifth, rest

    first, second, third, fourth, fifth, rest = asyncio.run(scenario())
    assert first.kind is LinkEventKind.INFO
    assert "no such device" in first.detail
    assert second.kind is LinkEventKind.CONNECTED
    assert (third.channel, third.data) == ("data", b"abc")
    assert fourth.kind is LinkEventKind.DISCONNECTED
    assert fifth.kind is LinkEventKind.INFO
    assert rest == []


def run_until_error(url):
    async def scenario():
        source = open_source(url)
        try:
            async with asyncio.timeout(120):
                async for _item in source.items():
                    pass
        finally:
            await source.close()

    with pytest.raises(LinkError) as caught:
        asyncio.run(scenario())
    return caught.value


def test_without_waiting_a_missing_device_is_an_error():
    error = run_until_error("serial:/dev/no-such-port?wait=0")
    assert "no such device: /dev/no-such-port" in str(error)
    assert error.exit_code == 5
    assert error.fix


def test_a_file_that_is_not_a_serial_port(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "is not a serial port" in str(run_until_error(f"serial:{tmp_path}/file"))
    assert "is not a serial port" in str(run_until_error(f"serial:{tmp_path}"))
    assert (tmp_path / "file").read_text() == "x"


def test_a_port_in_use(tmp_path):
    port = PtyPort(tmp_path / "tty")
    port.plug()
    holder = (
        "import sys, serial; p = serial.Serial(sys.argv[1], exclusive=True); print('held', flush=True);"
        "sys.stdin.readline()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "tty")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "held\n"
        error = run_until_error(f"serial:{tmp_path}/tty")
        assert "is in use by python -c import sys, serial" in str(error)
        assert f"(pid {child.pid}) (end it: kill {child.pid})" in str(error)
    finally:
        child.communicate("\n")
        port.unplug()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without permission")
def test_no_permission(tmp_path):
    port = PtyPort(tmp_path / "tty")
    port.plug()
    name = (tmp_path / "tty").readlink()
    name.chmod(0o600)
    code = (
        "import os, sys; from firmware_bridge.transports.serial_open import open_port, Trouble\n"
        "import serial\n"
        "os.seteuid(65534)\n"
        "try: open_port(sys.argv[1], 9600)\n"
        "except Trouble as e: print(e.what, '|', e.fix, '|', e.passes)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(name)], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    port.unplug()
    assert out.startswith("no permission to open")
    assert "dialout" in out
    assert out.strip().endswith("False")


def test_silence_is_a_stall_and_the_port_is_opened_again():
    async def scenario():
        master, slave = os.openpty()
        tty.setraw(slave)
        transport = SerialTransport(os.ttyname(slave), 115_200, stall_s=0.3, backoff_s=FAST)
        kinds, started = [], time.monotonic()
        async for item in transport.stream():
            kinds.append(str(item.kind))
            if len(kinds) == 4:
                break
        await transport.close()
        os.close(slave)
        os.close(master)
        return kinds, time.monotonic() - started

    kinds, took_s = asyncio.run(scenario())
    assert kinds == ["connected", "stalled", "connected", "stalled"]
    # The port was given a short limit; with the usual one the two stalls alone would take longer.
    assert took_s < 2 * STALL_S


def flood(master):
    """Block the loop while bytes arrive: nothing is taken from the queue."""
    sent = 0
    for _ in range(60):
        sent += os.write(master, b"x" * 1000)
        time.sleep(0.005)
    return sent


def test_a_slow_reader_loses_counted_bytes_and_no_memory(monkeypatch):
    from firmware_bridge.transports import serial as module

    monkeypatch.setattr(module, "QUEUE_BYTES", 10_000)

    async def scenario():
        master, slave = os.openpty()
        tty.setraw(slave)
        transport = SerialTransport(os.ttyname(slave), 115_200, backoff_s=FAST)
        stream = transport.stream()
        assert (await anext(stream)).kind is LinkEventKind.CONNECTED
        sent = flood(master)
        got = reported = 0
        # The loss may be reported in parts, each in its place.
        while not reported or sent - got - reported > 2:
            while transport._queue:
                item = await anext(stream)
                if isinstance(item, RawChunk):
                    got += len(item.data)
                else:
                    reported += item.data["bytes"]
            sent += os.write(master, b"y")
            await asyncio.sleep(0.02)
        await transport.close()
        os.close(slave)
        os.close(master)
        return sent, got, reported

    sent, got, reported = asyncio.run(scenario())
    assert reported > 10_000
    assert 0 <= sent - got - reported <= 2


def test_nothing_is_opened_before_it_is_asked_for():
    source = open_source("serial:/dev/no-such-port")
    asyncio.run(source.close())


def test_commands_reach_the_patch_and_incomplete_frames_do_no_harm(tmp_path):
    port = PtyPort(tmp_path / "tty")
    port.plug()
    hello = encode(Hello(7, 32_768, 250, nv_num=1000))

    async def scenario():
        source = open_source(f"serial:{tmp_path}/tty")
        kinds = []
        async for item in source.items():
            kinds.append(str(item.kind))
            if kinds == ["connected"]:
                port.write(b"boot text\r\n\xff\x00" + hello[:10])
                await asyncio.sleep(0.05)
                port.write(hello[10:] + hello[:7])
            if kinds[-1] == "hello":
                break
        await asyncio.sleep(0.05)
        heard = port.read(1.0)
        await source.close()
        return kinds, heard

    kinds, heard = asyncio.run(scenario())
    port.unplug()
    assert kinds == ["connected", "info", "hello"]
    assert heard.startswith(b"\x00")
    assert heard.count(b"\x00") >= 3


@pytest.mark.alone
def test_a_recorded_session_is_replayed(tmp_path):
    heard = Heard()
    faults = "drop=0.05;corrupt=0.05;unplug@5:3;restart@15"
    with VirtualProcess(tmp_path / "tty", "--speed", "10", "--seconds", "30", "--faults", faults) as patch:
        source = open_source(f"record:{tmp_path}/r.aer,serial:{tmp_path}/tty")
        source._transport._backoff._longest_s = 0.2
        asyncio.run(listen(source, heard, lambda h: h.kinds.count("disconnected") == 2))
        agree(heard, patch.wait())
    reader = RawLogReader(tmp_path / "r.aer")
    decoder, again = PatchDecoder(), Heard()
    for item in reader.items():
        again.items += decode_item(decoder, item)
    assert reader.damage == ""
    assert again.account() == heard.account()
    assert again.kinds == heard.kinds
    assert [b.arrival_ns for b in again.blocks] == [b.arrival_ns for b in heard.blocks]
    assert any(item.channel == ">data" for item in reader.items(sent=True) if isinstance(item, RawChunk))


def test_kill_9_of_a_recording_program(tmp_path):
    code = (
        "import asyncio, sys\n"
        "from edge.sources import open_source\n"
        "from firmware_bridge.samples import SampleBlock\n"
        "async def main():\n"
        "    async for item in open_source(sys.argv[1]).items():\n"
        "        if isinstance(item, SampleBlock): print(len(item), flush=True)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "r.aer"
    with VirtualProcess(tmp_path / "tty", "--speed", "10"):
        child = subprocess.Popen(
            [sys.executable, "-c", code, f"record:{path},serial:{tmp_path}/tty"],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        for _ in range(20):
            child.stdout.readline()
        child.kill()
        out, _ = child.communicate()
    shown = (20 + len(out.split())) * 25
    decoder = PatchDecoder()
    items = [one for item in RawLogReader(path).items() for one in decode_item(decoder, item)]
    assert sum(len(item) for item in items if isinstance(item, SampleBlock)) >= shown - 25


def test_wrong_urls(tmp_path):
    for url, words in {
        "serial:": "names no port",
        "serial:/dev/x?baud=fast": "is not a number",
        "serial:/dev/x?baud=5": "outside",
        "serial:/dev/x?bauds=5": "known keys: baud",
        "serial:/dev/x?device=toaster": "known devices",
        "record:x.aer": "write record:FILE.aer,SOURCE",
        "record:,sim:": "write record:",
        "bluetooth:x": "known schemes",
        "/dev/ttyACM0": "known schemes",
    }.items():
        with pytest.raises(UsageError, match=words.replace("?", r"\?")):
            open_source(url)
    (tmp_path / "old.aer").write_text("keep me")
    with pytest.raises(OutputError, match="never overwritten"):
        open_source(f"record:{tmp_path}/old.aer,sim:")
