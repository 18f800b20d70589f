"""Bytes that a serial reader drops because the program is too slow are reported in their place."""

from __future__ import annotations

import asyncio

import pytest

from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.transports import RawChunk
from firmware_bridge.transports.serial import SerialTransport


def test_dropped_bytes_are_counted_in_an_event_before_the_next_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.transports.serial.QUEUE_BYTES", 1000)

    async def go() -> list[object]:
        transport = SerialTransport("/dev/not-there", 115_200)
        transport._loop = asyncio.get_running_loop()
        for value in range(13):
            transport._put(RawChunk(0, "data", bytes([value]) * 100))
        taken = [transport._take() for _ in range(10)]
        assert transport._take() is None
        transport._put(RawChunk(0, "data", b"after"))
        return [*taken, transport._take(), transport._take(), transport._take()]

    *kept, report, after, end = asyncio.run(go())
    assert [chunk.data[0] for chunk in kept if isinstance(chunk, RawChunk)] == list(range(10))
    assert isinstance(report, LinkEvent)
    assert report.kind is LinkEventKind.CORRUPT
    assert report.data == {"bytes": 300, "fault": "overflow"}
    assert isinstance(after, RawChunk)
    assert after.data == b"after"
    assert end is None
