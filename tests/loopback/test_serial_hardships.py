"""Problems of real cables, on pseudo-terminals: a wrong baud rate, garbage, full load, a removed port."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from edge.sources import open_source
from firmware_bridge.items import RawChunk, TransportItem
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.transports.serial import SerialTransport
from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from firmware_bridge.virtual.process import PtyPort, VirtualProcess

UART_921600_BYTES_S = 92_160
"""Bits per byte on the line."""


def streaming_patch() -> VirtualPatch:
    patch = VirtualPatch(PatientSignal(PatientOptions(), 4), PatchConfig(fs_hz=1000.0))
    from firmware_bridge.wire.messages import Start, encode

    patch.receive(encode(Start()))
    return patch


def sent(patch: VirtualPatch, until_s: float) -> bytes:
    return b"".join(emission.data for emission in patch.advance(until_s))


def misread(data: bytes, sent_baud: int, read_baud: int) -> bytes:
    """What a UART at one rate reads of bytes sent at another: sampled in the middle of each of its own bits."""
    bits = [bit for byte in data for bit in (0, *((byte >> i) & 1 for i in range(8)), 1)]
    ratio, at, out = sent_baud / read_baud, 0.0, bytearray()
    while True:
        while at < len(bits) and bits[int(at)]:
            at = int(at) + 1.0
        if at + 9.5 * ratio >= len(bits):
            return bytes(out)
        out.append(sum(bits[int(at + (1.5 + i) * ratio)] << i for i in range(8)))
        at += 9.5 * ratio


def test_misreading_at_the_right_rate_changes_nothing() -> None:
    data = random.Random(1).randbytes(500)
    assert misread(data + b"\xff\xff", 9600, 9600)[:500] == data


@pytest.fixture
def port(tmp_path: Path) -> Iterator[PtyPort]:
    made = PtyPort(tmp_path / "tty")
    made.plug()
    yield made
    made.unplug()


@pytest.mark.parametrize(("sent_baud", "read_baud"), [(115_200, 921_600), (921_600, 115_200), (115_200, 57_600)])
def test_a_wrong_baud_rate_is_reported_once(
    port: PtyPort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent_baud: int, read_baud: int
) -> None:
    monkeypatch.setattr("edge.sources.undecoded.AFTER_S", 0.3)
    garbled = misread(sent(streaming_patch(), 20.0), sent_baud, read_baud)
    stop = threading.Event()

    def feed() -> None:
        at = 0
        while not stop.wait(0.005):
            port.write(garbled[at : at + 256])
            at = (at + 256) % len(garbled)

    async def listen() -> list[LinkEvent]:
        source, events, end_ns = open_source(f"serial:{tmp_path}/tty?baud={read_baud}"), [], None
        async for item in source.items():
            assert isinstance(item, LinkEvent)
            events.append(item)
            if item.data.get("fault") == "undecoded" and end_ns is None:
                end_ns = item.arrival_ns + 400_000_000
                # From now on discarded bytes are summed up at intervals.
                monkeypatch.setattr("edge.sources.undecoded.JOIN_S", 0.1)
            if end_ns is not None and item.arrival_ns > end_ns:
                break
        await source.close()
        return events

    feeder = threading.Thread(target=feed)
    feeder.start()
    events = asyncio.run(asyncio.wait_for(listen(), 120.0))
    stop.set()
    feeder.join()
    said = [e for e in events if e.data.get("fault") == "undecoded" and e.kind is LinkEventKind.INFO]
    hint = f"wrong baud rate or another device? {tmp_path}/tty is open at {read_baud} baud"
    assert [event.detail for event in said] == [
        f"bytes arrive but no frame of the AnyECG patch (COBS protocol, version 1): {hint}"
    ]
    after = events[events.index(said[0]) + 1 :]
    assert {str(event.kind) for event in after} == {"corrupt"}
    assert len(after) <= 8
    assert sum(event.data["bytes"] for event in after) > 100


def test_garbage_at_the_start_costs_no_sample(port: PtyPort, tmp_path: Path) -> None:
    patch, rng = streaming_patch(), random.Random(7)
    stream = rng.randbytes(6000) + b"\x00" + sent(patch, 30.0)

    def feed() -> None:
        at = 0
        while at < len(stream):
            size = rng.randrange(1, 400)
            port.write(stream[at : at + size])
            at += size
            time.sleep(0.0005)
        while port._unread():
            port.flush()
            time.sleep(0.005)

    async def listen() -> list[SampleBlock]:
        source, blocks = open_source(f"serial:{tmp_path}/tty"), []
        feeder = threading.Thread(target=feed)
        async for item in source.items():
            if isinstance(item, LinkEvent) and item.kind is LinkEventKind.CONNECTED:
                feeder.start()
            if isinstance(item, SampleBlock):
                blocks.append(item)
            if sum(map(len, blocks)) == patch.truth.delivered_samples:
                break
        feeder.join()
        await source.close()
        return blocks

    blocks = asyncio.run(asyncio.wait_for(listen(), 120.0))
    assert patch.truth.delivered_samples > 29_000
    assert sum(block.lost for block in blocks) == 0


@pytest.mark.alone
def test_full_load_of_921600_baud_through_the_whole_source(tmp_path: Path) -> None:
    """Bytes arrive at the full speed of the fastest usual UART; every sample comes out, in order."""
    samples_wanted = 190_000
    arguments = ("--fs", "1000", "--frame-s", "0.02", "--speed", "46", "--noise", "0")

    async def listen() -> tuple[int, int, int, float, list[str]]:
        source = open_source(f"serial:{tmp_path}/tty")
        received = lost = size = 0
        started, events = 0.0, []
        put = source._transport._put

        def counted(item: TransportItem) -> None:
            nonlocal size
            size += len(item.data) if isinstance(item, RawChunk) else 0
            put(item)

        source._transport._put = counted
        async for item in source.items():
            if isinstance(item, LinkEvent):
                events.append(str(item.kind))
                continue
            started = started or time.monotonic()
            received, lost = received + len(item), lost + item.lost
            if received >= samples_wanted:
                break
        took_s = time.monotonic() - started
        await source.close()
        return received, lost, size, took_s, events

    with VirtualProcess(tmp_path / "tty", *arguments) as patch:
        received, lost, size, took_s, events = asyncio.run(asyncio.wait_for(listen(), 120.0))
        truth = patch.stop()
    assert lost == truth["lost_samples"] == 0
    assert received >= samples_wanted
    assert not {"corrupt", "disconnected", "stalled", "restarted"} & set(events)
    # A machine too busy to send that fast proves nothing about receiving.
    if size / took_s < UART_921600_BYTES_S:
        pytest.skip(f"the virtual patch sent only {size / took_s:.0f} bytes per second here; nothing was lost")


def test_the_error_of_a_removed_port_is_a_disconnection() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    direct = serial.Serial(name, timeout=0.1)
    os.close(slave)

    async def listen() -> list[LinkEvent]:
        transport, events = SerialTransport(name, 115_200, backoff_s=(0.01, 0.05)), []
        async for item in transport.stream():
            events.append(item)
            if len(events) == 1:
                os.close(master)
            if len(events) == 3:
                break
        await transport.close()
        return events

    connected, gone, waiting = asyncio.run(asyncio.wait_for(listen(), 120.0))
    # The behaviour that the transport must handle: no SerialException here.
    with pytest.raises(OSError) as caught:
        _ = direct.in_waiting
    assert not isinstance(caught.value, serial.SerialException)
    assert caught.value.errno == 5
    direct.close()
    assert connected.kind is LinkEventKind.CONNECTED
    assert (gone.kind, gone.detail) == (LinkEventKind.DISCONNECTED, f"{name} is gone: unplugged")
    assert "no such device" in waiting.detail


def test_a_write_never_reaches_another_port(tmp_path: Path) -> None:
    """Write and disconnections at the same time: bytes for a closed port are refused, never sent elsewhere."""
    port = PtyPort(tmp_path / "tty")

    async def scenario() -> tuple[int, int]:
        transport = SerialTransport(str(tmp_path / "tty"), 115_200, backoff_s=(0.0005, 0.002))
        stream = transport.stream()
        accepted = refused = rounds = 0
        others = [os.memfd_create(f"other{n}") for n in range(8)]
        port.plug()
        async for item in stream:
            if item.kind is not LinkEventKind.CONNECTED:
                continue
            writes = [asyncio.create_task(transport.write(b"x" * 40)) for _ in range(4)]
            await asyncio.sleep(0)
            port.unplug()
            for number in others:
                os.close(number)
            others = [os.memfd_create(f"other{n}") for n in range(8)]
            done = await asyncio.gather(*writes)
            accepted, refused, rounds = accepted + sum(done), refused + 4 - sum(done), rounds + 1
            assert all(os.fstat(number).st_size == 0 for number in others)
            if rounds == 60:
                break
            port.plug()
        await transport.close()
        for number in others:
            os.close(number)
        return accepted, refused

    accepted, refused = asyncio.run(asyncio.wait_for(scenario(), 120.0))
    assert accepted + refused == 240
    assert accepted > 0
