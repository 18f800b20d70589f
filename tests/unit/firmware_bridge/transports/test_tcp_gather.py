"""A stream over TCP that is read less often arrives whole, in fewer pieces."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from firmware_bridge.items import RawChunk
from firmware_bridge.transports import GatheringTransport
from firmware_bridge.transports.tcp import TcpTransport

FRAMES = 60
PAUSE_S = 0.01


@pytest.mark.parametrize("gather_s", [0.0, 0.15])
def test_a_stream_comes_whole_and_no_more_often_than_asked(gather_s: float) -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(FRAMES):
            writer.write(bytes([number]) * 50)
            await asyncio.sleep(PAUSE_S)
        writer.close()

    async def main() -> tuple[list[RawChunk], float]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        transport = TcpTransport("127.0.0.1", server.sockets[0].getsockname()[1])
        assert isinstance(transport, GatheringTransport)
        if gather_s:
            transport.gather(gather_s)
        began_s, chunks = time.monotonic(), list[RawChunk]()
        async for item in transport.stream():
            if isinstance(item, RawChunk):
                chunks.append(item)
                if sum(len(chunk.data) for chunk in chunks) == FRAMES * 50:
                    break
        await transport.close()
        server.close()
        return chunks, time.monotonic() - began_s

    chunks, took_s = asyncio.run(main())
    assert b"".join(chunk.data for chunk in chunks) == b"".join(bytes([n]) * 50 for n in range(FRAMES))
    # Two pieces are read before it is known that they belong to a stream.
    assert len(chunks) <= took_s / (gather_s or 0.04) + 3
    assert all(a.arrival_ns < b.arrival_ns for a, b in pairwise(chunks))
