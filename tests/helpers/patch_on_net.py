"""The kit's virtual patch behind a TCP port of this computer."""

from __future__ import annotations

import asyncio
import contextlib


class PatchOnNet:
    """The kit's virtual patch behind a TCP port."""

    def __init__(self, patch, port=0):
        self.patch, self.port = patch, port
        self.now_s = 0.0
        self.writer = None
        self.connections = 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error):
        self.server.close()
        await self.drop()
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        if self.writer is not None:
            await self.drop()
        self.writer, self.connections = writer, self.connections + 1
        with contextlib.suppress(OSError):
            while data := await reader.read(1024):
                if self.writer is writer:
                    self.patch.receive(data)
        if self.writer is writer:
            await self.drop()

    async def drop(self, *, abort=False):
        writer, self.writer = self.writer, None
        self.patch.link_lost()
        if writer is not None:
            if abort:
                writer.transport.abort()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def streaming(self):
        async with asyncio.timeout(120):
            while self.writer is None or not self.patch._streaming:
                await self.run(0.1)
                await asyncio.sleep(0.001)

    async def run(self, seconds, cut=None):
        """Let time pass; ``cut`` bytes are missing from the output of the last slot."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += 0.1
            data = b"".join(emission.data for emission in self.patch.advance(self.now_s))
            if self.writer is not None and data:
                self.writer.write(data[: -cut if cut and self.now_s >= end_s else None])
        if self.writer is not None:
            with contextlib.suppress(OSError):
                await self.writer.drain()
