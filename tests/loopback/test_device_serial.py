"""Third-party boards behind a real pseudo-terminal: started by their own commands, recorded and replayed."""

import asyncio
import os
import select
import threading
import tty

import numpy as np
import pytest

from edge.sources import open_source
from firmware_bridge.items import RawChunk
from firmware_bridge.rawlog import RawLogReader
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.transports.serial import SerialTransport
from helpers.devices_frames import bitalino_frame, cyton, healthypi_v4

SAMPLES = 500


class Board(threading.Thread):
    """A board on a pseudo-terminal; ``answer(heard)`` returns its reply to what it received, or ``None``."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self._answer = answer
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave
        self.heard = b""
        self._done = threading.Event()

    def run(self):
        while not self._done.is_set():
            if select.select([self._master], [], [], 0.05)[0]:
                try:
                    self.heard += os.read(self._master, 100)
                except OSError:
                    return
            reply = self._answer(self.heard)
            while reply and not self._done.is_set():
                if select.select([], [self._master], [], 0.1)[1]:
                    reply = reply[os.write(self._master, reply[:512]) :]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self.join(120)
        os.close(self._slave)
        os.close(self._master)


def said_once(*pairs):
    """Give each reply once, as soon as its command was received."""
    left = list(pairs)

    def answer(heard):
        if left and left[0][0] in heard:
            return left.pop(0)[1]
        return None

    return answer


async def read(url, want):
    source, items = open_source(url), []
    try:
        async with asyncio.timeout(120):
            async for item in source.items():
                items.append(item)
                if sum(len(i) for i in items if isinstance(i, SampleBlock)) >= want:
                    break
    finally:
        await source.close()
    return items


def values(items):
    return np.concatenate([i.samples for i in items if isinstance(i, SampleBlock)]).tolist()


def test_a_cyton_is_reset_configured_started_and_stopped():
    stream = b"".join(cyton(k, [0, 0, k, 0, 0, 0, 0, 0]) for k in range(SAMPLES))
    answer = said_once(
        (b"v", b"OpenBCI V3 8-16 channel\r\nFirmware: v3.1.2\r\n$$$"),
        (b"X", b"Success: Channel set for 3$$$"),
        (b"b", stream),
    )
    with Board(answer) as board:
        items = asyncio.run(read(f"serial:{board.path}?device=openbci_cyton&channel=3&gain=12", SAMPLES))
        for _ in range(100):
            if board.heard.endswith(b"s"):
                break
            threading.Event().wait(0.02)
        assert board.heard == b"v" + b"x3050110X" + b"b" + b"s"
    assert values(items) == list(range(SAMPLES))
    assert {i.lsb_mv for i in items if isinstance(i, SampleBlock)} == {4500 / 12 / (2**23 - 1)}


def test_a_device_can_be_told_to_stop_after_its_reader_left():
    async def leave(transport):
        stream = transport.stream()
        async for item in stream:
            if isinstance(item, RawChunk):
                break
        await stream.aclose()
        await asyncio.sleep(0.7)  # longer than a read of the port may take
        sent = await transport.write(b"s")
        await transport.close()
        return sent

    with Board(said_once((b"", b"data"))) as board:
        assert asyncio.run(leave(SerialTransport(board.path, 115200)))


def test_a_bitalino_is_asked_for_its_version_and_started():
    stream = b"".join(bitalino_frame(k, [k % 1024, 511]) for k in range(SAMPLES))
    answer = said_once((b"\x07", b"BITalino_v5.2\n"), (b"\x0d", stream))
    with Board(answer) as board:
        items = asyncio.run(read(f"serial:{board.path}?device=bitalino&channels=12&channel=1", SAMPLES))
        assert board.heard.startswith(b"\x00\xc3\x07\x0d")
    assert values(items) == [k % 1024 for k in range(SAMPLES)]


def test_options_are_kept_in_a_recording(tmp_path):
    stream = b"Initialization is complete\r\n" + b"".join(healthypi_v4(k) for k in range(SAMPLES))
    with Board(said_once((b"", stream))) as board:
        url = f"record:{tmp_path}/raw.aer,serial:{board.path}?device=healthypi-v4&lsb_mv=0.0021"
        first = asyncio.run(read(url, SAMPLES))
    assert values(first) == list(range(SAMPLES))
    header = RawLogReader(tmp_path / "raw.aer").header
    assert (header.device, header.extra["options"]) == ("healthypi_v4", {"lsb_mv": "0.0021"})
    again = asyncio.run(read(f"replay:{tmp_path}/raw.aer?speed=max", SAMPLES))
    assert values(again) == values(first)
    assert {i.lsb_mv for i in again if isinstance(i, SampleBlock)} == {0.0021}
    other = asyncio.run(read(f"replay:{tmp_path}/raw.aer?speed=max&lsb_mv=0.5", SAMPLES))
    assert {i.lsb_mv for i in other if isinstance(i, SampleBlock)} == {0.5}
    with pytest.raises(Exception, match="lsb_mv"):
        open_source(f"replay:{tmp_path}/raw.aer?gain=2")


def test_a_board_that_sends_nothing_readable_is_reported():
    rng = np.random.default_rng(0)

    async def first_complaint(url):
        source = open_source(url)
        try:
            async with asyncio.timeout(120):
                async for item in source.items():
                    if isinstance(item, LinkEvent) and item.kind is LinkEventKind.CORRUPT:
                        return item.detail
        finally:
            await source.close()

    with Board(said_once((b"", rng.bytes(9000)))) as board:
        detail = asyncio.run(first_complaint(f"serial:{board.path}?device=ads1292r"))
    assert "baud" in detail
